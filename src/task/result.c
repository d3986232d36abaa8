/* SPDX-License-Identifier: Apache-2.0 */
/* Results as the collector sees them, and lists of them. */
#include "tasklog/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

static const char *end_reason(enum run_end end)
{
    static const char *const names[] = {[RUN_OPEN] = "",
                                        [RUN_MARKER] = "marker",
                                        [RUN_IDLE] = "idle",
                                        [RUN_MAX_RUNTIME] = "max_runtime",
                                        [RUN_RESTARTED] = "restarted"};
    return names[end];
}

void tasklog_result_view(const struct tasklog_result *result, struct tasklog_report *ret_report)
{
    *ret_report = (struct tasklog_report){
        .type = result->type,
        .task_id = run_id(result),
        .kind = run_kind(result),
        .host = run_host(result),
        .status = result->status,
        .summary = result->summary ? result->summary : "",
        .first_error = result->first_error ? result->first_error : "",
        .end_reason = end_reason(result->end),
        .complete = result->end == RUN_MARKER && !result->missing,
        .start_us = result->start_us,
        .end_us = result->end_us,
        .duration_us = result->duration_us,
        .processed = result->processed,
        .failed = result->failed,
        .total = result->total,
        .lines = result->lines,
        .bytes = result->bytes,
        .warnings = result->warnings,
        .errors = result->errors,
        .append_at = result->append_at,
    };
}

size_t tasklog_result_log_bytes(const struct tasklog_result *result)
{
    return logbuf_bytes(&result->log);
}

void tasklog_result_log_copy(const struct tasklog_result *result, char *buffer)
{
    logbuf_copy(&result->log, buffer);
}

size_t tasklog_result_counters(const struct tasklog_result *result, char *buffer,
                               size_t buffer_bytes)
{
    size_t used = 0;

    /* Names need no escaping: the parser takes letters, digits, and _ . - only. */
    for (size_t i = 0; i <= result->counter_count; i++) {
        char *at = used < buffer_bytes ? buffer + used : NULL;
        size_t room = used < buffer_bytes ? buffer_bytes - used : 0;
        bool last = i == result->counter_count;
        int bytes;
        if (last)
            bytes = snprintf(at, room, i == 0 ? "{}" : "}");
        else
            bytes = snprintf(at, room, "%s\"%s\": %lld", i == 0 ? "{" : ", ",
                             result->counters[i].name, (long long)result->counters[i].value);
        used += (size_t)bytes;
    }
    return used;
}

static size_t string_memory(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

size_t tasklog_result_memory(const struct tasklog_result *result)
{
    size_t bytes = sizeof(*result) + result->log.memory_bytes;

    bytes += string_memory(run_kind(result)) + string_memory(run_id(result)) +
             string_memory(run_host(result));
    bytes += string_memory(result->first_error) + string_memory(result->summary);
    for (size_t i = 0; i < result->counter_count; i++)
        bytes += sizeof(result->counters[i]) + string_memory(result->counters[i].name);
    return bytes;
}

void tasklog_result_free(struct tasklog_result *result)
{
    if (!result)
        return;
    logbuf_done(&result->log);
    free(result->first_error);
    free(result->summary);
    for (size_t i = 0; i < result->counter_count; i++)
        free(result->counters[i].name);
    free(result->counters);
    free(result);
}

void tasklog_results_push(struct tasklog_results *results, struct tasklog_result *result)
{
    result->next = NULL;
    if (results->last)
        results->last->next = result;
    else
        results->first = result;
    results->last = result;
    results->count++;
    results->memory_bytes += tasklog_result_memory(result);
}

struct tasklog_result *tasklog_results_pop(struct tasklog_results *results)
{
    struct tasklog_result *result = results->first;

    if (!result)
        return NULL;
    results->first = result->next;
    if (!results->first)
        results->last = NULL;
    result->next = NULL;
    results->count--;
    results->memory_bytes -= tasklog_result_memory(result);
    return result;
}

void tasklog_results_unpop(struct tasklog_results *results, struct tasklog_result *result)
{
    result->next = results->first;
    results->first = result;
    if (!results->last)
        results->last = result;
    results->count++;
    results->memory_bytes += tasklog_result_memory(result);
}

void tasklog_results_append(struct tasklog_results *results, struct tasklog_results *from)
{
    if (!from->first)
        return;
    if (results->last)
        results->last->next = from->first;
    else
        results->first = from->first;
    results->last = from->last;
    results->count += from->count;
    results->memory_bytes += from->memory_bytes;
    *from = (struct tasklog_results){0};
}

void tasklog_results_clear(struct tasklog_results *results)
{
    struct tasklog_result *result;

    while ((result = tasklog_results_pop(results)) != NULL)
        tasklog_result_free(result);
}
