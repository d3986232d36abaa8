/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One task as the records of a spool tell of it, for somebody who only looks on: its log, message by message
 * as its row will have it, and its end. It takes the records in order and keeps little of them.
 */
#ifndef TASKLOG_VIEW_H
#define TASKLOG_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasklog/result.h"

struct tasklog_view_hooks {
    /* A run of the task begins: what was shown before was another one's. */
    void (*begin)(void *context);
    /* Part of a message; the last one has `more` false. */
    void (*text)(void *context, const char *text, size_t bytes, bool more);
    /* The run has ended. NULL: how it has is not known, for the record of it was missed. */
    void (*end)(void *context, const struct tasklog_report *report);
    /* Reads payload of a record that was there before: 0 or negative errno. */
    int (*read)(void *context, uint64_t position, size_t offset, char *buffer, size_t bytes);
    void *context;
};

struct tasklog_view;

/* Kind and id must be valid (tag.h). 0 or -ENOMEM. */
int tasklog_view_new(const char *kind, size_t kind_bytes, const char *id, size_t id_bytes,
                     const struct tasklog_view_hooks *hooks, struct tasklog_view **ret_view)
    __attribute__((warn_unused_result));
void tasklog_view_free(struct tasklog_view *view); /* takes NULL */

/* The next record of the spool. 0 or -ENOMEM. */
int tasklog_view_take(struct tasklog_view *view, uint64_t position, uint32_t type, const void *data,
                      size_t bytes) __attribute__((warn_unused_result));

/* There were records before the next one that could not be read. */
void tasklog_view_miss(struct tasklog_view *view);

/* When the task's last line was taken, microseconds since 1970 UTC; 0 if there was none. */
int64_t tasklog_view_last_us(const struct tasklog_view *view);

#endif
