/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows a spool (spool.h) that another process writes: shows what is there, then what comes. It takes no
 * lock, changes nothing, and reads with pread(2), for the writer cuts segments to their length and removes
 * them. One that was opened can be read to its end after that.
 *
 * Not thread-safe.
 */
#ifndef TASKLOG_FOLLOW_H
#define TASKLOG_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasklog/spool.h"

struct tasklog_follow;

struct tasklog_follow_record {
    tasklog_position position;
    uint32_t type;
    const void *data; /* until the next call */
    size_t bytes;
};

/* Is the folder a spool? 1, 0, or negative errno: it cannot be looked at. */
int tasklog_follow_is_spool(const char *path);

/* Begins at the oldest record. 0 or negative errno. */
int tasklog_follow_new(const char *path, struct tasklog_follow **ret_follow)
    __attribute__((warn_unused_result));
void tasklog_follow_free(struct tasklog_follow *follow); /* takes NULL */

/* The next record: 1; 0 if there is none for now: ask again after a while; or negative errno. */
int tasklog_follow_next(struct tasklog_follow *follow, struct tasklog_follow_record *ret_record)
    __attribute__((warn_unused_result));

/* Were records passed over since this was asked last, because segments had gone before they were read, or
 * were damaged? */
bool tasklog_follow_has_missed(struct tasklog_follow *follow);

/* Part of the payload of any record that is still there; no checksum is looked at. 0, -EIO or other negative
 * errno. */
int tasklog_follow_read(struct tasklog_follow *follow, tasklog_position position, size_t offset,
                        void *buffer, size_t bytes) __attribute__((warn_unused_result));

#endif
