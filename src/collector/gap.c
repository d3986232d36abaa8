/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector while its spool takes nothing, and after that.
 *
 * Lines are in memory alone then, and a kill would lose them. What says so is an entry GAP, for which each
 * segment has room to spare: a row of which lines may be missing must not claim to be complete. When there is
 * room again, running tasks that took lines meanwhile are written as they are, in entries TASK, and WHOLE says
 * that these were all of them. Of a run that ended meanwhile the spool has no end: when the database has its row,
 * ENDED says so, or the next life would take it for running and write over that row.
 *
 * A stop that comes before there is room again uses what was kept for it (tasklog_spool_use_reserve): for the running
 * tasks, and, if the database is away, too, for results, which become dead letters.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "entry.h"
#include "row.h"
#include "state.h"

enum { UNDONE_MAX = 65536 };

/* What a dead letter takes on disk beside its log, at most; how much of the reserve goes to letters, at most; how much
 * to the segments of lives that find the disk full as well; and of what size a log has to wait for others. */
static const size_t LETTER_BYTES = 8192, LETTERS_BYTES_MAX = (size_t)12 << 20,
                    NEXT_LIFE_BYTES = (size_t)512 << 10, SMALL_BYTES = (size_t)256 << 10;

/* What could not be told the spool of a result: that it is done, or that its run has ended, too. */
struct undone {
    struct undone *next;
    struct tasklog_report report; /* its texts lie behind */
    bool has_ended;
    char names[];
};

void collector_gap_begin(struct tasklog_collector *collector, struct tasklog_now now)
{
    struct gap *gap = &collector->gap;

    if (gap->begun)
        return;
    gap->begun = true;
    gap->since_ms = now.mono_ms;
    (void)!entry_write_gap(collector->spool, now); /* without a segment nothing can be told */
}

static int write_done(struct tasklog_collector *collector, const struct tasklog_report *report,
                      bool has_ended)
{
    if (has_ended)
        return entry_write_ended(collector->spool, report, collector_now(collector));
    return entry_write_done(collector->spool, report, collector_now(collector));
}

/* Without memory for it the row is written once more after a restart. */
static void remember(struct gap *gap, const struct tasklog_report *report, bool has_ended)
{
    size_t kind_bytes = strlen(report->kind) + 1, id_bytes = strlen(report->task_id) + 1;
    struct undone *undone =
        gap->undone_count < UNDONE_MAX ? malloc(sizeof(*undone) + kind_bytes + id_bytes) : NULL;

    if (!undone)
        return;
    *undone = (struct undone){.report = {.type = report->type,
                                         .run = report->run,
                                         .end_chars = report->end_chars,
                                         .kind = undone->names,
                                         .task_id = undone->names + kind_bytes},
                              .has_ended = has_ended,
                              .next = gap->undone};
    memcpy(undone->names, report->kind, kind_bytes);
    memcpy(undone->names + kind_bytes, report->task_id, id_bytes);
    gap->undone = undone;
    gap->undone_count++;
}

void collector_spool_done(struct tasklog_collector *collector, struct tasklog_result *result)
{
    struct tasklog_report report;

    if (!collector->spool)
        return;
    tasklog_result_view(result, &report);
    if (report.type != TASKLOG_RESULT_LIVE && report.run != 0) {
        bool has_ended = tasklog_result_end_is_unkept(result);
        if (write_done(collector, &report, has_ended) < 0) {
            collector->unspooled++;
            remember(&collector->gap, &report, has_ended);
        }
    }
    tasklog_result_unpin(result);
}

static int write_undone(struct tasklog_collector *collector)
{
    struct gap *gap = &collector->gap;
    struct undone *undone;

    while ((undone = gap->undone) != NULL) {
        int r = write_done(collector, &undone->report, undone->has_ended);
        if (r < 0)
            return r;
        gap->undone = undone->next;
        gap->undone_count--;
        free(undone);
    }
    return 0;
}

static int write_start(struct tasklog_collector *collector)
{
    struct gap *gap = &collector->gap;
    int r = gap->lacks_start ? entry_write_start(collector->spool, collector_now(collector)) : 0;

    gap->lacks_start = gap->lacks_start && r < 0;
    return r;
}

static int keep_since(struct tasklog_collector *collector, int64_t *since_ms, size_t least_bytes,
                      size_t most_bytes)
{
    return tasklog_table_keep_since(collector->table, since_ms, least_bytes, most_bytes,
                                    collector_keep_task, collector);
}

/* On a stop what is small goes first, so that it does not find the room taken by what is not. */
static int move_tasks(struct tasklog_collector *collector)
{
    int64_t since_ms = collector->gap.since_ms;
    size_t least_bytes = 0;

    if (!collector->gap.begun)
        return 0;
    int r = collector_keep_numbered(collector); /* what these tasks have must not come again */
    if (collector->stopping) {
        if (r == 0)
            r = entry_write_stop(collector->spool, collector_now(collector));
        if (r == 0)
            r = keep_since(collector, &since_ms, 0, SMALL_BYTES);
        least_bytes = SMALL_BYTES + 1;
    }
    if (r == 0)
        r = keep_since(collector, &collector->gap.since_ms, least_bytes, SIZE_MAX);
    if (r == 0)
        r = entry_write_whole(collector->spool, collector_now(collector));
    if (r == 0)
        collector->gap.begun = false;
    return r;
}

int collector_gap_end(struct tasklog_collector *collector)
{
    int r = write_start(collector);

    if (r == 0)
        r = write_undone(collector);
    return r == 0 ? move_tasks(collector) : r;
}

/* Takes those out of the queue that are nowhere else, and adds up how large their letters will be. */
static void take_unkept(struct tasklog_collector *collector, struct tasklog_results *unkept,
                        size_t *ret_bytes)
{
    struct tasklog_results all = {0};
    struct tasklog_result *result;

    put_off_empty(&collector->put_off, &collector->queue);
    tasklog_results_append(&all, &collector->queue);
    *ret_bytes = 0;
    while ((result = tasklog_results_pop(&all)) != NULL) {
        bool is_unkept = tasklog_result_end_is_unkept(result);
        if (is_unkept)
            *ret_bytes += tasklog_result_log_bytes(result) + LETTER_BYTES;
        tasklog_results_push(is_unkept ? unkept : &collector->queue, result);
    }
}

static int bury(struct tasklog_collector *collector, const struct tasklog_result *result)
{
    const struct tasklog_outcome outcome = {
        .reason = "the database was away and the spool full when tasklog stopped"};
    struct tasklog_report report;
    struct row_batch batch = {0};
    int r = row_batch_add(&batch, collector->config, result, &collector->writer_spill,
                          collector_now(collector).wall_us);

    tasklog_result_view(result, &report);
    if (r >= 0)
        r = collector_spool_bury(collector, &report, &batch.rows[0], &outcome);
    row_batch_done(&batch);
    return r;
}

/* The lock is not held. Those for which there is no room go back into the queue. */
static uint64_t bury_all(struct tasklog_collector *collector, struct tasklog_results *unkept)
{
    struct tasklog_result *result;
    uint64_t count = 0;

    while ((result = tasklog_results_pop(unkept)) != NULL) {
        int r = bury(collector, result);
        pthread_mutex_lock(&collector->lock);
        if (r == 0) {
            collector_spool_done(collector, result);
            tasklog_result_free(result);
            count++;
        } else {
            tasklog_results_push(&collector->queue, result);
        }
        pthread_mutex_unlock(&collector->lock);
    }
    return count;
}

void collector_gap_stop(struct tasklog_collector *collector)
{
    struct tasklog_results unkept = {0};
    int64_t now_ms = collector_now(collector).mono_ms;
    size_t letters_bytes;
    int r = 0;

    pthread_mutex_lock(&collector->lock);
    take_unkept(collector, &unkept, &letters_bytes);
    if (letters_bytes > LETTERS_BYTES_MAX)
        letters_bytes = LETTERS_BYTES_MAX;
    if (collector_gap_due_ms(collector) != INT64_MAX)
        collector_spool_try(collector, now_ms);
    bool is_full = collector_gap_due_ms(collector) != INT64_MAX;
    if (is_full)
        r = tasklog_spool_use_reserve(collector->spool, letters_bytes + NEXT_LIFE_BYTES);
    if (is_full && r == 0)
        r = write_start(collector);
    pthread_mutex_unlock(&collector->lock);

    uint64_t buried = bury_all(collector, &unkept); /* small, too, in the spool */

    pthread_mutex_lock(&collector->lock);
    if (is_full && r == 0)
        collector_spool_try(collector, now_ms);
    pthread_mutex_unlock(&collector->lock);
    if (buried > 0)
        collector_say(collector, LOG_ERR,
                      "stopped with %llu result%s that the database did not take in time, and the "
                      "spool had no room for their end: among the dead letters, see tasklog spool",
                      (unsigned long long)buried, buried == 1 ? "" : "s");
    if (collector->gap.begun)
        collector_say(collector, LOG_ERR,
                      "stopped while the spool takes nothing: %s; lines that were taken since then "
                      "may be lost; logs of tasks that the spool knows will say so",
                      strerror(-collector->spool_trouble));
}

void gap_done(struct gap *gap)
{
    struct undone *undone;

    while ((undone = gap->undone) != NULL) {
        gap->undone = undone->next;
        free(undone);
    }
}
