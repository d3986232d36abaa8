/* SPDX-License-Identifier: Apache-2.0 */
/* The index of a task table; see the header. */
#include "index.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tasklog/tag.h"

enum { BUCKETS_MIN = 64 };

/* What is hashed is kind NUL id. */
static uint64_t hash_of_line(const struct index *index, const struct tasklog_line *line)
{
    char key[TASKLOG_KIND_BYTES_MAX + 1 + TASKLOG_ID_BYTES_MAX];

    memcpy(key, line->kind, line->kind_bytes);
    key[line->kind_bytes] = '\0';
    memcpy(key + line->kind_bytes + 1, line->id, line->id_bytes);
    return hash_bytes(&index->key, key, line->kind_bytes + 1 + line->id_bytes);
}

static uint64_t hash_of_task(const struct index *index, const struct task *task)
{
    return hash_bytes(&index->key, run_kind(&task->run),
                      (size_t)task->run.kind_bytes + 1 + task->run.id_bytes);
}

static struct task **bucket_of(const struct index *index, uint64_t hash)
{
    return &index->buckets[hash & (index->bucket_count - 1)];
}

/* The bits that are kept of a hash: not those that choose the bucket. */
static unsigned bits_of(uint64_t hash)
{
    return (unsigned)(hash >> 54);
}

static struct task *next_of(const struct task *task)
{
    return (struct task *)task->run.next;
}

static bool is_task_of(const struct task *task, const struct tasklog_line *line)
{
    const struct tasklog_result *run = &task->run;

    return run->id_bytes == line->id_bytes && run->kind_bytes == line->kind_bytes &&
           memcmp(run_id(run), line->id, line->id_bytes) == 0 &&
           memcmp(run_kind(run), line->kind, line->kind_bytes) == 0;
}

struct task *index_find(const struct index *index, const struct tasklog_line *line)
{
    if (index->last && is_task_of(index->last, line))
        return index->last;

    uint64_t hash = hash_of_line(index, line);
    struct task *task = *bucket_of(index, hash);
    while (task && (task->run.hash_bits != bits_of(hash) || !is_task_of(task, line)))
        task = next_of(task);
    return task;
}

static void push(struct index *index, struct task *task)
{
    uint64_t hash = hash_of_task(index, task);
    struct task **bucket = bucket_of(index, hash);

    task->run.hash_bits = bits_of(hash);
    task->run.next = *bucket ? &(*bucket)->run : NULL;
    *bucket = task;
}

/* Twice as many buckets, if there is memory for them. */
static void grow(struct index *index)
{
    struct task **old = index->buckets;
    size_t old_count = index->bucket_count;
    struct task **buckets = calloc(old_count * 2, sizeof(struct task *));

    if (!buckets)
        return;
    index->buckets = buckets;
    index->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        struct task *task = old[i];
        while (task) {
            struct task *next = next_of(task);
            push(index, task);
            task = next;
        }
    }
    free(old);
}

void index_add(struct index *index, struct task *task)
{
    if (index->task_count >= index->bucket_count)
        grow(index);
    push(index, task);
    index->task_count++;
}

void index_remove(struct index *index, struct task *task)
{
    struct task **bucket = bucket_of(index, hash_of_task(index, task));

    if (*bucket == task) {
        *bucket = next_of(task);
    } else {
        struct task *before = *bucket;
        while (next_of(before) != task)
            before = next_of(before);
        before->run.next = task->run.next;
    }
    task->run.next = NULL;
    index->task_count--;
    if (index->last == task)
        index->last = NULL;
}

int index_init(struct index *index, const uint8_t seed[16])
{
    index->buckets = calloc(BUCKETS_MIN, sizeof(struct task *));
    if (!index->buckets)
        return -ENOMEM;
    index->bucket_count = BUCKETS_MIN;
    index->task_count = 0;
    index->last = NULL;
    memcpy(&index->key, seed, sizeof(index->key));
    return 0;
}

void index_done(struct index *index)
{
    free(index->buckets);
}
