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
#include "tasklog/letterbox.h"

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
    room = 0;
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

static void stop(void)
{
    tasklog_collector_stop(collecting_collector(collecting), 100);
}

static void a_stop_in_a_gap_loses_nothing(void **state)
{
    static char text[400000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    life_begin(NULL, NULL, NULL);
    GIVE("job[a]", "one");
    fill_the_spool();
    GIVE("job[a]", "two");
    GIVE("job[begun]", "one");
    stop();
    assert_int_equal(collecting_said(collecting, "stopped"), 0);
    life_end();
    life_begin(NULL, NULL, NULL); /* which finds no room either */
    assert_int_equal(collecting_counters(collecting).open_tasks, 3);
    GIVE("job[large]", text);
    assert_int_equal(collecting_counters(collecting).unspooled, 1);
    no_space = 0;
    end_and_see("[2026-11-24 10:00:00] one\n[2026-11-24 10:00:00] two\n"
                "[2026-11-24 10:00:00] three\n" COMPLETED("3 lines"));
    GIVE("job[begun]", "@task end");
    WAIT(fake_store_kept_of("begun", "COMPLETED") == 1);
    assert_string_equal(log_of("begun"), "[2026-11-24 10:00:00] one\n" COMPLETED("1 line"));
}

static void begin_without_reserve(void)
{
    char path[128];

    life_begin(NULL, NULL, NULL);
    GIVE("job[a]", "one");
    snprintf(path, sizeof(path), "%s/spool/reserve", lives_folder);
    assert_int_equal(unlink(path), 0);
    fill_the_spool();
    GIVE("job[a]", "two");
}

/* The room that the disk has is too little for a segment, but not for this. */
static void a_stop_finds_room_that_is_not_kept_for_it(void **state)
{
    (void)state;
    begin_without_reserve();
    room = 5 << 20;
    stop();
    life_end();
    no_space = 0;
    life_begin(NULL, NULL, NULL);
    end_and_see("[2026-11-24 10:00:00] one\n[2026-11-24 10:00:00] two\n"
                "[2026-11-24 10:00:00] three\n" COMPLETED("3 lines"));
}

static void lines_that_a_stop_has_cost_are_told_of(void **state)
{
    (void)state;
    begin_without_reserve();
    stop();
    assert_int_equal(collecting_said(collecting, "stopped while the spool takes nothing: No space"),
                     1);
    life_end();
    no_space = 0;
    life_begin(NULL, NULL, NULL);
    end_and_see("[2026-11-24 10:00:00] one\n" MISSING
                "[2026-11-24 10:00:00] three\n" COMPLETED("2 lines"));
}

/* There is no room for the log of `large`; what is small is not lost for that. */
static void a_stop_in_a_gap_keeps_what_is_small_first(void **state)
{
    static char text[100000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    life_begin(NULL, NULL, NULL);
    GIVE("job[large]", "one");
    GIVE("job[a]", "one");
    fill_the_spool();
    for (int i = 0; i < 300; i++)
        GIVE("job[large]", text);
    GIVE("job[a]", "two");
    stop();
    assert_int_equal(collecting_said(collecting, "stopped while the spool takes nothing: No space"),
                     1);
    life_end();
    no_space = 0;
    life_begin(NULL, NULL, NULL);
    end_and_see("[2026-11-24 10:00:00] one\n[2026-11-24 10:00:00] two\n"
                "[2026-11-24 10:00:00] three\n" COMPLETED("3 lines"));
    GIVE("job[large]", "@task end");
    WAIT(fake_store_kept_of("large", "COMPLETED") == 1);
    assert_string_equal(log_of("large"), "[2026-11-24 10:00:00] one\n" MISSING COMPLETED("1 line"));
}

/* A life that begins on a full disk has a small segment, if there is room for that, and so can tell. */
static void life_on_a_full_disk(void)
{
    no_space = ENOSPC;
    room = 100 << 10;
    life_begin(NULL, NULL, NULL);
    GIVE("job[a]", "two");
    fill_the_spool();
    GIVE("job[a]", "lost");
}

static void life_with_one_line(void)
{
    life_begin(NULL, NULL, NULL);
    GIVE("job[a]", "one");
}

static void so_are_those_of_a_life_that_began_on_a_full_disk(void **state)
{
    (void)state;
    live_and_die(life_with_one_line);
    live_and_die(life_on_a_full_disk);
    life_begin(NULL, NULL, NULL);
    end_and_see("[2026-11-24 10:00:00] one\n[2026-11-24 10:00:00] two\n" MISSING
                "[2026-11-24 10:00:00] three\n" COMPLETED("3 lines"));
}

/* A result that neither the database nor the spool has: its run does not go on in the next life. */
static void a_stop_puts_results_that_the_spool_has_not_among_the_letters(void **state)
{
    struct tasklog_letter_entry *letters;
    char path[128];
    size_t count;

    (void)state;
    fake_store_answer(-EAGAIN, "away");
    life_begin(NULL, NULL, NULL);
    GIVE("job[a]", "one");
    GIVE("job[b]", "one");
    GIVE("job[b]", "@task end");
    fill_the_spool();
    GIVE("job[a]", "@task end");
    stop();
    assert_int_equal(collecting_said(collecting, "stopped with 1 result waiting in the spool"), 1);
    assert_int_equal(collecting_said(collecting,
                                     "stopped with 1 result that the database did not take"),
                     1);
    assert_int_equal(collecting_said(collecting, "the spool had no room for their end"), 1);
    assert_int_equal(collecting_said(collecting, "among the dead letters"), 1);
    life_end();
    snprintf(path, sizeof(path), "%s/spool", lives_folder);
    assert_int_equal(tasklog_letterbox_list(path, &letters, &count), 0);
    assert_int_equal(count, 1);
    free(letters);
    no_space = 0;
    fake_store_answer(0, "");
    life_begin(NULL, NULL, NULL);
    assert_int_equal(collecting_counters(collecting).open_tasks, 1); /* what fills */
    WAIT(fake_store_kept_of("b", "COMPLETED") == 1);
    assert_int_equal(fake_store_kept_of("a", NULL), 0);
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
        TEST(a_stop_in_a_gap_loses_nothing),
        TEST(a_stop_finds_room_that_is_not_kept_for_it),
        TEST(lines_that_a_stop_has_cost_are_told_of),
        TEST(a_stop_in_a_gap_keeps_what_is_small_first),
        TEST(so_are_those_of_a_life_that_began_on_a_full_disk),
        TEST(a_stop_puts_results_that_the_spool_has_not_among_the_letters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
