/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead letters: results that the database will never take, each a file in the folder `dead` of a
 * spool, written whole or not at all. What a letter says is its writer's business. Any process that
 * may read and write the folder can use it, beside the one that holds the spool.
 *
 *     dead/1764012345678901-1.letter     microseconds since 1970 UTC, and a number: sorts by time
 */
#ifndef TASKLOG_LETTERBOX_H
#define TASKLOG_LETTERBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TASKLOG_LETTER_NAME_BYTES = 64 };

/* What lies in the box. */
struct tasklog_letterbox_sum {
    uint64_t count;
    uint64_t bytes;
};

/* One letter in a list, oldest first. */
struct tasklog_letter_entry {
    char name[TASKLOG_LETTER_NAME_BYTES];
    uint64_t bytes;
};

/* Puts a letter into the spool's box; `sync`: safe from power loss, too. 0 or negative errno. */
int tasklog_letterbox_put(const char *spool, int64_t time_us, const void *data, size_t bytes,
                          bool sync) __attribute__((warn_unused_result));

/* All letters; the list is to be freed. A spool without letters has 0. 0 or negative errno. */
int tasklog_letterbox_list(const char *spool, struct tasklog_letter_entry **ret_entries,
                           size_t *ret_count) __attribute__((warn_unused_result));

/* A letter's bytes, to be freed; or -ENOENT or other negative errno. */
int tasklog_letterbox_read(const char *spool, const char *name, void **ret_data, size_t *ret_bytes)
    __attribute__((warn_unused_result));

int tasklog_letterbox_remove(const char *spool, const char *name)
    __attribute__((warn_unused_result));

int tasklog_letterbox_count(const char *spool, struct tasklog_letterbox_sum *ret_sum)
    __attribute__((warn_unused_result));

#endif
