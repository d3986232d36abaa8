/* SPDX-License-Identifier: Apache-2.0 */
/* Results as the collector sees them, and lists of them. */
#include "tasklog/result.h"

#include <stdio.h>
#include <string.h>

#include "run.h"

static const char *end_reason(enum run_end end)
{
    static const char *const names[] = {[RUN_OPEN] = "",
                                        [RUN_MARKER] = "marker",
                                        [RUN_IDLE] = "idle",
                                        [RUN_MAX_RUNTIME] = "max_runtime",
                                        [RUN_RESTARTED] = "restarted",
                                        [RUN_DIED] = "died"};
    return names[end];
}

static int64_t end_chars_of(const struct tasklog_result *result)
{
    return result->end == RUN_OPEN ? 0 : result->ended->end_chars;
}

void tasklog_result_view(const struct tasklog_result *result, struct tasklog_report *ret_report)
{
    const struct run_ended *ended = result->end == RUN_OPEN ? NULL : result->ended;
    const struct run_extra extra = run_extra_of(result);

    *ret_report = (struct tasklog_report){
        .type = (enum tasklog_result_type)result->type,
        .task_id = run_id(result),
        .kind = run_kind(result),
        .host = run_host(result),
        .status = run_status(result),
        .summary = run_summary(result),
        .first_error = extra.first_error ? extra.first_error : "",
        .end_reason = end_reason((enum run_end)result->end),
        .end_detail = run_detail(result),
        .complete = result->end == RUN_MARKER && !result->missing,
        .start_us = result->start_us,
        .end_us = ended ? ended->end_us : TASKLOG_ABSENT,
        .duration_us = run_duration_us(result),
        .processed = extra.processed,
        .failed = extra.failed,
        .total = extra.total,
        .lines = (int64_t)result->lines,
        .bytes = (int64_t)result->bytes,
        .warnings = extra.warnings,
        .errors = extra.errors,
        .append_at = ended ? ended->append_at : -1,
        .run = result->run,
        .end_chars = ended ? ended->end_chars : 0,
        .omitted = extra.omitted_end,
        .position = extra.source_position == 0 ? TASKLOG_ABSENT
                                               : extra.source_position | (result->end != RUN_OPEN),
    };
}

size_t tasklog_result_log_bytes(const struct tasklog_result *result)
{
    return logbuf_bytes(&result->log);
}

int tasklog_result_log_copy(const struct tasklog_result *result, const struct tasklog_spill *spill,
                            char *buffer)
{
    return logbuf_copy(&result->log, spill, buffer);
}

size_t tasklog_result_counters(const struct tasklog_result *result, char *buffer,
                               size_t buffer_bytes)
{
    const struct run_extra extra = run_extra_of(result);
    size_t used = 0;

    /* Names need no escaping: the parser takes letters, digits, and _ . - only. */
    for (size_t i = 0; i <= extra.counter_count; i++) {
        char *at = used < buffer_bytes ? buffer + used : NULL;
        size_t room = used < buffer_bytes ? buffer_bytes - used : 0;
        bool last = i == extra.counter_count;
        int bytes;
        if (last)
            bytes = snprintf(at, room, i == 0 ? "{}" : "}");
        else
            bytes = snprintf(at, room, "%s\"%s\": %lld", i == 0 ? "{" : ", ",
                             extra.counters[i].name, (long long)extra.counters[i].value);
        used += (size_t)bytes;
    }
    return used;
}

void tasklog_result_unpin(struct tasklog_result *result)
{
    run_unpin(&result->pin);
}

bool tasklog_result_end_is_unkept(const struct tasklog_result *result)
{
    return result->end_unkept;
}

void tasklog_result_set_end_unkept(struct tasklog_result *result)
{
    result->end_unkept = true;
}

void tasklog_result_drop_log(struct tasklog_result *result)
{
    logbuf_done(&result->log);
}

void tasklog_results_push(struct tasklog_results *results, struct tasklog_result *result)
{
    result->next = NULL;
    if (results->last)
        results->last->next = result;
    else
        results->first = result;
    results->last = result;
    if (!results->unspilled)
        results->unspilled = result;
    results->count++;
    results->memory_bytes += tasklog_result_memory(result);
}

struct tasklog_result *tasklog_results_next(const struct tasklog_result *result)
{
    return result->next;
}

struct tasklog_result *tasklog_results_pop(struct tasklog_results *results)
{
    struct tasklog_result *result = results->first;

    if (!result)
        return NULL;
    results->first = result->next;
    if (!results->first)
        results->last = NULL;
    if (results->unspilled == result)
        results->unspilled = results->first;
    result->next = NULL;
    results->count--;
    results->memory_bytes -= tasklog_result_memory(result);
    return result;
}

void tasklog_results_unpop(struct tasklog_results *results, struct tasklog_result *result)
{
    result->next = results->first;
    results->first = results->unspilled = result;
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
    if (!results->unspilled)
        results->unspilled = from->first;
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

void tasklog_results_remove(struct tasklog_results *results, uint64_t run,
                            enum tasklog_result_type type, int64_t end_chars)
{
    struct tasklog_result **at = &results->first, *last = NULL;

    while (*at) {
        struct tasklog_result *result = *at;
        if (result->run != run || result->type != type || end_chars_of(result) > end_chars) {
            last = result;
            at = &result->next;
            continue;
        }
        *at = result->next;
        if (results->unspilled == result)
            results->unspilled = result->next;
        results->count--;
        results->memory_bytes -= tasklog_result_memory(result);
        tasklog_result_free(result);
        if (type == TASKLOG_RESULT_FINAL) { /* a run has one */
            if (!*at)
                results->last = last;
            return;
        }
    }
    results->last = last;
}

size_t tasklog_results_spill(struct tasklog_results *results, const struct tasklog_spill *spill,
                             size_t want_bytes)
{
    size_t freed = 0;

    while (freed < want_bytes && results->unspilled) {
        struct tasklog_result *result = results->unspilled;
        size_t bytes = logbuf_spill(&result->log, spill, want_bytes - freed);
        if (bytes == 0 && !logbuf_is_spilled(&result->log))
            break; /* it could not be written */
        freed += bytes;
        results->memory_bytes -= bytes;
        if (bytes == 0)
            results->unspilled = result->next;
    }
    return freed;
}
