/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One task: how a line gets into its log, with and without a template. What time does to it, and all
 * that can be said in a few lines of text, is in scenarios/.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "support/tasks.h"

#define BAD "\xEF\xBF\xBD"

static int begin(void **state)
{
    static struct tasks tasks;

    tasks_init(&tasks);
    tasks.rules.live_interval_ms = 0;
    *state = &tasks;
    return 0;
}

/* A line of job[1] as a template made it. */
static void accept_formatted(struct tasks *tasks, int severity, const char *text,
                             const char *formatted)
{
    struct tasklog_line line = tasks_line(tasks, "job[1]", severity, text);

    line.formatted = formatted;
    line.formatted_bytes = strlen(formatted);
    assert_true(tasklog_table_accept(tasks->table, &line, tasks->now, false, &tasks->results) >= 0);
}

/* The log of the next result. */
static void expect_log(struct tasks *tasks, const char *expected)
{
    struct tasklog_result *result = tasks_pop(tasks);
    char *log = tasks_log(result);

    expect_text("log", log, expected);
    free(log);
    tasklog_result_free(result);
}

static void a_template_makes_the_line_and_its_last_newline_goes(void **state)
{
    static const struct {
        const char *text, *formatted, *expected;
    } cases[] = {
        {"text", "web1: text\n", "web1: text"},
        {"text", "web1: text", "web1: text"},
        {"text", "text\n\n", "text\n"},
        {"text", "\n", ""},
        {"text", "", ""},
        {"a#012b", "<a#012b#012>\n", "<a\nb\n>"},
        {"text", "text#012\n", "text\n"}, /* that one was the sender's */
    };
    struct tasks *tasks = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[200];
        begin(state);
        tasks_open(tasks);
        accept_formatted(tasks, INFO, cases[i].text, cases[i].formatted);
        accept_formatted(tasks, INFO, "x", "last\n");
        tasks_accept(tasks, "job[1]", INFO, "@task end");
        snprintf(expected, sizeof(expected),
                 "%s\nlast\n[2026-11-24 10:00:00] Completed: 2 lines, 0 warnings, 0 errors, "
                 "Total time: 0s",
                 cases[i].expected);
        expect_log(tasks, expected);
        tasks_close(tasks);
    }
}

static void blank_lines_at_the_beginning_are_kept_with_a_bare_template(void **state)
{
    struct tasks *tasks = *state;

    tasks_open(tasks);
    accept_formatted(tasks, INFO, "", "\n");
    accept_formatted(tasks, INFO, "", "\n");
    accept_formatted(tasks, INFO, "Title", "Title\n");
    accept_formatted(tasks, INFO, "", "\n");
    tasks_accept(tasks, "job[1]", INFO, "@task end");
    expect_log(tasks, "\n\nTitle\n\n[2026-11-24 10:00:00] Completed: 4 lines, 0 warnings, "
                      "0 errors, Total time: 0s");
    tasks_close(tasks);
}

static void control_lines_are_found_by_their_text_not_by_the_template(void **state)
{
    struct tasks *tasks = *state;

    tasks_open(tasks);
    accept_formatted(tasks, INFO, "@task progress processed=3", "x @task progress processed=3\n");
    accept_formatted(tasks, INFO, "text", "@task end\n");
    accept_formatted(tasks, INFO, "@task progress total=?", "y @task progress total=?\n");
    accept_formatted(tasks, INFO, "@task end text=\"bye\"", "z @task end text=\"bye\"\n");
    expect_log(tasks, "@task end\ny @task progress total=?\n[2026-11-24 10:00:00] bye\n"
                      "[2026-11-24 10:00:00] Completed: 3 successful, 0 failed, Total time: 0s");
    tasks_close(tasks);
}

static void the_level_stands_before_a_templates_line(void **state)
{
    struct tasks *tasks = *state;

    tasks->rules.show_level = true;
    tasks_open(tasks);
    accept_formatted(tasks, INFO, "fine", "web1 fine\n");
    accept_formatted(tasks, ERR, "broken", "web1 broken\n");
    tasks_accept(tasks, "job[1]", INFO, "@task end");
    expect_log(tasks, "web1 fine\nERROR: web1 broken\n[2026-11-24 10:00:00] Completed: 2 lines, "
                      "0 warnings, 1 error, Total time: 0s");
    tasks_close(tasks);
}

static void counts_and_the_first_error_come_from_the_text(void **state)
{
    struct tasks *tasks = *state;
    struct tasklog_report report;

    tasks_open(tasks);
    accept_formatted(tasks, ERR, "broken", "2026 web1 broken\n");
    tasks_accept(tasks, "job[1]", INFO, "@task end");
    struct tasklog_result *result = tasks_pop(tasks);
    tasklog_result_view(result, &report);
    expect_text("first_error", report.first_error, "broken");
    assert_int_equal(report.bytes, 6);
    assert_int_equal(report.lines, 1);
    tasklog_result_free(result);
    tasks_close(tasks);
}

static void bad_bytes_are_replaced_and_counted_wherever_they_come_from(void **state)
{
    static const struct {
        const char *text, *formatted, *expected;
        unsigned altered;
    } cases[] = {
        {"good", "good\n", "good", 0},
        {"bad\xFF", "bad\xFF\n", "bad" BAD, 1},
        {"good", "h\xFFst good\n", "h" BAD "st good", 1},
        {"bad\xFF", "nothing of it\n", "nothing of it", 1},
        {"#000", "#000\n", BAD, 1},
    };
    struct tasks *tasks = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[200];
        begin(state);
        tasks_open(tasks);
        accept_formatted(tasks, INFO, cases[i].text, cases[i].formatted);
        tasks_accept(tasks, "job[1]", INFO, "@task end");
        snprintf(expected, sizeof(expected),
                 "%s\n[2026-11-24 10:00:00] Completed: 1 line, 0 warnings, 0 errors, "
                 "Total time: 0s",
                 cases[i].expected);
        expect_log(tasks, expected);
        assert_int_equal(tasklog_table_counters(tasks->table)->altered, cases[i].altered);
        assert_int_equal(tasklog_table_counters(tasks->table)->lines, 1 - cases[i].altered);
        tasks_close(tasks);
    }
}

static void stamps_are_local_time_of_the_sender(void **state)
{
    struct tasks *tasks = *state;
    struct tasklog_line line;

    setenv("TZ", "Europe/Rome", 1);
    tzset();
    tasks_open(tasks);
    line = tasks_line(tasks, "job[1]", INFO, "sent before");
    line.time_us -= 90 * INT64_C(1000000);
    assert_true(tasklog_table_accept(tasks->table, &line, tasks->now, false, &tasks->results) >= 0);
    tasks_accept(tasks, "job[1]", INFO, "@task end");
    expect_log(tasks, "[2026-11-24 10:58:30] sent before\n[2026-11-24 11:00:00] Completed: 1 line, "
                      "0 warnings, 0 errors, Total time: 1m 30s");
    tasks_close(tasks);
}

static void a_line_may_be_long_and_has_no_need_of_a_nul(void **state)
{
    enum { LONG = 1 << 20 };
    struct tasks *tasks = *state;
    char *text = malloc(LONG);

    assert_non_null(text);
    memset(text, 'x', LONG);
    tasks_open(tasks);
    struct tasklog_line line = tasks_line(tasks, "job[1]", ERR, "");
    line.text = text;
    line.text_bytes = LONG;
    assert_true(tasklog_table_accept(tasks->table, &line, tasks->now, false, &tasks->results) >= 0);
    tasks_accept(tasks, "job[1]", INFO, "@task end");
    struct tasklog_result *result = tasks_pop(tasks);
    char *log = tasks_log(result);
    assert_memory_equal(log + 22, text, LONG);
    assert_memory_equal(log + 22 + LONG, "\n[2026", 6);
    free(log);
    free(text);
    tasklog_result_free(result);
    tasks_close(tasks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_template_makes_the_line_and_its_last_newline_goes, begin),
        cmocka_unit_test_setup(blank_lines_at_the_beginning_are_kept_with_a_bare_template, begin),
        cmocka_unit_test_setup(control_lines_are_found_by_their_text_not_by_the_template, begin),
        cmocka_unit_test_setup(the_level_stands_before_a_templates_line, begin),
        cmocka_unit_test_setup(counts_and_the_first_error_come_from_the_text, begin),
        cmocka_unit_test_setup(bad_bytes_are_replaced_and_counted_wherever_they_come_from, begin),
        cmocka_unit_test_setup(stamps_are_local_time_of_the_sender, begin),
        cmocka_unit_test_setup(a_line_may_be_long_and_has_no_need_of_a_nul, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
