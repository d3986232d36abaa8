/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open task as one piece of bytes, from which it can be made again: its run, its times, and where the
 * chunks of its log were moved to. Numbers are in the machine's own order.
 */
#ifndef TASKLOG_SRC_SNAPSHOT_H
#define TASKLOG_SRC_SNAPSHOT_H

#include "task.h"

/* To bytes, to be freed. All of the task's log must have been moved out of memory. 0 or -ENOMEM. */
int snapshot_write(const struct task *task, char **ret_data, size_t *ret_bytes)
    __attribute__((warn_unused_result));

/* From bytes: a task that is in no list yet. 0, -EBADMSG, or -ENOMEM. */
int snapshot_read(const char *data, size_t bytes, struct task **ret_task)
    __attribute__((warn_unused_result));

/* Are the bytes those of the task that `key` names? */
bool snapshot_is_of(const char *data, size_t bytes, const struct tasklog_line *key);

#endif
