/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a task table, shared by its files:
 *
 *     table.c    lines in: which task a line belongs to, and what state that is in; the table's life
 *     due.c      what the clock does to tasks
 *     senders.c  who logs, and what becomes of tasks whose sender has died
 *     peers.c    who began a task, and what was refused of it
 *     spooled.c  what a spool keeps of tasks: where their lines lie, text that was moved out of memory
 *
 * Each waiting time is the same for all tasks, so a list that is only ever appended to is sorted by itself
 * and its head is due first:
 *
 *     age     open tasks by start            maxRuntime
 *     quiet   open tasks by last line        idleTimeout
 *     live    open tasks with news           liveInterval
 *     ended   ended tasks by their end       lateWindow
 *     late    ended tasks with late lines    LATE_FLUSH_MS
 */
#ifndef TASKLOG_SRC_BODY_H
#define TASKLOG_SRC_BODY_H

#include <stddef.h>
#include <stdint.h>

#include "control.h"
#include "index.h"
#include "task.h"
#include "text.h"

struct tasklog_table {
    struct task_env env;
    struct index index; /* open and ended tasks */
    size_t open_count;
    size_t memory_bytes; /* of all tasks' logs */
    size_t text_bytes;   /* the length of all tasks' logs */
    uint64_t last_run;   /* that of the last line that was taken */
    uint32_t last_pid;   /* the process that it named */
    struct task_link age, quiet, live, ended, late;
    struct task_link *warm;       /* in `quiet`: those before it have no text in memory */
    struct run_pin pins;          /* runs and results, by their first line in the spool */
    tasklog_table_census *census; /* or NULL */
    void *census_context;
    struct text_buffer text_buffer, formatted_buffer, closing_buffer;
    struct control control;
};

/* ---- lists ---- */

static inline void list_init(struct task_link *list)
{
    list->prev = list->next = list;
}

static inline void list_add(struct task_link *list, struct task_link *link)
{
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static inline void list_remove(struct task_link *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

/* The task of a link, which is at `offset` in it. */
static inline struct task *task_of(const struct task_link *link, size_t offset)
{
    return (struct task *)((char *)link - offset);
}

static inline struct task *list_first(const struct task_link *list, size_t offset)
{
    return list->next == list ? NULL : task_of(list->next, offset);
}

static inline struct task *first_by_age(const struct tasklog_table *table)
{
    return list_first(&table->age, offsetof(struct task, age));
}

static inline struct task *first_quiet(const struct task_link *list)
{
    return list_first(list, offsetof(struct task, quiet));
}

static inline struct task *first_to_show(const struct task_link *list)
{
    return list_first(list, offsetof(struct task, show));
}

/* ---- table.c ---- */

/* A task's log is about to grow, shrink or go, and has done so: the table's sums are without it between
 * these two. */
void table_uncount(struct tasklog_table *table, const struct task *task);
void table_count(struct tasklog_table *table, const struct task *task);

/* Ends an open task; `line` and `control` are NULL if the clock does. 0 or -ENOMEM. */
int table_end(struct tasklog_table *table, struct task *task, enum run_end end,
              const struct task_line *line, struct control *control, struct tasklog_now now,
              struct tasklog_results *results) __attribute__((warn_unused_result));

/* Takes a task out of index and lists, and frees it. */
void table_drop(struct tasklog_table *table, struct task *task);

/* The same for an ended one after its lateWindow: hands out its late lines. */
void table_forget(struct tasklog_table *table, struct task *task, struct tasklog_results *results);

/* A sign of life of an open task, or text in its log: the idle time begins anew. */
void table_touch(struct tasklog_table *table, struct task *task, int64_t now_ms);

/* Closes an open task for `end`. 1, or -ENOMEM: it is still open. */
int table_close(struct tasklog_table *table, struct task *task, enum run_end end,
                struct tasklog_now now, struct tasklog_results *results);

/* A run has begun, or ended. */
void table_count_open(struct tasklog_table *table, const struct task *task, int change);

/* Tells in a running task's log of what was refused of it, `more` with it, of which it does not know yet. 0 or
 * -ENOMEM. */
int table_tell_omitted(struct tasklog_table *table, struct task *task, uint32_t more,
                       struct tasklog_now now) __attribute__((warn_unused_result));

/* Were there lines that this would tell of? */
static inline bool table_has_omitted(const struct task *task)
{
    const struct run_extra *extra = task->run.extra;

    return extra && (extra->omitted > 0 || extra->omitted_new > 0) && !task_has_ended(task);
}
/* Closes an open task if it has been idle or running for too long by `now`, as of when it was. 0, 1 if it did,
 * or -ENOMEM. */
int table_close_overdue(struct tasklog_table *table, struct task *task, struct tasklog_now now,
                        struct tasklog_results *results) __attribute__((warn_unused_result));

bool table_window_is_over(const struct tasklog_table *table, const struct task *task,
                          int64_t now_ms);

#endif
