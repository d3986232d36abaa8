/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds tasks by kind and id: a chained hash table. A task has room for some bits of its hash only: the rest
 * is reckoned again when the index grows.
 */
#ifndef TASKLOG_SRC_INDEX_H
#define TASKLOG_SRC_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "task.h"
#include "tasklog/line.h"

struct index {
    struct hash_key key;
    struct task **buckets;
    size_t bucket_count; /* a power of two */
    size_t task_count;
    struct task *last; /* whose line came last: looked at first. NULL = there is none */
};

/* `seed` keys the hash. 0 or -ENOMEM. */
int index_init(struct index *index, const uint8_t seed[16]) __attribute__((warn_unused_result));
void index_done(struct index *index);

/* The task that the line belongs to (its kind and id are looked at, nothing else), or NULL. */
struct task *index_find(const struct index *index, const struct tasklog_line *line);

/* Cannot fail: without memory to grow, the chains become longer. */
void index_add(struct index *index, struct task *task);
void index_remove(struct index *index, struct task *task);

#endif
