/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dead letter as text and values: a row, the target it was for, and why it was refused. It holds all
 * that it takes to write the row once more, the connection string (perhaps with a password) among it.
 */
#ifndef TASKLOG_LETTER_H
#define TASKLOG_LETTER_H

#include <stddef.h>
#include <stdint.h>

#include "tasklog/store.h"

struct tasklog_letter {
    int64_t time_us; /* when it was refused */
    const char *kind;
    const char *task_id;
    const char *sqlstate; /* or "" */
    const char *reason;
    struct tasklog_target target;
    struct tasklog_row row;
};

/* To bytes, which are to be freed. 0 or -ENOMEM. */
int tasklog_letter_encode(const struct tasklog_letter *letter, void **ret_data, size_t *ret_bytes)
    __attribute__((warn_unused_result));

/* From bytes: the letter points into them and to memory of its own. 0, -EBADMSG if they are not a whole
 * letter, or -ENOMEM. `tasklog_letter_done` frees what it owns, not the bytes. */
int tasklog_letter_decode(const void *data, size_t bytes, struct tasklog_letter *ret_letter)
    __attribute__((warn_unused_result));
void tasklog_letter_done(struct tasklog_letter *letter);

#endif
