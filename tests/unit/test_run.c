/* SPDX-License-Identifier: Apache-2.0 */
/* One run: what it adds up, and the sentence that sums it up. */
#include "task/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/tasks.h"

enum { NONE = -1 }; /* a count that was not reported */

static const struct tasklog_line first_line = {.kind = "job",
                                               .kind_bytes = 3,
                                               .id = "run 1",
                                               .id_bytes = 5,
                                               .host = "web1",
                                               .host_bytes = 4,
                                               .text = "text",
                                               .text_bytes = 4,
                                               .time_us = TASKS_BEGIN_US,
                                               .severity = INFO};

static struct tasklog_result *begin(void)
{
    struct tasklog_result *run = run_new(sizeof(struct tasklog_result), &first_line);

    assert_non_null(run);
    return run;
}

/* Reports a control line to the run; returns whether all of it was understood. */
static bool report(struct tasklog_result *run, const char *text)
{
    static char line[16384];
    struct text_buffer buffer = {0};
    struct control control;

    snprintf(line, sizeof(line), "@task end %s", text);
    assert_int_equal(control_parse("@task", line, strlen(line), &buffer, &control), 1);
    assert_int_equal(run_report(run, &control), 0);
    text_buffer_done(&buffer);
    return !control.unreadable;
}

static void expect_counters(const struct tasklog_result *run, const char *expected)
{
    char json[8192];

    assert_true(tasklog_result_counters(run, json, sizeof(json)) < sizeof(json));
    expect_text("counters", json, expected);
}

static void a_run_begins_with_its_first_line(void **state)
{
    struct tasklog_result *run = begin();
    struct tasklog_report seen;

    (void)state;
    tasklog_result_view(run, &seen);
    expect_text("kind", seen.kind, "job");
    expect_text("id", seen.task_id, "run 1");
    expect_text("host", seen.host, "web1");
    expect_text("status", seen.status, "RUNNING");
    expect_text("summary", seen.summary, "");
    expect_text("first error", seen.first_error, "");
    expect_text("end reason", seen.end_reason, "");
    assert_true(seen.start_us == TASKS_BEGIN_US);
    assert_true(seen.end_us == TASKLOG_ABSENT);
    assert_true(seen.processed == TASKLOG_ABSENT);
    assert_true(seen.failed == TASKLOG_ABSENT);
    assert_true(seen.total == TASKLOG_ABSENT);
    assert_int_equal(seen.lines, 0); /* it is not yet taken */
    assert_int_equal(seen.append_at, -1);
    expect_counters(run, "{}");
    tasklog_result_free(run);
}

static void summaries_read_as_the_contract_says(void **state)
{
    static const struct {
        const char *status;
        int64_t processed, failed, lines, warnings, errors;
        const char *counters;
        int64_t seconds;
        const char *expected;
    } cases[] = {
        {"FAILED", 12, 1, 5, 0, 1, "", 65, "Completed: 12 successful, 1 failed, Total time: 1m 5s"},
        {"FAILED", 12, 1, 5, 0, 1, "tables=12 columns=140", 65,
         "Completed: 12 successful, 1 failed, tables: 12, columns: 140, Total time: 1m 5s"},
        {"COMPLETED", NONE, NONE, 245, 2, 1, "", 3,
         "Completed: 245 lines, 2 warnings, 1 error, Total time: 3s"},
        {"FAILED", NONE, NONE, 245, 2, 1, "", 3,
         "Failed: 245 lines, 2 warnings, 1 error, Total time: 3s"},
        /* One is singular, none is plural. */
        {"COMPLETED", NONE, NONE, 1, 1, 1, "", 0,
         "Completed: 1 line, 1 warning, 1 error, Total time: 0s"},
        {"COMPLETED", NONE, NONE, 0, 0, 0, "", 0,
         "Completed: 0 lines, 0 warnings, 0 errors, Total time: 0s"},
        {"COMPLETED", NONE, NONE, 2, 1, 2, "", 59,
         "Completed: 2 lines, 1 warning, 2 errors, Total time: 59s"},
        /* A missing count beside the other is 0. */
        {"COMPLETED", 12, NONE, 5, 0, 0, "", 1,
         "Completed: 12 successful, 0 failed, Total time: 1s"},
        {"FAILED", NONE, 3, 5, 0, 0, "", 1, "Completed: 0 successful, 3 failed, Total time: 1s"},
        {"COMPLETED", 0, 0, 5, 0, 0, "", 1, "Completed: 0 successful, 0 failed, Total time: 1s"},
        {"COMPLETED", 1, 1, 5, 0, 0, "", 1, "Completed: 1 successful, 1 failed, Total time: 1s"},
        /* A total alone is no count of what was done. */
        {"COMPLETED", NONE, NONE, 3, 0, 0, "total=13", 1,
         "Completed: 3 lines, 0 warnings, 0 errors, Total time: 1s"},
        {"COMPLETED", NONE, NONE, 3, 0, 0, "tables=12", 1,
         "Completed: 3 lines, 0 warnings, 0 errors, tables: 12, Total time: 1s"},
        {"COMPLETED", 1, 0, 3, 0, 0, "balance=-7 zero=0", 1,
         "Completed: 1 successful, 0 failed, balance: -7, zero: 0, Total time: 1s"},
        /* Other statuses are said, with counts or without. */
        {"ABORTED", 12, 1, 5, 0, 0, "", 1, "Aborted: 12 successful, 1 failed, Total time: 1s"},
        {"ABORTED", NONE, NONE, 5, 0, 0, "", 1,
         "Aborted: 5 lines, 0 warnings, 0 errors, Total time: 1s"},
        {"partial-OK_2", NONE, NONE, 5, 0, 0, "", 1,
         "Partial-ok_2: 5 lines, 0 warnings, 0 errors, Total time: 1s"},
        {"failed", 1, 1, 5, 0, 0, "", 1, "Failed: 1 successful, 1 failed, Total time: 1s"},
        {"X", 1, 1, 5, 0, 0, "", 1, "X: 1 successful, 1 failed, Total time: 1s"},
        /* Hours and more. */
        {"COMPLETED", 1, 0, 5, 0, 0, "", 60,
         "Completed: 1 successful, 0 failed, Total time: 1m 0s"},
        {"COMPLETED", 1, 0, 5, 0, 0, "", 7384,
         "Completed: 1 successful, 0 failed, Total time: 2h 3m 4s"},
        {"COMPLETED", 1, 0, 5, 0, 0, "", 90000,
         "Completed: 1 successful, 0 failed, Total time: 25h 0m 0s"},
        /* A clock that was set back. */
        {"COMPLETED", 1, 0, 5, 0, 0, "", -3600,
         "Completed: 1 successful, 0 failed, Total time: 0s"},
        {"COMPLETED", INT64_MAX, INT64_MAX, 5, 0, 0, "", 0,
         "Completed: 9223372036854775807 successful, 9223372036854775807 failed, Total time: 0s"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tasklog_result *run = begin();
        assert_true(report(run, cases[i].counters));
        assert_int_equal(run_need_extra(run), 0);
        run->extra->processed = cases[i].processed == NONE ? TASKLOG_ABSENT : cases[i].processed;
        run->extra->failed = cases[i].failed == NONE ? TASKLOG_ABSENT : cases[i].failed;
        run->lines = cases[i].lines;
        run->extra->warnings = cases[i].warnings;
        run->extra->errors = cases[i].errors;
        int64_t end_us = run->start_us + cases[i].seconds * 1000000;
        assert_int_equal(run_finish(run, RUN_MARKER, end_us, cases[i].status, ""), 0);
        expect_text(cases[i].status, run_status(run), cases[i].status);
        expect_text(cases[i].status, run_summary(run), cases[i].expected);
        tasklog_result_free(run);
    }
}

static void counts_are_replaced_and_counters_are_summed(void **state)
{
    static const struct {
        const char *text;
        int64_t processed, failed, total;
        const char *counters;
        bool understood;
    } steps[] = {
        {"total=13", NONE, NONE, 13, "{}", true},
        {"processed=3", 3, 0, 13, "{}", true}, /* a missing failed beside processed is 0 */
        {"processed=5 failed=1 tables=4", 5, 1, 13, "{\"tables\": 4}", true},
        {"processed=7", 7, 1, 13, "{\"tables\": 4}", true},
        {"columns=100 tables=8", 7, 1, 13, "{\"tables\": 12, \"columns\": 100}", true},
        {"tables=-2 tables=1 total=14", 7, 1, 14, "{\"tables\": 11, \"columns\": 100}", true},
        {"views=x columns=1", 7, 1, 14, "{\"tables\": 11, \"columns\": 101}", false},
        {"", 7, 1, 14, "{\"tables\": 11, \"columns\": 101}", true},
    };
    struct tasklog_result *run = begin();

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_int_equal(report(run, steps[i].text), steps[i].understood);
        const struct run_extra extra = run_extra_of(run);
        assert_true(extra.processed ==
                    (steps[i].processed == NONE ? TASKLOG_ABSENT : steps[i].processed));
        assert_true(extra.failed == (steps[i].failed == NONE ? TASKLOG_ABSENT : steps[i].failed));
        assert_true(extra.total == (steps[i].total == NONE ? TASKLOG_ABSENT : steps[i].total));
        expect_counters(run, steps[i].counters);
    }
    tasklog_result_free(run);
}

static void a_sum_that_runs_over_is_not_understood_and_stays(void **state)
{
    struct tasklog_result *run = begin();

    (void)state;
    assert_true(report(run, "up=9223372036854775807 down=-9223372036854775807"));
    assert_false(report(run, "up=1 other=5 processed=2"));
    expect_counters(run, "{\"up\": 9223372036854775807, \"down\": -9223372036854775807, "
                         "\"other\": 5}");
    assert_int_equal(run->extra->processed, 2);
    assert_false(report(run, "down=-9223372036854775807"));
    assert_true(report(run, "up=-1 down=1"));
    expect_counters(run, "{\"up\": 9223372036854775806, \"down\": -9223372036854775806, "
                         "\"other\": 5}");
    tasklog_result_free(run);
}

static void there_is_an_end_to_the_counters_of_a_run(void **state)
{
    struct tasklog_result *run = begin();
    char text[32];

    (void)state;
    for (int i = 0; i < CONTROL_COUNTERS_MAX; i++) {
        snprintf(text, sizeof(text), "c%d=1", i);
        assert_true(report(run, text));
    }
    assert_false(report(run, "one_more=1 c5=2 processed=3"));
    assert_int_equal(run->extra->counter_count, CONTROL_COUNTERS_MAX);
    assert_int_equal(run->extra->counters[5].value, 3); /* those that are known go on */
    assert_int_equal(run->extra->processed, 3);
    tasklog_result_free(run);
}

static void the_first_error_is_the_first_line_of_the_first_message(void **state)
{
    static char longest[600];
    static const struct {
        const char *text;
        size_t bytes;
        const char *expected;
    } cases[] = {
        {"permission denied", 17, "permission denied"},
        {"Traceback:\n  File \"x\"", 21, "Traceback:"},
        {"cut here", 3, "cut"},
        {"\nsecond line", 12, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tasklog_result *run = begin();
        assert_int_equal(run_reserve_message(run, ERR, cases[i].text, cases[i].bytes), 0);
        expect_text("first", run->extra->first_error, cases[i].expected);
        assert_int_equal(run_reserve_message(run, ERR, "later", 5), 0);
        expect_text("still", run->extra->first_error, cases[i].expected);
        tasklog_result_free(run);
    }
    /* A long one is cut between characters. */
    for (size_t offset = 0; offset < 4; offset++) {
        struct tasklog_result *run = begin();
        memset(longest, 'x', offset);
        for (size_t at = offset; at + 4 < sizeof(longest); at += 4)
            memcpy(longest + at, "\xF0\x9F\x90\x98", 5);
        assert_int_equal(run_reserve_message(run, ERR, longest, strlen(longest)), 0);
        size_t bytes = strlen(run->extra->first_error);
        assert_in_range(bytes, FIRST_ERROR_BYTES_MAX - 3, FIRST_ERROR_BYTES_MAX);
        assert_int_equal((bytes - offset) % 4, 0);
        assert_memory_equal(run->extra->first_error, longest, bytes);
        tasklog_result_free(run);
    }
}

static void a_copy_has_everything_but_the_log(void **state)
{
    struct tasklog_result *run = begin();
    const struct logbuf_limits limits = {.cap_bytes = 1000};
    const struct logbuf_piece piece = {"text", 4};

    (void)state;
    assert_true(report(run, "processed=2 tables=3 columns=4"));
    assert_int_equal(run_reserve_message(run, ERR, "oh", 2), 0);
    assert_int_equal(logbuf_append(&run->log, limits, &piece, 1), 0);
    run->lines = 7;
    assert_int_equal(run_finish(run, RUN_MARKER, run->start_us + 5000000, "DONE", ""), 0);
    struct tasklog_result *copy = run_copy(run);
    assert_non_null(copy);
    assert_int_equal(tasklog_result_log_bytes(copy), 0);
    assert_int_equal(tasklog_result_log_bytes(run), 4);
    expect_text("kind", run_kind(copy), "job");
    expect_text("id", run_id(copy), "run 1");
    expect_text("host", run_host(copy), "web1");
    expect_text("first_error", copy->extra->first_error, "oh");
    expect_text("status", run_status(copy), "DONE");
    expect_text("summary", run_summary(copy), run_summary(run));
    assert_true(copy->extra->first_error != run->extra->first_error && copy->ended != run->ended);
    expect_counters(copy, "{\"tables\": 3, \"columns\": 4}");
    assert_int_equal(copy->lines, 7);
    assert_true(report(copy, "tables=1"));
    expect_counters(run, "{\"tables\": 3, \"columns\": 4}");
    tasklog_result_free(run);
    expect_counters(copy, "{\"tables\": 4, \"columns\": 4}");
    tasklog_result_free(copy);
}

static void a_duration_is_never_negative(void **state)
{
    struct tasklog_result *run = begin();

    (void)state;
    const struct {
        int64_t now_us, expected;
    } cases[] = {{TASKS_BEGIN_US + 1, 1}, {TASKS_BEGIN_US, 0}, {TASKS_BEGIN_US - 1, 0}, {0, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        run->shown_us = cases[i].now_us;
        assert_int_equal(run_duration_us(run), cases[i].expected);
    }
    assert_int_equal(run_finish(run, RUN_IDLE, run->start_us - 1, "FAILED", ""), 0);
    assert_int_equal(run_duration_us(run), 0);
    tasklog_result_free(run);
}

static void a_host_may_be_missing_or_unfit(void **state)
{
    static const struct {
        const char *host;
        size_t bytes;
        const char *expected;
    } cases[] = {
        {"", 0, ""},
        {"db-1.example.org", 16, "db-1.example.org"},
        {"h\xC3\xB6st", 5, "h\xC3\xB6st"},
        {"a\0b", 3, ""},
        {"bad\xFF", 4, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tasklog_line line = first_line;
        line.host = cases[i].host;
        line.host_bytes = cases[i].bytes;
        struct tasklog_result *run = run_new(sizeof(struct tasklog_result), &line);
        assert_non_null(run);
        expect_text("host", run_host(run), cases[i].expected);
        tasklog_result_free(run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_begins_with_its_first_line),
        cmocka_unit_test(summaries_read_as_the_contract_says),
        cmocka_unit_test(counts_are_replaced_and_counters_are_summed),
        cmocka_unit_test(a_sum_that_runs_over_is_not_understood_and_stays),
        cmocka_unit_test(there_is_an_end_to_the_counters_of_a_run),
        cmocka_unit_test(the_first_error_is_the_first_line_of_the_first_message),
        cmocka_unit_test(a_copy_has_everything_but_the_log),
        cmocka_unit_test(a_duration_is_never_negative),
        cmocka_unit_test(a_host_may_be_missing_or_unfit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
