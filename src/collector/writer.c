/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer thread: takes results from the queue, a batch at a time, and does not let go of one
 * before the database has it or refuses it for good.
 *
 * Concurrency: only this thread uses the store. It holds the collector's lock to take and to return
 * results, never while it talks to the database, builds rows or says something.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "row.h"
#include "state.h"

enum {
    BATCH_ROWS_MAX = 256,
    BATCH_BYTES_MAX = 8 << 20, /* passed by one result at most; its rows hold as much again */
    CALL_TIMEOUT_MS = 30000,   /* of one call of the store */
    CALL_TIMEOUT_MIN_MS = 100,
    RETRY_FIRST_MS = 100,
    RETRY_MOST_MS = 5000,
    RETRY_PUT_OFF_MS =
        1000,               /* at most, while only some rows wait: others must not wait with them */
    RETRY_WRONG_MS = 30000, /* a target that is wrong waits for somebody to mend it */
    RETRY_STOPPING_MS = 200,
    REFUSALS_PER_MINUTE = 10,
    TROUBLES_PER_MINUTE = 10,
    UNREAD_PER_MINUTE = 10,
};

struct writer {
    struct tasklog_collector *collector;
    struct row_batch rows;
    struct tasklog_result *results[BATCH_ROWS_MAX];
    struct tasklog_outcome outcomes[BATCH_ROWS_MAX];
    size_t count;  /* of results */
    bool ready;    /* the target was found right */
    bool stopping; /* the last round began after the stop */
    bool got_on;   /* the last round settled at least one result */
    int trouble; /* what the last round ended with, 0 = well; -EBUSY = some results were put off */
    int64_t trouble_since_ms;
    int64_t delay_ms;
    uint32_t jitter;
    int told;                       /* the trouble that people know of, 0 = none */
    char why[TASKLOG_REASON_BYTES]; /* what it came from */
    struct rate troubles;
    struct rate refusals;
    struct rate unread;
};

static void take_batch(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    size_t bytes = 0;

    while (writer->count < BATCH_ROWS_MAX && bytes < BATCH_BYTES_MAX && collector->queue.first) {
        struct tasklog_result *result = tasklog_results_pop(&collector->queue);
        bytes += tasklog_result_memory(result);
        writer->results[writer->count++] = result;
    }
    collector->writing_count = writer->count;
    collector->writing_bytes = bytes;
}

/* Puts back what is still to be written, in its order. Frees nothing. */
static void return_batch(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;

    while (writer->count > 0) {
        struct tasklog_result *result = writer->results[--writer->count];
        if (result)
            tasklog_results_unpop(&collector->queue, result);
    }
    collector->writing_count = collector->writing_bytes = 0;
}

static int call_timeout_ms(const struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    int64_t left_ms = CALL_TIMEOUT_MS;

    pthread_mutex_lock(&collector->lock);
    if (collector->stopping)
        left_ms = collector->stop_at_ms - collector_now(collector).mono_ms;
    pthread_mutex_unlock(&collector->lock);
    if (left_ms > CALL_TIMEOUT_MS)
        return CALL_TIMEOUT_MS;
    return left_ms < CALL_TIMEOUT_MIN_MS ? CALL_TIMEOUT_MIN_MS : (int)left_ms;
}

/* Writes as many of the batch's results as there is memory for rows. */
static int write_batch(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    struct tasklog_now now = collector_now(collector);
    uint64_t held;

    if (writer->count == 0)
        return tasklog_store_open(collector->store, call_timeout_ms(writer));
    for (size_t i = 0; i < writer->count; i++) {
        int r = row_batch_add(&writer->rows, collector->config, writer->results[i],
                              &collector->writer_spill, now.wall_us);
        if (r < 0)
            break;
        if (r > 0 && rate_allows(&writer->unread, UNREAD_PER_MINUTE, now.mono_ms, &held))
            collector_say(collector, LOG_ERR,
                          "the spool \"%s\" cannot be read: text in the log of a task is lost, and "
                          "written as question marks",
                          collector->config->spool);
    }
    if (writer->rows.count == 0)
        return -ENOMEM;
    return tasklog_store_write(collector->store, writer->rows.rows, writer->rows.count,
                               call_timeout_ms(writer), writer->outcomes);
}

static void say_refused(struct writer *writer, const struct tasklog_report *report,
                        const struct tasklog_outcome *outcome, const char *where)
{
    struct tasklog_collector *collector = writer->collector;
    int64_t now_ms = collector_now(collector).mono_ms;
    uint64_t held;

    if (!rate_allows(&writer->refusals, REFUSALS_PER_MINUTE, now_ms, &held))
        return;
    if (held > 0)
        collector_say(collector, LOG_ERR, "%llu more results were refused",
                      (unsigned long long)held);
    collector_say(collector, LOG_ERR,
                  "the result of task \"%s\" of kind \"%s\" is refused for good: %s%s%s%s; "
                  "its log of %lld line%s %s",
                  report->task_id, report->kind, outcome->reason,
                  outcome->sqlstate[0] ? " (SQLSTATE " : "", outcome->sqlstate,
                  outcome->sqlstate[0] ? ")" : "", (long long)report->lines,
                  report->lines == 1 ? "" : "s", where);
}

/* What is to be done with a result after its row was written, or not. */
enum fate { FATE_LATER, FATE_DONE, FATE_PARKED };

/* Refused for good: to the dead letters, or if that cannot be, to wait for the next start. */
static enum fate refuse(struct writer *writer, const struct tasklog_report *report, size_t i)
{
    struct tasklog_collector *collector = writer->collector;
    const struct tasklog_outcome *outcome = &writer->outcomes[i];
    int r;

    if (!collector->spool) {
        say_refused(writer, report, outcome, "is dropped");
        return FATE_DONE;
    }
    r = collector_spool_bury(collector, report, &writer->rows.rows[i], outcome);
    if (r == 0)
        say_refused(writer, report, outcome, "lies with the dead letters of the spool");
    else if (r == -EDQUOT)
        say_refused(
            writer, report, outcome,
            "stays in the spool, for there is no room left for dead letters; see tasklog spool");
    else
        say_refused(writer, report, outcome,
                    "stays in the spool, for it cannot be put among the dead letters");
    return r == 0 ? FATE_DONE : FATE_PARKED;
}

/* What becomes of each result of the batch, counted. The lock is not held. */
static void judge(struct writer *writer, enum fate fates[BATCH_ROWS_MAX],
                  struct tasklog_counters *sum)
{
    for (size_t i = 0; i < writer->rows.count; i++) {
        struct tasklog_report report;
        tasklog_result_view(writer->results[i], &report);
        bool is_live = report.type == TASKLOG_RESULT_LIVE;
        fates[i] = FATE_DONE;
        if (writer->outcomes[i].verdict == TASKLOG_LATER) {
            fates[i] = FATE_LATER;
        } else if (writer->outcomes[i].verdict == TASKLOG_KEPT) {
            *(is_live ? &sum->rows_live : &sum->rows_stored) += 1;
        } else if (!is_live) { /* a live row's refusal is told when the task ends */
            sum->rows_refused++;
            fates[i] = refuse(writer, &report, i);
        }
    }
}

/* Takes results out of the batch, but for those that have to be tried again and those that there was no
 * memory for. 0, or -EBUSY if the database has put off some. */
static int settle(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    enum fate fates[BATCH_ROWS_MAX];
    struct tasklog_counters sum = {0};
    int r = 0;

    judge(writer, fates, &sum);
    pthread_mutex_lock(&collector->lock);
    for (size_t i = 0; i < writer->rows.count; i++) {
        if (fates[i] == FATE_DONE) {
            collector_spool_done(collector, writer->results[i]);
        } else if (fates[i] == FATE_PARKED) {
            tasklog_result_drop_log(writer->results[i]);
            tasklog_results_push(&collector->parked, writer->results[i]);
        }
    }
    collector_spool_release(collector);
    collector->rows_stored += sum.rows_stored;
    collector->rows_live += sum.rows_live;
    collector->rows_refused += sum.rows_refused;
    collector->batches += writer->rows.count > 0;
    pthread_mutex_unlock(&collector->lock);
    for (size_t i = 0; i < writer->rows.count; i++) {
        if (fates[i] == FATE_LATER) {
            if (r == 0)
                strcpy(writer->why, writer->outcomes[i].reason);
            r = -EBUSY;
            continue;
        }
        if (fates[i] == FATE_DONE)
            tasklog_result_free(writer->results[i]);
        writer->got_on = true;
        writer->results[i] = NULL;
    }
    return r;
}

/* ---- trouble ---- */

/* Is it worth a message? A target may have been mended in part: then the next fault is news. */
static bool is_news(const struct writer *writer, int trouble)
{
    const char *message = tasklog_store_message(writer->collector->store);

    return writer->told != trouble ||
           (trouble == -EINVAL && strncmp(writer->why, message, sizeof(writer->why) - 1) != 0);
}

static void say_trouble(struct writer *writer, int trouble)
{
    struct tasklog_collector *collector = writer->collector;
    int64_t now_ms = collector_now(collector).mono_ms;
    uint64_t held;

    if (trouble == -ECANCELED || !is_news(writer, trouble) ||
        !rate_allows(&writer->troubles, TROUBLES_PER_MINUTE, now_ms, &held))
        return;
    writer->told = trouble;
    if (trouble != -EBUSY)
        snprintf(writer->why, sizeof(writer->why), "%s", tasklog_store_message(collector->store));
    if (trouble == -EINVAL)
        collector_say(collector, LOG_ERR,
                      "%s; the results wait until this is mended, checking again every %d s",
                      writer->why, RETRY_WRONG_MS / 1000);
    else if (trouble == -ENOMEM)
        collector_say(collector, LOG_ERR, "out of memory; retrying");
    else if (trouble == -EBUSY)
        collector_say(collector, LOG_WARNING, "%s puts some results off: %s; retrying",
                      tasklog_store_name(collector->store), writer->why);
    else
        collector_say(collector, LOG_WARNING, "%s does not take results: %s; retrying",
                      tasklog_store_name(collector->store), writer->why);
}

static void say_well(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    int64_t now_ms = collector_now(collector).mono_ms;

    if (writer->told < 0)
        collector_say(collector, LOG_NOTICE, "%s takes results again, after %lld s",
                      tasklog_store_name(collector->store),
                      (long long)(now_ms - writer->trouble_since_ms) / 1000);
    else if (!writer->ready)
        collector_say(collector, LOG_INFO, "writing to table \"%s\" of %s",
                      collector->config->table, tasklog_store_name(collector->store));
    writer->told = 0;
    writer->ready = true;
}

/* Up to a fifth more or less, so that many writers do not come back at the same moment. */
static int64_t with_jitter(struct writer *writer, int64_t delay_ms)
{
    writer->jitter = writer->jitter * 1664525u + 1013904223u;
    int64_t fifth = delay_ms / 5;
    return delay_ms - fifth + (int64_t)(writer->jitter >> 8) % (2 * fifth + 1);
}

static int64_t next_delay_ms(struct writer *writer, int trouble)
{
    int64_t most_ms = trouble == -EBUSY ? RETRY_PUT_OFF_MS : RETRY_MOST_MS;

    if (trouble == -EINVAL)
        return RETRY_WRONG_MS;
    if (writer->trouble != trouble || writer->got_on)
        writer->delay_ms = RETRY_FIRST_MS;
    else
        writer->delay_ms *= 2;
    if (writer->delay_ms > most_ms)
        writer->delay_ms = most_ms;
    return with_jitter(writer, writer->delay_ms);
}

/* Waits before the next try; the lock is held. A stop that begins now makes it be tried at once. */
static void wait_for_retry(struct writer *writer, int64_t delay_ms)
{
    struct tasklog_collector *collector = writer->collector;
    bool was_stopping = collector->stopping;
    int64_t now_ms = collector_now(collector).mono_ms;
    int64_t until_ms = now_ms + delay_ms;

    if (was_stopping && until_ms > now_ms + RETRY_STOPPING_MS)
        until_ms = now_ms + RETRY_STOPPING_MS;
    if (was_stopping && until_ms > collector->stop_at_ms)
        until_ms = collector->stop_at_ms;
    while (collector->stopping == was_stopping && collector_now(collector).mono_ms < until_ms)
        collector_wait(collector, &collector->work, until_ms);
}

/* One round, the lock not held: writes what there is, or checks the target. Returns how long to wait
 * before the next one, 0 = not at all. */
static int64_t work(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    int r = write_batch(writer);
    int64_t delay_ms = 0;

    writer->got_on = false;
    if (r == 0)
        r = settle(writer);
    row_batch_clear(&writer->rows);
    if (r < 0) {
        say_trouble(writer, r);
        if (writer->trouble == 0)
            writer->trouble_since_ms = collector_now(collector).mono_ms;
        delay_ms = next_delay_ms(writer, r);
    } else {
        say_well(writer);
    }
    writer->trouble = r;

    pthread_mutex_lock(&collector->lock);
    return_batch(writer);
    collector->retries += r < 0;
    collector->away = r < 0 && r != -EBUSY;
    collector_wake_timer(collector); /* running tasks may be shown again */
    pthread_mutex_unlock(&collector->lock);
    return delay_ms;
}

/* Time to go: nothing is left to write, or a stop cannot wait any longer. The lock is held. */
static bool is_over(const struct writer *writer)
{
    const struct tasklog_collector *collector = writer->collector;

    if (!collector->stopping)
        return false;
    return !collector->queue.first || (writer->trouble == -EINVAL && writer->stopping) ||
           collector_now(collector).mono_ms >= collector->stop_at_ms;
}

void *collector_writer(void *argument)
{
    struct tasklog_collector *collector = argument;
    struct writer writer = {.collector = collector,
                            .jitter = (uint32_t)collector_now(collector).wall_us};

    pthread_mutex_lock(&collector->lock);
    for (;;) {
        while (!collector->stopping && !collector->queue.first && writer.ready)
            collector_wait(collector, &collector->work, INT64_MAX);
        if (is_over(&writer))
            break;
        take_batch(&writer);
        writer.stopping = collector->stopping;
        pthread_mutex_unlock(&collector->lock);
        int64_t delay_ms = work(&writer);
        pthread_mutex_lock(&collector->lock);
        if (delay_ms > 0 && !is_over(&writer))
            wait_for_retry(&writer, delay_ms);
    }
    collector->writer_ended = true;
    pthread_cond_signal(&collector->done);
    pthread_mutex_unlock(&collector->lock);
    row_batch_done(&writer.rows);
    return NULL;
}
