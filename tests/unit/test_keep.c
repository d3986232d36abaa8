/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector with a spool: whatever a process took before it was killed is in the rows that the
 * next one writes, once and in order. Each life is a process of its own that dies by SIGKILL; the
 * last one is the test's.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/fake_store.h"
#include "support/full_disk.h"
#include "support/lives.h"
#include "support/steady_clock.h"
#include "tasklog/letterbox.h"

#define GIVE(tag, text) collecting_give(collecting, (tag), (text))
#define WAIT(condition) COLLECTING_WAIT(collecting, condition)

static const struct fake_row *only_row_of(const char *id)
{
    const struct fake_row *found = NULL;

    for (size_t i = 0; i < fake_store_kept_count(); i++) {
        const struct fake_row *row = fake_store_kept(i);
        if (strcmp(row->id, id) == 0) {
            assert_null(found);
            found = row;
        }
    }
    assert_non_null(found);
    return found;
}

static int tear_down(void **state)
{
    no_space = 0;
    return lives_tear_down(state);
}

/* ---- lives ---- */

static void life_of_an_open_task(void)
{
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "one");
    GIVE("job[1]", "@task progress processed=1 tables=2");
    GIVE("job[1]", "two");
}

static void an_open_task_goes_on(void **state)
{
    (void)state;
    live_and_die(life_of_an_open_task);
    life_begin(NULL, NULL, NULL);
    assert_int_equal(collecting_counters(collecting).open_tasks, 1);
    GIVE("job[1]", "three");
    GIVE("job[1]", "@task end processed=2 tables=3");
    WAIT(fake_store_kept_count() == 1);
    assert_string_equal(only_row_of("1")->log,
                        "[2026-11-24 10:00:00] one\n[2026-11-24 10:00:00] two\n"
                        "[2026-11-24 10:00:00] three\n[2026-11-24 10:00:00] Completed: 2 "
                        "successful, 0 failed, tables: 5, Total time: 0s");
}

static void life_while_the_database_is_away(void)
{
    fake_store_answer(-EAGAIN, "away");
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "one");
    GIVE("job[1]", "@task end");
    GIVE("job[2]", "one");
}

static void a_result_that_was_not_stored_is_stored_by_the_next_life(void **state)
{
    (void)state;
    live_and_die(life_while_the_database_is_away);
    live_and_die(life_while_the_database_is_away); /* the same id again: another run, late lines */
    life_begin(NULL, NULL, NULL);
    WAIT(fake_store_kept_of("1", "COMPLETED") >= 1);
    assert_int_equal(collecting_counters(collecting).open_tasks, 1);
    assert_non_null(strstr(fake_store_kept(0)->log, "one"));
}

static void life_that_stores(void)
{
    life_begin(NULL, NULL, NULL);
    for (int i = 0; i < 50; i++) {
        char tag[32];
        snprintf(tag, sizeof(tag), "job[%d]", i);
        GIVE(tag, "a line");
        GIVE(tag, "@task end");
    }
    WAIT(fake_store_kept_count() == 50);
    WAIT(collecting_counters(collecting).rows_stored == 50);
}

static void what_is_stored_is_not_written_again(void **state)
{
    (void)state;
    live_and_die(life_that_stores);
    life_begin(NULL, NULL, NULL);
    GIVE("job[new]", "@task end");
    WAIT(fake_store_kept_count() >= 1);
    assert_int_equal(fake_store_kept_count(), 1);
    assert_string_equal(fake_store_kept(0)->id, "new");
}

static void life_with_late_lines(void)
{
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "one");
    GIVE("job[1]", "@task end");
    WAIT(collecting_counters(collecting).rows_stored == 1);
    GIVE("job[1]", "late");
    WAIT(collecting_counters(collecting).rows_stored == 2);
}

#define STORED_LOG                \
    "[2026-11-24 10:00:00] one\n" \
    "[2026-11-24 10:00:00] Completed: 1 line, 0 warnings, 0 errors, Total time: 0s"

#define LATE "\n[2026-11-24 10:00:00] late"
#define LATER "\n[2026-11-24 10:00:00] later"

/* What a database that had this log has after the rows that were kept: each appends at its place. */
static const char *log_after_late_rows(const char *had)
{
    static char log[1000];

    strcpy(log, had);
    for (size_t i = 0; i < fake_store_kept_count(); i++) {
        const struct fake_row *row = fake_store_kept(i);
        assert_in_range(row->append_at, strlen(STORED_LOG), strlen(log));
        snprintf(log + row->append_at, sizeof(log) - (size_t)row->append_at, "%s", row->log);
    }
    return log;
}

static void late_lines_are_appended_at_the_same_place_again(void **state)
{
    (void)state;
    live_and_die(life_with_late_lines);
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "later");
    WAIT(strcmp(log_after_late_rows(STORED_LOG LATE), STORED_LOG LATE LATER) == 0);
}

static void life_whose_late_line_is_not_stored(void)
{
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "one");
    GIVE("job[1]", "@task end");
    WAIT(collecting_counters(collecting).rows_stored == 1);
    fake_store_answer(-EIO, "away");
    GIVE("job[1]", "late");
    WAIT(collecting_counters(collecting).retries > 0);
}

static void a_late_line_that_was_not_stored_is_stored_by_the_next_life(void **state)
{
    (void)state;
    live_and_die(life_whose_late_line_is_not_stored);
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "later");
    WAIT(strcmp(log_after_late_rows(STORED_LOG), STORED_LOG LATE LATER) == 0);
}

static void late_lines_that_are_stored_are_not_written_again(void **state)
{
    (void)state;
    live_and_die(life_with_late_lines);
    life_begin(NULL, NULL, NULL);
    GIVE("job[2]", "@task end");
    WAIT(collecting_counters(collecting).rows_stored == 1);
    GIVE("job[2]", "late"); /* what else is late would be written before it */
    WAIT(collecting_counters(collecting).rows_stored == 2);
    assert_int_equal(fake_store_kept_count(), 2);
    assert_int_equal(fake_store_kept_of("1", NULL), 0);
}

static void life_that_closes_an_idle_task(void)
{
    fake_store_answer(-EAGAIN, "away");
    life_begin("idleTimeout=1", NULL, NULL);
    GIVE("job[1]", "one");
    WAIT(collecting_counters(collecting).ended_idle == 1);
    GIVE("job[1]", "@task end text=\"after all\"");
}

static void what_the_clock_decided_stays_decided(void **state)
{
    (void)state;
    live_and_die(life_that_closes_an_idle_task);
    life_begin("idleTimeout=1", NULL, NULL);
    WAIT(fake_store_kept_count() == 2);
    assert_non_null(strstr(fake_store_kept(0)->log, "Closed by tasklog: no line for 1s"));
    assert_string_equal(fake_store_kept(0)->status, "FAILED");
    assert_string_equal(fake_store_kept(1)->status, "COMPLETED");
    assert_non_null(strstr(fake_store_kept(1)->log, "after all"));
}

static void time_stands_still_between_two_lives(void **state)
{
    (void)state;
    live_and_die(life_of_an_open_task);
    const struct timespec pause = {.tv_sec = 1, .tv_nsec = 200000000};
    nanosleep(&pause, NULL); /* longer than the idle time: this is what is tested */
    int64_t began_ms = steady_now_ms();
    life_begin("idleTimeout=1", NULL, NULL);
    WAIT(fake_store_kept_count() == 1);
    assert_true(steady_now_ms() - began_ms >= 900);
    assert_string_equal(fake_store_kept(0)->status, "FAILED");
}

static void a_stop_leaves_running_tasks_to_the_next_life(void **state)
{
    (void)state;
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "one");
    tasklog_collector_stop(collecting_collector(collecting), 1000);
    assert_int_equal(fake_store_kept_count(), 0);
    life_end();
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "@task end");
    WAIT(fake_store_kept_count() == 1);
    assert_non_null(strstr(only_row_of("1")->log, "one\n"));
}

static void a_second_collector_on_the_same_spool_is_refused(void **state)
{
    char error[TASKLOG_ERROR_BYTES];

    (void)state;
    life_begin(NULL, NULL, NULL);
    struct collecting *second = life_new(NULL, NULL, NULL);
    assert_int_equal(tasklog_collector_start(collecting_collector(second), error), -EBUSY);
    assert_non_null(strstr(error, lives_folder));
    assert_non_null(strstr(error, "in use"));
    collecting_free(second);
}

static char big_text[20001];

static void life_with_little_memory(void)
{
    fake_store_answer(-EAGAIN, "away");
    life_begin("memoryBudget=200k", NULL, NULL);
    for (int i = 0; i < 100; i++) {
        GIVE("job[big]", big_text);
        GIVE("job[other]", big_text);
    }
    GIVE("job[other]", "@task end");
}

static void text_beyond_the_budget_waits_in_the_spool(void **state)
{
    (void)state;
    memset(big_text, 'x', sizeof(big_text) - 1);
    life_with_little_memory();
    struct tasklog_counters counters = collecting_counters(collecting);
    assert_true(counters.memory_bytes < 400 * 1024);
    assert_int_equal(counters.missing, 0);
    fake_store_answer(0, NULL);
    WAIT(fake_store_kept_count() == 1);
    assert_true(strlen(only_row_of("other")->log) > 100 * 20000);
    assert_null(strchr(only_row_of("other")->log, '?'));
}

static void text_beyond_the_budget_survives_too(void **state)
{
    (void)state;
    memset(big_text, 'x', sizeof(big_text) - 1);
    live_and_die(life_with_little_memory);
    life_begin("memoryBudget=200k", NULL, NULL);
    assert_true(collecting_counters(collecting).memory_bytes < 400 * 1024);
    GIVE("job[big]", "@task end");
    WAIT(fake_store_kept_count() == 2);
    assert_true(strlen(only_row_of("other")->log) > 100 * 20000);
    assert_true(strlen(only_row_of("big")->log) > 100 * 20000);
}

/* They take no memory while they wait, but all of it when they are written. */
static void logs_that_lie_in_the_spool_are_written_few_at_a_time(void **state)
{
    enum { TASKS = 10, LINES = 100 };
    char tag[32];

    (void)state;
    memset(big_text, 'x', sizeof(big_text) - 1);
    fake_store_answer(-EAGAIN, "away");
    life_begin("memoryBudget=200k", NULL, NULL);
    for (int task = 0; task < TASKS; task++) {
        snprintf(tag, sizeof(tag), "job[%d]", task);
        for (int i = 0; i < LINES; i++)
            GIVE(tag, big_text);
        GIVE(tag, "@task end");
    }
    fake_store_answer(0, NULL);
    WAIT(fake_store_kept_count() == TASKS);
    assert_in_range(fake_store_calls().most_bytes, LINES * 20000,
                    (8 << 20) + LINES * (sizeof(big_text) + 100));
}

static _Atomic int locked_count;

static enum tasklog_verdict all_are_locked(const char *id, const char *status, unsigned attempt)
{
    (void)id, (void)status;
    locked_count += attempt == 1;
    return TASKLOG_LATER;
}

static void what_is_put_off_waits_in_the_spool_too(void **state)
{
    enum { TASKS = 30 };
    char tag[32];

    (void)state;
    memset(big_text, 'x', sizeof(big_text) - 1);
    fake_store_judge(all_are_locked);
    locked_count = 0;
    life_begin("memoryBudget=200k", NULL, NULL);
    for (int i = 0; i < TASKS; i++) {
        snprintf(tag, sizeof(tag), "job[%d]", i);
        GIVE(tag, big_text);
        GIVE(tag, "@task end");
        WAIT(locked_count == i + 1); /* it has left the queue */
    }
    GIVE("job[0]", "late");
    WAIT(collecting_counters(collecting).memory_bytes < 250 * 1024);
    fake_store_judge(NULL);
    WAIT(fake_store_kept_count() == TASKS + 1);
    for (int i = 0; i < TASKS; i++) {
        assert_true(strlen(fake_store_kept((size_t)i)->log) > 20000 ||
                    fake_store_kept((size_t)i)->append_at > 0);
        assert_null(strchr(fake_store_kept((size_t)i)->log, '?'));
    }
    WAIT(collecting_counters(collecting).memory_bytes == 0);
}

static void life_of_a_locked_row(void)
{
    fake_store_judge(all_are_locked);
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "one");
    GIVE("job[1]", "@task end");
    WAIT(collecting_counters(collecting).retries > 2);
}

static void what_is_put_off_survives_a_kill(void **state)
{
    (void)state;
    live_and_die(life_of_a_locked_row);
    life_begin(NULL, NULL, NULL);
    WAIT(fake_store_kept_count() == 1);
    assert_string_equal(only_row_of("1")->status, "COMPLETED");
}

static void what_is_put_off_waits_in_the_spool_after_a_stop(void **state)
{
    (void)state;
    life_of_a_locked_row();
    life_end();
    life_begin(NULL, NULL, NULL);
    WAIT(collecting_counters(collecting).retries > 2);
    tasklog_collector_stop(collecting_collector(collecting), 5000);
    assert_int_equal(collecting_said(collecting, "stopped with 1 result waiting in the spool"), 1);
    life_end();
    fake_store_judge(NULL);
    life_begin(NULL, NULL, NULL);
    WAIT(fake_store_kept_count() == 1);
}

static void a_full_disk_is_told_and_lines_are_kept_in_memory(void **state)
{
    (void)state;
    no_space = ENOSPC;
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "one");
    WAIT(collecting_said(collecting, "takes nothing") == 1);
    assert_true(collecting_counters(collecting).unspooled >= 1);
    GIVE("job[1]", "@task end");
    WAIT(fake_store_kept_count() == 1);
    no_space = 0;
    WAIT((collecting_try(collecting, "job[2]", "x"),
          collecting_said(collecting, "takes lines again") == 1));
}

/* The spool is full for these lines, and then no longer. */
static void give_unspooled(const char *text, const char *next)
{
    no_space = ENOSPC;
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", text);
    if (next)
        GIVE("job[1]", next);
    no_space = 0;
    WAIT((collecting_try(collecting, "job[2]", "x"),
          collecting_said(collecting, "takes lines again") == 1));
}

static void life_with_a_beginning_that_the_spool_has_not(void)
{
    give_unspooled("one", NULL);
    GIVE("job[1]", "@task end");
    WAIT(collecting_counters(collecting).rows_stored == 1);
}

static void life_with_nothing_but_a_late_line_in_the_spool(void)
{
    give_unspooled("one", "@task end");
    GIVE("job[1]", "late");
    WAIT(collecting_counters(collecting).rows_stored == 2);
}

static void what_is_stored_is_not_written_again_without_its_beginning(void **state)
{
    (void)state;
    live_and_die(life_with_a_beginning_that_the_spool_has_not);
    life_begin(NULL, NULL, NULL);
    GIVE("job[2]", "@task end");
    WAIT(fake_store_kept_of("2", "COMPLETED") == 1);
    assert_int_equal(fake_store_kept_count(), 1);
    assert_int_equal(collecting_counters(collecting).open_tasks, 0);
}

static void a_late_line_is_no_new_run_when_the_spool_has_not_the_first(void **state)
{
    (void)state;
    live_and_die(life_with_nothing_but_a_late_line_in_the_spool);
    life_begin(NULL, NULL, NULL);
    GIVE("job[2]", "@task end");
    WAIT(fake_store_kept_of("2", "COMPLETED") == 1);
    assert_int_equal(fake_store_kept_count(), 1);
    assert_int_equal(collecting_counters(collecting).open_tasks, 0);
}

static enum tasklog_verdict refuse_all(const char *id, const char *status, unsigned attempt)
{
    (void)id;
    (void)status;
    (void)attempt;
    return TASKLOG_NEVER;
}

static void a_refused_result_becomes_a_dead_letter(void **state)
{
    struct tasklog_letterbox_sum sum;
    char path[96];

    (void)state;
    snprintf(path, sizeof(path), "%s/spool", lives_folder);
    fake_store_judge(refuse_all);
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "one");
    GIVE("job[1]", "@task end");
    WAIT(collecting_said(collecting, "lies with the dead letters") == 1);
    assert_int_equal(tasklog_letterbox_count(path, &sum), 0);
    assert_int_equal(sum.count, 1);
    WAIT(collecting_counters(collecting).letters == 1);
    life_end();
    fake_store_judge(NULL);
    life_begin(NULL, NULL, NULL);
    GIVE("job[2]", "@task end");
    WAIT(fake_store_kept_count() >= 1);
    assert_int_equal(fake_store_kept_count(), 1); /* the letter is not tried again by itself */
}

static void lines_that_come_again_after_a_crash_are_dropped(void **state)
{
    (void)state;
    live_and_die(life_of_an_open_task);
    life_begin(NULL, NULL, NULL);
    GIVE("job[1]", "two"); /* the sender had no answer to this one */
    GIVE("job[1]", "three");
    GIVE("job[1]", "three");
    GIVE("job[1]", "@task end");
    WAIT(fake_store_kept_count() == 1);
    assert_string_equal(only_row_of("1")->log,
                        "[2026-11-24 10:00:00] one\n[2026-11-24 10:00:00] two\n"
                        "[2026-11-24 10:00:00] three\n[2026-11-24 10:00:00] three\n"
                        "[2026-11-24 10:00:00] Completed: 1 successful, 0 failed, tables: 2, "
                        "Total time: 0s");
    assert_int_equal(collecting_counters(collecting).redelivered, 1);
}

/* Received so long after now, at a time of its own. */
static void give_received(int second, const char *text)
{
    struct tasklog_line line = collecting_line("job[1]", text);

    line.time_us += 7;
    line.received_us = steady_clock.now(NULL).wall_us + second * INT64_C(1000000);
    assert_int_equal(tasklog_collector_accept(collecting_collector(collecting), &line, 1), 1);
}

static void lines_that_lay_in_a_queue_and_are_sent_again_are_dropped(void **state)
{
    (void)state;
    live_and_die(life_without_lines);
    life_begin(NULL, NULL, NULL);
    give_received(-1, "one");
    give_received(-1, "two");
    give_received(1, "one");
    give_received(1, "two");
    give_received(1, "three");
    give_received(1, "three");
    GIVE("job[1]", "@task end processed=1");
    WAIT(fake_store_kept_count() == 1);
    assert_string_equal(only_row_of("1")->log,
                        "[2026-11-24 10:00:00] one\n[2026-11-24 10:00:00] two\n"
                        "[2026-11-24 10:00:00] three\n[2026-11-24 10:00:00] three\n"
                        "[2026-11-24 10:00:00] Completed: 1 successful, 0 failed, Total time: 0s");
    assert_int_equal(collecting_counters(collecting).redelivered, 2);
}

/* As a sender on another host gives it. */
static bool give_numbered(uint32_t number, const char *text)
{
    struct tasklog_line line = collecting_line("job[1]", text);
    uint64_t before = collecting_counters(collecting).redelivered;

    line.stream = 1;
    line.number = number;
    assert_int_equal(tasklog_collector_accept(collecting_collector(collecting), &line, 1), 1);
    return collecting_counters(collecting).redelivered == before;
}

static void life_with_numbered_lines(void)
{
    life_begin(NULL, NULL, NULL);
    assert_true(give_numbered(0, "the same"));
    assert_true(give_numbered(1, "the same"));
    assert_true(give_numbered(2, "two"));
    assert_false(give_numbered(1, "the same")); /* a new connection, and nobody has died */
}

static void numbered_lines_that_come_again_are_dropped_in_this_life_and_the_next(void **state)
{
    (void)state;
    live_and_die(life_with_numbered_lines);
    life_begin(NULL, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        assert_false(give_numbered(0, "the same"));
        assert_false(give_numbered(1, "the same"));
        assert_false(give_numbered(2, "two"));
    }
    assert_true(give_numbered(3, "two"));
    assert_true(give_numbered(4, "@task end processed=1"));
    WAIT(fake_store_kept_count() == 1);
    assert_string_equal(only_row_of("1")->log,
                        "[2026-11-24 10:00:00] the same\n[2026-11-24 10:00:00] the same\n"
                        "[2026-11-24 10:00:00] two\n[2026-11-24 10:00:00] two\n"
                        "[2026-11-24 10:00:00] Completed: 1 successful, 0 failed, Total time: 0s");
}

/* Nothing but cursors, for more than a segment. */
static void life_of_a_numbered_task(void)
{
    char cursor[TASKLOG_CURSOR_BYTES_MAX] = "i=1";

    life_begin("lateWindow=0", NULL, NULL);
    assert_true(give_numbered(0, "one"));
    assert_true(give_numbered(1, "@task end"));
    WAIT(collecting_counters(collecting).rows_stored == 1);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(tasklog_collector_pass(collecting_collector(collecting), cursor,
                                                sizeof(cursor)),
                         0);
}

static void what_is_known_of_numbers_is_held_until_it_is_in_a_newer_segment(void **state)
{
    (void)state;
    live_and_die(life_of_a_numbered_task);
    live_and_die(life_without_lines);
    life_begin("lateWindow=0", NULL, NULL);
    assert_false(give_numbered(0, "one"));
    assert_false(give_numbered(1, "@task end"));
    assert_true(give_numbered(2, "one"));
}

static void life_with_numbered_lines_long_ago(void)
{
    life_begin("lateWindow=0", NULL, NULL);
    assert_true(give_numbered(0, "one"));
    assert_true(give_numbered(1, "@task end"));
    for (int i = 0; i < 4000; i++) { /* 80 MB */
        GIVE("job[2]", big_text);
        if (i % 50 == 49)
            GIVE("job[2]", "@task end");
    }
    WAIT(collecting_counters(collecting).rows_stored == 81);
    WAIT(collecting_counters(collecting).spool_bytes <= UINT64_C(2) * (16 << 20));
}

/* The host was cut off all the while. */
static void what_is_known_of_numbers_outlives_the_segments_of_the_lines(void **state)
{
    (void)state;
    memset(big_text, 'x', sizeof(big_text) - 1);
    live_and_die(life_with_numbered_lines_long_ago);
    live_and_die(life_without_lines);
    life_begin("lateWindow=0", NULL, NULL);
    assert_false(give_numbered(0, "one"));
    assert_false(give_numbered(1, "@task end"));
    assert_true(give_numbered(2, "one"));
}

static void segments_go_when_nobody_needs_them(void **state)
{
    (void)state;
    memset(big_text, 'x', sizeof(big_text) - 1);
    life_begin("lateWindow=0", NULL, NULL);
    for (int i = 0; i < 4000; i++) { /* 80 MB */
        GIVE("job[1]", big_text);
        if (i % 50 == 49)
            GIVE("job[1]", "@task end");
    }
    WAIT(collecting_counters(collecting).rows_stored == 80);
    WAIT(collecting_counters(collecting).spool_bytes <= UINT64_C(2) * (16 << 20));
}

enum { MANY_LINES = 400000 };

static void give_many(int from, int to)
{
    char text[256];

    for (int i = from; i < to; i++) {
        snprintf(text, sizeof(text), "line %d %0200d", i, 0);
        GIVE("job[1]", text);
        if (i % 1000 == 999)
            GIVE("job[1]", "@task end");
    }
}

static void life_of_many_lines(void)
{
    life_begin("lateWindow=0", NULL, NULL);
    give_many(0, MANY_LINES);
    WAIT(collecting_counters(collecting).rows_stored == MANY_LINES / 1000);
    /* 130 MB, of which a third is behind the mark */
    WAIT(collecting_counters(collecting).spool_bytes < UINT64_C(80) << 20);
}

static void after_a_crash_the_spool_keeps_the_last_lines_only(void **state)
{
    (void)state;
    live_and_die(life_of_an_open_task);
    live_and_die(life_of_many_lines);
    life_begin("lateWindow=0", NULL, NULL);
    give_many(MANY_LINES - 60000, MANY_LINES);
    assert_true(collecting_counters(collecting).redelivered >= 60000);
    assert_int_equal(collecting_counters(collecting).lines, 0);
}

static void life_beside_an_old_task(void)
{
    life_begin("lateWindow=0", NULL, NULL);
    GIVE("job[old]", "the first line");
    GIVE("job[old]", "@task progress tables=3");
    for (int i = 0; i < 12000; i++) { /* 240 MB */
        GIVE("job[1]", big_text);
        if (i % 50 == 49)
            GIVE("job[1]", "@task end");
        if (i % 1000 == 999)
            GIVE("job[old]", "one more");
        if (i % 500 == 499) /* what waits for the database is needed, too */
            WAIT(collecting_counters(collecting).rows_stored == (uint64_t)(i + 1) / 50);
    }
}

static void a_task_that_lives_long_does_not_hold_others_lines(void **state)
{
    (void)state;
    memset(big_text, 'x', sizeof(big_text) - 1);
    live_and_die(life_beside_an_old_task);
    life_begin("lateWindow=0", NULL, NULL);
    assert_true(collecting_counters(collecting).spool_bytes < UINT64_C(168) << 20);
    assert_int_equal(collecting_counters(collecting).open_tasks, 1);
    GIVE("job[old]", "the last line");
    GIVE("job[old]", "@task end tables=1");
    WAIT(fake_store_kept_of("old", "COMPLETED") == 1);
    const char *log = only_row_of("old")->log;
    const char *first = "[2026-11-24 10:00:00] the first line\n[2026-11-24 10:00:00] one more\n";
    assert_memory_equal(log, first, strlen(first));
    assert_non_null(strstr(log, "one more\n[2026-11-24 10:00:00] the last line\n"
                                "[2026-11-24 10:00:00] Completed: 14 lines, 0 warnings, 0 errors, "
                                "tables: 4, Total time: 0s"));
}

static void life_of_a_stored_task(void)
{
    life_begin("lateWindow=60", NULL, NULL);
    GIVE("job[1]", "one");
    GIVE("job[1]", "@task end");
    WAIT(collecting_counters(collecting).rows_stored == 1);
    GIVE("job[open]", "@task ends nothing");
}

static void other_parameters_change_nothing_that_was_taken(void **state)
{
    (void)state;
    live_and_die(life_of_a_stored_task);
    life_begin("marker=@job", "level=warning", "lateWindow=0");
    assert_int_equal(collecting_counters(collecting).open_tasks, 1);
    GIVE("job[new]", "@job end");
    GIVE("job[open]", "@job end");
    WAIT(fake_store_kept_count() >= 2);
    assert_int_equal(fake_store_kept_count(), 2); /* nothing more of job[1] */
    assert_non_null(strstr(only_row_of("open")->log, "@task ends nothing\n"));
}

static void life_of_a_task_out_of_its_window(void)
{
    life_begin("lateWindow=1", NULL, NULL);
    GIVE("job[1]", "one");
    GIVE("job[1]", "@task end");
    WAIT(collecting_counters(collecting).rows_stored == 1);
    const struct timespec pause = {.tv_sec = 1, .tv_nsec = 200000000};
    nanosleep(&pause, NULL); /* longer than the window: this is what is tested */
    tasklog_collector_stop(collecting_collector(collecting), 100);
}

static void an_id_that_was_new_again_is_new_after_a_stop(void **state)
{
    (void)state;
    live_and_die(life_of_a_task_out_of_its_window);
    life_begin("lateWindow=1", NULL, NULL);
    GIVE("job[1]", "another run");
    GIVE("job[1]", "@task end text=bye"); /* "@task end" alone might be the old one, come again */
    WAIT(fake_store_kept_count() == 1);
    assert_int_equal(only_row_of("1")->append_at, -1);
    assert_memory_equal(only_row_of("1")->log, "[2026-11-24 10:00:00] another run\n", 34);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, lives_set_up, tear_down)

/* A line of a source that can be read again; whether it was taken. */
static bool give_from(const char *cursor, const char *tag, const char *text)
{
    struct tasklog_line line = collecting_line(tag, text);

    line.cursor = cursor;
    line.cursor_bytes = strlen(cursor);
    return tasklog_collector_accept(collecting_collector(collecting), &line, 1) == 1;
}

static void assert_cursor(const char *expected)
{
    char cursor[TASKLOG_CURSOR_BYTES_MAX];
    size_t bytes = tasklog_collector_cursor(collecting_collector(collecting), cursor);

    assert_int_equal(bytes, strlen(expected));
    assert_memory_equal(cursor, expected, bytes);
}

static void life_with_a_cursor(void)
{
    life_begin("level=info", NULL, NULL);
    assert_cursor("");
    assert_true(give_from("s=1;i=1", "job[1]", "first"));
    assert_true(give_from("s=1;i=2", "job[1]", "second"));
    assert_cursor("s=1;i=2");
}

static void life_that_passes_on(void)
{
    life_begin(NULL, NULL, NULL);
    assert_cursor("s=1;i=2");
    assert_int_equal(tasklog_collector_pass(collecting_collector(collecting), "s=1;i=999", 9), 0);
}

static void a_source_goes_on_where_the_spool_has_it(void **state)
{
    (void)state;
    live_and_die(life_with_a_cursor);
    live_and_die(life_that_passes_on);
    life_begin(NULL, NULL, NULL);
    assert_cursor("s=1;i=999");
    assert_int_equal(collecting_counters(collecting).open_tasks, 1);
}

/* ---- a source that keeps its lines until it is told otherwise ---- */

static bool give_at(int64_t position, const char *tag, const char *text)
{
    struct tasklog_line line = collecting_line(tag, text);

    line.source_position = position;
    return tasklog_collector_accept(collecting_collector(collecting), &line, 1) == 1;
}

static struct tasklog_span span(void)
{
    return tasklog_collector_span(collecting_collector(collecting));
}

static void life_with_a_source_that_keeps_its_lines(void)
{
    life_begin("shared", "columns=position=position", "lateWindow=0");
    assert_true(give_at(2, "job[1]", "first"));
}

static void what_a_shared_source_needs_to_keep_is_told(void **state)
{
    (void)state;
    live_and_die(life_with_a_source_that_keeps_its_lines);
    life_with_a_source_that_keeps_its_lines();
    assert_int_equal(collecting_counters(collecting).open_tasks, 1);
    uint64_t first = span().given;
    assert_int_equal(span().needed, first); /* the spool of the life before is gone */
    assert_true(give_at(4, "job[2]", "second"));
    uint64_t second = span().given;
    assert_true(second > first);
    fake_store_block(true);
    assert_true(give_at(6, "job[1]", "@task end"));
    assert_int_equal(span().needed, first); /* the result is not in the database */
    fake_store_block(false);
    WAIT(fake_store_kept_count() == 1);
    tasklog_collector_read_until(collecting_collector(collecting), INT64_C(1795514401000000), true);
    WAIT(span().needed == second);
    assert_true(give_at(8, "job[2]", "@task end"));
    WAIT(span().needed == UINT64_MAX);
    assert_memory_equal(only_row_of("1")->log, "[2026-11-24 10:00:00] first\n", 28);
}

/* A result that the database did not take before the stop is read again by whoever comes next. */
static void what_a_stop_could_not_write_is_still_needed(void **state)
{
    (void)state;
    fake_store_answer(-EAGAIN, "away");
    life_with_a_source_that_keeps_its_lines();
    uint64_t first = span().given;
    assert_true(give_at(4, "job[1]", "@task end"));
    assert_true(give_at(6, "job[1]", "another run")); /* the one before is only in its result now */
    tasklog_collector_stop(collecting_collector(collecting), 300);
    assert_int_equal(span().needed, first);
}

static void time_outs_pass_as_far_as_a_shared_source_was_read(void **state)
{
    (void)state;
    life_begin("shared", "columns=position=position", "idleTimeout=10");
    struct tasklog_line line = collecting_line("job[1]", "logged long ago");
    const int64_t logged_us = line.time_us;
    for (int i = 0; i < 2; i++) { /* the second one 5 s later */
        line.id = i == 0 ? "1" : "2";
        line.time_us = logged_us + i * 5000000;
        line.source_position = 2;
        assert_int_equal(tasklog_collector_accept(collecting_collector(collecting), &line, 1), 1);
    }
    tasklog_collector_read_until(collecting_collector(collecting), logged_us + 14000000, true);
    WAIT(collecting_counters(collecting).ended_idle == 1);
    assert_int_equal(collecting_counters(collecting).open_tasks, 1);
    tasklog_collector_read_until(collecting_collector(collecting), logged_us + 15000000, true);
    WAIT(collecting_counters(collecting).ended_idle == 2);
}

static atomic_int held_up_ms; /* between the reading of the one clock and of the other */

static struct tasklog_now now_of_a_held_up_thread(void *context)
{
    struct tasklog_now now = steady_clock.now(context);

    now.wall_us += held_up_ms * INT64_C(1000);
    return now;
}

/* Then the two clocks seem to be less apart than they are: the idle time is none the shorter. */
static void a_thread_that_was_held_up_closes_no_task_too_soon(void **state)
{
    static const char *const parameters[] = {"database=dbname=fake",
                                             "table=tasks",
                                             "columns=log=log",
                                             "columns=status=status",
                                             "columns=position=position",
                                             "liveInterval=0",
                                             "idleTimeout=10",
                                             "shared",
                                             NULL};
    const struct tasklog_clock clock = {.now = now_of_a_held_up_thread};
    struct tasklog_line line = collecting_line("job[1]", "logged a while ago");
    char end[40];

    (void)state;
    held_up_ms = 860;
    collecting = collecting_new(parameters, &clock);
    collecting_start(collecting);
    tasklog_collector_read_until(collecting_collector(collecting), 0, false);
    held_up_ms = 0;
    line.source_position = 2;
    const time_t second = (time_t)(clock.now(NULL).wall_us / 1000000) - 9;
    line.time_us = second * INT64_C(1000000) + 50000;
    assert_int_equal(tasklog_collector_accept(collecting_collector(collecting), &line, 1), 1);
    tasklog_collector_read_until(collecting_collector(collecting), INT64_MAX, true);
    WAIT(fake_store_kept_count() == 1);
    const time_t too_soon = second + 9;
    strftime(end, sizeof(end), "[%Y-%m-%d %H:%M:%S] Closed by", gmtime(&too_soon));
    assert_non_null(strstr(only_row_of("1")->log, "] Closed by"));
    assert_null(strstr(only_row_of("1")->log, end));
}

static void life_that_reads_equal_lines(void)
{
    life_begin(NULL, NULL, NULL);
    assert_true(give_from("i=1", "job[1]", "the same"));
}

/* Of a source with cursors nothing comes twice: what looks like it is another line. */
static void equal_lines_with_cursors_are_two(void **state)
{
    (void)state;
    live_and_die(life_that_reads_equal_lines);
    life_begin(NULL, NULL, NULL);
    assert_true(give_from("i=2", "job[1]", "the same"));
    assert_true(give_from("i=3", "job[1]", "@task end"));
    WAIT(fake_store_kept_count() == 1);
    assert_int_equal(collecting_counters(collecting).redelivered, 0);
}

static void life_with_a_cursor_long_ago(void)
{
    life_begin("lateWindow=0", NULL, NULL);
    assert_true(give_from("i=1", "old[1]", "@task end"));
    for (int i = 0; i < 2000; i++) { /* 40 MB */
        GIVE("job[1]", big_text);
        if (i % 50 == 49)
            GIVE("job[1]", "@task end");
    }
    WAIT(collecting_counters(collecting).rows_stored == 41);
    assert_true(collecting_counters(collecting).spool_bytes > UINT64_C(2) * (16 << 20));
}

static void life_that_passes_it(void)
{
    life_with_a_cursor_long_ago();
    assert_int_equal(tasklog_collector_pass(collecting_collector(collecting), "i=2", 3), 0);
    WAIT(collecting_counters(collecting).spool_bytes <= UINT64_C(2) * (16 << 20));
}

static void a_cursor_outlives_its_segment(void **state)
{
    (void)state;
    memset(big_text, 'x', sizeof(big_text) - 1);
    live_and_die(life_with_a_cursor_long_ago);
    life_begin(NULL, NULL, NULL);
    assert_cursor("i=1");
    life_end();
}

static void a_cursor_that_was_passed_goes_with_its_segment(void **state)
{
    (void)state;
    memset(big_text, 'x', sizeof(big_text) - 1);
    live_and_die(life_that_passes_it);
    life_begin(NULL, NULL, NULL);
    assert_cursor("i=2");
}

/* What is not in the spool is left where it can be read again. */
static void a_line_with_a_cursor_waits_for_the_spool(void **state)
{
    (void)state;
    memset(big_text, 'x', sizeof(big_text) - 1);
    life_begin(NULL, NULL, NULL);
    no_space = ENOSPC;
    bool taken = true;
    for (int i = 0; i < 1000 && taken; i++) /* 20 MB: another segment */
        taken = give_from("i=1", "job[1]", big_text);
    assert_false(taken);
    assert_int_equal(collecting_counters(collecting).unspooled, 0);
    no_space = 0;
    WAIT(give_from("i=2", "job[1]", "later"));
    assert_cursor("i=2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_open_task_goes_on),
        TEST(a_result_that_was_not_stored_is_stored_by_the_next_life),
        TEST(what_is_stored_is_not_written_again),
        TEST(late_lines_are_appended_at_the_same_place_again),
        TEST(a_late_line_that_was_not_stored_is_stored_by_the_next_life),
        TEST(late_lines_that_are_stored_are_not_written_again),
        TEST(what_the_clock_decided_stays_decided),
        TEST(time_stands_still_between_two_lives),
        TEST(a_stop_leaves_running_tasks_to_the_next_life),
        TEST(a_second_collector_on_the_same_spool_is_refused),
        TEST(text_beyond_the_budget_waits_in_the_spool),
        TEST(text_beyond_the_budget_survives_too),
        TEST(logs_that_lie_in_the_spool_are_written_few_at_a_time),
        TEST(what_is_put_off_waits_in_the_spool_too),
        TEST(what_is_put_off_survives_a_kill),
        TEST(what_is_put_off_waits_in_the_spool_after_a_stop),
        TEST(a_full_disk_is_told_and_lines_are_kept_in_memory),
        TEST(what_is_stored_is_not_written_again_without_its_beginning),
        TEST(a_late_line_is_no_new_run_when_the_spool_has_not_the_first),
        TEST(a_refused_result_becomes_a_dead_letter),
        TEST(lines_that_come_again_after_a_crash_are_dropped),
        TEST(lines_that_lay_in_a_queue_and_are_sent_again_are_dropped),
        TEST(numbered_lines_that_come_again_are_dropped_in_this_life_and_the_next),
        TEST(what_is_known_of_numbers_is_held_until_it_is_in_a_newer_segment),
        TEST(what_is_known_of_numbers_outlives_the_segments_of_the_lines),
        TEST(segments_go_when_nobody_needs_them),
        TEST(after_a_crash_the_spool_keeps_the_last_lines_only),
        TEST(a_task_that_lives_long_does_not_hold_others_lines),
        TEST(other_parameters_change_nothing_that_was_taken),
        TEST(an_id_that_was_new_again_is_new_after_a_stop),
        TEST(a_source_goes_on_where_the_spool_has_it),
        TEST(what_a_shared_source_needs_to_keep_is_told),
        TEST(what_a_stop_could_not_write_is_still_needed),
        TEST(time_outs_pass_as_far_as_a_shared_source_was_read),
        TEST(a_thread_that_was_held_up_closes_no_task_too_soon),
        TEST(equal_lines_with_cursors_are_two),
        TEST(a_cursor_outlives_its_segment),
        TEST(a_cursor_that_was_passed_goes_with_its_segment),
        TEST(a_line_with_a_cursor_waits_for_the_spool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
