/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the store's rows of the table's results: which value goes into which column. */
#ifndef TASKLOG_SRC_ROW_H
#define TASKLOG_SRC_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "settings.h"
#include "tasklog/result.h"
#include "tasklog/store.h"

/* Rows that are written together, with the texts that they point to. Zero-initialise it. */
struct row_batch {
    struct tasklog_row *rows;
    size_t count;
    size_t size;
    void **blocks; /* one a row: its values and texts */
};

/* Adds the row of a result, which must live as long as the batch. 0; 1 if text that had been moved out
 * of memory could not be read back, and is question marks; or -ENOMEM. */
int row_batch_add(struct row_batch *batch, const struct tasklog_config *config,
                  const struct tasklog_result *result, const struct tasklog_spill *spill,
                  int64_t now_us) __attribute__((warn_unused_result));

/* Names the row that a result goes into, by its keys. */
uint64_t row_keys(const struct tasklog_config *config, const struct tasklog_result *result);

/* Forgets the rows; the batch can be filled again. */
void row_batch_clear(struct row_batch *batch);
void row_batch_done(struct row_batch *batch);

#endif
