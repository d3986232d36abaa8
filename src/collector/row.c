/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows from results. Counts that were never reported and times that have not come are NULL; texts
 * that are not known are empty, as Django keeps them.
 */
#include "row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_SIZE_MIN = 16 };

/* A result's texts that have to be put together. */
struct texts {
    char *log;
    size_t log_bytes;
    char *counters;
    size_t counters_bytes;
};

static struct tasklog_value text_value(const char *text, size_t bytes)
{
    return (struct tasklog_value){.text = text, .text_bytes = bytes};
}

static struct tasklog_value number_value(int64_t number)
{
    return (struct tasklog_value){.number = number, .is_null = number == TASKLOG_ABSENT};
}

static struct tasklog_value value_of(enum field field, const struct tasklog_report *report,
                                     const struct texts *texts, int64_t now_us)
{
    switch (field) {
    case FIELD_TASK_ID:
        return text_value(report->task_id, strlen(report->task_id));
    case FIELD_KIND:
        return text_value(report->kind, strlen(report->kind));
    case FIELD_HOST:
        return text_value(report->host, strlen(report->host));
    case FIELD_STATUS:
        return text_value(report->status, strlen(report->status));
    case FIELD_LOG:
        return text_value(texts->log, texts->log_bytes);
    case FIELD_SUMMARY:
        return text_value(report->summary, strlen(report->summary));
    case FIELD_START_TIME:
        return number_value(report->start_us);
    case FIELD_END_TIME:
        return number_value(report->end_us);
    case FIELD_DURATION:
        return number_value(report->duration_us);
    case FIELD_PROCESSED:
        return number_value(report->processed);
    case FIELD_FAILED:
        return number_value(report->failed);
    case FIELD_TOTAL:
        return number_value(report->total);
    case FIELD_LINES:
        return number_value(report->lines);
    case FIELD_BYTES:
        return number_value(report->bytes);
    case FIELD_WARNINGS:
        return number_value(report->warnings);
    case FIELD_ERRORS:
        return number_value(report->errors);
    case FIELD_FIRST_ERROR:
        return text_value(report->first_error, strlen(report->first_error));
    case FIELD_COUNTERS:
        return text_value(texts->counters, texts->counters_bytes);
    case FIELD_END_REASON:
        return text_value(report->end_reason, strlen(report->end_reason));
    case FIELD_COMPLETE:
        return number_value(report->complete);
    case FIELD_UPDATED_AT:
        return number_value(now_us);
    case FIELD_POSITION:
        return number_value(report->position);
    case FIELD_COUNT:
        break;
    }
    return (struct tasklog_value){.is_null = true};
}

static int make_room(struct row_batch *batch)
{
    if (batch->count < batch->size)
        return 0;
    size_t size = batch->size ? batch->size * 2 : BATCH_SIZE_MIN;
    struct tasklog_row *rows = realloc(batch->rows, size * sizeof(*rows));
    if (!rows)
        return -ENOMEM;
    batch->rows = rows;
    void **blocks = realloc(batch->blocks, size * sizeof(*blocks));
    if (!blocks)
        return -ENOMEM;
    batch->blocks = blocks;
    batch->size = size;
    return 0;
}

int row_batch_add(struct row_batch *batch, const struct tasklog_config *config,
                  const struct tasklog_result *result, const struct tasklog_spill *spill,
                  int64_t now_us)
{
    size_t key_count = config->keys.count, column_count = config->columns.count;
    size_t values_bytes = (key_count + column_count) * sizeof(struct tasklog_value);
    size_t log_bytes = tasklog_result_log_bytes(result);
    size_t counters_bytes = tasklog_result_counters(result, NULL, 0);
    int r = make_room(batch);

    if (r < 0)
        return r;
    char *block = malloc(values_bytes + log_bytes + 1 + counters_bytes + 1);
    if (!block)
        return -ENOMEM;
    struct tasklog_value *values = (struct tasklog_value *)(void *)block;
    struct texts texts = {.log = block + values_bytes,
                          .log_bytes = log_bytes,
                          .counters = block + values_bytes + log_bytes + 1,
                          .counters_bytes = counters_bytes};
    int unread = tasklog_result_log_copy(result, spill, texts.log);
    texts.log[log_bytes] = '\0';
    (void)tasklog_result_counters(result, texts.counters, counters_bytes + 1);

    struct tasklog_report report;
    tasklog_result_view(result, &report);
    for (size_t i = 0; i < key_count; i++)
        values[i] = value_of(config->keys.items[i].field, &report, &texts, now_us);
    for (size_t i = 0; i < column_count; i++)
        values[key_count + i] = value_of(config->columns.items[i].field, &report, &texts, now_us);
    batch->blocks[batch->count] = block;
    batch->rows[batch->count++] = (struct tasklog_row){.keys = values,
                                                       .columns = values + key_count,
                                                       .append_at = report.append_at};
    return unread < 0 ? 1 : 0;
}

uint64_t row_keys(const struct tasklog_config *config, const struct tasklog_result *result)
{
    struct tasklog_report report;
    uint64_t keys = 0;

    tasklog_result_view(result, &report);
    for (size_t i = 0; i < config->keys.count; i++) {
        struct tasklog_value value =
            value_of(config->keys.items[i].field, &report, &(struct texts){0}, 0);
        keys = tasklog_value_hash(&value, keys);
    }
    return keys;
}

void row_batch_clear(struct row_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->blocks[i]);
    batch->count = 0;
}

void row_batch_done(struct row_batch *batch)
{
    row_batch_clear(batch);
    free(batch->rows);
    free(batch->blocks);
    *batch = (struct row_batch){0};
}
