/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task table: every open task with its log so far, and for a while those that have ended, for
 * their late lines. Lines go in, results come out. It is told the time, does no I/O, starts no
 * thread and takes no lock: the collector does.
 *
 * The rules are those of the contract, sections 2, 4 and 6.
 */
#ifndef TASKLOG_TABLE_H
#define TASKLOG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasklog/clock.h"
#include "tasklog/line.h"
#include "tasklog/result.h"

struct tasklog_rules {
    const char *marker;       /* first word of a control line */
    int level;                /* less severe lines (greater numbers) are dropped and counted */
    bool show_level;          /* "WARNING: ", "ERROR: " … before the text */
    int escape_prefix;        /* `#` turns `#012` back into a newline (000 to 037); -1 = leave it */
    int64_t idle_ms;          /* 0 = never, as in the next two */
    int64_t max_runtime_ms;   /* */
    int64_t live_interval_ms; /* */
    int64_t late_window_ms;   /* 0 = an ended task takes no late lines */
    size_t live_bytes;        /* the end of a running task's log that a live result holds */
    size_t task_max_bytes;    /* a longer log keeps its head and its tail */
    size_t memory_bytes;      /* what all logs together may hold: they grow in steps that fit it;
                                 0 = no matter */
};

/* What has become of lines and tasks since the table was made. */
struct tasklog_table_counters {
    uint64_t lines;              /* kept in a log and nothing else to say of them */
    uint64_t altered;            /* kept, with bytes replaced that were not text */
    uint64_t late;               /* came after their task's end, and were appended */
    uint64_t missing;            /* were kept, then left out of the middle of a long log */
    uint64_t below_level;        /* dropped: less severe than `level` */
    uint64_t control;            /* control lines */
    uint64_t control_unreadable; /* of these: with a value that could not be read */
    uint64_t tasks_started;
    uint64_t ended_marker;
    uint64_t ended_idle;
    uint64_t ended_max_runtime;
    uint64_t ended_restarted;
    uint64_t ended_died;
};

/* A process that a task has named, so that its death ends the task. */
struct tasklog_process {
    uint32_t pid; /* 0 = none was named */
    uint64_t
        start; /* when it was started and on which boot, as the collector has found; 0 = it has */
    uint64_t boot; /* not looked yet */
};

/* Who logs for a running task. */
struct tasklog_sender {
    const char *kind;
    const char *task_id;
    const char *origin; /* of the last line that had one; "" */
    struct tasklog_process process;
    uint64_t run; /* where the line that began the task lies in the spool */
};

struct tasklog_table;

/* `rules` is copied. `seed` keeps senders from choosing ids that collide. 0 or -ENOMEM. */
int tasklog_table_new(const struct tasklog_rules *rules, const uint8_t seed[16],
                      struct tasklog_table **ret_table) __attribute__((warn_unused_result));

/* From now on by these rules, which are copied: lines of the past are taken again as they were then. 0 or
 * -ENOMEM with the rules as they were. */
int tasklog_table_set_rules(struct tasklog_table *table, const struct tasklog_rules *rules)
    __attribute__((warn_unused_result));

/* Drops what the table still holds; takes NULL. */
void tasklog_table_free(struct tasklog_table *table);

/*
 * Takes one line. Results that it makes are pushed to `results`. `tight`: memory is short, so this
 * task's log may not grow; it keeps head and tail within what it has.
 *
 * Returns 1 if it was taken, 0 if it was dropped (which changes nothing that a spool would have to
 * remember), or -ENOMEM: then nothing was taken and the same line can be given again.
 */
int tasklog_table_accept(struct tasklog_table *table, const struct tasklog_line *line,
                         struct tasklog_now now, bool tight, struct tasklog_results *results)
    __attribute__((warn_unused_result));

/*
 * What the table knows of a line that has not been taken: whether it may be is the collector's business. Lines
 * that were refused of a running task are told of in its log, before the next that is taken or at its end, by a
 * line that does not count: the row is not complete.
 */
struct tasklog_sight {
    bool is_control;
    bool starts;          /* it is a `start` */
    bool opens;           /* it would begin a run */
    bool ends;            /* it would end a running task */
    bool is_running;      /* it belongs to a task that is running */
    uint64_t peer;        /* who began that, or one that ended a short while ago; 0 = not known */
    uint32_t omitted;     /* refused lines of the task: as many as the spool knows */
    uint32_t omitted_new; /* and others */
};
/* 0 or -ENOMEM. */
int tasklog_table_look(struct tasklog_table *table, const struct tasklog_line *line,
                       struct tasklog_now now, struct tasklog_sight *ret_sight)
    __attribute__((warn_unused_result));

/* So many lines of a task were refused. If it is not running, nothing happens. `is_kept`: the spool knows it.
 * 0 or -ENOMEM. */
int tasklog_table_omit(struct tasklog_table *table, const struct tasklog_line *key, uint32_t count,
                       bool is_kept) __attribute__((warn_unused_result));

/* From now on `census` is told of each run that begins (1) or ends (-1), if it is known who began it. */
typedef void tasklog_table_census(void *context, uint64_t peer, int change);
void tasklog_table_set_census(struct tasklog_table *table, tasklog_table_census *census,
                              void *context);

/* Which run the line belongs to that was taken last, or which was put back after it: the position of the line that
 * began it, 0 = it is not in the spool. */
uint64_t tasklog_table_last_run(const struct tasklog_table *table);

/* Is there a task, running or still within its late window, that the line would belong to? */
bool tasklog_table_knows(const struct tasklog_table *table, const struct tasklog_line *line);

/*
 * Closes a running task as the clock would (it did, and is doing so again from the spool): `reason` is
 * an end_reason of the contract, `detail` its end_detail. Nothing happens if there is no such task. 0 or
 * -ENOMEM.
 */
int tasklog_table_close(struct tasklog_table *table, const struct tasklog_line *key,
                        const char *reason, const char *detail, struct tasklog_now now,
                        struct tasklog_results *results) __attribute__((warn_unused_result));

/*
 * Shows every running task's sender to `judge`. If that answers with words, not NULL, the task is ended as
 * FAILED by `died`, and the words tell how. 0 or -ENOMEM: some were not closed.
 */
typedef const char *tasklog_table_judge(void *context, const struct tasklog_sender *sender);
int tasklog_table_close_dead(struct tasklog_table *table, tasklog_table_judge *judge, void *context,
                             struct tasklog_now now, struct tasklog_results *results)
    __attribute__((warn_unused_result));

/* The same, but the words are put into the task's log, as a line that does not count, for lines of it may be
 * missing. Returns how many tasks there were, or -ENOMEM: not all. */
int tasklog_table_note(struct tasklog_table *table, tasklog_table_judge *judge, void *context,
                       struct tasklog_now now) __attribute__((warn_unused_result));

/* The process that the line named which was taken last: by `@task start`, and on this host. 0 = none. */
uint32_t tasklog_table_last_pid(const struct tasklog_table *table);

/* What is known of the process that a running task has named. */
void tasklog_table_identify(struct tasklog_table *table, const struct tasklog_line *key,
                            const struct tasklog_process *process);

/* After a replay: moves every task's times by so much, and counts from zero. */
void tasklog_table_resume(struct tasklog_table *table, int64_t shift_ms);

/*
 * Moves the oldest of what is needed to the end of the spool, if that is a running task: its text by the
 * table's `spill`, all else as bytes that `keep` writes. Returns 1 if it was moved, 0 if the oldest is
 * something else, which goes by itself, or negative errno.
 */
typedef int tasklog_table_keep(void *context, const char *data, size_t bytes,
                               uint64_t *ret_position);
int tasklog_table_forward(struct tasklog_table *table, tasklog_table_keep *keep, void *context)
    __attribute__((warn_unused_result));

/* Writes all running tasks so whose last line came at `*since_ms` or later, and whose logs hold from `least_bytes` to
 * `most_bytes` in memory: no line of theirs that came before is needed but for text that the spool has already. 0 or
 * negative errno (-ENOSPC: text could not be written); then `*since_ms` is where to go on. */
int tasklog_table_keep_since(struct tasklog_table *table, int64_t *since_ms, size_t least_bytes,
                             size_t most_bytes, tasklog_table_keep *keep, void *context)
    __attribute__((warn_unused_result));

/* This run of the task is over, and its row is stored: forgets it, if it is taken for running. */
void tasklog_table_drop_run(struct tasklog_table *table, const struct tasklog_line *key,
                            uint64_t run);

/* Puts a running task back as such bytes say, found at `position`; `shift_ms` is added to its times. What
 * the table knows of the same task is forgotten. 0, -EBADMSG or -ENOMEM. */
int tasklog_table_restore(struct tasklog_table *table, const char *data, size_t bytes,
                          uint64_t position, int64_t shift_ms) __attribute__((warn_unused_result));

/* Are such bytes those of the task that `key` names? */
bool tasklog_table_is_of(const char *data, size_t bytes, const struct tasklog_line *key);

/* The spool position from which on lines are needed: by running tasks, by ended ones that may take
 * late lines, by results that are not unpinned. UINT64_MAX if none is. */
uint64_t tasklog_table_oldest(const struct tasklog_table *table);

/*
 * Does what is due, but for showing running tasks: closes idle and overlong ones, flushes late lines,
 * forgets ended tasks. What fails for want of memory is due again at the next call.
 */
void tasklog_table_tick(struct tasklog_table *table, struct tasklog_now now,
                        struct tasklog_results *results);

/* Hands out the late lines of all ended tasks, due or not. 0 or -ENOMEM: then some are still to come. */
int tasklog_table_show_late(struct tasklog_table *table, struct tasklog_results *results)
    __attribute__((warn_unused_result));

/* Shows the one running task that has waited longest, if its live interval is over. Returns whether it
 * did: whoever has little room for results asks for one at a time. */
bool tasklog_table_show(struct tasklog_table *table, struct tasklog_now now,
                        struct tasklog_results *results);

/* When the next thing is due, in mono_ms; INT64_MAX if nothing is. Live results are left out of it if
 * `live` is false. */
int64_t tasklog_table_due_ms(const struct tasklog_table *table, bool live);

/* Empties the table for a stop: a RESULT_OPEN for every running task, and the late lines. */
void tasklog_table_drain(struct tasklog_table *table, struct tasklog_now now,
                         struct tasklog_results *results);

/* Lets the table read text that was moved out of memory; `spill` must live as long as the table. */
void tasklog_table_set_spill(struct tasklog_table *table, const struct tasklog_spill *spill);

/* From now on `listen` is shown each message as it is put into a log, stamp and all, and whether the log has
 * room for it or not: in parts, the last of which has `more` false. */
typedef void tasklog_table_listen(void *context, const char *text, size_t bytes, bool more);
void tasklog_table_set_listener(struct tasklog_table *table, tasklog_table_listen *listen,
                                void *context);

/* Moves text of tasks' logs out of memory, of those first that have waited longest, until about
 * `want_bytes` have been given back. Returns how many were. */
size_t tasklog_table_spill(struct tasklog_table *table, size_t want_bytes);

size_t tasklog_table_open_count(const struct tasklog_table *table);
/* Bytes that its logs hold. A task itself is not in it: it takes some 300 bytes beside its text while it is
 * open, and no more than 400 from its end until it is forgotten; what it reports, and its first error, are on top. */
size_t tasklog_table_memory(const struct tasklog_table *table);
size_t tasklog_table_text(const struct tasklog_table *table); /* … in memory and out of it */
const struct tasklog_table_counters *tasklog_table_counters(const struct tasklog_table *table);

#endif
