/* SPDX-License-Identifier: Apache-2.0 */
/* A task table for tests; see the header. */
#include "tasks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "result_fault.h"
#include "tasklog/tag.h"

void tasks_init(struct tasks *tasks)
{
    setenv("TZ", "UTC", 1);
    tzset();
    *tasks = (struct tasks){
        .rules = {.marker = "@task",
                  .level = INFO,
                  .escape_prefix = '#',
                  .idle_ms = 7200 * 1000,
                  .live_interval_ms = 5000,
                  .late_window_ms = 60 * 1000,
                  .live_bytes = 64 << 10,
                  .task_max_bytes = 64 << 20},
        .now = {.mono_ms = TASKS_BEGIN_MS, .wall_us = TASKS_BEGIN_US},
    };
}

void tasks_open(struct tasks *tasks)
{
    static const uint8_t seed[16] = "a test's seed 16";

    assert_int_equal(tasklog_table_new(&tasks->rules, seed, &tasks->table), 0);
}

void tasks_close(struct tasks *tasks)
{
    tasklog_table_drain(tasks->table, tasks->now, &tasks->results);
    assert_int_equal(tasklog_table_memory(tasks->table), 0);
    assert_int_equal(tasklog_table_open_count(tasks->table), 0);
    assert_true(tasklog_table_due_ms(tasks->table, true) == INT64_MAX);
    tasklog_table_free(tasks->table);
    while (tasks->results.first)
        tasklog_result_free(tasks_pop(tasks));
    assert_int_equal(tasks->results.count, 0);
    assert_int_equal(tasks->results.memory_bytes, 0);
}

void tasks_pass_ms(struct tasks *tasks, int64_t ms)
{
    tasks->now.mono_ms += ms;
    tasks->now.wall_us += ms * 1000;
}

struct tasklog_line tasks_line(const struct tasks *tasks, const char *tag, int severity,
                               const char *text)
{
    struct tasklog_tag parsed;
    const char *fault = tasklog_tag_parse(tag, strlen(tag), &parsed);

    if (fault)
        fail_msg("the test's own tag \"%s\" is wrong: %s", tag, fault);
    return (struct tasklog_line){
        .kind = parsed.kind,
        .kind_bytes = parsed.kind_bytes,
        .id = parsed.id,
        .id_bytes = parsed.id_bytes,
        .host = "web1",
        .host_bytes = 4,
        .text = text,
        .text_bytes = strlen(text),
        .time_us = tasks->now.wall_us,
        .severity = severity,
    };
}

void tasks_accept(struct tasks *tasks, const char *tag, int severity, const char *text)
{
    struct tasklog_line line = tasks_line(tasks, tag, severity, text);

    assert_true(
        tasklog_table_accept(tasks->table, &line, tasks->now, tasks->tight, &tasks->results) >= 0);
}

void tasks_tick(struct tasks *tasks)
{
    tasklog_table_tick(tasks->table, tasks->now, &tasks->results);
    while (tasklog_table_show(tasks->table, tasks->now, &tasks->results))
        ;
}

struct tasklog_result *tasks_pop(struct tasks *tasks)
{
    struct tasklog_result *result = tasklog_results_pop(&tasks->results);

    if (!result)
        fail_msg("a result was expected, there is none");
    const char *fault = result_fault(result);
    if (fault)
        fail_msg("a result is wrong: %s", fault);
    return result;
}

char *tasks_log(const struct tasklog_result *result)
{
    size_t bytes = tasklog_result_log_bytes(result);
    char *log = malloc(bytes + 1);

    assert_non_null(log);
    (void)tasklog_result_log_copy(result, NULL, log);
    log[bytes] = '\0';
    return log;
}

static void print_number(FILE *out, const char *name, int64_t number, int64_t silent)
{
    if (number != silent)
        fprintf(out, " %s=%lld", name, (long long)number);
}

static void print_report(FILE *out, const struct tasklog_report *report)
{
    static const char *const types[] = {[TASKLOG_RESULT_LIVE] = "LIVE",
                                        [TASKLOG_RESULT_FINAL] = "FINAL",
                                        [TASKLOG_RESULT_LATE] = "LATE",
                                        [TASKLOG_RESULT_OPEN] = "OPEN"};

    fprintf(out, "%s %s[%s] %s", types[report->type], report->kind, report->task_id,
            report->status);
    if (*report->end_reason)
        fprintf(out, " by %s%s", report->end_reason, report->complete ? ", complete" : "");
    fprintf(out, ", %.12gs:", (double)report->duration_us / 1e6);
    print_number(out, "lines", report->lines, INT64_MIN);
    print_number(out, "bytes", report->bytes, INT64_MIN);
    print_number(out, "warnings", report->warnings, 0);
    print_number(out, "errors", report->errors, 0);
    print_number(out, "processed", report->processed, TASKLOG_ABSENT);
    print_number(out, "failed", report->failed, TASKLOG_ABSENT);
    print_number(out, "total", report->total, TASKLOG_ABSENT);
    print_number(out, "append_at", report->append_at, -1);
    if (strcmp(report->host, "web1") != 0)
        fprintf(out, " host=\"%s\"", report->host);
    if (*report->first_error)
        fprintf(out, " first_error=\"%s\"", report->first_error);
}

/* Each line of the log behind a bar. Late text begins with a newline: that one is not shown. */
static void print_log(FILE *out, const struct tasklog_result *result,
                      const struct tasklog_report *report)
{
    char *log = tasks_log(result);
    const char *at = log + (report->type == TASKLOG_RESULT_LATE);

    for (bool more = *log != '\0'; more;) {
        size_t bytes = strcspn(at, "\n");
        fprintf(out, "| %.*s\n", (int)bytes, at);
        more = at[bytes] == '\n';
        at += bytes + 1;
    }
    free(log);
}

char *tasks_pop_text(struct tasks *tasks)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    assert_non_null(out);
    while (tasks->results.first) {
        struct tasklog_result *result = tasks_pop(tasks);
        struct tasklog_report report;
        char counters[8192];
        tasklog_result_view(result, &report);
        print_report(out, &report);
        assert_true(tasklog_result_counters(result, counters, sizeof(counters)) < sizeof(counters));
        if (strcmp(counters, "{}") != 0)
            fprintf(out, " %s", counters);
        fputc('\n', out);
        print_log(out, result, &report);
        tasklog_result_free(result);
    }
    assert_int_equal(fclose(out), 0);
    return text;
}

void expect_text(const char *what, const char *got, const char *expected)
{
    if (strcmp(got, expected) == 0)
        return;
    /* cmocka cuts long messages. */
    fprintf(stderr, "%s\n--- expected:\n%s\n--- got:\n%s\n---\n", what, expected, got);
    fail();
}
