/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One task: what a line does to it, how it ends, what it shows. It knows neither other tasks nor
 * when something is due; the table does.
 *
 * Every function that can fail for want of memory (-ENOMEM) leaves the task as it was, so that the
 * same thing can be done again.
 */
#ifndef TASKLOG_SRC_TASK_H
#define TASKLOG_SRC_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "control.h"
#include "run.h"
#include "stamp.h"
#include "tasklog/table.h"
#include "text.h"

struct task_link {
    struct task_link *prev;
    struct task_link *next; /* NULL: in no list */
};

/*
 *     new ──▶ open ──end, time-out──▶ ended ──lateWindow──▶ forgotten
 *
 * A `start` ends an open task, and a new one takes its place.
 */
struct task {
    struct tasklog_result
        run;              /* it has ended: what late results say; its log is late text to be shown.
                                  The first member: the task becomes a result when it is given away */
    struct task_link age; /* open: by started_ms */
    struct task_link quiet; /* by quiet_ms, open or ended */
    struct task_link show;  /* something to write: open: live; ended: late lines. By show_ms */
    int64_t started_ms;
    int64_t quiet_ms; /* open: the last line; ended: the end */
    int64_t show_ms;
};

static inline bool task_has_ended(const struct task *task)
{
    return task->run.end != RUN_OPEN;
}

/* What all tasks of a table share. */
struct task_env {
    struct tasklog_rules rules;
    struct tasklog_table_counters counters;
    struct stamp stamp;
    struct text_buffer live_buffer;
    size_t chunk_bytes;                /* logs grow by no more at a time; 0 = as they like */
    const struct tasklog_spill *spill; /* or NULL */
    tasklog_table_listen *listen;      /* or NULL */
    void *listen_context;
    const char *detail; /* while a task is closed that has died: how, for people */
};

/* A line that has been looked at. */
struct task_line {
    const struct tasklog_line *line;
    struct text text;
    struct text formatted; /* data is NULL without a template */
};

/* A new task, not in any list; NULL for want of memory. `task_free` takes NULL. */
struct task *task_new(const struct tasklog_line *line);
void task_free(struct task *task);

/* An ordinary line, of an open or an ended task. `cap_bytes`: how long the log may be. */
int task_log(struct task_env *env, struct task *task, const struct task_line *line,
             size_t cap_bytes) __attribute__((warn_unused_result));

/* The same for an open task's usual line: not its first, nothing that is counted beside it, and there is room
 * for it. Memory must not be short. Returns how many bytes the log has grown by, 0 = it is not one. */
size_t task_log_quick(struct task_env *env, struct task *task, const struct task_line *line);

/* `@task progress` of an open task. */
int task_progress(struct task_env *env, struct task *task, const struct task_line *line,
                  struct control *control, size_t cap_bytes) __attribute__((warn_unused_result));

/* Ends an open task; `control` and `line` are those of an `@task end`, or NULL when tasklog closes
 * it by itself for `end`. The final result is pushed. */
int task_end(struct task_env *env, struct task *task, enum run_end end,
             const struct task_line *line, struct control *control, struct tasklog_now now,
             struct tasklog_results *results) __attribute__((warn_unused_result));

/* Puts a line into the log of an open task that is not the task's own and does not count: there is something
 * missing. */
int task_note(struct task_env *env, struct task *task, const char *text, struct tasklog_now now)
    __attribute__((warn_unused_result));

/* `@task end` of a task that tasklog has closed by itself: it still sets status and counts. */
int task_end_late(struct task_env *env, struct task *task, const struct task_line *line,
                  struct control *control) __attribute__((warn_unused_result));

/* `@task start`: another run under the same id, which is the new task. An open one is ended first; the late
 * lines of an ended one are pushed. The old task can only be freed then. */
int task_restart(struct task_env *env, struct task *task, const struct task_line *line,
                 struct control *control, struct tasklog_now now, struct tasklog_results *results,
                 struct task **ret_task) __attribute__((warn_unused_result));

/* Pushes what an open task has to show now, or the late lines of an ended one. */
int task_show_live(struct task_env *env, struct task *task, struct tasklog_now now,
                   struct tasklog_results *results) __attribute__((warn_unused_result));
int task_show_late(struct task *task, struct tasklog_results *results)
    __attribute__((warn_unused_result));

/* Give away an open task as it is, or an ended one with its late lines: it is a result then, and no task
 * any more. */
void task_give_open(struct task *task, struct tasklog_now now, struct tasklog_results *results);
void task_give_late(struct task *task, struct tasklog_results *results);

#endif
