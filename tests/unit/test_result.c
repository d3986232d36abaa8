/* SPDX-License-Identifier: Apache-2.0 */
/* Results as the collector sees them: views, counters as JSON, lists and their sum of memory. */
#include "tasklog/result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/tasks.h"

/* A final result of task `id` with a log of at least `bytes`. */
static struct tasklog_result *make(struct tasks *tasks, int id, size_t bytes)
{
    char tag[32], *text = malloc(bytes + 1);

    assert_non_null(text);
    memset(text, 'x', bytes);
    text[bytes] = '\0';
    snprintf(tag, sizeof(tag), "job[%d]", id);
    tasks_accept(tasks, tag, INFO, text);
    tasks_accept(tasks, tag, INFO, "@task end tables=1");
    free(text);
    return tasks_pop(tasks);
}

/* The ids of a list's results, and that its sums are right. */
static void expect_list(const struct tasklog_results *list, const int *ids, size_t count)
{
    size_t memory = 0, at = 0;
    struct tasklog_results seen = {0}, *rest = (struct tasklog_results *)list;

    assert_int_equal(list->count, count);
    while (rest->first) {
        struct tasklog_result *result = tasklog_results_pop(rest);
        struct tasklog_report report;
        tasklog_result_view(result, &report);
        assert_int_equal(atoi(report.task_id), ids[at++]);
        memory += tasklog_result_memory(result);
        tasklog_results_push(&seen, result);
    }
    assert_int_equal(at, count);
    assert_null(rest->last);
    assert_int_equal(rest->memory_bytes, 0);
    assert_int_equal(seen.memory_bytes, memory);
    tasklog_results_append(rest, &seen);
}

#define EXPECT_LIST(list, ...) \
    expect_list(list, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static void lists_keep_their_order_and_their_sums(void **state)
{
    struct tasklog_results a = {0}, b = {0};
    struct tasks tasks;

    (void)state;
    tasks_init(&tasks);
    tasks_open(&tasks);
    assert_null(tasklog_results_pop(&a));
    tasklog_results_append(&a, &b);
    assert_null(a.first);
    for (int i = 1; i <= 3; i++)
        tasklog_results_push(&a, make(&tasks, i, (size_t)i * 1000));
    EXPECT_LIST(&a, 1, 2, 3);

    struct tasklog_result *first = tasklog_results_pop(&a), *second = tasklog_results_pop(&a);
    EXPECT_LIST(&a, 3);
    tasklog_results_unpop(&a, second);
    tasklog_results_unpop(&a, first);
    EXPECT_LIST(&a, 1, 2, 3);

    tasklog_results_unpop(&b, make(&tasks, 4, 10)); /* into an empty one */
    tasklog_results_push(&b, make(&tasks, 5, 10));
    EXPECT_LIST(&b, 4, 5);
    tasklog_results_append(&a, &b);
    EXPECT_LIST(&a, 1, 2, 3, 4, 5);
    assert_int_equal(b.count, 0);
    tasklog_results_append(&b, &a); /* into an empty one */
    EXPECT_LIST(&b, 1, 2, 3, 4, 5);
    tasklog_results_push(&b, make(&tasks, 6, 10));
    EXPECT_LIST(&b, 1, 2, 3, 4, 5, 6);

    tasklog_results_clear(&b);
    assert_int_equal(b.count, 0);
    assert_int_equal(b.memory_bytes, 0);
    assert_null(b.first);
    tasklog_results_clear(&b);
    tasklog_result_free(NULL);
    tasks_close(&tasks);
}

static void what_counters_and_texts_take_is_memory_too(void **state)
{
    static char line[8192];
    struct tasks tasks;

    (void)state;
    tasks_init(&tasks);
    tasks_open(&tasks);
    strcpy(line, "@task end");
    for (int i = 0; i < 64; i++)
        sprintf(line + strlen(line), " a_counter_with_a_rather_long_name_and_the_number_%d=%d", i,
                i);
    tasks_accept(&tasks, "job[1]", INFO, line);
    struct tasklog_result *result = tasks_pop(&tasks);
    /* Its names are in it three times: counters, summary, log. */
    assert_in_range(tasklog_result_memory(result), 3 * 64 * 50, 5 * 64 * 50);
    tasklog_result_free(result);
    tasks_close(&tasks);
}

static void memory_is_no_less_than_the_text(void **state)
{
    struct tasks tasks;

    (void)state;
    tasks_init(&tasks);
    tasks_open(&tasks);
    for (size_t bytes = 0; bytes < 300000; bytes = bytes * 3 + 7) {
        struct tasklog_result *result = make(&tasks, 1, bytes);
        size_t memory = tasklog_result_memory(result);
        assert_true(memory >= bytes);
        assert_true(memory <= 2 * bytes + 2048);
        tasklog_result_free(result);
        tasks_pass_ms(&tasks, 61000);
    }
    tasks_close(&tasks);
}

static void counters_work_like_snprintf(void **state)
{
    static const char expected[] = "{\"tables\": 12, \"columns\": 140, \"left\": -3}";
    struct tasks tasks;
    char buffer[sizeof(expected) + 10];

    (void)state;
    tasks_init(&tasks);
    tasks_open(&tasks);
    tasks_accept(&tasks, "job[1]", INFO, "@task end tables=12 columns=140 left=-3");
    struct tasklog_result *result = tasks_pop(&tasks);
    assert_int_equal(tasklog_result_counters(result, NULL, 0), sizeof(expected) - 1);
    for (size_t room = 1; room <= sizeof(buffer); room++) {
        memset(buffer, '\x55', sizeof(buffer));
        assert_int_equal(tasklog_result_counters(result, buffer, room), sizeof(expected) - 1);
        size_t bytes = room < sizeof(expected) ? room - 1 : sizeof(expected) - 1;
        assert_memory_equal(buffer, expected, bytes);
        assert_int_equal(buffer[bytes], '\0');
        for (size_t i = bytes + 1; i < sizeof(buffer); i++)
            assert_int_equal(buffer[i], '\x55');
    }
    tasklog_result_free(result);

    tasks_accept(&tasks, "job[2]", INFO, "@task end");
    result = tasks_pop(&tasks);
    assert_int_equal(tasklog_result_counters(result, buffer, sizeof(buffer)), 2);
    expect_text("none", buffer, "{}");
    tasklog_result_free(result);
    tasks_close(&tasks);
}

static void a_view_lives_as_long_as_its_result(void **state)
{
    struct tasklog_report report;
    struct tasks tasks;

    (void)state;
    tasks_init(&tasks);
    tasks_open(&tasks);
    tasks_accept(&tasks, "job[1]", ERR, "no disk\nno hope");
    tasks_pass_ms(&tasks, 2500);
    tasks_accept(&tasks, "job[1]", INFO, "@task end processed=1 failed=2 total=3");
    struct tasklog_result *result = tasks_pop(&tasks);
    tasks_close(&tasks); /* the table is gone; the result shares nothing with it */

    tasklog_result_view(result, &report);
    assert_int_equal(report.type, TASKLOG_RESULT_FINAL);
    expect_text("task_id", report.task_id, "1");
    expect_text("kind", report.kind, "job");
    expect_text("host", report.host, "web1");
    expect_text("status", report.status, "FAILED");
    expect_text("summary", report.summary, "Completed: 1 successful, 2 failed, Total time: 2s");
    expect_text("first_error", report.first_error, "no disk");
    expect_text("end_reason", report.end_reason, "marker");
    assert_true(report.complete);
    assert_true(report.start_us == TASKS_BEGIN_US);
    assert_true(report.end_us == TASKS_BEGIN_US + 2500000);
    assert_int_equal(report.duration_us, 2500000);
    assert_int_equal(report.processed, 1);
    assert_int_equal(report.failed, 2);
    assert_int_equal(report.total, 3);
    assert_int_equal(report.lines, 1);
    assert_int_equal(report.bytes, 15);
    assert_int_equal(report.warnings, 0);
    assert_int_equal(report.errors, 1);
    assert_int_equal(report.append_at, -1);
    tasklog_result_free(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_keep_their_order_and_their_sums),
        cmocka_unit_test(memory_is_no_less_than_the_text),
        cmocka_unit_test(what_counters_and_texts_take_is_memory_too),
        cmocka_unit_test(counters_work_like_snprintf),
        cmocka_unit_test(a_view_lives_as_long_as_its_result),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
