/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store that answers what a test wants, in place of the one that talks to databases. The test must
 * be linked with
 *
 *     -Wl,--wrap=tasklog_store_new,--wrap=tasklog_store_free,--wrap=tasklog_store_open,
 *     --wrap=tasklog_store_write,--wrap=tasklog_store_interrupt,--wrap=tasklog_store_message,
 *     --wrap=tasklog_store_name,--wrap=tasklog_store_set_patience
 *
 * It is one database for all stores that a test makes. It remembers what it has kept, and ends the
 * program when it is used in a way that the store's contract does not allow. Any thread may ask.
 */
#ifndef TESTS_FAKE_STORE_H
#define TESTS_FAKE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasklog/store.h"

/* What it was given and has kept: the first key and the columns "status" and "log". */
struct fake_row {
    char id[64];
    char status[32];
    char *log;
    int64_t append_at;
    size_t batch; /* which call of write brought it, from 1 */
};

/* The verdict on a row that is offered for the `attempt`-th time, from 1, by its id and status. */
typedef enum tasklog_verdict fake_judge(const char *id, const char *status, unsigned attempt);

/* A database that keeps everything and has nothing: the beginning of each test. */
void fake_store_reset(void);

/* From the next call on, open and write answer `r`, with this message; 0 = all is well. */
void fake_store_answer(int r, const char *message);

/* From the next call on, open and write do not return before they are interrupted or this is taken
 * back. Then they do what they would have done. */
void fake_store_block(bool blocked);

/* Who judges the rows; NULL = all are kept. What is put off or refused is so for "reason <id>". */
void fake_store_judge(fake_judge *judge);

/* Are rows that are put off so because they are too slow? */
void fake_store_slow(bool slow);

/* A batch with this row fails as a whole; "" = none does. */
void fake_store_poison(const char *id);

/* ---- what it has seen ---- */

size_t fake_store_kept_count(void);
const struct fake_row *fake_store_kept(size_t index); /* stays until the reset */

/* How many rows with this id and status were kept; NULL = any. */
size_t fake_store_kept_of(const char *id, const char *status);

struct fake_calls {
    size_t opens;
    size_t writes;
    size_t interrupts;
    bool is_blocked; /* there is a call that waits */
    size_t most_rows;
    size_t most_bytes;     /* of texts, in one call */
    int timeout_ms;        /* of the last call */
    int patience_ms;       /* of the last write */
    size_t stores;         /* that are not freed */
    int64_t called_ms[64]; /* when the first calls came, by the store's clock */
    size_t call_count;     /* of these */
};

struct fake_calls fake_store_calls(void);

#endif
