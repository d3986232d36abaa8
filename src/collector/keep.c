/* SPDX-License-Identifier: Apache-2.0 */
/* The collector and its spool: keeps what must not be lost, and as long as that is so. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "entry.h"
#include "numbered.h"
#include "redelivery.h"
#include "state.h"
#include "tasklog/letter.h"
#include "tasklog/letterbox.h"

enum {
    SEGMENT_BYTES = 16 << 20,
    RETRY_FULL_MS = 1000,
    SAYS_PER_MINUTE = 4, /* a disk may be full and not full by turns */
    RELIEF_BYTES = 4 << 20,
};
static const uint64_t LETTERS_BYTES_MAX = UINT64_C(1) << 30;

/* A task that lives for days may keep so much of others' lines in the spool: the first for certain, the
 * second for each byte that is needed (a short line takes some four times its text). */
static const uint64_t FORWARD_BYTES_MIN = UINT64_C(128) << 20, FORWARD_FACTOR = 8;
enum { FORWARD_TASKS_MAX = 1000 };

void collector_note_numbered(struct tasklog_collector *collector, const struct tasklog_line *line,
                             int64_t wall_us)
{
    if (!collector->numbered)
        collector->numbered = numbered_new();
    if (!collector->numbered)
        return;
    numbered_note(collector->numbered, line, wall_us);
    if (collector->numbered_position == 0)
        collector->numbered_position = line->position;
}

int collector_keep_numbered(struct tasklog_collector *collector)
{
    tasklog_position position;
    void *data;
    size_t bytes;

    if (!collector->numbered)
        return 0;
    int r = numbered_save(collector->numbered, &data, &bytes);
    if (r < 0)
        return 0; /* the older segment is kept */
    r = entry_write_numbers(collector->spool, data, bytes, &position);
    if (r == 0)
        collector->numbered_position = position;
    free(data);
    return r;
}

static int write_text(void *context, const char *text, size_t bytes, uint64_t *ret_position)
{
    const struct tasklog_collector *collector = context;

    return entry_write_text(collector->spool, text, bytes, ret_position);
}

static int read_text(void *context, uint64_t position, size_t offset, char *buffer, size_t bytes)
{
    const struct tasklog_collector *collector = context;

    return tasklog_spool_reader_read(collector->reader, position, offset, buffer, bytes);
}

/* The writer thread's: it does not hold the lock. */
static int read_text_to_write(void *context, uint64_t position, size_t offset, char *buffer,
                              size_t bytes)
{
    const struct tasklog_collector *collector = context;

    return tasklog_spool_reader_read(collector->writer_reader, position, offset, buffer, bytes);
}

static int open_readers(struct tasklog_collector *collector, char *error)
{
    const char *path = collector->config->spool;
    int r = tasklog_spool_reader_new(path, &collector->reader);

    if (r == 0)
        r = tasklog_spool_reader_new(path, &collector->writer_reader);
    if (r < 0) {
        snprintf(error, TASKLOG_ERROR_BYTES, "out of memory");
        return r;
    }
    collector->spill = (struct tasklog_spill){write_text, read_text, collector};
    collector->writer_spill = (struct tasklog_spill){write_text, read_text_to_write, collector};
    tasklog_table_set_spill(collector->table, &collector->spill);
    return 0;
}

bool collector_relieve(struct tasklog_collector *collector)
{
    size_t most = collector->config->rules.memory_bytes / 8;
    size_t step = most < RELIEF_BYTES ? most : RELIEF_BYTES;

    while (collector_is_tight(collector)) {
        if (!collector->spool)
            return false;
        size_t freed = tasklog_results_spill(&collector->queue, &collector->spill, step);
        if (freed == 0)
            freed = put_off_spill(&collector->put_off, &collector->spill, step);
        /* Line by line it would take more memory to know where text is than the text itself. */
        if (freed == 0 && tasklog_table_memory(collector->table) > step)
            freed = tasklog_table_spill(collector->table, step);
        if (freed == 0) /* nothing is left to move, unless the spool takes nothing */
            return collector->spool_trouble == 0;
    }
    return true;
}

int collector_spool_open(struct tasklog_collector *collector, char *error)
{
    const struct tasklog_config *config = collector->config;

    if (!config->spool || !config->spool[0])
        return 0;
    const struct tasklog_spool_options options = {.path = config->spool,
                                                  .segment_bytes = SEGMENT_BYTES,
                                                  .sync = config->spool_sync,
                                                  .reserve = !config->is_shared};
    int r = tasklog_spool_open(&options, error, &collector->spool);
    if (r < 0)
        return r;
    r = open_readers(collector, error);
    if (config->is_shared) /* who has the source's lines now is told by the source */
        tasklog_spool_release(collector->spool, UINT64_MAX);
    else if (r == 0)
        r = collector_take_up(collector, error);
    if (r < 0)
        return r;
    struct tasklog_letterbox_sum letters;
    if (tasklog_letterbox_count(config->spool, &letters) == 0) {
        collector->letter_count = letters.count;
        collector->letter_bytes = letters.bytes;
    }
    collector->spool_trouble = entry_write_start(collector->spool, collector_now(collector));
    if (collector->spool_trouble < 0)
        collector->gap = (struct gap){.begun = true, .since_ms = INT64_MIN, .lacks_start = true};
    collector_spool_release(collector);
    collector_spool_say(collector);
    return 0;
}

void collector_spool_at(struct tasklog_collector *collector, const char *cursor, size_t bytes,
                        tasklog_position position)
{
    if (bytes == 0)
        return;
    memcpy(collector->cursor, cursor, bytes);
    collector->cursor_bytes = bytes;
    collector->cursor_position = position;
}

bool collector_spool_has(struct tasklog_collector *collector, const struct tasklog_line *line,
                         int64_t now_ms)
{
    if (line->stream)
        return collector->numbered && numbered_has(collector->numbered, line);
    if (!collector->redelivery || line->cursor_bytes > 0) /* a cursor does not come again */
        return false;
    if (now_ms >= collector->redelivery_until_ms) {
        redelivery_free(collector->redelivery);
        collector->redelivery = NULL;
        return false;
    }
    return redelivery_is_known(collector->redelivery, line);
}

void collector_spool_taken(struct tasklog_collector *collector, const struct tasklog_line *line,
                           struct tasklog_now now)
{
    if (line->stream)
        collector_note_numbered(collector, line, now.wall_us);
    else if (line->cursor_bytes == 0 && line->position != 0)
        redelivery_note(collector->redelivery, line);
}

void collector_spool_mark(struct tasklog_collector *collector, tasklog_position position)
{
    if (++collector->spooled_lines % REDELIVERY_LINES == 0) {
        collector->recent = collector->spooled_mark;
        collector->spooled_mark = position;
    }
}

/* From where on the spool has lines that the next life has to know again, or UINT64_MAX. It will remember the
 * last REDELIVERY_LINES, and behind the mark are more than that. */
static tasklog_position recent_lines(const struct tasklog_collector *collector)
{
    tasklog_position oldest =
        collector->redelivery ? redelivery_oldest(collector->redelivery) : UINT64_MAX;

    return oldest > collector->recent ? oldest : collector->recent;
}

tasklog_position collector_spool_reserve(struct tasklog_collector *collector,
                                         const struct tasklog_line *line, int64_t now_ms)
{
    tasklog_position position;

    if (!collector->spool || (collector->spool_trouble < 0 && now_ms < collector->spool_retry_ms))
        return 0;
    collector->spool_trouble =
        tasklog_spool_reserve(collector->spool, entry_line_bytes(line), &position);
    if (collector->spool_trouble == 0 && collector_gap_due_ms(collector) != INT64_MAX) {
        collector->spool_trouble = collector_gap_end(collector);
        if (collector->spool_trouble == 0)
            collector->spool_trouble =
                tasklog_spool_reserve(collector->spool, entry_line_bytes(line), &position);
    }
    if (collector->spool_trouble == 0 && position >> 32 != collector->spool_segment) {
        /* The first line of a segment: the rules go before it, and what is needed of older lines. */
        collector->spool_trouble = entry_write_rules(collector->spool, &collector->config->rules);
        if (collector->spool_trouble == 0)
            collector->spool_trouble = collector_keep_numbered(collector);
        if (collector->spool_trouble == 0)
            collector->spool_trouble =
                tasklog_spool_reserve(collector->spool, entry_line_bytes(line), &position);
        if (collector->spool_trouble == 0)
            collector->spool_segment = position >> 32;
    }
    if (collector->spool_trouble == 0)
        return position;
    collector->spool_retry_ms = now_ms + RETRY_FULL_MS;
    return 0;
}

void collector_spool_try(struct tasklog_collector *collector, int64_t now_ms)
{
    collector->spool_trouble = collector_gap_end(collector);
    collector->spool_retry_ms = now_ms + RETRY_FULL_MS;
}

/* What we decide goes to the spool as lines do. */
void collector_keep_closed(struct tasklog_collector *collector,
                           const struct tasklog_results *results, struct tasklog_now now)
{
    struct tasklog_result *result = collector->spool ? results->first : NULL;

    for (; result; result = tasklog_results_next(result)) {
        struct tasklog_report report;
        tasklog_result_view(result, &report);
        if (report.type == TASKLOG_RESULT_FINAL && report.run != 0 &&
            entry_write_close(collector->spool, &report, now) < 0) {
            collector->unspooled++;
            tasklog_result_set_end_unkept(result);
        }
    }
}

/* Is there room for so many bytes more? Others may have taken letters out, so look when there is not. */
static bool letters_fit(struct tasklog_collector *collector, size_t bytes)
{
    struct tasklog_letterbox_sum sum;

    pthread_mutex_lock(&collector->lock);
    bool fit = collector->letter_bytes + bytes <= LETTERS_BYTES_MAX;
    pthread_mutex_unlock(&collector->lock);
    if (fit || tasklog_letterbox_count(collector->config->spool, &sum) < 0)
        return fit;
    pthread_mutex_lock(&collector->lock);
    collector->letter_count = sum.count;
    collector->letter_bytes = sum.bytes;
    pthread_mutex_unlock(&collector->lock);
    return sum.bytes + bytes <= LETTERS_BYTES_MAX;
}

int collector_spool_bury(struct tasklog_collector *collector, const struct tasklog_report *report,
                         const struct tasklog_row *row, const struct tasklog_outcome *outcome)
{
    const struct tasklog_letter letter = {.time_us = collector_now(collector).wall_us,
                                          .kind = report->kind,
                                          .task_id = report->task_id,
                                          .sqlstate = outcome->sqlstate,
                                          .reason = outcome->reason,
                                          .target = collector->config->target,
                                          .row = *row};
    uint64_t texts_bytes = 0;
    void *data;
    size_t bytes;
    int r;

    /* One that can never fit is not copied first. */
    for (size_t i = 0; i < letter.target.column_count; i++)
        texts_bytes += row->columns[i].text ? row->columns[i].text_bytes : 0;
    if (texts_bytes > LETTERS_BYTES_MAX)
        return -EDQUOT;
    r = tasklog_letter_encode(&letter, &data, &bytes);
    if (r < 0)
        return r;
    if (!letters_fit(collector, bytes))
        r = -EDQUOT;
    else
        r = tasklog_letterbox_put(collector->config->spool, letter.time_us, data, bytes,
                                  collector->config->spool_sync);
    free(data);
    if (r == 0) {
        pthread_mutex_lock(&collector->lock);
        collector->letter_count++;
        collector->letter_bytes += bytes;
        pthread_mutex_unlock(&collector->lock);
    }
    return r;
}

int collector_keep_task(void *context, const char *data, size_t bytes, uint64_t *ret_position)
{
    const struct tasklog_collector *collector = context;

    return entry_write_task(collector->spool, data, bytes, ret_position);
}

void collector_spool_forward(struct tasklog_collector *collector)
{
    /* (Where a source's lines are needed from, only their own places tell.) */
    if (!collector->spool || collector->config->is_shared || collector->away ||
        tasklog_spool_segment_count(collector->spool) == collector->spool_segments)
        return;
    if (recent_lines(collector) < tasklog_table_oldest(collector->table))
        return; /* the tasks are not what keeps the oldest segments */
    uint64_t enough =
        FORWARD_BYTES_MIN +
        FORWARD_FACTOR * ((uint64_t)tasklog_table_text(collector->table) +
                          collector->queue.memory_bytes + collector->put_off.memory_bytes);
    for (int moved = 0; moved < FORWARD_TASKS_MAX; moved++) {
        if (tasklog_spool_bytes(collector->spool) <= enough ||
            tasklog_table_forward(collector->table, collector_keep_task, collector) <= 0)
            break;
        collector_spool_release(collector);
    }
    collector->spool_segments = tasklog_spool_segment_count(collector->spool);
}

void collector_spool_release(struct tasklog_collector *collector)
{
    if (!collector->spool)
        return;
    uint64_t oldest = tasklog_table_oldest(collector->table);
    tasklog_position recent = recent_lines(collector);
    if (recent < oldest)
        oldest = recent;
    if (collector->cursor_position > 0 && collector->cursor_position < oldest)
        oldest = collector->cursor_position;
    if (collector->numbered_position > 0 && collector->numbered_position < oldest)
        oldest = collector->numbered_position;
    tasklog_spool_release(collector->spool, oldest);
}

void collector_spool_sync(struct tasklog_collector *collector)
{
    if (!collector->spool || !collector->config->spool_sync)
        return;
    int r = tasklog_spool_sync(collector->spool);
    if (r < 0)
        collector->spool_trouble = r;
}

void collector_spool_say(struct tasklog_collector *collector)
{
    pthread_mutex_lock(&collector->lock);
    int trouble = collector->spool_trouble;
    uint64_t held;
    bool news =
        collector->spool_said != trouble && rate_allows(&collector->spool_says, SAYS_PER_MINUTE,
                                                        collector_now(collector).mono_ms, &held);
    if (news)
        collector->spool_said = trouble;
    pthread_mutex_unlock(&collector->lock);

    if (!news)
        return;
    if (trouble < 0)
        collector_say(collector, LOG_ERR,
                      "the spool \"%s\" takes nothing: %s; lines are kept in memory, and would be "
                      "lost if this process ended now",
                      collector->config->spool, strerror(-trouble));
    else
        collector_say(collector, LOG_NOTICE, "the spool \"%s\" takes lines again",
                      collector->config->spool);
}
