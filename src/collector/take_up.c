/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes up at the start what the spool has of the life before.
 *
 * A replay gives the same lines to an empty table, with the times they had, and lets the clock stand
 * still between one run of the collector and the next: a task is not idle while nobody listens. Results
 * come out as they did; those that are known to be done are dropped again, the others are written (once
 * more, perhaps, which changes nothing).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "entry.h"
#include "numbered.h"
#include "redelivery.h"
#include "replay_clock.h"
#include "state.h"

enum { REDELIVERY_MS = 15 * 60 * 1000 };

/* A result that the database had: an entry DONE, and what it settles. */
struct done {
    uint64_t run;
    int64_t end_chars;
    enum tasklog_result_type type;
};

struct replay {
    struct tasklog_collector *collector;
    struct done *done; /* by run, type and end */
    size_t done_count;
    size_t done_size;
    bool gap; /* lines were taken since then that the spool has not: */
    int64_t gap_us;
    bool stopped;   /* its life was not killed: */
    uint64_t *kept; /* the runs that miss nothing for all that */
    size_t kept_count;
    size_t kept_size;
    bool whole; /* no damage: what has no beginning belongs to a run that is done */
    struct replay_clock clock;
    uint64_t line_count; /* as the first round found it */
    uint64_t lines;      /* so far, in the second */
    uint64_t unknown;
};

/* First round: how many lines there are, and what is done: that need not be kept until the replay comes to the note of it. Without memory
 * for that it is. */
static int note_done(void *context, tasklog_position position, uint32_t type, const void *data,
                     size_t bytes)
{
    struct replay *replay = context;
    struct entry entry;

    (void)position;
    replay->line_count += type == ENTRY_LINE;
    if ((type != ENTRY_DONE && type != ENTRY_ENDED) || !entry_read(type, data, bytes, &entry))
        return 0;
    if (replay->done_count == replay->done_size) {
        size_t size = replay->done_size ? replay->done_size * 2 : 256;
        struct done *done = realloc(replay->done, size * sizeof(*done));
        if (!done)
            return 0;
        replay->done = done;
        replay->done_size = size;
    }
    replay->done[replay->done_count++] =
        (struct done){.run = entry.run, .end_chars = entry.end_chars, .type = entry.result};
    return 0;
}

static int compare_done(const void *a, const void *b)
{
    const struct done *x = a, *y = b;

    if (x->run != y->run)
        return x->run < y->run ? -1 : 1;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    return x->end_chars < y->end_chars ? -1 : x->end_chars > y->end_chars;
}

static bool is_done(const struct replay *replay, const struct tasklog_report *report)
{
    const struct done wanted = {.run = report->run,
                                .end_chars = report->end_chars,
                                .type = report->type};
    size_t low = 0, high = replay->done_count;

    while (low < high) { /* the first that settles as much, or more */
        size_t middle = low + (high - low) / 2;
        if (compare_done(&replay->done[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < replay->done_count && replay->done[low].run == wanted.run &&
           replay->done[low].type == wanted.type;
}

/* Second round: what came out of the table waits for the database, if that has not had it. */
static void keep_results(struct replay *replay, struct tasklog_results *results)
{
    struct tasklog_result *result;

    while ((result = tasklog_results_pop(results)) != NULL) {
        struct tasklog_report report;
        tasklog_result_view(result, &report);
        if (is_done(replay, &report))
            tasklog_result_free(result);
        else
            tasklog_results_push(&replay->collector->queue, result);
    }
}

/* Is this a line of a run whose first lines have gone with their segment, for the database has its row?
 * (If there was damage, they may be gone for that.) */
static bool is_tail_of_done(const struct replay *replay, const struct entry *entry,
                            tasklog_position position)
{
    const struct tasklog_report final = {.run = entry->run, .type = TASKLOG_RESULT_FINAL};

    if (entry->run == position || tasklog_table_knows(replay->collector->table, &entry->line))
        return false;
    return replay->whole || is_done(replay, &final);
}

static int restore_numbered(struct tasklog_collector *collector, const struct entry *entry,
                            tasklog_position position)
{
    if (!collector->numbered)
        collector->numbered = numbered_new();
    if (!collector->numbered)
        return -ENOMEM;
    collector->numbered_position = position;
    return numbered_restore(collector->numbered, entry->data, entry->bytes);
}

static int compare_runs(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Without memory for that its log says what may be, and is not. */
static void note_kept(struct replay *replay, uint64_t run)
{
    if (replay->kept_count == replay->kept_size) {
        size_t size = replay->kept_size ? replay->kept_size * 2 : 256;
        uint64_t *kept = realloc(replay->kept, size * sizeof(*kept));
        if (!kept)
            return;
        replay->kept = kept;
        replay->kept_size = size;
    }
    replay->kept[replay->kept_count++] = run;
}

static const char *may_miss_lines(void *context, const struct tasklog_sender *sender)
{
    const struct replay *replay = context;

    if (replay->kept_count > 0 && bsearch(&sender->run, replay->kept, replay->kept_count,
                                          sizeof(*replay->kept), compare_runs))
        return NULL;
    return "[... lines may be missing here: the spool was full when tasklog ended ...]";
}

/* A life has ended; was that in a gap? */
static int end_life(struct replay *replay)
{
    const struct tasklog_now now = {.mono_ms = replay->clock.last_ms, .wall_us = replay->gap_us};
    int r = 0;

    if (replay->kept_count > 0)
        qsort(replay->kept, replay->kept_count, sizeof(*replay->kept), compare_runs);
    if (replay->gap)
        r = tasklog_table_note(replay->collector->table, may_miss_lines, replay, now);
    replay->gap = replay->stopped = false;
    replay->kept_count = 0;
    return r < 0 ? r : 0;
}

static int replay_entry(void *context, tasklog_position position, uint32_t type, const void *data,
                        size_t bytes)
{
    struct replay *replay = context;
    struct tasklog_collector *collector = replay->collector;
    struct tasklog_results results = {0};
    struct entry entry;
    int r = 0;

    if (!entry_read(type, data, bytes, &entry)) {
        replay->unknown++;
        return 0;
    }
    switch (entry.type) {
    case ENTRY_LINE:
        entry.line.position = position;
        replay->lines++;
        collector_spool_at(collector, entry.line.cursor, entry.line.cursor_bytes, position);
        if (entry.line.stream)
            collector_note_numbered(collector, &entry.line, entry.now.wall_us);
        else if (collector->redelivery && entry.line.cursor_bytes == 0 &&
                 replay->lines + REDELIVERY_LINES >
                     replay->line_count) /* it would not be forgotten */
            redelivery_remember(collector->redelivery, &entry.line);
        if (is_tail_of_done(replay, &entry, position)) {
            (void)replay_clock_at(&replay->clock, entry.now);
            break;
        }
        r = tasklog_table_accept(collector->table, &entry.line,
                                 replay_clock_at(&replay->clock, entry.now), entry.tight, &results);
        keep_results(replay, &results);
        (void)collector_relieve(collector);
        break;
    case ENTRY_CLOSE:
        r = tasklog_table_omit(collector->table, &entry.line, entry.line.omitted, false);
        if (r == 0)
            r = tasklog_table_close(collector->table, &entry.line, entry.reason, entry.detail,
                                    replay_clock_at(&replay->clock, entry.now), &results);
        keep_results(replay, &results);
        break;
    case ENTRY_DONE:
        (void)replay_clock_at(&replay->clock, entry.now);
        tasklog_results_remove(&collector->queue, entry.run, entry.result, entry.end_chars);
        break;
    case ENTRY_GAP:
    case ENTRY_WHOLE:
        replay->gap = entry.type == ENTRY_GAP;
        replay->gap_us = entry.now.wall_us;
        (void)replay_clock_at(&replay->clock, entry.now);
        break;
    case ENTRY_STOP:
        replay->stopped = true;
        (void)replay_clock_at(&replay->clock, entry.now);
        break;
    case ENTRY_ENDED:
        (void)replay_clock_at(&replay->clock, entry.now);
        tasklog_table_drop_run(collector->table, &entry.line, entry.run);
        break;
    case ENTRY_TEXT:
        break;
    case ENTRY_PROCESS:
        tasklog_table_identify(collector->table, &entry.line, &entry.process);
        break;
    case ENTRY_OMIT:
        r = tasklog_table_omit(collector->table, &entry.line, entry.line.omitted, true);
        break;
    case ENTRY_DEATH:
    case ENTRY_NOTE:
        entry.now = replay_clock_at(&replay->clock, entry.now);
        r = collector_hear(collector, &entry, position);
        break;
    case ENTRY_NUMBERS:
        r = restore_numbered(collector, &entry, position);
        replay->unknown += r == -EBADMSG;
        if (r == -EBADMSG)
            r = 0;
        break;
    case ENTRY_CURSOR:
        collector_spool_at(collector, entry.data, entry.bytes, position);
        break;
    case ENTRY_TIME:
        (void)replay_clock_at(&replay->clock, entry.now);
        break;
    case ENTRY_RULES: /* a line means what it meant then, whatever the configuration says now */
        entry.rules.marker = entry.marker;
        entry.rules.live_interval_ms = collector->config->rules.live_interval_ms;
        entry.rules.live_bytes = collector->config->rules.live_bytes;
        entry.rules.memory_bytes = collector->config->rules.memory_bytes;
        r = tasklog_table_set_rules(collector->table, &entry.rules);
        break;
    case ENTRY_TASK:
        r = tasklog_table_restore(collector->table, entry.data, entry.bytes, position,
                                  replay->clock.offset_ms);
        replay->unknown += r == -EBADMSG;
        if (r == 0 && replay->stopped)
            note_kept(replay, tasklog_table_last_run(collector->table));
        if (r == -EBADMSG)
            r = 0;
        break;
    case ENTRY_START:
        if (collector->redelivery)
            redelivery_begin_life(collector->redelivery, entry.now.wall_us);
        replay_clock_start(&replay->clock, entry.now);
        r = end_life(replay);
        break;
    }
    return r < 0 ? r : 0;
}

static void say_recovered(struct tasklog_collector *collector, const struct replay *replay,
                          const struct tasklog_spool_damage *damage)
{
    if (damage->places > 0)
        collector_say(
            collector, LOG_ERR,
            "the spool \"%s\" was damaged in %llu place%s: %llu bytes could not be read and "
            "lie in its folder damaged/; going on with the rest",
            collector->config->spool, (unsigned long long)damage->places,
            damage->places == 1 ? "" : "s", (unsigned long long)damage->bytes);
    if (replay->unknown > 0)
        collector_say(
            collector, LOG_ERR,
            "the spool \"%s\" has %llu records of a kind that this version does not know; "
            "ignoring them",
            collector->config->spool, (unsigned long long)replay->unknown);
    size_t open = tasklog_table_open_count(collector->table);
    if (open > 0 || collector->queue.count > 0)
        collector_say(
            collector, LOG_NOTICE,
            "took up %llu line%s from the spool: %zu open task%s, %zu result%s to be written",
            (unsigned long long)replay->lines, replay->lines == 1 ? "" : "s", open,
            open == 1 ? "" : "s", collector->queue.count, collector->queue.count == 1 ? "" : "s");
}

int collector_take_up(struct tasklog_collector *collector, char *error)
{
    struct replay replay = {.collector = collector};
    struct tasklog_spool_damage damage, second = {0};

    collector->redelivery = redelivery_new();
    int r = tasklog_spool_replay(collector->spool, note_done, &replay, &damage);
    if (r == 0) {
        if (replay.done_count > 0)
            qsort(replay.done, replay.done_count, sizeof(*replay.done), compare_done);
        replay.whole = damage.places == 0;
        r = tasklog_spool_replay(collector->spool, replay_entry, &replay, &second);
        if (r == 0)
            r = end_life(&replay);
        damage.places += second.places;
        damage.bytes += second.bytes;
    }
    if (r ==
        0) { /* late lines do not wait to be shown together: which are done is known only here */
        struct tasklog_results late = {0};
        r = tasklog_table_show_late(collector->table, &late);
        keep_results(&replay, &late);
    }
    free(replay.done);
    free(replay.kept);
    if (r < 0) {
        snprintf(error, TASKLOG_ERROR_BYTES, "the spool \"%s\" cannot be read: %s",
                 collector->config->spool, strerror(-r));
        return r;
    }
    struct tasklog_now now = collector_now(collector);
    collector->redelivery_until_ms = now.mono_ms + REDELIVERY_MS;
    if (!replay.clock.begun) { /* the first life: nothing has been sent before */
        redelivery_free(collector->redelivery);
        collector->redelivery = NULL;
    }
    if (collector->redelivery)
        redelivery_begin_life(collector->redelivery, now.wall_us);
    r = tasklog_table_set_rules(collector->table, &collector->config->rules);
    if (r < 0) {
        snprintf(error, TASKLOG_ERROR_BYTES, "out of memory");
        return r;
    }
    int64_t shift_ms = replay.clock.begun ? now.mono_ms - replay.clock.last_ms : 0;
    tasklog_table_resume(collector->table, shift_ms);
    deaths_shift(&collector->deaths, shift_ms);
    say_recovered(collector, &replay, &damage);
    return 0;
}
