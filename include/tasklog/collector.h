/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector joins task table and store for one target: a front gives it lines, it sees to it that
 * the rows get written. It drives time with one thread and the database with another; whoever gives
 * lines never waits for a database.
 */
#ifndef TASKLOG_COLLECTOR_H
#define TASKLOG_COLLECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "tasklog/clock.h"
#include "tasklog/config.h"
#include "tasklog/line.h"

/* What the front lends. Its functions may be called from any thread, and must not call back. */
struct tasklog_hooks {
    struct tasklog_clock clock; /* mono_ms must be CLOCK_MONOTONIC's: threads sleep by it */
    /* One line for people, `severity` as in syslog. Already limited in rate. */
    void (*say)(void *context, int severity, const char *text);
    const char
        *uid_advice; /* how lines get a user that the kernel vouches for, for people; or NULL */
    void *context;
};

/* What became of lines, tasks and results, since the start. Lines that were given are all in one of:
 * lines + altered + late + below_level + control + not_task + redelivered + untrusted + foreign + over_tasks +
 * over_rate. What is missing was in the first three
 * before it was left out of a long log. */
struct tasklog_counters {
    uint64_t lines;              /* in a log, and nothing else to say of them */
    uint64_t altered;            /* in a log, with bytes replaced that were not text */
    uint64_t late;               /* came after the end of their task */
    uint64_t below_level;        /* dropped: less severe than `level` */
    uint64_t not_task;           /* dropped: not a task's line */
    uint64_t untrusted;          /* dropped: their sender is none of trustedUids */
    uint64_t foreign;            /* dropped: another user began the task */
    uint64_t over_tasks;         /* dropped: of tasks beyond senderMaxTasks */
    uint64_t over_rate;          /* dropped: beyond senderMaxRate */
    uint64_t control;            /* control lines */
    uint64_t control_unreadable; /* of these: with a value that could not be read */
    uint64_t missing;            /* left out of the middle of a long log */
    uint64_t tasks_started;
    uint64_t ended_marker;
    uint64_t ended_idle;
    uint64_t ended_max_runtime;
    uint64_t ended_restarted;
    uint64_t ended_died;
    uint64_t
        rows_stored; /* results of ended tasks, late lines among them, that are in the database */
    uint64_t rows_live;    /* writes of running tasks */
    uint64_t rows_refused; /* results that the database will never take */
    uint64_t batches;      /* transactions that were committed */
    uint64_t retries;      /* batches that had to be tried again */
    uint64_t write_ms;     /* how long the database took for the last batch */
    uint64_t write_ms_max; /* for any */
    uint64_t rows_lost;    /* results that could not be written before the stop */
    uint64_t open_tasks;   /* now; likewise: */
    uint64_t waiting_rows;
    uint64_t oldest_ms; /* how long the result has waited that has waited longest */
    uint64_t memory_bytes;
    uint64_t redelivered; /* (since the start) dropped: came a second time */
    uint64_t spool_bytes;
    uint64_t letters; /* dead letters, as far as this process knows */
    uint64_t unread;  /* (since the start) messages that the source has lost, as far as it knows */
    uint64_t unspooled; /* (since the start) lines and decisions that the spool had no room for */
};

struct tasklog_collector;

/*
 * Makes a collector for a checked `config`, which it then owns. Nothing happens yet: no file, thread
 * or connection. 0, or -ENOMEM, or -EINVAL with a line in `error`; the config stays the caller's then.
 */
int tasklog_collector_new(struct tasklog_config *config, const struct tasklog_hooks *hooks,
                          char *error, struct tasklog_collector **ret_collector)
    __attribute__((warn_unused_result));

/*
 * Opens the spool and takes up what it holds, then starts the threads, all signals blocked in them.
 * 0, or negative errno with a line in `error`: -EBUSY when another process uses the spool.
 */
int tasklog_collector_start(struct tasklog_collector *collector, char *error)
    __attribute__((warn_unused_result));

/*
 * Takes lines, in order. From any thread: one caller's lines stay in their order. Not after the stop.
 *
 * Returns how many were taken. Less than `count` means that memory is used up by results that the
 * database has not taken yet, or that lines with a cursor found the spool full: call again with the rest
 * after a while.
 */
size_t tasklog_collector_accept(struct tasklog_collector *collector,
                                const struct tasklog_line *lines, size_t count)
    __attribute__((warn_unused_result));

/*
 * For a front whose source can be read again from a cursor, which each of its lines carries. After the
 * start: where to go on, as it stood with the last line that is in the spool; 0 bytes if that knows of
 * none. `buffer` holds TASKLOG_CURSOR_BYTES_MAX.
 */
size_t tasklog_collector_cursor(struct tasklog_collector *collector, char *buffer);

/* The source was read up to here, and nothing but the lines given so far was of any matter. 0, or negative
 * errno: that is not in the spool then. */
int tasklog_collector_pass(struct tasklog_collector *collector, const char *cursor, size_t bytes)
    __attribute__((warn_unused_result));

/*
 * News of the source, with its cursor: `source` has origin and cursor, and nothing else is looked at. All
 * running tasks whose last line came from that origin, or, if it names no process ("unit" of "unit:pid"), from
 * one of its processes, are closed a second later as died (`how` tells people), or get `text` as a line of
 * their log, for `count` messages of theirs may be missing. An empty origin means all tasks.
 * 0, or negative errno: then it was not taken. There must be a spool.
 */
int tasklog_collector_died(struct tasklog_collector *collector, const struct tasklog_line *source,
                           const char *how) __attribute__((warn_unused_result));
int tasklog_collector_note(struct tasklog_collector *collector, const struct tasklog_line *source,
                           const char *text, uint64_t count) __attribute__((warn_unused_result));

/*
 * For a front whose source keeps its lines until it is told otherwise (tasklog_config_set_shared). Lines are
 * numbered as they are taken, upwards; `given` is the number of the last one, and `needed` the lowest whose task
 * is running, may take late lines, or has a result that is neither in the database nor a dead letter: UINT64_MAX
 * if there is none. Whoever reads all lines again from that one on loses nothing of those tasks.
 */
struct tasklog_span {
    uint64_t given;
    uint64_t needed;
};
struct tasklog_span tasklog_collector_span(struct tasklog_collector *collector);

/*
 * For such a front, too: all that was logged up to `until_us` (as the clock's wall_us) has been given. Time-outs
 * pass up to there and no further, so that none passes before the first call. `at_end`: nothing is left to be
 * read, as far as the front knows; otherwise running tasks are not shown.
 */
void tasklog_collector_read_until(struct tasklog_collector *collector, int64_t until_us,
                                  bool at_end);

/* Counts a message that is no task's line; says so now and then. `tag` is shown with what is wrong. */
void tasklog_collector_reject(struct tasklog_collector *collector, const char *tag,
                              size_t tag_bytes, const char *why);

void tasklog_collector_count(struct tasklog_collector *collector,
                             struct tasklog_counters *ret_counters);

/* Writes what it holds, without a spool running tasks too, as far as the database answers within
 * `timeout_ms`; then ends the threads and says what could not be written. With a spool it takes no more
 * than a second. Does nothing if it was not started. */
void tasklog_collector_stop(struct tasklog_collector *collector, int timeout_ms);

/* Stops at once if that has not been done. Takes NULL. */
void tasklog_collector_free(struct tasklog_collector *collector);

/* The same, but the config is the caller's again, and may be another collector's. */
struct tasklog_config *tasklog_collector_end(struct tasklog_collector *collector);

#endif
