/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a collector, shared by its two threads' files. */
#ifndef TASKLOG_SRC_STATE_H
#define TASKLOG_SRC_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "rate.h"
#include "settings.h"
#include "tasklog/collector.h"
#include "tasklog/result.h"
#include "tasklog/store.h"
#include "tasklog/table.h"

/*
 *     accept ──lock──▶ table ──▶ queue ──lock──▶ writer ──no lock──▶ store
 *                        ▲
 *     timer ───lock──────┘
 *
 * There is one lock, and nobody holds it while a database is talked to, a whole log is copied or
 * something is said. (The spool will stand between accept and table.)
 */
struct tasklog_collector {
    /* Set before the threads start, and not changed after. */
    struct tasklog_config *config;
    struct tasklog_hooks hooks;
    bool started;
    pthread_t timer;
    pthread_t writer;
    struct tasklog_store *store; /* the writer thread's; others only interrupt it */

    pthread_mutex_t lock; /* covers all that follows */
    pthread_cond_t work;  /* for the writer: results, or a stop */
    pthread_cond_t due;   /* for the timer: something is due sooner than it sleeps */
    pthread_cond_t done;  /* for the stop: the writer has ended */
    struct tasklog_table *table;
    struct tasklog_results queue; /* waiting for the writer, in order */
    size_t writing_count;         /* taken from the queue, not yet stored */
    size_t writing_bytes;
    bool away;             /* the database takes nothing at the moment */
    int64_t timer_wake_ms; /* until when the timer sleeps */
    bool stopping;
    int64_t stop_at_ms;
    bool writer_ended;
    struct rate reject_rate;
    uint64_t not_task;
    uint64_t rows_stored;
    uint64_t rows_live;
    uint64_t rows_refused;
    uint64_t rows_lost;
    uint64_t batches;
    uint64_t retries;
};

/* The thread that owns the store; its argument is the collector. */
void *collector_writer(void *collector);

void collector_say(const struct tasklog_collector *collector, int severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Waits on a condition until a moment of the lent clock, or for ever if that is INT64_MAX. */
void collector_wait(struct tasklog_collector *collector, pthread_cond_t *condition,
                    int64_t until_ms);

/* Wakes the timer if something is due sooner than it sleeps; the lock is held. */
void collector_wake_timer(struct tasklog_collector *collector);

static inline struct tasklog_now collector_now(const struct tasklog_collector *collector)
{
    return tasklog_clock_now(&collector->hooks.clock);
}

#endif
