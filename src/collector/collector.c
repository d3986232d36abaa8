/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector: accepts lines, drives time, stops.
 *
 * Concurrency: fronts call accept and reject from any of their threads; one lock covers table and
 * queue (state.h). The timer thread sleeps until the table's next due time and is woken when a line
 * makes something due sooner. Threads of ours take no signals: they are the front's.
 */
#include "tasklog/collector.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <syslog.h>
#include <time.h>

#include "entry.h"
#include "numbered.h"
#include "redelivery.h"
#include "shown.h"
#include "state.h"

enum {
    REJECTS_PER_MINUTE = 1,
    SAY_BYTES_MAX = 2048,
    STOP_SPOOLED_MS = 1000, /* what the database has not taken by then waits in the spool */
    NO_MEMORY_RETRY_MS = 50,
    LITTLE_OF_BUDGET = 16, /* this part of it is little */
    CLOCK_SET_MS = 1000,   /* a wall's clock that moved by this against the other was set */
    LIVE_QUEUE_MAX = 1024, /* with more results waiting, running tasks are not shown */
};

void collector_say(const struct tasklog_collector *collector, int severity, const char *format, ...)
{
    char text[SAY_BYTES_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    collector->hooks.say(collector->hooks.context, severity, text);
}

void collector_wait(struct tasklog_collector *collector, pthread_cond_t *condition,
                    int64_t until_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};

    if (until_ms == INT64_MAX)
        pthread_cond_wait(condition, &collector->lock);
    else
        pthread_cond_timedwait(condition, &collector->lock, &until);
}

/* ---- time ---- */

/* What results hold that the database may yet take. */
static size_t waiting_bytes(const struct tasklog_collector *collector)
{
    return collector->queue.memory_bytes + collector->put_off.memory_bytes +
           collector->writing_bytes;
}

bool collector_is_tight(const struct tasklog_collector *collector)
{
    size_t bytes = tasklog_table_memory(collector->table) + waiting_bytes(collector);

    /* What the writer has taken cannot be moved to the spool; it is never more than a batch. */
    if (collector->spool)
        bytes -= collector->writing_bytes;
    return bytes > collector->config->rules.memory_bytes;
}

/* There is no memory left, and waiting helps: results hold a good part of it. If running tasks hold
 * nearly all, waiting would only stop everything. */
static bool must_wait(const struct tasklog_collector *collector)
{
    size_t little = collector->config->rules.memory_bytes / LITTLE_OF_BUDGET;

    return waiting_bytes(collector) > little && collector_is_tight(collector);
}

static bool shows_live(const struct tasklog_collector *collector)
{
    return !collector->away && !collector->behind && collector->queue.count < LIVE_QUEUE_MAX &&
           !must_wait(collector);
}

static int64_t next_due_ms(const struct tasklog_collector *collector)
{
    int64_t due_ms = tasklog_table_due_ms(collector->table, shows_live(collector));
    int64_t dead_ms = deaths_due_ms(&collector->deaths);
    int64_t gap_ms = collector_gap_due_ms(collector);

    if (dead_ms < due_ms)
        due_ms = dead_ms;
    return gap_ms < due_ms ? gap_ms : due_ms;
}

void collector_wake_timer(struct tasklog_collector *collector)
{
    if (next_due_ms(collector) < collector->timer_wake_ms)
        pthread_cond_signal(&collector->due);
}

/* The earlier of now and a moment of the source's clock. Two moments of it are as far apart here as there:
 * the two clocks are compared once, and again only when the wall's was set, or when it shows that a thread
 * was held up between reading the one and the other. */
static struct tasklog_now as_of(struct tasklog_collector *collector, struct tasklog_now now,
                                int64_t wall_us)
{
    int64_t apart_ms = now.mono_ms - now.wall_us / 1000;

    if (wall_us >= now.wall_us)
        return now;
    if (apart_ms > collector->clocks_apart_ms ||
        apart_ms < collector->clocks_apart_ms - CLOCK_SET_MS)
        collector->clocks_apart_ms = apart_ms;
    int64_t mono_ms = wall_us / 1000 + collector->clocks_apart_ms;
    return (struct tasklog_now){.mono_ms = mono_ms < now.mono_ms ? mono_ms : now.mono_ms,
                                .wall_us = wall_us};
}

/* Does what is due, and returns when the next thing will be. */
static int64_t tick(struct tasklog_collector *collector)
{
    struct tasklog_now real = collector_now(collector);
    struct tasklog_now now = as_of(collector, real, collector->read_until_us);
    struct tasklog_results results = {0};

    collector_close_dead(collector, now);
    tasklog_table_tick(collector->table, now, &results);
    collector_keep_closed(collector, &results, now);
    tasklog_results_append(&collector->queue, &results);
    if (collector_gap_due_ms(collector) <= real.mono_ms)
        collector_spool_try(collector, real.mono_ms);
    collector_spool_release(collector);
    while (shows_live(collector) && tasklog_table_show(collector->table, now, &collector->queue))
        ;
    collector_note_age(collector, real.mono_ms);
    int64_t due_ms = next_due_ms(collector);
    if (due_ms <= now.mono_ms) /* what is still due has failed for want of memory */
        return real.mono_ms + NO_MEMORY_RETRY_MS;
    return due_ms > real.mono_ms ? due_ms : INT64_MAX; /* reading on will wake us */
}

static void *collector_timer(void *argument)
{
    struct tasklog_collector *collector = argument;
    bool told = false;

    pthread_mutex_lock(&collector->lock);
    while (!collector->stopping) {
        collector->timer_wake_ms = tick(collector);
        if (collector->queue.first)
            pthread_cond_signal(&collector->work);
        if (!told && collector->spool_said != collector->spool_trouble) {
            pthread_mutex_unlock(&collector->lock);
            collector_spool_say(collector);
            pthread_mutex_lock(&collector->lock);
            told = true; /* or it may not be said yet */
            continue;    /* something may have become due */
        }
        told = false;
        collector_wait(collector, &collector->due, collector->timer_wake_ms);
    }
    pthread_mutex_unlock(&collector->lock);
    return NULL;
}

/* ---- lines ---- */

static bool is_control(const struct tasklog_collector *collector, const struct tasklog_line *line)
{
    const char *marker = collector->config->marker;

    return line->text_bytes > 0 && line->text[0] == marker[0] &&
           line->text_bytes > strlen(marker) && memcmp(line->text, marker, strlen(marker)) == 0;
}

/* One line, into the table and the spool. False if there is no memory for it now. */
static bool take_line(struct tasklog_collector *collector, const struct tasklog_line *given,
                      struct tasklog_now now)
{
    bool tight = !collector_relieve(collector); /* then logs must not grow */
    struct tasklog_line line = *given;
    struct tasklog_sight sight;

    if (!is_control(collector, &line)) { /* only a control line names a process */
        line.sender_pid = 0;
        line.is_local = false;
    }
    if (collector_spool_has(collector, given, now.mono_ms)) {
        collector->redelivered++;
        return true;
    }

    if (tight && must_wait(collector))
        return false;
    if (collector->gate && collector_gate_look(collector, &line, now, &sight) < 0)
        return false;
    line.position = collector_spool_reserve(collector, &line, now.mono_ms);
    if (line.position == 0 && (line.cursor_bytes > 0 || line.source_position != 0) &&
        collector->spool)
        return false; /* its source keeps it */
    if (collector->gate && !collector_gate_admits(collector, given, &line, &sight, now.mono_ms))
        return true;
    if (line.source_position != 0)
        now = as_of(collector, now, line.received_us > 0 ? line.received_us : line.time_us);
    int r = tasklog_table_accept(collector->table, &line, now, tight, &collector->queue);
    if (r < 0)
        return false;
    uint64_t run = r > 0 ? tasklog_table_last_run(collector->table) : 0;
    if (r > 0 && line.position != 0 && run != 0) {
        entry_write_line(collector->spool, &line, now, tight, run);
        collector->last_position = line.position;
        collector_spool_at(collector, line.cursor, line.cursor_bytes, line.position);
        collector_spool_mark(collector, line.position);
    } else if (r > 0 && collector->spool) {
        collector->unspooled++;
        if (line.position == 0)
            collector_gap_begin(collector, now);
    }
    if (r > 0 && (line.stream || collector->redelivery))
        collector_spool_taken(collector, &line, now);
    if (r > 0 && tasklog_table_last_pid(collector->table) != 0)
        collector_watch(collector, &line, tasklog_table_last_pid(collector->table));
    if (r > 0 && line.position != 0)
        collector_spool_forward(collector);
    return true;
}

size_t tasklog_collector_accept(struct tasklog_collector *collector,
                                const struct tasklog_line *lines, size_t count)
{
    size_t taken = 0;

    pthread_mutex_lock(&collector->lock);
    struct tasklog_now now = tasklog_clock_now_coarse(&collector->hooks.clock);
    bool was_empty = !collector->queue.first;
    while (taken < count && take_line(collector, &lines[taken], now))
        taken++;
    collector_note_age(collector, now.mono_ms);
    if (was_empty && collector->queue.first)
        pthread_cond_signal(&collector->work);
    collector_wake_timer(collector);
    collector_spool_sync(collector);
    bool tell = collector->spool_said != collector->spool_trouble;
    bool refused = collector->refusal[0] != '\0';
    pthread_mutex_unlock(&collector->lock);
    if (tell)
        collector_spool_say(collector);
    if (refused)
        collector_gate_say(collector);
    return taken;
}

struct tasklog_span tasklog_collector_span(struct tasklog_collector *collector)
{
    pthread_mutex_lock(&collector->lock);
    struct tasklog_span span = {.given = collector->last_position,
                                .needed = collector->needed_at_stop
                                              ? collector->needed_at_stop
                                              : tasklog_table_oldest(collector->table)};
    pthread_mutex_unlock(&collector->lock);
    return span;
}

void tasklog_collector_read_until(struct tasklog_collector *collector, int64_t until_us,
                                  bool at_end)
{
    pthread_mutex_lock(&collector->lock);
    collector->read_until_us = until_us;
    collector->behind = !at_end;
    struct tasklog_now now = as_of(collector, collector_now(collector), until_us);
    if (next_due_ms(collector) <= now.mono_ms)
        pthread_cond_signal(&collector->due);
    pthread_mutex_unlock(&collector->lock);
}

size_t tasklog_collector_cursor(struct tasklog_collector *collector, char *buffer)
{
    pthread_mutex_lock(&collector->lock);
    size_t bytes = collector->cursor_bytes;
    memcpy(buffer, collector->cursor, bytes);
    pthread_mutex_unlock(&collector->lock);
    return bytes;
}

int tasklog_collector_pass(struct tasklog_collector *collector, const char *cursor, size_t bytes)
{
    tasklog_position position;

    if (!collector->spool)
        return -ENOTSUP;
    pthread_mutex_lock(&collector->lock);
    int r = entry_write_cursor(collector->spool, cursor, bytes, &position);
    if (r == 0) {
        collector_spool_at(collector, cursor, bytes, position);
        collector_spool_release(collector);
    }
    collector_spool_sync(collector);
    pthread_mutex_unlock(&collector->lock);
    return r;
}

void tasklog_collector_reject(struct tasklog_collector *collector, const char *tag,
                              size_t tag_bytes, const char *why)
{
    const struct shown shown = show_text(tag, tag_bytes);
    uint64_t held = 0;

    pthread_mutex_lock(&collector->lock);
    collector->not_task++;
    bool say = rate_allows(&collector->reject_rate, REJECTS_PER_MINUTE,
                           collector_now(collector).mono_ms, &held);
    pthread_mutex_unlock(&collector->lock);
    if (!say)
        return;
    if (held > 0)
        collector_say(collector, LOG_WARNING,
                      "the message with tag \"%s\" is not a task's line: %s (a tag must be "
                      "\"kind[task-id]:\"); dropped, and %llu more like it before",
                      shown.text, why, (unsigned long long)held);
    else
        collector_say(collector, LOG_WARNING,
                      "the message with tag \"%s\" is not a task's line: %s (a tag must be "
                      "\"kind[task-id]:\"); dropped",
                      shown.text, why);
}

/* How long the result has waited that has waited longest. */
static int64_t oldest_ms(const struct tasklog_collector *collector)
{
    int64_t now_ms = collector_now(collector).mono_ms;
    int64_t since_ms = put_off_since_ms(&collector->put_off);

    if (collector->queue.first) {
        int64_t first_ms = age_since_ms(&collector->age, collector->queue_left);
        since_ms = first_ms < since_ms ? first_ms : since_ms;
    }
    if (collector->writing_since_ms < since_ms)
        since_ms = collector->writing_since_ms;
    return since_ms < now_ms ? now_ms - since_ms : 0;
}

void tasklog_collector_count(struct tasklog_collector *collector,
                             struct tasklog_counters *ret_counters)
{
    pthread_mutex_lock(&collector->lock);
    const struct tasklog_table_counters *table = tasklog_table_counters(collector->table);
    *ret_counters = (struct tasklog_counters){
        .lines = table->lines,
        .altered = table->altered,
        .late = table->late,
        .below_level = table->below_level,
        .not_task = collector->not_task,
        .untrusted = collector->refused[GATE_UNTRUSTED],
        .foreign = collector->refused[GATE_FOREIGN],
        .over_tasks = collector->refused[GATE_OVER_TASKS],
        .over_rate = collector->refused[GATE_OVER_RATE],
        .control = table->control,
        .control_unreadable = table->control_unreadable,
        .missing = table->missing,
        .tasks_started = table->tasks_started,
        .ended_marker = table->ended_marker,
        .ended_idle = table->ended_idle,
        .ended_max_runtime = table->ended_max_runtime,
        .ended_restarted = table->ended_restarted,
        .ended_died = table->ended_died,
        .rows_stored = collector->rows_stored,
        .rows_live = collector->rows_live,
        .rows_refused = collector->rows_refused,
        .rows_lost = collector->rows_lost,
        .batches = collector->batches,
        .retries = collector->retries,
        .unspooled = collector->unspooled,
        .unread = collector->unread,
        .redelivered = collector->redelivered,
        .letters = collector->letter_count,
        .spool_bytes = collector->spool ? tasklog_spool_bytes(collector->spool) : 0,
        .open_tasks = tasklog_table_open_count(collector->table),
        .waiting_rows =
            collector->queue.count + collector->put_off.count + collector->writing_count,
        .oldest_ms = (uint64_t)oldest_ms(collector),
        .write_ms = (uint64_t)collector->write_ms,
        .write_ms_max = (uint64_t)collector->write_ms_max,
        .memory_bytes = tasklog_table_memory(collector->table) + waiting_bytes(collector),
    };
    pthread_mutex_unlock(&collector->lock);
}

/* ---- life ---- */

static int init_conditions(struct tasklog_collector *collector)
{
    pthread_condattr_t monotonic;
    int r = pthread_condattr_init(&monotonic);

    if (r != 0)
        return -r;
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&collector->work, &monotonic);
    pthread_cond_init(&collector->due, &monotonic);
    pthread_cond_init(&collector->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return 0;
}

int tasklog_collector_new(struct tasklog_config *config, const struct tasklog_hooks *hooks,
                          char *error, struct tasklog_collector **ret_collector)
{
    struct tasklog_collector *collector = calloc(1, sizeof(*collector));
    uint8_t seed[16];
    int r = -ENOMEM;

    if (!collector)
        goto failed;
    collector->hooks = *hooks;
    collector->timer_wake_ms = collector->writing_since_ms = INT64_MAX;
    collector->read_until_us = config->is_shared ? 0 : INT64_MAX;
    collector->behind = config->is_shared;
    if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        r = -errno;
        goto failed;
    }
    r = tasklog_table_new(&config->rules, seed, &collector->table);
    if (r < 0)
        goto failed;
    r = tasklog_store_new(&config->target, &collector->hooks.clock, error, TASKLOG_ERROR_BYTES,
                          &collector->store);
    if (r < 0)
        goto failed;
    r = init_conditions(collector);
    if (r < 0)
        goto failed;
    collector->config = config;
    uint64_t gate_seed;
    memcpy(&gate_seed, seed, sizeof(gate_seed));
    r = collector_gate_open(collector, gate_seed);
    if (r < 0)
        goto failed;
    pthread_mutex_init(&collector->lock, NULL);
    *ret_collector = collector;
    return 0;

failed:
    if (r != -EINVAL)
        snprintf(error, TASKLOG_ERROR_BYTES, "%s", strerror(-r));
    if (collector) {
        tasklog_store_free(collector->store);
        tasklog_table_free(collector->table);
        free(collector);
    }
    return r;
}

/* Our threads take no signals: those are for the front's own. */
static int start_threads(struct tasklog_collector *collector)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&collector->writer, NULL, collector_writer, collector);
    if (r == 0) {
        r = pthread_create(&collector->timer, NULL, collector_timer, collector);
        if (r != 0) {
            pthread_mutex_lock(&collector->lock);
            collector->stopping = true;
            pthread_cond_signal(&collector->work);
            pthread_mutex_unlock(&collector->lock);
            tasklog_store_interrupt(collector->store);
            pthread_join(collector->writer, NULL);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0) { /* for top -H */
        (void)pthread_setname_np(collector->writer, "tasklog-writer");
        (void)pthread_setname_np(collector->timer, "tasklog-timer");
    }
    return -r;
}

int tasklog_collector_start(struct tasklog_collector *collector, char *error)
{
    int r = collector_spool_open(collector, error);

    if (r < 0)
        return r;
    r = watch_new(collector_process_died, collector, &collector->watch);
    if (r < 0) {
        snprintf(error, TASKLOG_ERROR_BYTES, "processes cannot be watched: %s", strerror(-r));
        return r;
    }
    collector_watch_all(collector);
    collector_note_age(collector, collector_now(collector).mono_ms);
    r = start_threads(collector);
    if (r < 0)
        snprintf(error, TASKLOG_ERROR_BYTES, "its threads cannot be started: %s", strerror(-r));
    else
        collector->started = true;
    return r;
}

/* Lets go of what could not be written: without a spool it is lost. Live results are no loss: there is
 * an open one of the same task, or the task itself in the spool. */
static void drop_results(struct tasklog_collector *collector)
{
    struct tasklog_result *result;
    uint64_t kept = 0, lost = 0;

    pthread_mutex_lock(&collector->lock);
    put_off_empty(&collector->put_off, &collector->queue);
    while ((result = tasklog_results_pop(&collector->queue)) != NULL) {
        struct tasklog_report report;
        tasklog_result_view(result, &report);
        bool is_kept = collector->spool && !tasklog_result_end_is_unkept(result);
        if (report.type != TASKLOG_RESULT_LIVE)
            ++*(is_kept ? &kept : &lost);
        tasklog_result_free(result);
    }
    collector->rows_lost = lost;
    pthread_mutex_unlock(&collector->lock);
    if (kept > 0)
        collector_say(collector, LOG_NOTICE, "stopped with %llu result%s waiting in the spool",
                      (unsigned long long)kept, kept == 1 ? "" : "s");
    if (lost > 0)
        collector_say(
            collector, LOG_ERR,
            "stopped with %llu result%s that the database did not take in time%s: dropped",
            (unsigned long long)lost, lost == 1 ? "" : "s",
            collector->spool ? ", and the spool had no room for their end" : "");
}

/* What is needed of a source that keeps its lines, with the results that could not be written, which are let go
 * of now; not with tasks whose lateWindow is over. */
static void note_needed(struct tasklog_collector *collector)
{
    struct tasklog_results results = {0};

    pthread_mutex_lock(&collector->lock);
    struct tasklog_now now = as_of(collector, collector_now(collector), collector->read_until_us);
    tasklog_table_tick(collector->table, now, &results);
    tasklog_results_append(&collector->queue, &results);
    collector->needed_at_stop = tasklog_table_oldest(collector->table);
    pthread_mutex_unlock(&collector->lock);
}

void tasklog_collector_stop(struct tasklog_collector *collector, int timeout_ms)
{
    if (!collector->started)
        return;
    collector->started = false;
    if (collector->spool && timeout_ms > STOP_SPOOLED_MS)
        timeout_ms = STOP_SPOOLED_MS;

    pthread_mutex_lock(&collector->lock);
    struct tasklog_now now = collector_now(collector);
    if (!collector->spool) /* with one, tasks go on after the next start */
        tasklog_table_drain(collector->table, now, &collector->queue);
    collector_note_age(collector, now.mono_ms);
    collector->stop_at_ms = now.mono_ms + timeout_ms;
    collector->stopping = true;
    pthread_cond_signal(&collector->work);
    pthread_cond_signal(&collector->due);
    while (!collector->writer_ended && collector_now(collector).mono_ms < collector->stop_at_ms)
        collector_wait(collector, &collector->done, collector->stop_at_ms);
    if (!collector->writer_ended)
        tasklog_store_interrupt(collector->store);
    pthread_mutex_unlock(&collector->lock);

    pthread_join(collector->writer, NULL);
    pthread_join(collector->timer, NULL);
    watch_free(collector->watch); /* its thread calls us */
    collector->watch = NULL;
    if (collector->spool && !collector->config->is_shared)
        collector_gap_stop(collector);
    if (collector->spool) /* until now somebody listened */
        (void)!entry_write_time(collector->spool, collector_now(collector));
    if (collector->config->is_shared)
        note_needed(collector);
    drop_results(collector);
}

void tasklog_collector_free(struct tasklog_collector *collector)
{
    if (collector)
        tasklog_config_free(tasklog_collector_end(collector));
}

struct tasklog_config *tasklog_collector_end(struct tasklog_collector *collector)
{
    struct tasklog_config *config = collector->config;

    tasklog_collector_stop(collector, 0);
    put_off_empty(&collector->put_off, &collector->queue);
    tasklog_results_clear(&collector->queue);
    tasklog_results_clear(&collector->parked);
    watch_free(collector->watch);
    deaths_done(&collector->deaths);
    gap_done(&collector->gap);
    tasklog_store_free(collector->store);
    tasklog_table_free(collector->table);
    gate_free(collector->gate);
    tasklog_spool_close(collector->spool);
    redelivery_free(collector->redelivery);
    numbered_free(collector->numbered);
    tasklog_spool_reader_free(collector->reader);
    tasklog_spool_reader_free(collector->writer_reader);
    pthread_cond_destroy(&collector->work);
    pthread_cond_destroy(&collector->due);
    pthread_cond_destroy(&collector->done);
    pthread_mutex_destroy(&collector->lock);
    free(collector);
    return config;
}
