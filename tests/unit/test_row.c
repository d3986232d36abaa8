/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows from results that a real task table made: each field of each type of result in its column, and
 * memory that runs short.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/row.h"
#include "support/short_memory.h"
#include "support/tasks.h"

/* When the rows are made: a number that occurs nowhere else. */
#define NOW_US INT64_C(1800000000123456)
enum { KEY_COUNT = 4 };

static struct tasklog_config *config;
static struct tasks tasks;

/* Every field in a column of its own, in the order of the fields. */
static int set_up(void **state)
{
    static const char *const keys[KEY_COUNT] = {"task_id=k_id", "kind=k_kind", "host=k_host",
                                                "start_time=k_start"};
    char error[TASKLOG_ERROR_BYTES], value[64];

    (void)state;
    assert_int_equal(tasklog_config_new(&config), 0);
    assert_int_equal(tasklog_config_set(config, "database", "dbname=app", error), 0);
    assert_int_equal(tasklog_config_set(config, "table", "tasks", error), 0);
    for (int i = 0; i < KEY_COUNT; i++)
        assert_int_equal(tasklog_config_set(config, "key", keys[i], error), 0);
    for (int i = 0; i < FIELD_COUNT; i++) {
        snprintf(value, sizeof(value), "%s=c_%s", field_infos[i].name, field_infos[i].name);
        assert_int_equal(tasklog_config_set(config, "columns", value, error), 0);
    }
    tasklog_config_set_shared(config); /* or there is no position */
    assert_int_equal(tasklog_config_set(config, "mode", "upsert", error), 0);
    assert_int_equal(tasklog_config_check(config, error), 0);
    tasks_init(&tasks);
    tasks_open(&tasks);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tasks_close(&tasks);
    tasklog_config_free(config);
    return 0;
}

/* ---- a row as text, to be compared ---- */

static void print_value(FILE *out, const struct tasklog_column *column,
                        const struct tasklog_value *value)
{
    fprintf(out, "%s = ", column->name);
    if (value->is_null)
        fputs("NULL\n", out);
    else if (column->type == TASKLOG_TEXT || column->type == TASKLOG_JSON) {
        assert_int_equal(value->text[value->text_bytes], '\0');
        assert_int_equal(strlen(value->text), value->text_bytes);
        fprintf(out, "\"%s\"\n", value->text);
    } else if (column->type == TASKLOG_TIME && value->number == NOW_US)
        fputs("now\n", out);
    else if (column->type == TASKLOG_TIME)
        fprintf(out, "begin + %" PRId64 "\n", value->number - TASKS_BEGIN_US);
    else
        fprintf(out, "%" PRId64 "\n", value->number);
}

static char *row_text(const struct tasklog_row *row)
{
    const struct tasklog_target *target = &config->target;
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    assert_non_null(out);
    for (size_t i = 0; i < target->key_count; i++)
        print_value(out, &target->keys[i], &row->keys[i]);
    for (size_t i = 0; i < target->column_count; i++)
        print_value(out, &target->columns[i], &row->columns[i]);
    fprintf(out, "append_at %" PRId64 "\n", row->append_at);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* The next result must be of this type and make this row. */
static void expect_row(enum tasklog_result_type type, const char *expected)
{
    struct tasklog_result *result = tasks_pop(&tasks);
    struct row_batch batch = {0};
    struct tasklog_report report;

    tasklog_result_view(result, &report);
    assert_int_equal(report.type, type);
    assert_int_equal(row_batch_add(&batch, config, result, NULL, NOW_US), 0);
    assert_int_equal(batch.count, 1);
    char *text = row_text(&batch.rows[0]);
    expect_text("the row", text, expected);
    free(text);
    row_batch_done(&batch);
    tasklog_result_free(result);
}

#define KEYS              \
    "k_id = \"1\"\n"      \
    "k_kind = \"job\"\n"  \
    "k_host = \"web1\"\n" \
    "k_start = begin + 0\n"
#define NAMES             \
    "c_task_id = \"1\"\n" \
    "c_kind = \"job\"\n"  \
    "c_host = \"web1\"\n"

/* A task that has said everything there is to say, up to its end. */
static void run_a_talkative_task(void)
{
    tasks_accept(&tasks, "job[1]", INFO, "@task start total=13");
    tasks_accept(&tasks, "job[1]", INFO, "first");
    tasks_pass_ms(&tasks, 1500);
    tasks_accept(&tasks, "job[1]", WARNING, "careful");
    tasks_accept(&tasks, "job[1]", ERR, "broken\nin two lines");
    tasks_accept(&tasks, "job[1]", INFO, "@task progress processed=12 tables=3");
}

static void a_final_result_fills_every_column(void **state)
{
    (void)state;
    run_a_talkative_task();
    tasks_pass_ms(&tasks, 1000);
    tasks_accept(&tasks, "job[1]", INFO, "@task end failed=1 columns=140 tables=9");
    expect_row(
        TASKLOG_RESULT_FINAL, KEYS NAMES
        "c_status = \"FAILED\"\n"
        "c_log = \"[2026-11-24 10:00:00] first\n"
        "[2026-11-24 10:00:01] careful\n"
        "[2026-11-24 10:00:01] broken\n"
        "in two lines\n"
        "[2026-11-24 10:00:02] Completed: 12 successful, 1 failed, tables: 12, columns: 140, "
        "Total time: 2s\"\n"
        "c_summary = \"Completed: 12 successful, 1 failed, tables: 12, columns: 140, "
        "Total time: 2s\"\n"
        "c_start_time = begin + 0\n"
        "c_end_time = begin + 2500000\n"
        "c_duration = 2500000\n"
        "c_processed = 12\n"
        "c_failed = 1\n"
        "c_total = 13\n"
        "c_lines = 3\n"
        "c_bytes = 31\n"
        "c_warnings = 1\n"
        "c_errors = 1\n"
        "c_first_error = \"broken\"\n"
        "c_counters = \"{\"tables\": 12, \"columns\": 140}\"\n"
        "c_end_reason = \"marker\"\n"
        "c_complete = 1\n"
        "c_updated_at = now\n"
        "c_position = NULL\n"
        "append_at -1\n");
}

static void what_was_never_reported_is_null(void **state)
{
    (void)state;
    tasks_accept(&tasks, "job[1]", INFO, "@task end");
    expect_row(TASKLOG_RESULT_FINAL,
               KEYS NAMES "c_status = \"COMPLETED\"\n"
                          "c_log = \"[2026-11-24 10:00:00] Completed: 0 lines, 0 warnings, "
                          "0 errors, Total time: 0s\"\n"
                          "c_summary = \"Completed: 0 lines, 0 warnings, 0 errors, "
                          "Total time: 0s\"\n"
                          "c_start_time = begin + 0\n"
                          "c_end_time = begin + 0\n"
                          "c_duration = 0\n"
                          "c_processed = NULL\n"
                          "c_failed = NULL\n"
                          "c_total = NULL\n"
                          "c_lines = 0\n"
                          "c_bytes = 0\n"
                          "c_warnings = 0\n"
                          "c_errors = 0\n"
                          "c_first_error = \"\"\n"
                          "c_counters = \"{}\"\n"
                          "c_end_reason = \"marker\"\n"
                          "c_complete = 1\n"
                          "c_updated_at = now\n"
                          "c_position = NULL\n"
                          "append_at -1\n");
}

static void a_live_result_has_no_end(void **state)
{
    (void)state;
    run_a_talkative_task();
    tasks_pass_ms(&tasks, 5000);
    tasks_tick(&tasks);
    expect_row(TASKLOG_RESULT_LIVE, KEYS NAMES "c_status = \"RUNNING\"\n"
                                               "c_log = \"[2026-11-24 10:00:00] first\n"
                                               "[2026-11-24 10:00:01] careful\n"
                                               "[2026-11-24 10:00:01] broken\n"
                                               "in two lines\"\n"
                                               "c_summary = \"\"\n"
                                               "c_start_time = begin + 0\n"
                                               "c_end_time = NULL\n"
                                               "c_duration = 6500000\n"
                                               "c_processed = 12\n"
                                               "c_failed = 0\n"
                                               "c_total = 13\n"
                                               "c_lines = 3\n"
                                               "c_bytes = 31\n"
                                               "c_warnings = 1\n"
                                               "c_errors = 1\n"
                                               "c_first_error = \"broken\"\n"
                                               "c_counters = \"{\"tables\": 3}\"\n"
                                               "c_end_reason = \"\"\n"
                                               "c_complete = 0\n"
                                               "c_updated_at = now\n"
                                               "c_position = NULL\n"
                                               "append_at -1\n");
}

static void an_open_result_has_the_log_so_far(void **state)
{
    (void)state;
    tasks_accept(&tasks, "job[1]", INFO, "first");
    tasks_pass_ms(&tasks, 250);
    tasklog_table_drain(tasks.table, tasks.now, &tasks.results);
    expect_row(TASKLOG_RESULT_OPEN, KEYS NAMES "c_status = \"RUNNING\"\n"
                                               "c_log = \"[2026-11-24 10:00:00] first\"\n"
                                               "c_summary = \"\"\n"
                                               "c_start_time = begin + 0\n"
                                               "c_end_time = NULL\n"
                                               "c_duration = 250000\n"
                                               "c_processed = NULL\n"
                                               "c_failed = NULL\n"
                                               "c_total = NULL\n"
                                               "c_lines = 1\n"
                                               "c_bytes = 5\n"
                                               "c_warnings = 0\n"
                                               "c_errors = 0\n"
                                               "c_first_error = \"\"\n"
                                               "c_counters = \"{}\"\n"
                                               "c_end_reason = \"\"\n"
                                               "c_complete = 0\n"
                                               "c_updated_at = now\n"
                                               "c_position = NULL\n"
                                               "append_at -1\n");
}

static void a_late_result_appends_behind_what_is_stored(void **state)
{
    /* Characters, not bytes: the log has two of two bytes. */
    static const char stored[] =
        "[2026-11-24 10:00:00] gr\u00fc\u00dfe\n[2026-11-24 10:00:00] Completed: "
        "1 line, 0 warnings, 0 errors, Total time: 0s";
    char expected[1024];

    (void)state;
    tasks_accept(&tasks, "job[1]", INFO, "gr\u00fc\u00dfe");
    tasks_accept(&tasks, "job[1]", INFO, "@task end");
    tasklog_result_free(tasks_pop(&tasks));
    tasks_pass_ms(&tasks, 1000);
    tasks_accept(&tasks, "job[1]", ERR, "too late");
    tasks_pass_ms(&tasks, 200);
    tasks_tick(&tasks);
    snprintf(expected, sizeof(expected),
             KEYS NAMES "c_status = \"COMPLETED\"\n"
                        "c_log = \"\n[2026-11-24 10:00:01] too late\"\n"
                        "c_summary = \"Completed: 1 line, 0 warnings, 0 errors, Total time: 0s\"\n"
                        "c_start_time = begin + 0\n"
                        "c_end_time = begin + 0\n"
                        "c_duration = 0\n"
                        "c_processed = NULL\n"
                        "c_failed = NULL\n"
                        "c_total = NULL\n"
                        "c_lines = 2\n"
                        "c_bytes = 15\n"
                        "c_warnings = 0\n"
                        "c_errors = 1\n"
                        "c_first_error = \"too late\"\n"
                        "c_counters = \"{}\"\n"
                        "c_end_reason = \"marker\"\n"
                        "c_complete = 1\n"
                        "c_updated_at = now\n"
                        "c_position = NULL\n"
                        "append_at %zu\n",
             strlen(stored) - 2);
    expect_row(TASKLOG_RESULT_LATE, expected);
}

static void a_field_that_is_written_twice_is_the_same_text(void **state)
{
    char error[TASKLOG_ERROR_BYTES];
    struct row_batch batch = {0};

    (void)state;
    assert_int_equal(tasklog_config_set(config, "columns", "log=second_log", error), 0);
    assert_int_equal(tasklog_config_check(config, error), 0);
    tasks_accept(&tasks, "job[1]", INFO, "@task end");
    struct tasklog_result *result = tasks_pop(&tasks);
    assert_int_equal(row_batch_add(&batch, config, result, NULL, NOW_US), 0);
    assert_ptr_equal(batch.rows[0].columns[FIELD_LOG].text,
                     batch.rows[0].columns[FIELD_COUNT].text);
    row_batch_done(&batch);
    tasklog_result_free(result);
}

/* ---- many rows, little memory ---- */

enum { MANY = 100 };

static void give_many(struct tasklog_result *results[MANY])
{
    char tag[32], text[32];

    for (int i = 0; i < MANY; i++) {
        snprintf(tag, sizeof(tag), "job[%d]", i);
        snprintf(text, sizeof(text), "@task end n=%d", i);
        tasks_accept(&tasks, tag, INFO, text);
        results[i] = tasks_pop(&tasks);
    }
}

static void expect_many(const struct row_batch *batch)
{
    char text[32];

    assert_int_equal(batch->count, MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "%d", i);
        assert_string_equal(batch->rows[i].keys[0].text, text);
        snprintf(text, sizeof(text), "{\"n\": %d}", i);
        assert_string_equal(batch->rows[i].columns[FIELD_COUNTERS].text, text);
    }
}

static void a_batch_can_be_filled_again_and_again(void **state)
{
    struct tasklog_result *results[MANY];
    struct row_batch batch = {0};

    (void)state;
    give_many(results);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            assert_int_equal(row_batch_add(&batch, config, results[i], NULL, NOW_US), 0);
        expect_many(&batch);
        row_batch_clear(&batch);
        assert_int_equal(batch.count, 0);
    }
    row_batch_done(&batch);
    row_batch_done(&batch);
    for (int i = 0; i < MANY; i++)
        tasklog_result_free(results[i]);
}

static void whatever_request_for_memory_fails_can_be_repeated(void **state)
{
    struct tasklog_result *results[MANY];
    bool refused = true;

    (void)state;
    give_many(results);
    for (long granted = 0; refused; granted++) {
        struct row_batch batch = {0};
        int failures = 0;
        short_memory_fail_after(granted);
        for (int i = 0; i < MANY; i++) {
            int r = row_batch_add(&batch, config, results[i], NULL, NOW_US);
            if (r < 0) {
                assert_int_equal(r, -ENOMEM);
                assert_int_equal(batch.count, i);
                failures++;
                i--;
            }
        }
        refused = short_memory_end();
        assert_int_equal(failures, refused);
        expect_many(&batch);
        row_batch_done(&batch);
        assert_in_range(granted, 0, MANY + 10);
    }
    for (int i = 0; i < MANY; i++)
        tasklog_result_free(results[i]);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_final_result_fills_every_column),
        TEST(what_was_never_reported_is_null),
        TEST(a_live_result_has_no_end),
        TEST(an_open_result_has_the_log_so_far),
        TEST(a_late_result_appends_behind_what_is_stored),
        TEST(a_field_that_is_written_twice_is_the_same_text),
        TEST(a_batch_can_be_filled_again_and_again),
        TEST(whatever_request_for_memory_fails_can_be_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
