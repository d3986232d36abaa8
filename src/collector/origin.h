/* SPDX-License-Identifier: Apache-2.0 */
/* Where lines come from, as a front names it ("unit:pid"), and what is said of all that come from there. Pure. */
#ifndef TASKLOG_SRC_ORIGIN_H
#define TASKLOG_SRC_ORIGIN_H

#include <stdbool.h>

#include "tasklog/clock.h"
#include "tasklog/line.h"
#include "tasklog/table.h"

enum { ORIGIN_BYTES = TASKLOG_ORIGIN_BYTES_MAX + 1 };

/* The origin of a line or of news, as a string. */
void origin_of(const struct tasklog_line *source, char origin[ORIGIN_BYTES]);

/* Is the sender one of this origin: it itself, or, if it names no process, one of its processes? "" = all. */
bool origin_covers(const char *origin, const char *sender_origin);

/* Puts `text` into the logs of all running tasks of the source's origin. 0 or -ENOMEM: not into all. */
int origin_note(struct tasklog_table *table, const struct tasklog_line *source, const char *text,
                struct tasklog_now now) __attribute__((warn_unused_result));

#endif
