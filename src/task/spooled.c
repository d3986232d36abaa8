/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a spool keeps of a table's tasks: from which position on, how the oldest are moved to its end, how one
 * comes back from there, and the text of logs that was moved out of memory.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "body.h"
#include "snapshot.h"
#include "tasklog/table.h"

uint64_t tasklog_table_last_run(const struct tasklog_table *table)
{
    return table->last_run;
}

uint64_t tasklog_table_oldest(const struct tasklog_table *table)
{
    return table->pins.next == &table->pins ? UINT64_MAX : table->pins.next->position;
}

static struct tasklog_line key_of(const struct tasklog_result *run)
{
    return (struct tasklog_line){.kind = run_kind(run),
                                 .kind_bytes = run->kind_bytes,
                                 .id = run_id(run),
                                 .id_bytes = run->id_bytes};
}

/* The open task that holds the oldest position, or NULL if something else holds it. */
static struct task *oldest_open(const struct tasklog_table *table)
{
    const struct run_pin *pin = table->pins.next;

    if (pin == &table->pins)
        return NULL;
    const struct tasklog_result *run =
        (const void *)((const char *)pin - offsetof(struct tasklog_result, pin));
    const struct tasklog_line key = key_of(run);
    struct task *task = index_find(&table->index, &key);
    return task && &task->run == run && !task_has_ended(task) ? task : NULL;
}

/* The list stays sorted. It belongs to its end, but for a task with text that was moved out of memory before. */
static void move_pin(struct tasklog_table *table, struct run_pin *pin, uint64_t position)
{
    struct run_pin *at = &table->pins;

    run_unpin(pin);
    pin->position = position;
    while (at->prev != &table->pins && at->prev->position > position)
        at = at->prev;
    run_pin_before(at, pin);
}

/* Writes what an open task is, but for its text, which lies in the spool. */
static int write_snapshot(struct task *task, tasklog_table_keep *keep, void *context,
                          uint64_t *ret_position)
{
    size_t bytes;
    char *data;
    int r = snapshot_write(task, &data, &bytes);

    if (r < 0)
        return r;
    r = keep(context, data, bytes, ret_position);
    free(data);
    if (r == 0 && task->run.extra) { /* as the snapshot has it */
        task->run.extra->omitted += task->run.extra->omitted_new;
        task->run.extra->omitted_new = 0;
    }
    return r;
}

int tasklog_table_forward(struct tasklog_table *table, tasklog_table_keep *keep, void *context)
{
    struct task *task = oldest_open(table);
    uint64_t first, position = 0;

    if (!task)
        return 0;
    table_uncount(table, task);
    int r = logbuf_move(&task->run.log, table->env.spill, &first);
    table_count(table, task);
    if (r == 0)
        r = write_snapshot(task, keep, context, &position);
    if (r < 0)
        return r;
    move_pin(table, &task->run.pin, first != 0 ? first : position);
    return 1;
}

/* Where what is needed of a task begins, of which a snapshot lies at `position` and all text in the spool. */
static uint64_t needed_from(const struct task *task, uint64_t position)
{
    struct logbuf_place place;

    return logbuf_next_place(&task->run.log, NULL, &place) ? place.position : position;
}

static int keep_task(struct tasklog_table *table, struct task *task, tasklog_table_keep *keep,
                     void *context)
{
    uint64_t position = 0;

    table_uncount(table, task);
    (void)logbuf_spill(&task->run.log, table->env.spill, SIZE_MAX);
    table_count(table, task);
    if (!logbuf_is_spilled(&task->run.log))
        return -ENOSPC;
    int r = write_snapshot(task, keep, context, &position);
    if (r == 0 &&
        task->run.run == 0) { /* it began when the spool was full; as when it is restored */
        task->run.run = position;
        move_pin(table, &task->run.pin, needed_from(task, position));
    }
    return r;
}

int tasklog_table_keep_since(struct tasklog_table *table, int64_t *since_ms, size_t least_bytes,
                             size_t most_bytes, tasklog_table_keep *keep, void *context)
{
    struct task_link *link = table->quiet.prev;

    while (link != &table->quiet &&
           task_of(link, offsetof(struct task, quiet))->quiet_ms >= *since_ms)
        link = link->prev;
    for (link = link->next; link != &table->quiet; link = link->next) {
        struct task *task = task_of(link, offsetof(struct task, quiet));
        size_t bytes = logbuf_sums(&task->run.log).memory_bytes;
        if (bytes < least_bytes || bytes > most_bytes)
            continue;
        int r = keep_task(table, task, keep, context);
        if (r < 0)
            return r;
        *since_ms = task->quiet_ms;
    }
    return 0;
}

void tasklog_table_drop_run(struct tasklog_table *table, const struct tasklog_line *key,
                            uint64_t run)
{
    struct task *task = index_find(&table->index, key);

    if (task && task->run.run == run && !task_has_ended(task))
        table_drop(table, task);
}

/* Puts a task into a list that is sorted by `time`, from its end: it belongs near it, or rarely not. */
static void add_sorted(struct task_link *list, struct task_link *link, size_t link_offset,
                       size_t time_offset)
{
    int64_t time_ms = *(int64_t *)(void *)((char *)link - link_offset + time_offset);
    struct task_link *at = list;

    while (at->prev != list &&
           *(int64_t *)(void *)((char *)at->prev - link_offset + time_offset) > time_ms)
        at = at->prev;
    list_add(at, link);
}

int tasklog_table_restore(struct tasklog_table *table, const char *data, size_t bytes,
                          uint64_t position, int64_t shift_ms)
{
    struct task *task;
    int r = snapshot_read(data, bytes, &task);

    if (r < 0)
        return r;
    const struct tasklog_line key = key_of(&task->run);
    struct task *known = index_find(&table->index, &key);
    if (known)
        table_drop(table, known);
    task->started_ms += shift_ms;
    task->quiet_ms += shift_ms;
    index_add(&table->index, task);
    add_sorted(&table->age, &task->age, offsetof(struct task, age),
               offsetof(struct task, started_ms));
    add_sorted(&table->quiet, &task->quiet, offsetof(struct task, quiet),
               offsetof(struct task, quiet_ms)); /* as for `warm`: it has no text in memory */
    table_count_open(table, task, 1);
    if (task->run.run == 0)
        task->run.run = position;
    table->last_run = task->run.run;
    move_pin(table, &task->run.pin, needed_from(task, position));
    table_count(table, task);
    return 0;
}

bool tasklog_table_is_of(const char *data, size_t bytes, const struct tasklog_line *key)
{
    return snapshot_is_of(data, bytes, key);
}

void tasklog_table_set_spill(struct tasklog_table *table, const struct tasklog_spill *spill)
{
    table->env.spill = spill;
}

/* Moves a task's text out of memory. Returns whether none of it is left there. */
static bool spill_task(struct tasklog_table *table, struct task *task, size_t want_bytes,
                       size_t *freed)
{
    struct logbuf *log = &task->run.log;
    size_t bytes = logbuf_spill(log, table->env.spill, want_bytes - *freed);

    *freed += bytes;
    table->memory_bytes -= bytes;
    return logbuf_is_spilled(log);
}

size_t tasklog_table_spill(struct tasklog_table *table, size_t want_bytes)
{
    struct task_link *link;
    size_t freed = 0;

    /* A log that has text left when enough has not been freed could not be written. */
    for (; freed < want_bytes && table->warm != &table->quiet; table->warm = table->warm->next)
        if (!spill_task(table, task_of(table->warm, offsetof(struct task, quiet)), want_bytes,
                        &freed))
            return freed;
    for (link = table->late.next; freed < want_bytes && link != &table->late; link = link->next)
        if (!spill_task(table, task_of(link, offsetof(struct task, show)), want_bytes, &freed))
            return freed;
    return freed;
}
