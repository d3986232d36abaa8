/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector while its spool takes nothing, and after that.
 *
 * Lines are in memory alone then, and a kill would lose them. What says so is an entry GAP, for which each
 * segment has room to spare: a row of which lines may be missing must not claim to be complete. When there is
 * room again, running tasks that took lines meanwhile are written as they are, in entries TASK, and WHOLE says
 * that these were all of them. Of a run that ended meanwhile the spool has no end: when the database has its row,
 * ENDED says so, or the next life would take it for running and write over that row.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "entry.h"
#include "state.h"

enum { UNDONE_MAX = 65536 };

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

static int move_tasks(struct tasklog_collector *collector)
{
    struct gap *gap = &collector->gap;
    int r = 0;

    if (!gap->begun)
        return 0;
    if (gap->lacks_start)
        r = entry_write_start(collector->spool, collector_now(collector));
    gap->lacks_start = gap->lacks_start && r < 0;
    if (r == 0)
        r = tasklog_table_keep_since(collector->table, &gap->since_ms, collector_keep_task,
                                     collector);
    if (r == 0)
        r = entry_write_whole(collector->spool, collector_now(collector));
    if (r == 0)
        gap->begun = false;
    return r;
}

int collector_gap_end(struct tasklog_collector *collector)
{
    int r = move_tasks(collector);

    return r == 0 ? write_undone(collector) : r;
}

void gap_done(struct gap *gap)
{
    struct undone *undone;

    while ((undone = gap->undone) != NULL) {
        gap->undone = undone->next;
        free(undone);
    }
}
