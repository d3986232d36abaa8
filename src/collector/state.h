/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a collector, shared by its two threads' files. */
#ifndef TASKLOG_SRC_STATE_H
#define TASKLOG_SRC_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "age.h"
#include "death.h"
#include "gate.h"
#include "put_off.h"
#include "rate.h"
#include "settings.h"
#include "tasklog/collector.h"
#include "tasklog/result.h"
#include "tasklog/spool.h"
#include "tasklog/store.h"
#include "tasklog/table.h"
#include "watch.h"

/*
 *     accept ──lock──▶ table ──▶ queue ──lock──▶ writer ──no lock──▶ store
 *                │       ▲                         │
 *     timer ───lock──────┘                         │
 *                ▼                                 ▼
 *              spool ◀─────────────lock────────────┘
 *
 * There is one lock, and nobody holds it while a database is talked to, a whole log is copied or
 * something is said. What is taken, closed or done is in the spool before the lock is let go.
 */
struct entry;

/* What the spool lacks, for it was full. */
struct gap {
    bool begun;            /* lines were taken that it has not: */
    int64_t since_ms;      /* by tasks whose last line came then or later */
    bool lacks_start;      /* it does not know of this life */
    struct undone *undone; /* results that are done, which it does not know */
    size_t undone_count;
};

struct tasklog_collector {
    /* Set before the threads start, and not changed after. */
    struct tasklog_config *config;
    struct tasklog_hooks hooks;
    bool started;
    pthread_t timer;
    pthread_t writer;
    struct tasklog_spool_reader *writer_reader; /* the writer thread's */
    struct tasklog_spill writer_spill;
    struct tasklog_store *store; /* the writer thread's; others only interrupt it */

    pthread_mutex_t lock; /* covers all that follows */
    pthread_cond_t work;  /* for the writer: results, or a stop */
    pthread_cond_t due;   /* for the timer: something is due sooner than it sleeps */
    pthread_cond_t done;  /* for the stop: the writer has ended */
    struct tasklog_table *table;
    struct tasklog_spool *spool; /* NULL = there is none */
    struct tasklog_spool_reader *reader;
    struct tasklog_spill spill; /* text out of memory and back, by the spool and its reader */
    uint64_t spool_segment;     /* the one that the rules were written to last */
    uint64_t spool_segments;    /* how many there were when it was last looked through */
    int spool_trouble;          /* why it took nothing the last time; 0 = it did */
    int spool_said;             /* the trouble that has been told */
    struct rate spool_says;
    int64_t spool_retry_ms;       /* not asked again before */
    struct tasklog_results queue; /* waiting for the writer, in order */
    uint64_t queue_left;          /* how many have left it */
    struct age age;               /* of those in it, the first has this number */
    struct put_off put_off;       /* those that the database has put off */
    size_t writing_count;         /* taken from either, not yet stored */
    size_t writing_bytes;
    int64_t writing_since_ms; /* when the first of these came to wait; INT64_MAX = there are none */
    int64_t write_ms;         /* how long the database took for the last batch */
    int64_t write_ms_max;
    bool away;             /* the database takes nothing at the moment */
    int64_t read_until_us; /* the source was read up to there; INT64_MAX = it is read as it comes */
    int64_t clocks_apart_ms; /* the monotonic clock less the wall's, for times of the source */
    bool behind;             /* it has more to be read */
    uint64_t last_position;  /* of a line in the spool */
    int64_t timer_wake_ms;   /* until when the timer sleeps */
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
    struct tasklog_results parked; /* refused, and no room among the dead letters: the next start
                                      tries them again */
    uint64_t letter_count;         /* dead letters, as far as this process knows */
    uint64_t letter_bytes;
    struct redelivery *redelivery; /* what may come a second time; NULL after a while */
    int64_t redelivery_until_ms;
    struct numbered
        *numbered; /* the last lines of senders that number them; NULL = none has come */
    tasklog_position
        numbered_position;  /* in the spool, from where on it can be had again; 0 = nowhere */
    uint64_t spooled_lines; /* since the start */
    tasklog_position
        spooled_mark;        /* the last of these whose number is a multiple of REDELIVERY_LINES */
    tasklog_position recent; /* the mark before it, or 0 */
    uint64_t redelivered;    /* lines that came a second time, and were dropped */
    uint64_t unspooled;      /* lines and decisions that the spool had no room for */
    struct gap gap;
    char cursor[TASKLOG_CURSOR_BYTES_MAX]; /* of the front's source, as the spool has it */
    size_t cursor_bytes;
    tasklog_position cursor_position; /* where in the spool it lies; 0 = there is none */
    struct watch *watch;              /* of processes; has a lock of its own */
    struct deaths deaths;
    uint64_t unread;                 /* messages that the source has lost */
    tasklog_position needed_at_stop; /* the last span of a shared source; 0 = it has not stopped */
    struct gate *gate;               /* NULL = everybody may log, as much as he likes */
    uint64_t refused[GATE_VERDICTS];
    struct rate refusal_rates[GATE_VERDICTS];
    char refusal[512]; /* to be said; "" = nothing */
    bool said_no_uid;
};

/* ---- keep.c: the collector's use of its spool. The lock is held in all but the first and last. ---- */

/* Opens the spool if the config names one, and takes up what it holds. 0, or negative errno with a
 * line in `error`. */
int collector_spool_open(struct tasklog_collector *collector, char *error);

/* Remembers a numbered line. Without memory for that it may be doubled, and nothing worse. */
void collector_note_numbered(struct tasklog_collector *collector, const struct tasklog_line *line,
                             int64_t wall_us);

/* What is remembered of them goes into each segment, so that the older ones can go. 0 or negative errno. */
int collector_keep_numbered(struct tasklog_collector *collector)
    __attribute__((warn_unused_result));

/* Was this line taken before? */
bool collector_spool_has(struct tasklog_collector *collector, const struct tasklog_line *line,
                         int64_t now_ms);

/* It was taken now: remembers it, if it may come again. */
void collector_spool_taken(struct tasklog_collector *collector, const struct tasklog_line *line,
                           struct tasklog_now now);

/* A line lies in the spool here: the next life will remember it, and no longer one that is far behind. */
void collector_spool_mark(struct tasklog_collector *collector, tasklog_position position);

/* Makes room for a line; its position, or 0 if there is no spool or no room. */
tasklog_position collector_spool_reserve(struct tasklog_collector *collector,
                                         const struct tasklog_line *line, int64_t now_ms);

/* It took nothing: perhaps it does now. */
void collector_spool_try(struct tasklog_collector *collector, int64_t now_ms);

/* The spool has this cursor, at a position, and needs to keep it. */
void collector_spool_at(struct tasklog_collector *collector, const char *cursor, size_t bytes,
                        tasklog_position position);

/* Tasks were closed by the collector; a result needs no more care (gap.c). */
void collector_keep_closed(struct tasklog_collector *collector,
                           const struct tasklog_results *results, struct tasklog_now now);
void collector_spool_done(struct tasklog_collector *collector, struct tasklog_result *result);

/* Puts a refused result among the dead letters; the lock is not held. 0, or negative errno: it is not
 * there, and must not count as done. */
int collector_spool_bury(struct tasklog_collector *collector, const struct tasklog_report *report,
                         const struct tasklog_row *row, const struct tasklog_outcome *outcome);

/* Do logs and waiting results hold more text in memory than they may? */
bool collector_is_tight(const struct tasklog_collector *collector);

/* Moves text out of memory until they do not. False if that cannot be done. */
bool collector_relieve(struct tasklog_collector *collector);

/* After each segment: if the spool holds far more than what is needed of it, moves the tasks forward that
 * keep the oldest segments. */
void collector_spool_forward(struct tasklog_collector *collector);

/* Lets go of segments that nobody needs. */
void collector_spool_release(struct tasklog_collector *collector);

/* With spoolSync: makes sure of all that was written. */
void collector_spool_sync(struct tasklog_collector *collector);

/* Tells, once, that the spool takes nothing, or that it does again. */
void collector_spool_say(struct tasklog_collector *collector);

/* For tasklog_table_forward and tasklog_table_keep_since; `context` is the collector. */
int collector_keep_task(void *context, const char *data, size_t bytes, uint64_t *ret_position);

/* ---- gap.c: what the spool had no room for ---- */

/* A line was taken that is not in the spool. */
void collector_gap_begin(struct tasklog_collector *collector, struct tasklog_now now);

/* The spool takes records again: puts into it what it lacks. 0, or negative errno: it does not yet. */
int collector_gap_end(struct tasklog_collector *collector) __attribute__((warn_unused_result));

/* The threads have ended, and the lock is not held: puts what the spool lacks into it, or if it takes nothing into the
 * room that was kept for this; and results that are nowhere else among the dead letters. */
void collector_gap_stop(struct tasklog_collector *collector);

/* When that is to be tried, be there lines or not; INT64_MAX: the spool lacks nothing. */
static inline int64_t collector_gap_due_ms(const struct tasklog_collector *collector)
{
    const struct gap *gap = &collector->gap;

    return gap->begun || gap->undone ? collector->spool_retry_ms : INT64_MAX;
}

void gap_done(struct gap *gap);

/* ---- take_up.c ---- */

/* Replays the spool into the table and the queue. 0, or negative errno with a line in `error`. */
int collector_take_up(struct tasklog_collector *collector, char *error);

/* ---- senders.c: who logs, and who has died. The lock is held in all but the first two. ---- */

/* For the watch: `context` is the collector. */
void collector_process_died(void *context, const struct tasklog_process *process);

/* After a start: watches the processes of the tasks that the spool had. */
void collector_watch_all(struct tasklog_collector *collector);

/* The line, which was just taken, has named a process. */
void collector_watch(struct tasklog_collector *collector, const struct tasklog_line *line,
                     uint32_t pid);

/* Closes the tasks of those that have been dead for a while. */
void collector_close_dead(struct tasklog_collector *collector, struct tasklog_now now);

/* News of the source (DEATH or NOTE), for the first time or in a replay, when `now` is the replay's.
 * 0 or -ENOMEM. */
int collector_hear(struct tasklog_collector *collector, const struct entry *news,
                   tasklog_position position) __attribute__((warn_unused_result));

/* ---- admit.c: the gate, and what becomes of what it does not let in. The lock is held in all but the first
 * and last, and there is a gate in the others. ---- */

/* Makes the gate, if the config asks for one. 0 or -ENOMEM. */
int collector_gate_open(struct tasklog_collector *collector, uint64_t seed)
    __attribute__((warn_unused_result));

/* Looks at a line before there is room made for it, and gives it what the spool is to keep of its sender. 0 or
 * -ENOMEM. */
int collector_gate_look(struct tasklog_collector *collector, struct tasklog_line *line,
                        struct tasklog_now now, struct tasklog_sight *ret_sight)
    __attribute__((warn_unused_result));

/* Is it let in? If not, that has been counted. `line` is what becomes of `given`. */
bool collector_gate_admits(struct tasklog_collector *collector, const struct tasklog_line *given,
                           struct tasklog_line *line, const struct tasklog_sight *sight,
                           int64_t now_ms);

/* Tells people what was refused, if there is something to tell. */
void collector_gate_say(struct tasklog_collector *collector);

/* Results have been put into the queue. */
static inline void collector_note_age(struct tasklog_collector *collector, int64_t now_ms)
{
    age_note(&collector->age, collector->queue_left + collector->queue.count, now_ms);
}

/* The thread that owns the store; its argument is the collector. */
void *collector_writer(void *argument);

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
