/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer thread: takes results, a batch at a time, and does not let go of one before the database
 * has it or refuses it for good. Which it takes, and where those go that are put off, stands in round.c.
 *
 * When batches fail as a whole although the database can be reached, one row may be the reason: one that
 * ends the session, or a commit that takes for ever. Then batches become smaller, down to a single row,
 * which is put off as slow.
 *
 * Concurrency: only this thread uses the store. It holds the collector's lock to take and to return
 * results, never while it talks to the database, builds rows or says something.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "round.h"
#include "row.h"
#include "shown.h"
#include "state.h"

enum {
    LESS_ROWS = 16,          /* a batch that failed is followed by one of this part of it */
    CALL_TIMEOUT_MS = 30000, /* of one call of the store */
    CALL_TIMEOUT_MIN_MS = 100,
    RETRY_FIRST_MS = 100,
    RETRY_MOST_MS = 5000,
    RETRY_FULL_MS = 1000,   /* at most, while the queue's first are put off and have no room */
    RETRY_WRONG_MS = 30000, /* a target that is wrong waits for somebody to mend it */
    RETRY_STOPPING_MS = 200,
    REFUSALS_PER_MINUTE = 10,
    TROUBLES_PER_MINUTE = 10,
    CAUSES_PER_MINUTE = 1, /* of the same trouble */
    UNREAD_PER_MINUTE = 10,
};

struct writer {
    struct tasklog_collector *collector;
    struct row_batch rows;
    struct round round;
    bool ready;    /* the target was found right */
    bool stopping; /* the last round began after the stop */
    bool got_on;   /* the last round settled at least one result */
    int trouble;   /* what the last round ended with, 0 = well; -EBUSY = there is no room for what
                      was put off */
    int64_t trouble_since_ms;
    bool told_put_off; /* people know that results are put off, and since when: */
    int64_t put_off_since_ms;
    int64_t delay_ms;
    uint32_t jitter;
    int told;                       /* the trouble that people know of, 0 = none */
    char why[TASKLOG_REASON_BYTES]; /* what it came from */
    struct rate troubles;
    struct rate causes;
    struct rate refusals;
    struct rate unread;
};

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

/* Makes rows of as many of the batch's results as there is memory for. 0 or -ENOMEM. */
static int make_rows(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    struct tasklog_now now = collector_now(collector);
    uint64_t held;

    for (size_t i = 0; i < writer->round.count; i++) {
        int r = row_batch_add(&writer->rows, collector->config, writer->round.results[i],
                              &collector->writer_spill, now.wall_us);
        if (r < 0)
            break;
        if (r > 0 && rate_allows(&writer->unread, UNREAD_PER_MINUTE, now.mono_ms, &held))
            collector_say(collector, LOG_ERR,
                          "the spool \"%s\" cannot be read: text in the log of a task is lost, and "
                          "written as question marks",
                          collector->config->spool);
    }
    return writer->rows.count > 0 ? 0 : -ENOMEM;
}

static int write_rows(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    int64_t began_ms = collector_now(collector).mono_ms;

    tasklog_store_set_patience(collector->store, writer->round.patience_ms);
    int r = tasklog_store_write(collector->store, writer->rows.rows, writer->rows.count,
                                call_timeout_ms(writer), writer->round.outcomes);
    int64_t took_ms = collector_now(collector).mono_ms - began_ms;

    pthread_mutex_lock(&collector->lock);
    collector->write_ms = took_ms;
    if (took_ms > collector->write_ms_max)
        collector->write_ms_max = took_ms;
    pthread_mutex_unlock(&collector->lock);
    return r;
}

/* The database can be reached and the batch failed as a whole, more than once. Tries fewer rows; a single
 * one is put off. */
static int blame(struct writer *writer)
{
    struct round *round = &writer->round;

    if (writer->rows.count > 1) {
        round->limit = writer->rows.count / LESS_ROWS + 1;
        return -EAGAIN;
    }
    round->outcomes[0] = (struct tasklog_outcome){.verdict = TASKLOG_LATER, .cause = TASKLOG_SLOW};
    snprintf(round->outcomes[0].reason, sizeof(round->outcomes[0].reason), "%.*s",
             (int)sizeof(round->outcomes[0].reason) - 1,
             tasklog_store_message(writer->collector->store));
    return 0;
}

/* Writes the batch, or checks the target if there is none. */
static int write_batch(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    struct round *round = &writer->round;
    bool failed = writer->trouble == -EAGAIN;
    int r = 0;

    for (size_t i = 0; i < round->count; i++)
        round->outcomes[i] =
            (struct tasklog_outcome){.verdict = TASKLOG_LATER, .cause = TASKLOG_UNTRIED};
    if (round->count == 0 || failed)
        r = tasklog_store_open(collector->store, call_timeout_ms(writer));
    if (r == 0 && round->count > 0)
        r = make_rows(writer);
    else
        return r;
    if (r == 0)
        r = write_rows(writer);
    if (r == -EAGAIN && failed)
        r = blame(writer);
    else if (r == 0 && round->limit < ROUND_ROWS_MAX)
        round->limit = 2 * round->limit < ROUND_ROWS_MAX ? 2 * round->limit : ROUND_ROWS_MAX;
    return r;
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
                  show_string(report->task_id).text, report->kind, outcome->reason,
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
    const struct tasklog_outcome *outcome = &writer->round.outcomes[i];
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
static void judge(struct writer *writer, enum fate fates[ROUND_ROWS_MAX],
                  struct tasklog_counters *sum)
{
    for (size_t i = 0; i < writer->rows.count; i++) {
        struct tasklog_report report;
        tasklog_result_view(writer->round.results[i], &report);
        bool is_live = report.type == TASKLOG_RESULT_LIVE;
        fates[i] = FATE_DONE;
        if (writer->round.outcomes[i].verdict == TASKLOG_LATER) {
            fates[i] = FATE_LATER;
        } else if (writer->round.outcomes[i].verdict == TASKLOG_KEPT) {
            *(is_live ? &sum->rows_live : &sum->rows_stored) += 1;
        } else if (!is_live) { /* a live row's refusal is told when the task ends */
            sum->rows_refused++;
            fates[i] = refuse(writer, &report, i);
        }
    }
}

/* Takes results out of the batch, but for those that have to be tried again and those that there was no
 * memory for. */
static void settle(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    enum fate fates[ROUND_ROWS_MAX];
    struct tasklog_counters sum = {0};

    judge(writer, fates, &sum);
    pthread_mutex_lock(&collector->lock);
    for (size_t i = 0; i < writer->rows.count; i++) {
        collector->writing_count -= fates[i] != FATE_LATER; /* in one step with what is stored */
        if (fates[i] == FATE_DONE) {
            collector_spool_done(collector, writer->round.results[i]);
        } else if (fates[i] == FATE_PARKED) {
            tasklog_result_drop_log(writer->round.results[i]);
            tasklog_results_push(&collector->parked, writer->round.results[i]);
        }
    }
    collector_spool_release(collector);
    collector->rows_stored += sum.rows_stored;
    collector->rows_live += sum.rows_live;
    collector->rows_refused += sum.rows_refused;
    collector->batches += writer->rows.count > 0;
    pthread_mutex_unlock(&collector->lock);
    for (size_t i = 0; i < writer->rows.count; i++) {
        if (fates[i] == FATE_LATER)
            continue;
        if (fates[i] == FATE_DONE)
            tasklog_result_free(writer->round.results[i]);
        writer->got_on = true;
        writer->round.results[i] = NULL;
    }
}

/* ---- trouble ---- */

/* Is it worth a message? A target may have been mended in part: then the next fault is news. Why a database
 * is away may change now and then. */
static bool is_news(struct writer *writer, int trouble)
{
    const char *message = tasklog_store_message(writer->collector->store);

    if (writer->told != trouble)
        return true;
    if ((trouble != -EINVAL && trouble != -EAGAIN) ||
        strncmp(writer->why, message, sizeof(writer->why) - 1) == 0)
        return false;
    return trouble == -EINVAL ||
           rate_allows(&writer->causes, CAUSES_PER_MINUTE, collector_now(writer->collector).mono_ms,
                       &(uint64_t){0});
}

static void say_trouble(struct writer *writer, int trouble)
{
    struct tasklog_collector *collector = writer->collector;
    int64_t now_ms = collector_now(collector).mono_ms;
    uint64_t held;

    if (trouble == -ECANCELED || trouble == -EBUSY || !is_news(writer, trouble) ||
        !rate_allows(&writer->troubles, TROUBLES_PER_MINUTE, now_ms, &held))
        return;
    writer->told = trouble;
    snprintf(writer->why, sizeof(writer->why), "%s", tasklog_store_message(collector->store));
    if (trouble == -EINVAL)
        collector_say(collector, LOG_ERR,
                      "%s; the results wait until this is mended, checking again every %d s",
                      writer->why, RETRY_WRONG_MS / 1000);
    else if (trouble == -ENOMEM)
        collector_say(collector, LOG_ERR, "out of memory; retrying");
    else
        collector_say(collector, LOG_WARNING, "%s does not take results: %s; retrying",
                      tasklog_store_name(collector->store), writer->why);
}

/* How many of the batch are put off; the first time, it is told. */
static size_t say_put_off(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    int64_t now_ms = collector_now(collector).mono_ms;
    size_t count = 0, first = 0;
    uint64_t held;

    for (size_t i = writer->round.count; i-- > 0;) {
        count += round_is_put_off(&writer->round, i);
        first = round_is_put_off(&writer->round, i) ? i : first;
    }
    if (count == 0 || writer->told_put_off ||
        !rate_allows(&writer->troubles, TROUBLES_PER_MINUTE, now_ms, &held))
        return count;
    writer->told_put_off = true;
    writer->put_off_since_ms = now_ms;
    collector_say(collector, LOG_WARNING, "%s puts some results off: %s; retrying",
                  tasklog_store_name(collector->store), writer->round.outcomes[first].reason);
    return count;
}

static void say_caught_up(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;

    collector_say(collector, LOG_NOTICE, "%s has taken what it had put off, after %lld s",
                  tasklog_store_name(collector->store),
                  (long long)(collector_now(collector).mono_ms - writer->put_off_since_ms) / 1000);
    writer->told_put_off = false;
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
    int64_t most_ms = trouble == -EBUSY ? RETRY_FULL_MS : RETRY_MOST_MS;

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

/* After a round that ended with `r`: how long to wait before the next one, 0 = not at all. */
static int64_t judge_trouble(struct writer *writer, int r)
{
    int64_t delay_ms = 0;

    if (r < 0) {
        say_trouble(writer, r);
        if (writer->trouble == 0)
            writer->trouble_since_ms = collector_now(writer->collector).mono_ms;
        delay_ms = next_delay_ms(writer, r);
    }
    if (r == 0 || r == -EBUSY)
        say_well(writer);
    writer->trouble = r;
    return delay_ms;
}

/* One round, the lock not held: writes what there is, or checks the target. Returns how long to wait
 * before the next one, 0 = not at all. */
static int64_t work(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    int64_t began_ms = collector_now(collector).mono_ms;
    int r = write_batch(writer);
    bool is_judged = r == 0;
    size_t put_off = 0;

    writer->got_on = false;
    if (is_judged) {
        settle(writer);
        put_off = say_put_off(writer);
    }
    row_batch_clear(&writer->rows);

    pthread_mutex_lock(&collector->lock);
    int64_t now_ms = collector_now(collector).mono_ms;
    if (round_return(&writer->round, collector, is_judged, now_ms - began_ms, now_ms))
        r = -EBUSY;
    bool caught_up = writer->told_put_off && collector->put_off.count == 0;
    collector->retries += r < 0 || put_off > 0;
    collector->away = r < 0 && r != -EBUSY;
    collector_wake_timer(collector); /* running tasks may be shown again */
    pthread_mutex_unlock(&collector->lock);

    if (caught_up)
        say_caught_up(writer);
    return judge_trouble(writer, r);
}

/* Time to go: nothing is left to write, or a stop cannot wait any longer. The lock is held. */
static bool is_over(const struct writer *writer)
{
    const struct tasklog_collector *collector = writer->collector;
    bool is_empty = !collector->queue.first && collector->put_off.count == 0;

    if (!collector->stopping)
        return false;
    return is_empty || (writer->trouble == -EINVAL && writer->stopping) ||
           collector_now(collector).mono_ms >= collector->stop_at_ms;
}

/* Until there is something to do; the lock is held. */
static void wait_for_work(struct writer *writer)
{
    struct tasklog_collector *collector = writer->collector;
    bool was_stopping = writer->stopping;

    while (writer->ready && !collector->queue.first && collector->stopping == was_stopping) {
        int64_t due_ms = round_due_ms(&writer->round, collector);
        if (was_stopping && collector->stop_at_ms < due_ms)
            due_ms = collector->stop_at_ms;
        if (collector_now(collector).mono_ms >= due_ms || is_over(writer))
            break;
        collector_wait(collector, &collector->work, due_ms);
    }
}

void *collector_writer(void *argument)
{
    struct tasklog_collector *collector = argument;
    struct writer writer = {.collector = collector,
                            .round.limit = ROUND_ROWS_MAX,
                            .jitter = (uint32_t)collector_now(collector).wall_us};

    pthread_mutex_lock(&collector->lock);
    for (;;) {
        wait_for_work(&writer);
        if (is_over(&writer))
            break;
        if (collector->stopping && !writer.stopping)
            round_hurry(&writer.round, collector_now(collector).mono_ms);
        writer.stopping = collector->stopping;
        round_take(&writer.round, collector, collector_now(collector).mono_ms);
        if (writer.round.count == 0 && writer.ready)
            continue;
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
