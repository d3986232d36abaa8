/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of the contract, section 3: what of a task can be written into a column. */
#ifndef TASKLOG_SRC_FIELD_H
#define TASKLOG_SRC_FIELD_H

#include <stdbool.h>

#include "tasklog/store.h"

enum field {
    FIELD_TASK_ID,
    FIELD_KIND,
    FIELD_HOST,
    FIELD_STATUS,
    FIELD_LOG,
    FIELD_SUMMARY,
    FIELD_START_TIME,
    FIELD_END_TIME,
    FIELD_DURATION,
    FIELD_PROCESSED,
    FIELD_FAILED,
    FIELD_TOTAL,
    FIELD_LINES,
    FIELD_BYTES,
    FIELD_WARNINGS,
    FIELD_ERRORS,
    FIELD_FIRST_ERROR,
    FIELD_COUNTERS,
    FIELD_END_REASON,
    FIELD_COMPLETE,
    FIELD_UPDATED_AT,
    FIELD_POSITION,
    FIELD_COUNT
};

struct field_info {
    const char *name;
    enum tasklog_type type;
    bool finds_rows; /* known from the first line on and never changes: may stand in a key */
};

extern const struct field_info field_infos[FIELD_COUNT];

/* FIELD_COUNT if there is no such field. */
enum field field_by_name(const char *name, size_t name_bytes);

/* All names with blanks between, of those that may stand in a key if `keys` is true; for errors. */
void field_list(bool keys, char *buffer, size_t buffer_bytes);

#endif
