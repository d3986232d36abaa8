/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spool that takes nothing for a while: what a kill then costs is told, what a later kill would cost is put into
 * the spool as soon as there is room. Each life is a process of its own that dies by SIGKILL; the last one is
 * the test's.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/fake_store.h"
#include "support/full_disk.h"
#include "support/lives.h"

#define GIVE(tag, text) collecting_give(collecting, (tag), (text))
#define WAIT(condition) COLLECTING_WAIT(collecting, condition)
#define MISSING                                                                                    \
    "[ the gap's time is ] [... lines may be missing here: the spool was full when tasklog ended " \
    "...]\n"
#define COMPLETED(lines) \
    "[2026-11-24 10:00:00] Completed: " lines ", 0 warnings, 0 errors, Total time: 0s"

static int tear_down(void **state)
{
    no_space = 0;
    return lives_tear_down(state);
}

/* From now on no line goes into the spool: its segment is full but for less than such a line, and there is no room
 * for another. */
static void fill_the_spool(void)
{
    static const char text[] = "a line that is neither short nor long";
    uint64_t before = collecting_counters(collecting).unspooled;

    no_space = ENOSPC;
    for (int i = 0; i < 200000 && collecting_counters(collecting).unspooled == before; i++)
        GIVE("fill[1]", text);
    assert_int_equal(collecting_counters(collecting).unspooled, before + 1);
}

static void make_room(void)
{
    WAIT(collecting_said(collecting, "takes nothing") == 1);
    no_space = 0;
    WAIT(collecting_said(collecting, "takes lines again") == 1); /* by itself */
}

static const char *log_of(const char *id)
{
    static char log[1024];
    static const char hidden[] = "[ the gap's time is ] ";
    bool found = false;

    for (size_t i = 0; i < fake_store_kept_count(); i++)
        if (strcmp(fake_store_kept(i)->id, id) == 0)
            found = snprintf(log, sizeof(log), "%s", fake_store_kept(i)->log) > 0;
    assert_true(found);
    char *note = strstr(log, "[... ");
    if (note)
        memcpy(note - strlen(hidden), hidden, strlen(hidden));
    return log;
}

static void end_and_see(const char *lines)
{
    GIVE("job[a]", "three");
    GIVE("job[a]", "@task end");
    WAIT(fake_store_kept_of("a", "COMPLETED") == 1);
    assert_string_equal(log_of("a"), lines);
}

static void life_that_is_killed_in_a_gap(void)
{
    life_begin(NULL, NULL, NULL);
    GIVE("job[a]", "one");
    fill_the_spool();
    GIVE("job[a]", "two");
}

static void lines_that_a_kill_has_cost_are_told_of(void **state)
{
    (void)state;
    live_and_die(life_that_is_killed_in_a_gap);
    life_begin(NULL, NULL, NULL);
    end_and_see("[2026-11-24 10:00:00] one\n" MISSING
                "[2026-11-24 10:00:00] three\n" COMPLETED("2 lines"));
}

static void they_are_told_of_once(void **state)
{
    (void)state;
    live_and_die(life_that_is_killed_in_a_gap);
    live_and_die(life_without_lines);
    live_and_die(life_without_lines);
    life_begin(NULL, NULL, NULL);
    end_and_see("[2026-11-24 10:00:00] one\n" MISSING
                "[2026-11-24 10:00:00] three\n" COMPLETED("2 lines"));
}

static void life_with_a_gap(void)
{
    life_that_is_killed_in_a_gap();
    GIVE("job[begun]", "one");
    make_room();
}

static void what_was_taken_meanwhile_is_in_the_spool_when_there_is_room(void **state)
{
    (void)state;
    live_and_die(life_with_a_gap);
    live_and_die(life_without_lines);
    life_begin(NULL, NULL, NULL);
    assert_int_equal(collecting_counters(collecting).open_tasks, 3);
    end_and_see("[2026-11-24 10:00:00] one\n[2026-11-24 10:00:00] two\n"
                "[2026-11-24 10:00:00] three\n" COMPLETED("3 lines"));
    GIVE("job[begun]", "@task end");
    WAIT(fake_store_kept_of("begun", "COMPLETED") == 1);
    assert_string_equal(log_of("begun"), "[2026-11-24 10:00:00] one\n" COMPLETED("1 line"));
}

static void life_that_goes_on_after_a_gap(void)
{
    life_with_a_gap();
    GIVE("job[begun]", "two");
    GIVE("job[a]", "three");
}

static void lines_behind_it_belong_to_the_same_runs(void **state)
{
    (void)state;
    live_and_die(life_that_goes_on_after_a_gap);
    life_begin(NULL, NULL, NULL);
    assert_int_equal(collecting_counters(collecting).open_tasks, 3);
    GIVE("job[begun]", "@task end");
    WAIT(fake_store_kept_of("begun", "COMPLETED") == 1);
    assert_string_equal(log_of("begun"),
                        "[2026-11-24 10:00:00] one\n[2026-11-24 10:00:00] two\n" COMPLETED(
                            "2 lines"));
}

static void life_with_two_gaps(void)
{
    life_with_a_gap();
    fill_the_spool();
    GIVE("job[a]", "lost");
}

static void a_second_gap_is_another(void **state)
{
    (void)state;
    live_and_die(life_with_two_gaps);
    life_begin(NULL, NULL, NULL);
    end_and_see("[2026-11-24 10:00:00] one\n[2026-11-24 10:00:00] two\n" MISSING
                "[2026-11-24 10:00:00] three\n" COMPLETED("3 lines"));
}

/* To some tasks: what is told of the first few has room in the spool yet. */
static void give_some(const char *text)
{
    for (int i = 0; i < 5; i++) {
        char tag[32];
        snprintf(tag, sizeof(tag), "job[%d]", i + 10);
        GIVE(tag, text);
    }
}

static void life_that_stores_in_a_gap(void)
{
    life_begin(NULL, NULL, NULL);
    give_some("one");
    GIVE("job[a]", "one");
    GIVE("job[again]", "one");
    fill_the_spool();
    give_some("@task end");
    GIVE("job[a]", "@task end");
    GIVE("job[again]", "@task start");
    WAIT(collecting_counters(collecting).rows_stored == 7);
    make_room();
}

static void life_that_stores_after_a_gap(void)
{
    fake_store_answer(-EAGAIN, "away");
    life_begin(NULL, NULL, NULL);
    GIVE("job[a]", "one");
    GIVE("job[again]", "one");
    fill_the_spool();
    GIVE("job[a]", "@task end");
    GIVE("job[again]", "@task start");
    make_room();
    fake_store_answer(0, "");
    WAIT(collecting_counters(collecting).rows_stored == 2);
}

/* Neither as a running task nor, when the clock has closed that, as another result. */
static void is_not_written_again(void (*life)(void))
{
    live_and_die(life);
    live_and_die(life_without_lines);
    life_begin(NULL, NULL, NULL);
    assert_int_equal(collecting_counters(collecting).open_tasks,
                     2); /* the new run and what fills */
    GIVE("job[again]", "@task end");
    WAIT(fake_store_kept_of("again", "COMPLETED") == 1);
    GIVE("fill[1]", "@task end");
    WAIT(fake_store_kept_of("1", "COMPLETED") == 1);
    assert_int_equal(fake_store_kept_of("a", NULL), 0);
    assert_int_equal(fake_store_kept_of("again", "FAILED"), 0);
}

static void a_row_that_was_stored_in_a_gap_is_not_written_again(void **state)
{
    (void)state;
    is_not_written_again(life_that_stores_in_a_gap);
}

static void nor_is_one_that_was_stored_later(void **state)
{
    (void)state;
    is_not_written_again(life_that_stores_after_a_gap);
}

enum { LONG_LINES = 3000, MORE_LINES = 70000 }; /* more than are known again after a crash */

static void give_many(const char *tag, const char *text, int count)
{
    for (int i = 0; i < count; i++)
        GIVE(tag, text);
}

/* Of `a` the spool has text from long before the gap, of `begun` only what was written at its end. */
static void life_with_old_text(void)
{
    static char text[1000];

    memset(text, 'x', sizeof(text) - 1);
    life_begin("memoryBudget=1m", NULL, NULL);
    give_many("job[a]", text, LONG_LINES);
    fill_the_spool();
    GIVE("job[begun]", "one");
    GIVE("job[a]", "two");
    make_room();
    give_many("job[begun]", "another", MORE_LINES);
}

static void old_text_is_kept_for_as_long_as_it_is_needed(void **state)
{
    (void)state;
    live_and_die(life_with_old_text);
    life_begin("memoryBudget=1m", "lateWindow=0", NULL);
    GIVE("fill[1]", "@task end");
    WAIT(collecting_counters(collecting).rows_stored == 1);
    GIVE("job[b]", "one"); /* with the next result, segments are let go of */
    GIVE("job[b]", "@task end");
    WAIT(collecting_counters(collecting).rows_stored == 2);
    GIVE("job[a]", "@task end");
    WAIT(fake_store_kept_of("a", "COMPLETED") == 1);
    assert_int_equal(collecting_said(collecting, "question marks"), 0);
}

static void a_stop_tells_which_results_the_spool_has_not(void **state)
{
    (void)state;
    fake_store_answer(-EAGAIN, "away");
    life_begin(NULL, NULL, NULL);
    GIVE("job[a]", "one");
    GIVE("job[b]", "one");
    GIVE("job[b]", "@task end");
    fill_the_spool();
    GIVE("job[a]", "@task end");
    tasklog_collector_stop(collecting_collector(collecting), 100);
    assert_int_equal(collecting_said(collecting, "stopped with 1 result waiting in the spool"), 1);
    assert_int_equal(collecting_said(collecting,
                                     "stopped with 1 result that the database did not take"),
                     1);
    assert_int_equal(collecting_said(collecting, "the spool had no room for their end"), 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, lives_set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_that_a_kill_has_cost_are_told_of),
        TEST(they_are_told_of_once),
        TEST(what_was_taken_meanwhile_is_in_the_spool_when_there_is_room),
        TEST(lines_behind_it_belong_to_the_same_runs),
        TEST(a_second_gap_is_another),
        TEST(a_row_that_was_stored_in_a_gap_is_not_written_again),
        TEST(nor_is_one_that_was_stored_later),
        TEST(old_text_is_kept_for_as_long_as_it_is_needed),
        TEST(a_stop_tells_which_results_the_spool_has_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
