/* SPDX-License-Identifier: Apache-2.0 */
/* Who began a task, and what its log tells of lines that were refused: in the table, and over a snapshot. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/tasks.h"

enum { ALICE = 7, BOB = 8 };

static struct tasks tasks;
static int census[10];

static void count(void *context, uint64_t peer, int change)
{
    assert_ptr_equal(context, &tasks);
    census[peer] += change;
    assert_true(census[peer] >= 0);
}

static int begin(void **state)
{
    (void)state;
    memset(census, 0, sizeof(census));
    tasks_init(&tasks);
    tasks.rules.live_interval_ms = 0;
    tasks_open(&tasks);
    tasklog_table_set_census(tasks.table, count, &tasks);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tasks_close(&tasks);
    for (size_t i = 0; i < sizeof(census) / sizeof(census[0]); i++)
        assert_int_equal(census[i], 0);
    return 0;
}

static struct tasklog_line line_of(uint64_t peer, const char *text)
{
    struct tasklog_line line = tasks_line(&tasks, "job[1]", INFO, text);

    line.peer = peer;
    return line;
}

static void give(struct tasklog_line line)
{
    assert_int_equal(tasklog_table_accept(tasks.table, &line, tasks.now, false, &tasks.results), 1);
}

static struct tasklog_sight look(const char *text)
{
    const struct tasklog_line line = line_of(0, text);
    struct tasklog_sight sight;

    assert_int_equal(tasklog_table_look(tasks.table, &line, tasks.now, &sight), 0);
    return sight;
}

static void omit(uint32_t count, bool is_kept)
{
    const struct tasklog_line key = line_of(0, "");

    assert_int_equal(tasklog_table_omit(tasks.table, &key, count, is_kept), 0);
}

static void expect_row(const char *log, bool complete, uint32_t omitted)
{
    struct tasklog_result *result = tasks_pop(&tasks);
    struct tasklog_report report;
    char *got = tasks_log(result);

    tasklog_result_view(result, &report);
    expect_text("log", got, log);
    assert_int_equal(report.complete, complete);
    assert_int_equal(report.omitted, omitted);
    free(got);
    tasklog_result_free(result);
}

#define AT "[2026-11-24 10:00:00] "
#define NOTE(count) AT "[... " count " missing here: the sender went beyond its limit ...]\n"

static void a_line_is_seen_as_what_it_would_do(void **state)
{
    (void)state;
    assert_true(look("text").opens);
    assert_false(look("text").is_running);
    assert_true(look("@task end").opens && !look("@task end").ends);
    assert_true(look("@task start").starts);
    give(line_of(ALICE, "text"));
    assert_true(look("text").is_running && !look("text").opens);
    assert_int_equal(look("text").peer, ALICE);
    assert_true(look("@task end").ends);
    assert_true(look("@task progress").is_control && !look("@task progress").ends);
    assert_true(look("@task start").opens && look("@task start").is_running);
    give(line_of(0, "@task end"));
    assert_false(look("@task end").ends); /* it has ended */
    assert_false(look("late").opens || look("late").is_running);
    assert_int_equal(look("late").peer, ALICE);
    assert_true(look("@task start").opens);
    tasks_pass_ms(&tasks, 60000);
    assert_true(look("late").opens); /* the id is new again */
    assert_int_equal(look("late").peer, 0);
}

static void runs_that_begin_and_end_are_told(void **state)
{
    (void)state;
    give(line_of(ALICE, "text"));
    assert_int_equal(census[ALICE], 1);
    give(line_of(BOB, "@task start")); /* another run, and another's */
    assert_int_equal(census[ALICE], 0);
    assert_int_equal(census[BOB], 1);
    assert_int_equal(look("text").peer, BOB);
    give(line_of(0, "@task end"));
    assert_int_equal(census[BOB], 0);
    give(line_of(ALICE, "@task start"));
    assert_int_equal(census[ALICE], 1);
    tasks_pass_ms(&tasks, 7200 * 1000);
    tasks_tick(&tasks);
    assert_int_equal(census[ALICE], 0);
}

static void what_is_refused_is_told_with_the_next_line(void **state)
{
    struct tasklog_line line;

    (void)state;
    give(line_of(ALICE, "one"));
    omit(1, true);
    for (int i = 0; i < 41; i++)
        omit(1, false);
    assert_int_equal(look("two").omitted, 1);
    assert_int_equal(look("two").omitted_new, 41);
    line = line_of(0, "two");
    line.omitted = look("two").omitted_new;
    give(line);
    assert_int_equal(look("two").omitted + look("two").omitted_new, 0);
    give(line_of(0, "three"));
    give(line_of(0, "@task end"));
    expect_row(AT "one\n" NOTE("42 lines are") AT
               "two\n" AT "three\n" AT "Completed: 3 lines, 0 warnings, 0 errors, Total time: 0s",
               false, 0);
}

static void an_end_and_a_new_start_tell_it_too(void **state)
{
    (void)state;
    give(line_of(ALICE, "one"));
    omit(1, true);
    give(line_of(ALICE, "@task start"));
    expect_row(AT "one\n" NOTE("1 line is") AT
               "Closed by tasklog: started again under the same task id\n" AT
               "Failed: 1 line, 0 warnings, 0 errors, Total time: 0s",
               false, 0);
    omit(1, true);
    give(line_of(0, "@task end"));
    expect_row(NOTE("1 line is") AT "Completed: 0 lines, 0 warnings, 0 errors, Total time: 0s",
               false, 0);
    omit(5, true); /* of a task that has ended: its row is written */
    give(line_of(0, "late"));
    tasks_pass_ms(&tasks, 200);
    tasks_tick(&tasks);
    expect_row("\n" AT "late", false, 0);
}

static void what_the_clock_closes_tells_it_and_says_how_much_the_spool_lacks(void **state)
{
    (void)state;
    give(line_of(ALICE, "one"));
    omit(1, true);
    omit(9, false);
    tasks_pass_ms(&tasks, 7200 * 1000);
    tasks_tick(&tasks);
    expect_row(
        AT "one\n[2026-11-24 12:00:00] [... 10 lines are missing here: the sender went beyond its "
           "limit ...]\n[2026-11-24 12:00:00] Closed by tasklog: no line for 2h 0m 0s\n"
           "[2026-11-24 12:00:00] Failed: 1 line, 0 warnings, 0 errors, Total time: 2h 0m 0s",
        false, 9);
}

static void a_task_that_begins_in_its_middle_says_so(void **state)
{
    struct tasklog_line line = line_of(ALICE, "@task end");

    (void)state;
    line.omitted = 3;
    give(line);
    expect_row(NOTE("3 lines are") AT "Completed: 0 lines, 0 warnings, 0 errors, Total time: 0s",
               false, 0);
}

/* ---- snapshots ---- */

static char kept[4096];
static size_t kept_bytes;

static int keep(void *context, const char *data, size_t bytes, uint64_t *ret_position)
{
    (void)context;
    assert_true(bytes <= sizeof(kept));
    memcpy(kept, data, bytes);
    kept_bytes = bytes;
    *ret_position = 99;
    return 0;
}

static int keep_text(void *context, const char *data, size_t bytes, uint64_t *ret_position)
{
    (void)context, (void)data, (void)bytes;
    *ret_position = 50;
    return 0;
}

static int read_text(void *context, uint64_t position, size_t offset, char *buffer, size_t bytes)
{
    (void)context, (void)position, (void)offset;
    memset(buffer, 'x', bytes);
    return 0;
}

static void a_snapshot_has_both(void **state)
{
    static const struct tasklog_spill spill = {keep_text, read_text, NULL};
    struct tasklog_line line = line_of(ALICE, "one");

    (void)state;
    tasklog_table_set_spill(tasks.table, &spill);
    line.position = 5;
    give(line);
    omit(1, true);
    omit(4, false);
    assert_int_equal(tasklog_table_forward(tasks.table, keep, NULL), 1);
    assert_int_equal(look("two").omitted, 5); /* the spool has them now */
    assert_int_equal(look("two").omitted_new, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tasklog_table_restore(tasks.table, kept, kept_bytes, 99, 0), 0);
        assert_int_equal(census[ALICE], 1);
        assert_int_equal(look("two").peer, ALICE);
        assert_int_equal(look("two").omitted, 5);
    }
    for (size_t bytes = 0; bytes < kept_bytes; bytes++)
        assert_int_equal(tasklog_table_restore(tasks.table, kept, bytes, 99, 0), -EBADMSG);
    tasklog_results_clear(&tasks.results);
    struct tasklog_results none = {0};
    tasklog_table_drain(tasks.table, tasks.now, &none);
    tasklog_results_clear(&none);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_line_is_seen_as_what_it_would_do),
        TEST(runs_that_begin_and_end_are_told),
        TEST(what_is_refused_is_told_with_the_next_line),
        TEST(an_end_and_a_new_start_tell_it_too),
        TEST(what_the_clock_closes_tells_it_and_says_how_much_the_spool_lacks),
        TEST(a_task_that_begins_in_its_middle_says_so),
        TEST(a_snapshot_has_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
