/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Senders that have died, for the moment between the news and the end of their tasks: lines of theirs may
 * still be on their way. Pure.
 */
#ifndef TASKLOG_SRC_DEATH_H
#define TASKLOG_SRC_DEATH_H

#include <stddef.h>
#include <stdint.h>

#include "origin.h"
#include "tasklog/table.h"

enum { DEATH_TEXT_BYTES = 320 };

struct death {
    struct tasklog_process process; /* pid 0: the origin counts */
    char origin[ORIGIN_BYTES];
    char text[DEATH_TEXT_BYTES]; /* how, for people */
    uint64_t position;           /* of the news of an origin in the spool: tasks that have begun
                                    behind it are others */
    int64_t due_ms;              /* when those that are still open are closed */
};

/* Zero-initialise it. */
struct deaths {
    struct death *items; /* by when they were told */
    size_t count;
    size_t size;
};

/* Without memory for it, it is not remembered: the task will be idle some day. */
void deaths_add(struct deaths *deaths, const struct death *death);
void deaths_done(struct deaths *deaths);

/* When the first one is due; INT64_MAX if there is none. */
int64_t deaths_due_ms(const struct deaths *deaths);

void deaths_shift(struct deaths *deaths, int64_t shift_ms);

/* Which of those that are due by now does the sender's task end with? Or NULL. */
const struct death *deaths_find(const struct deaths *deaths, const struct tasklog_sender *sender,
                                int64_t now_ms);

void deaths_drop_due(struct deaths *deaths, int64_t now_ms);

#endif
