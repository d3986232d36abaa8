/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector and its gate: what is refused is counted, told to people now and then, and told by the task's
 * log, over a kill, too. Each life but the last is a process of its own that dies by SIGKILL.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/fake_store.h"
#include "support/lives.h"

enum { ALICE = 4001, BOB = 4002 };

static void give(uint32_t uid, const char *tag, const char *text)
{
    struct tasklog_line line = collecting_line(tag, text);

    line.has_uid = true;
    line.uid = uid;
    assert_int_equal(tasklog_collector_accept(collecting_collector(collecting), &line, 1), 1);
}

static const char *log_of(const char *id)
{
    COLLECTING_WAIT(collecting, fake_store_kept_of(id, "COMPLETED") == 1);
    for (size_t i = 0; i < fake_store_kept_count(); i++)
        if (strcmp(fake_store_kept(i)->id, id) == 0)
            return fake_store_kept(i)->log;
    return NULL;
}

#define AT "[2026-11-24 10:00:00] "
#define SUMMARY(lines) AT "Completed: " lines ", 0 warnings, 0 errors, Total time: 0s"

/* Lines but for the times of notes, which are those of the clock. */
static void expect_log(const char *id, const char *expected)
{
    char got[4096];
    size_t used = 0;

    for (const char *log = log_of(id); *log; log++) {
        if (*log == '[' && strncmp(log + 22, "[... ", 5) == 0)
            log += 22;
        assert_true(used < sizeof(got) - 1);
        got[used++] = *log;
    }
    got[used] = '\0';
    assert_string_equal(got, expected);
}

/* ---- whose it is ---- */

static void what_is_refused_changes_nothing(void **state)
{
    (void)state;
    life_begin("trustedUids=4001", "trustedUids=4002", NULL);
    give(ALICE, "job[1]", "one");
    give(BOB, "job[1]", "forged");
    give(BOB, "job[1]", "@task end status=FORGED");
    give(9, "job[1]", "@task end status=FORGED");
    give(9, "job[2]", "@task end");
    give(ALICE, "job[1]", "@task end");
    expect_log("1", AT "one\n" SUMMARY("1 line"));
    struct tasklog_counters counters = collecting_counters(collecting);
    assert_int_equal(counters.foreign, 2);
    assert_int_equal(counters.untrusted, 2);
    assert_int_equal(counters.lines, 1);
    assert_int_equal(counters.control, 1);
    assert_int_equal(counters.tasks_started, 1);
    assert_int_equal(fake_store_kept_count(), 1);
}

static void people_are_told_once_a_minute_for_each_reason(void **state)
{
    (void)state;
    life_begin("trustedUids=4001", "trustedUids=4002", NULL);
    for (int i = 0; i < 50; i++) {
        give(ALICE, "job[1]", "one");
        give(BOB, "job[1]", "forged");
        give(9, "job[\xe2\x80\xae]", "text");
    }
    assert_int_equal(collecting_said(collecting, "is refused"), 2);
    assert_int_equal(collecting_said(collecting,
                                     "a line of \"job[1]\" from uid 4002 is refused: the task is "
                                     "another user's, who began it; dropped"),
                     1);
    assert_int_equal(collecting_said(collecting, "from uid 9 is refused: trustedUids does not name "
                                                 "it; dropped"),
                     1);
    assert_int_equal(collecting_said(collecting, "a line of \"job[???]\" from"), 1);
}

static void lines_without_a_user_are_told_of_once(void **state)
{
    (void)state;
    life_begin("trustedUids=4001", NULL, NULL);
    for (int i = 0; i < 3; i++)
        collecting_give(collecting, "job[1]", "text");
    assert_int_equal(collecting_said(collecting, "without a user that the kernel vouches for"), 1);
    assert_int_equal(collecting_counters(collecting).untrusted, 3);
}

static void life_of_alice(void)
{
    life_begin("trustedUids=4001", "trustedUids=4002", NULL);
    give(ALICE, "job[1]", "one");
}

static void whose_a_task_is_is_in_the_spool(void **state)
{
    (void)state;
    live_and_die(life_of_alice);
    life_begin("trustedUids=4001", "trustedUids=4002", NULL);
    give(BOB, "job[1]", "@task end status=FORGED");
    give(ALICE, "job[1]", "@task end");
    expect_log("1", AT "one\n" SUMMARY("1 line"));
    assert_int_equal(collecting_counters(collecting).foreign, 1);
}

/* ---- how much ---- */

static void the_log_tells_how_many_lines_there_were_more(void **state)
{
    (void)state;
    life_begin("senderMaxRate=2", NULL, NULL);
    for (int i = 0; i < 10; i++)
        give(ALICE, "job[1]", "line");
    give(BOB, "job[2]", "line");
    give(ALICE, "job[1]", "@task end");
    give(BOB, "job[2]", "@task end");
    expect_log("1",
               AT "line\n" AT "line\n[... 8 lines are missing here: the sender went beyond its "
                  "limit ...]\n" SUMMARY("2 lines"));
    expect_log("2", AT "line\n" SUMMARY("1 line"));
    assert_int_equal(collecting_counters(collecting).over_rate, 8);
    assert_int_equal(collecting_counters(collecting).lines, 3);
}

static void life_of_a_flood(void)
{
    life_begin("senderMaxRate=2", NULL, NULL);
    for (int i = 0; i < 10; i++)
        give(ALICE, "job[1]", "line");
}

/* That there were some is known; the rest was not yet told when it was killed. */
static void a_kill_makes_no_log_complete(void **state)
{
    (void)state;
    live_and_die(life_of_a_flood);
    life_begin("senderMaxRate=2", NULL, NULL);
    give(ALICE, "job[1]", "@task end");
    expect_log("1", AT "line\n" AT "line\n[... 1 line is missing here: the sender went beyond its "
                       "limit ...]\n" SUMMARY("2 lines"));
}

static void life_that_tells(void)
{
    fake_store_answer(-EAGAIN, "away");
    life_begin("senderMaxRate=2", NULL, NULL);
    for (int i = 0; i < 10; i++)
        give(ALICE, "job[1]", "line");
    give(ALICE, "job[1]", "@task end");
    give(ALICE, "job[2]", "missing");
    give(ALICE, "job[2]", "missing");
    give(BOB, "job[2]", "@task end"); /* it begins here */
}

static void life_by_other_rules(void)
{
    fake_store_answer(-EAGAIN, "away");
    life_begin("trustedUids=4001", NULL, NULL);
}

static void what_was_told_is_told_again_after_a_kill(void **state)
{
    (void)state;
    live_and_die(life_that_tells);
    live_and_die(life_by_other_rules);
    life_begin("senderMaxRate=2", NULL, NULL);
    expect_log("1",
               AT "line\n" AT "line\n[... 8 lines are missing here: the sender went beyond its "
                  "limit ...]\n" SUMMARY("2 lines"));
    expect_log("2",
               "[... 2 lines are missing here: the sender went beyond its limit ...]\n" SUMMARY(
                   "0 lines"));
}

static void life_of_an_idle_flood(void)
{
    fake_store_answer(-EAGAIN, "away");
    life_begin("senderMaxRate=2", "idleTimeout=1", NULL);
    for (int i = 0; i < 10; i++)
        give(ALICE, "job[1]", "line");
    COLLECTING_WAIT(collecting, collecting_counters(collecting).ended_idle == 1);
}

static void what_the_clock_told_is_told_again_after_a_kill(void **state)
{
    (void)state;
    live_and_die(life_of_an_idle_flood);
    life_begin("senderMaxRate=2", NULL, NULL);
    COLLECTING_WAIT(collecting, fake_store_kept_of("1", "FAILED") == 1);
    assert_non_null(strstr(fake_store_kept(0)->log, "[... 8 lines are missing here"));
}

static void life_of_two_tasks(void)
{
    life_begin("senderMaxTasks=2", NULL, NULL);
    give(ALICE, "job[1]", "one");
    give(ALICE, "job[2]", "one");
}

static void open_tasks_are_counted_over_a_kill(void **state)
{
    (void)state;
    live_and_die(life_of_two_tasks);
    life_begin("senderMaxTasks=2", NULL, NULL);
    give(ALICE, "job[3]", "one");
    give(BOB, "job[4]", "one");
    assert_int_equal(collecting_counters(collecting).over_tasks, 1);
    give(ALICE, "job[1]", "@task end");
    give(ALICE, "job[3]", "two");
    give(ALICE, "job[3]", "@task end");
    expect_log("3", "[... 1 line is missing here: the sender went beyond its limit ...]\n" AT
                    "two\n" SUMMARY("1 line"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, lives_set_up, lives_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_refused_changes_nothing),
        TEST(people_are_told_once_a_minute_for_each_reason),
        TEST(lines_without_a_user_are_told_of_once),
        TEST(whose_a_task_is_is_in_the_spool),
        TEST(the_log_tells_how_many_lines_there_were_more),
        TEST(a_kill_makes_no_log_complete),
        TEST(what_was_told_is_told_again_after_a_kill),
        TEST(what_the_clock_told_is_told_again_after_a_kill),
        TEST(open_tasks_are_counted_over_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
