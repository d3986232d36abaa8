/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer thread against a store that fails by script: order, retries, refusals, a database that
 * goes away and comes back, and stops that must not take longer than they may. Where a scenario lasts
 * minutes, the clock runs fast.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>

#include "collector/row.h"
#include "collector/state.h"
#include "support/collecting.h"
#include "support/fake_store.h"
#include "support/fast_clock.h"
#include "support/steady_clock.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WAIT(condition) COLLECTING_WAIT(collecting, condition)

enum { STOP_MS = 60000 }; /* a stop that may take its time */

static const char *const quiet[] = {"database=dbname=fake",  "table=tasks",    "columns=log=log",
                                    "columns=status=status", "liveInterval=0", NULL};
static const char *const lively[] = {"database=dbname=fake",  "table=tasks",    "columns=log=log",
                                     "columns=status=status", "liveInterval=1", NULL};

static struct collecting *collecting;

/* ---- memory that is short for rows ---- */

int __real_row_batch_add(struct row_batch *batch, const struct tasklog_config *config,
                         const struct tasklog_result *result, const struct tasklog_spill *spill,
                         int64_t now_us);
int __wrap_row_batch_add(struct row_batch *batch, const struct tasklog_config *config,
                         const struct tasklog_result *result, const struct tasklog_spill *spill,
                         int64_t now_us);

static _Atomic size_t rows_fit = SIZE_MAX; /* how many rows of a batch there is memory for */

int __wrap_row_batch_add(struct row_batch *batch, const struct tasklog_config *config,
                         const struct tasklog_result *result, const struct tasklog_spill *spill,
                         int64_t now_us)
{
    return batch->count >= rows_fit ? -ENOMEM
                                    : __real_row_batch_add(batch, config, result, spill, now_us);
}

/* ---- how long the writer means to wait ---- */

void __real_collector_wait(struct tasklog_collector *collector, pthread_cond_t *condition,
                           int64_t until_ms);
void __wrap_collector_wait(struct tasklog_collector *collector, pthread_cond_t *condition,
                           int64_t until_ms);

static _Atomic int64_t meant_ms[COUNT(((struct fake_calls *)NULL)->called_ms) + 1]; /* by call */
static _Atomic int64_t longest_ms;
static atomic_int long_waits_of_many; /* of more than a moment, while several results are waiting */
static atomic_size_t long_wait_after; /* which write: a wait may be done in several parts */

/* What is measured is longer on a busy machine; what is meant is not. */
void __wrap_collector_wait(struct tasklog_collector *collector, pthread_cond_t *condition,
                           int64_t until_ms)
{
    if (condition == &collector->work && until_ms != INT64_MAX) {
        int64_t ms = until_ms - collector_now(collector).mono_ms;
        size_t call = fake_store_calls().call_count;
        meant_ms[call] = ms > meant_ms[call] ? ms : meant_ms[call];
        longest_ms = ms > longest_ms ? ms : longest_ms;
        if (collector->queue.count > 1 && ms > 120 &&
            fake_store_calls().writes != long_wait_after) {
            long_wait_after = fake_store_calls().writes;
            long_waits_of_many++;
        }
    }
    __real_collector_wait(collector, condition, until_ms);
}

/* ---- life ---- */

static void begin(const char *const *parameters)
{
    collecting = collecting_new(parameters, &steady_clock);
    collecting_start(collecting);
}

static void begin_fast(const char *const *parameters)
{
    fast_clock_begin();
    collecting = collecting_new(parameters, &fast_clock);
    collecting_start(collecting);
}

static int set_up(void **state)
{
    (void)state;
    fake_store_reset();
    for (size_t i = 0; i < COUNT(meant_ms); i++)
        meant_ms[i] = 0;
    longest_ms = 0;
    long_waits_of_many = 0;
    long_wait_after = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_store_block(false);
    collecting_free(collecting);
    collecting = NULL;
    fast_clock_end();
    rows_fit = SIZE_MAX;
    fake_store_reset();
    return 0;
}

static int64_t stop(int timeout_ms)
{
    int64_t began_ms = steady_now_ms();

    tasklog_collector_stop(collecting_collector(collecting), timeout_ms);
    return steady_now_ms() - began_ms;
}

static struct tasklog_counters counters(void)
{
    return collecting_counters(collecting);
}

/* A task of one line that ends at once. */
static void run_task(int id)
{
    char tag[32], text[32];

    snprintf(tag, sizeof(tag), "job[%d]", id);
    snprintf(text, sizeof(text), "line of %d", id);
    collecting_give(collecting, tag, text);
    collecting_give(collecting, tag, "@task end");
}

static void run_tasks(int from, int to)
{
    for (int id = from; id <= to; id++)
        run_task(id);
}

/* Each of the tasks 1 to `count` was kept once, in their order, with its log. */
static void expect_tasks(int count)
{
    char id[32], log[64];

    assert_int_equal(fake_store_kept_count(), count);
    for (int i = 0; i < count; i++) {
        const struct fake_row *row = fake_store_kept((size_t)i);
        snprintf(id, sizeof(id), "%d", i + 1);
        snprintf(log, sizeof(log), "[2026-11-24 10:00:00] line of %d\n", i + 1);
        assert_string_equal(row->id, id);
        assert_string_equal(row->status, "COMPLETED");
        assert_memory_equal(row->log, log, strlen(log));
    }
}

/* ---- what goes well ---- */

static void a_result_is_written_once_and_the_target_is_named(void **state)
{
    (void)state;
    begin(quiet);
    WAIT(collecting_said(collecting, "writing to table") == 1);
    assert_string_equal(collecting_message(collecting, ""),
                        "writing to table \"tasks\" of fake database \"fake\"");
    assert_int_equal(collecting_severity(collecting, ""), LOG_INFO);
    run_task(1);
    WAIT(counters().rows_stored == 1);
    WAIT(counters().waiting_rows == 0);
    stop(STOP_MS);
    expect_tasks(1);
    assert_string_equal(fake_store_kept(0)->log,
                        "[2026-11-24 10:00:00] line of 1\n[2026-11-24 10:00:00] Completed: 1 line, "
                        "0 warnings, 0 errors, Total time: 0s");
    assert_int_equal(fake_store_calls().opens, 1);
    assert_int_equal(fake_store_calls().writes, 1);
    assert_int_equal(collecting_said(collecting, ""), 1);
}

static void the_target_is_checked_before_there_is_a_result(void **state)
{
    (void)state;
    begin(quiet);
    WAIT(fake_store_calls().opens == 1);
    stop(STOP_MS);
    assert_int_equal(fake_store_calls().opens, 1);
    assert_int_equal(fake_store_calls().writes, 0);
}

static void ten_thousand_tasks_that_end_at_once_come_in_few_batches(void **state)
{
    (void)state;
    fake_store_block(true);
    begin(quiet);
    WAIT(fake_store_calls().is_blocked);
    run_tasks(1, 10000);
    assert_int_equal(counters().waiting_rows, 10000);
    fake_store_block(false);
    WAIT(counters().rows_stored == 10000);
    stop(STOP_MS);
    expect_tasks(10000);
    assert_int_equal(fake_store_calls().most_rows, 256);
    assert_int_equal(fake_store_calls().writes, 10000 / 256 + 1);
    assert_int_equal(counters().batches, 10000 / 256 + 1);
    assert_int_equal(counters().retries, 0);
}

static void a_batch_of_long_logs_has_few_rows(void **state)
{
    enum { TASKS = 20, LOG_BYTES = 3 << 20 };
    char *text = malloc(LOG_BYTES + 1);
    char tag[32];

    (void)state;
    memset(text, 'x', LOG_BYTES);
    text[LOG_BYTES] = '\0';
    fake_store_block(true);
    begin(quiet);
    for (int i = 0; i < TASKS; i++) {
        snprintf(tag, sizeof(tag), "job[%d]", i);
        collecting_give(collecting, tag, text);
        collecting_give(collecting, tag, "@task end");
    }
    fake_store_block(false);
    WAIT(counters().rows_stored == TASKS);
    assert_in_range(fake_store_calls().most_bytes, LOG_BYTES, (8 << 20) + LOG_BYTES + 1000);
    free(text);
}

static void the_memory_of_results_is_given_back(void **state)
{
    (void)state;
    fake_store_block(true);
    begin(quiet);
    run_tasks(1, 100);
    assert_in_range(counters().memory_bytes, 100 * 50, 100 * 2000);
    fake_store_block(false);
    WAIT(counters().rows_stored == 100);
    WAIT(counters().memory_bytes == 0);
}

/* ---- rows that have to wait ---- */

static enum tasklog_verdict one_waits_twice(const char *id, const char *status, unsigned attempt)
{
    (void)status;
    return strcmp(id, "1") == 0 && attempt <= 2 ? TASKLOG_LATER : TASKLOG_KEPT;
}

static void results_of_one_task_keep_their_order_when_one_has_to_wait(void **state)
{
    static const char *const logs[] = {"run 1\n", "run 2\n", "run 3\n"};
    static const char *const statuses[] = {"FAILED", "FAILED", "COMPLETED"};
    size_t seen = 0;

    (void)state;
    fake_store_judge(one_waits_twice);
    fake_store_block(true);
    begin(quiet);
    WAIT(fake_store_calls().is_blocked);
    collecting_give(collecting, "job[1]", "run 1");
    run_task(2);
    collecting_give(collecting, "job[1]", "@task start");
    run_task(3);
    collecting_give(collecting, "job[1]", "run 2");
    collecting_give(collecting, "job[1]", "@task start");
    collecting_give(collecting, "job[1]", "run 3");
    collecting_give(collecting, "job[1]", "@task end");
    run_task(4);
    fake_store_block(false);
    WAIT(counters().rows_stored == 6);
    stop(STOP_MS);

    assert_int_equal(fake_store_kept_count(), 6);
    for (size_t i = 0; i < 6; i++) {
        const struct fake_row *row = fake_store_kept(i);
        if (strcmp(row->id, "1") != 0) {
            assert_int_equal(row->batch, 1); /* neighbours do not wait with it */
            continue;
        }
        assert_true(row->batch > 1);
        assert_string_equal(row->status, statuses[seen]);
        assert_non_null(strstr(row->log, logs[seen]));
        seen++;
    }
    assert_int_equal(seen, 3);
    assert_int_equal(counters().rows_refused, 0);
}

static enum tasklog_verdict thirty_one_waits(const char *id, const char *status, unsigned attempt)
{
    (void)status;
    return strcmp(id, "31") == 0 && attempt <= 6 ? TASKLOG_LATER : TASKLOG_KEPT;
}

static void late_lines_of_a_waiting_task_come_behind_its_result(void **state)
{
    (void)state;
    fake_store_judge(thirty_one_waits);
    begin_fast(quiet);
    run_task(31);
    WAIT(counters().retries > 0);
    collecting_give(collecting, "job[31]", "late");
    WAIT(counters().rows_stored == 2);
    stop(STOP_MS);
    assert_int_equal(fake_store_kept_count(), 2);
    assert_int_equal(fake_store_kept(0)->append_at, -1);
    assert_int_equal(fake_store_kept(1)->append_at, strlen(fake_store_kept(0)->log));
    assert_string_equal(fake_store_kept(1)->log, "\n[2026-11-24 10:00:00] late");
}

static enum tasklog_verdict one_is_locked(const char *id, const char *status, unsigned attempt)
{
    (void)status, (void)attempt;
    return strcmp(id, "1") == 0 ? TASKLOG_LATER : TASKLOG_KEPT;
}

static enum tasklog_verdict all_are_locked(const char *id, const char *status, unsigned attempt)
{
    (void)id, (void)status, (void)attempt;
    return TASKLOG_LATER;
}

static void a_row_that_stays_locked_holds_up_no_others(void **state)
{
    (void)state;
    fake_store_judge(one_is_locked);
    begin_fast(quiet);
    run_task(1);
    for (int i = 2; i <= 21; i++) {
        WAIT(counters().waiting_rows == 1 && counters().retries > 20);
        run_task(i);
        WAIT(counters().rows_stored == (uint64_t)i - 1);
    }
    assert_true(longest_ms >= 500);
    assert_string_equal(collecting_message(collecting, "reason"),
                        "fake database \"fake\" puts some results off: reason 1; retrying");
    assert_int_equal(collecting_severity(collecting, "reason"), LOG_WARNING);
    assert_int_equal(collecting_said(collecting, "reason"), 1);
    fake_store_judge(NULL);
    WAIT(counters().rows_stored == 21);
    WAIT(collecting_said(collecting, "has taken what it had put off") == 1);
    assert_int_equal(fake_store_kept_count(), 21);
}

static enum tasklog_verdict many_are_locked(const char *id, const char *status, unsigned attempt)
{
    (void)status, (void)attempt;
    return atoi(id) <= 700 ? TASKLOG_LATER : TASKLOG_KEPT;
}

static void more_locked_rows_than_a_batch_has_hold_up_no_others(void **state)
{
    (void)state;
    fake_store_judge(many_are_locked);
    fake_store_block(true);
    begin_fast(quiet);
    WAIT(fake_store_calls().is_blocked);
    run_tasks(1, 800);
    size_t before = fake_store_calls().writes;
    fake_store_block(false);
    WAIT(counters().rows_stored == 100);
    /* Four batches of the queue, and no more of others in between. */
    assert_in_range(fake_store_kept(0)->batch, before + 3, before + 8);
    assert_int_equal(counters().waiting_rows, 700);
    assert_in_range(counters().memory_bytes, 700 * 50, 700 * 2000);
    WAIT(counters().retries > 10);
    run_tasks(801, 900);
    WAIT(counters().rows_stored == 200);
    fake_store_judge(NULL);
    WAIT(counters().rows_stored == 900);
    WAIT(counters().memory_bytes == 0);
    assert_int_equal(counters().oldest_ms, 0);
    assert_int_equal(fake_store_kept_count(), 900);
}

static void locked_rows_beyond_the_limit_are_not_forgotten(void **state)
{
    enum { TASKS = PUT_OFF_GROUPS_MAX + 1000 };

    (void)state;
    fake_store_judge(all_are_locked);
    begin_fast(quiet);
    WAIT(fake_store_calls().opens == 1);
    run_tasks(1, TASKS);
    WAIT(counters().retries > PUT_OFF_GROUPS_MAX / 256 + 10);
    assert_int_equal(counters().waiting_rows, TASKS);
    fake_store_judge(NULL);
    WAIT(counters().rows_stored == TASKS);
    assert_int_equal(fake_store_kept_count(), TASKS);
    WAIT(counters().memory_bytes == 0);
}

static void a_slow_row_is_tried_alone_with_more_patience_each_time(void **state)
{
    (void)state;
    fake_store_slow(true);
    fake_store_judge(one_is_locked);
    begin_fast(quiet);
    run_tasks(1, 5);
    WAIT(counters().rows_stored == 4);
    for (int patience_ms = 2000; patience_ms < 15000; patience_ms *= 2)
        WAIT(fake_store_calls().patience_ms == patience_ms);
    WAIT(fake_store_calls().patience_ms == 15000);
    run_task(6);
    WAIT(counters().rows_stored == 5);
    fake_store_judge(NULL);
    WAIT(counters().rows_stored == 6);
    assert_string_equal(collecting_message(collecting, "puts some"),
                        "fake database \"fake\" puts some results off: reason 1; retrying");
}

static void a_row_that_spoils_every_batch_is_found_and_put_off(void **state)
{
    (void)state;
    fake_store_poison("200");
    fake_store_block(true);
    begin_fast(quiet);
    WAIT(fake_store_calls().is_blocked);
    run_tasks(1, 256);
    fake_store_block(false);
    WAIT(counters().rows_stored == 255);
    assert_int_equal(counters().waiting_rows, 1);
    assert_int_equal(collecting_said(collecting, "puts some results off: the session ended"), 1);
    run_tasks(257, 300);
    WAIT(counters().rows_stored == 299);
    fake_store_poison("");
    WAIT(counters().rows_stored == 300);
    assert_int_equal(fake_store_kept_count(), 300);
}

static void what_is_shown_of_a_locked_task_does_not_pile_up(void **state)
{
    (void)state;
    fake_store_judge(one_is_locked);
    begin_fast(lively);
    for (int i = 0; i < 30; i++) {
        int64_t next_ms = tasklog_clock_now(&fast_clock).mono_ms + 1500;
        collecting_give(collecting, "job[1]", "a line");
        WAIT(tasklog_clock_now(&fast_clock).mono_ms > next_ms);
    }
    assert_in_range(counters().waiting_rows, 1, 3);
    collecting_give(collecting, "job[1]", "@task end");
    WAIT(counters().waiting_rows <= 2);
    fake_store_judge(NULL);
    WAIT(counters().rows_stored == 1 && counters().waiting_rows == 0);
    assert_string_equal(fake_store_kept(fake_store_kept_count() - 1)->status, "COMPLETED");
}

static void the_age_of_the_oldest_result_and_the_time_of_a_batch_are_counted(void **state)
{
    (void)state;
    fake_store_judge(one_is_locked);
    begin_fast(quiet);
    int64_t began_ms = tasklog_clock_now(&fast_clock).mono_ms;
    run_task(1);
    WAIT(counters().oldest_ms > 10000);
    run_tasks(2, 50);
    WAIT(counters().rows_stored == 49);
    uint64_t oldest_ms = counters().oldest_ms;
    assert_in_range(oldest_ms, 10000, tasklog_clock_now(&fast_clock).mono_ms - began_ms);
    fake_store_judge(NULL);
    WAIT(counters().rows_stored == 50);
    assert_int_equal(counters().oldest_ms, 0);
    fake_store_block(true);
    run_task(51);
    WAIT(fake_store_calls().is_blocked);
    int64_t blocked_ms = tasklog_clock_now(&fast_clock).mono_ms;
    WAIT(counters().oldest_ms > 5000); /* of one that is being written */
    WAIT(tasklog_clock_now(&fast_clock).mono_ms - blocked_ms > 5000);
    run_task(52);
    fake_store_block(false);
    WAIT(counters().rows_stored == 52);
    assert_true(counters().write_ms_max > 5000);
    assert_true(counters().write_ms <= counters().write_ms_max);
}

static void a_row_that_stays_locked_does_not_slow_down_a_long_queue(void **state)
{
    (void)state;
    fake_store_judge(one_is_locked);
    begin_fast(quiet);
    run_task(1);
    WAIT(counters().retries > 20); /* the tries have become rare */
    fake_store_block(true);
    WAIT(fake_store_calls().is_blocked);
    run_tasks(2, 3000);
    fake_store_block(false);
    WAIT(counters().rows_stored == 2999); /* in twelve batches */
    assert_in_range(long_waits_of_many, 0, 4);
}

static enum tasklog_verdict the_odd_are_locked(const char *id, const char *status, unsigned attempt)
{
    (void)status;
    return atoi(id) % 2 == 1 && attempt <= 3 ? TASKLOG_LATER : TASKLOG_KEPT;
}

static void more_locked_rows_than_a_batch_has_are_all_written(void **state)
{
    (void)state;
    fake_store_judge(the_odd_are_locked);
    fake_store_block(true);
    begin_fast(quiet);
    WAIT(fake_store_calls().is_blocked);
    run_tasks(1, 1500);
    fake_store_block(false);
    WAIT(counters().rows_stored == 1500);
    stop(STOP_MS);
    assert_int_equal(fake_store_kept_count(), 1500);
    for (int i = 1; i <= 1500; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(fake_store_kept_of(id, NULL), 1);
    }
}

/* ---- rows that are refused ---- */

static enum tasklog_verdict fifty_is_refused(const char *id, const char *status, unsigned attempt)
{
    (void)status, (void)attempt;
    return strcmp(id, "50") == 0 ? TASKLOG_NEVER : TASKLOG_KEPT;
}

static void a_refused_result_is_told_and_its_neighbours_are_stored(void **state)
{
    (void)state;
    fake_store_judge(fifty_is_refused);
    fake_store_block(true);
    begin(quiet);
    WAIT(fake_store_calls().is_blocked);
    run_tasks(1, 100);
    fake_store_block(false);
    WAIT(counters().rows_stored == 99 && counters().rows_refused == 1);
    stop(STOP_MS);
    assert_int_equal(fake_store_kept_count(), 99);
    assert_int_equal(fake_store_kept_of("50", NULL), 0);
    assert_int_equal(fake_store_calls().writes, 1);
    assert_int_equal(counters().retries, 0);
    assert_int_equal(counters().rows_lost, 0);
    assert_string_equal(collecting_message(collecting, "refused"),
                        "the result of task \"50\" of kind \"job\" is refused for good: reason 50 "
                        "(SQLSTATE 22001); its log of 1 line is dropped");
    assert_int_equal(collecting_severity(collecting, "refused"), LOG_ERR);
    assert_int_equal(collecting_said(collecting, "refused"), 1);
}

static enum tasklog_verdict all_are_refused(const char *id, const char *status, unsigned attempt)
{
    (void)id, (void)status, (void)attempt;
    return TASKLOG_NEVER;
}

static void a_flood_of_refusals_is_a_few_messages_a_minute(void **state)
{
    (void)state;
    fake_store_judge(all_are_refused);
    begin_fast(quiet);
    run_tasks(1, 200);
    WAIT(counters().rows_refused == 200);
    size_t said = collecting_said(collecting, "is refused for good");
    assert_in_range(said, 10, 20); /* the minute may have changed in between */
    int64_t next_minute_ms = tasklog_clock_now(&fast_clock).mono_ms + 61000;
    WAIT(tasklog_clock_now(&fast_clock).mono_ms > next_minute_ms);
    run_task(201);
    WAIT(collecting_said(collecting, "is refused for good") == said + 1);
    WAIT(collecting_said(collecting, "more results were refused") >= 1);
    if (said == 10)
        assert_string_equal(collecting_message(collecting, "more results"),
                            "190 more results were refused");
}

static void a_refused_live_result_is_left_to_the_end(void **state)
{
    (void)state;
    fake_store_judge(all_are_refused);
    begin_fast(lively);
    collecting_give(collecting, "job[1]", "one");
    WAIT(counters().batches >= 1);
    assert_int_equal(collecting_said(collecting, "refused"), 0);
    assert_int_equal(counters().rows_refused, 0);
    assert_int_equal(counters().rows_live, 0);
    collecting_give(collecting, "job[1]", "@task end");
    WAIT(counters().rows_refused == 1);
    WAIT(collecting_said(collecting, "refused") == 1);
}

/* ---- a database that is away ---- */

static void a_database_that_went_away_and_came_back_has_everything_once(void **state)
{
    (void)state;
    begin_fast(quiet);
    run_tasks(1, 10);
    WAIT(counters().rows_stored == 10);
    fake_store_answer(-EAGAIN, "connection refused");
    run_tasks(11, 40);
    WAIT(counters().retries >= 5);
    run_tasks(41, 60);
    assert_int_equal(counters().waiting_rows, 50);
    assert_int_equal(counters().rows_stored, 10);
    assert_int_equal(collecting_said(collecting, ""), 2);
    assert_string_equal(
        collecting_message(collecting, "does not"),
        "fake database \"fake\" does not take results: connection refused; retrying");
    assert_int_equal(collecting_severity(collecting, "does not"), LOG_WARNING);

    fake_store_answer(0, "");
    WAIT(counters().rows_stored == 60);
    WAIT(collecting_said(collecting, "takes results again") == 1);
    run_tasks(61, 70);
    WAIT(counters().rows_stored == 70);
    stop(STOP_MS);
    expect_tasks(70);
    assert_int_equal(collecting_severity(collecting, "again"), LOG_NOTICE);
    assert_int_equal(collecting_said(collecting, ""), 3);
}

static void another_cause_of_the_same_trouble_is_told(void **state)
{
    (void)state;
    fake_store_answer(-EAGAIN, "connection refused");
    begin_fast(quiet);
    WAIT(collecting_said(collecting, "connection refused") == 1);
    fake_store_answer(-EAGAIN, "no answer in time");
    WAIT(collecting_said(collecting, "no answer in time") == 1);
    fake_store_answer(-EAGAIN, "connection refused");
    uint64_t retries = counters().retries;
    WAIT(counters().retries > retries + 2);
    assert_in_range(collecting_said(collecting, ""), 2, 3); /* not each time */
}

static void the_time_that_a_database_was_away_is_told(void **state)
{
    (void)state;
    fake_store_answer(-EAGAIN, "connection refused");
    begin_fast(quiet);
    WAIT(counters().retries >= 1);
    int64_t back_ms = tasklog_clock_now(&fast_clock).mono_ms + 30000;
    WAIT(tasklog_clock_now(&fast_clock).mono_ms > back_ms);
    fake_store_answer(0, "");
    WAIT(collecting_said(collecting, "takes results again, after ") == 1);
    int seconds = atoi(strstr(collecting_message(collecting, "after "), "after ") + 6);
    assert_in_range(seconds, 30, 120);
}

static void a_database_that_is_away_at_the_start_is_waited_for(void **state)
{
    (void)state;
    fake_store_answer(-EAGAIN, "connection refused");
    begin_fast(quiet);
    WAIT(counters().retries >= 3);
    run_tasks(1, 5);
    fake_store_answer(0, "");
    WAIT(counters().rows_stored == 5);
    stop(STOP_MS);
    expect_tasks(5);
}

static void running_tasks_are_not_shown_while_the_database_is_away(void **state)
{
    (void)state;
    fake_store_answer(-EAGAIN, "connection refused");
    begin_fast(lively);
    WAIT(counters().retries >= 1);
    collecting_give(collecting, "job[1]", "one");
    int64_t later_ms = tasklog_clock_now(&fast_clock).mono_ms + 20000;
    WAIT(tasklog_clock_now(&fast_clock).mono_ms > later_ms);
    WAIT(counters().waiting_rows == 0);
    fake_store_answer(0, "");
    WAIT(counters().rows_live == 1);
    assert_string_equal(fake_store_kept(0)->status, "RUNNING");
}

static void tries_become_rarer_up_to_a_limit_and_are_spread(void **state)
{
    struct fake_calls calls;
    int spread = 0;

    (void)state;
    fake_store_answer(-EAGAIN, "connection refused");
    begin_fast(quiet);
    WAIT(fake_store_calls().call_count >= 14);
    calls = fake_store_calls();
    for (size_t i = 1; i < 14; i++) {
        int64_t gap_ms = calls.called_ms[i] - calls.called_ms[i - 1];
        int64_t planned_ms = i < 7 ? INT64_C(100) << (i - 1) : 5000;
        assert_true(gap_ms >= planned_ms * 8 / 10);
        assert_true(meant_ms[i] <= planned_ms * 12 / 10);
        spread += i >= 7 && (meant_ms[i] < 4900 || meant_ms[i] > 5100);
    }
    assert_true(spread > 0);
    assert_int_equal(collecting_said(collecting, ""), 1);
}

static void a_database_that_flaps_is_not_a_flood_of_messages(void **state)
{
    (void)state;
    begin_fast(quiet);
    for (int i = 1; i <= 100; i++) {
        uint64_t retries = counters().retries;
        fake_store_answer(-EAGAIN, "connection refused");
        run_task(i);
        WAIT(counters().retries > retries);
        fake_store_answer(0, "");
        WAIT(counters().rows_stored == (uint64_t)i);
    }
    expect_tasks(100);
    int64_t minutes =
        1 + (tasklog_clock_now(&fast_clock).mono_ms - fake_store_calls().called_ms[0]) / 60000;
    assert_true(collecting_said(collecting, "") <= 1 + 2 * 10 * (size_t)minutes);
    assert_true(collecting_said(collecting, "does not take") >= 10);
    /* Whoever reads "away" also reads "back". */
    assert_int_equal(collecting_said(collecting, "does not take"),
                     collecting_said(collecting, "takes results again"));
}

/* ---- a target that is wrong ---- */

static void a_wrong_target_is_told_once_and_checked_again_until_it_is_mended(void **state)
{
    (void)state;
    fake_store_answer(-EINVAL, "table \"tasks\" does not exist");
    begin_fast(quiet);
    WAIT(counters().retries >= 1);
    run_tasks(1, 3);
    assert_string_equal(collecting_message(collecting, ""),
                        "table \"tasks\" does not exist; the results wait until this is mended, "
                        "checking again every 30 s");
    assert_int_equal(collecting_severity(collecting, ""), LOG_ERR);
    WAIT(counters().retries >= 3);
    assert_int_equal(collecting_said(collecting, ""), 1);

    struct fake_calls calls = fake_store_calls();
    assert_in_range(calls.called_ms[1] - calls.called_ms[0], 30000, 40000);

    fake_store_answer(-EINVAL, "table \"tasks\" has no column \"log\"");
    WAIT(collecting_said(collecting, "has no column") == 1);
    assert_int_equal(collecting_said(collecting, ""), 2);

    fake_store_answer(0, "");
    WAIT(counters().rows_stored == 3);
    WAIT(collecting_said(collecting, "takes results again") == 1);
    stop(STOP_MS);
    expect_tasks(3);
}

static void a_target_that_was_mended_before_the_stop_gets_everything(void **state)
{
    (void)state;
    fake_store_answer(-EINVAL, "table \"tasks\" does not exist");
    begin(quiet);
    run_tasks(1, 300);
    WAIT(counters().retries >= 1);
    fake_store_answer(0, "");
    assert_in_range(stop(STOP_MS), 0, 10000);
    expect_tasks(300);
    assert_int_equal(counters().rows_lost, 0);
}

static void a_target_that_stays_wrong_does_not_hold_up_a_stop(void **state)
{
    (void)state;
    fake_store_answer(-EINVAL, "table \"tasks\" does not exist");
    begin(quiet);
    run_tasks(1, 3);
    WAIT(counters().retries >= 1);
    assert_in_range(stop(STOP_MS), 0, 10000);
    assert_int_equal(fake_store_calls().interrupts, 0);
    assert_int_equal(counters().rows_lost, 3);
    assert_int_equal(collecting_said(collecting, "stopped with 3 results"), 1);
}

/* ---- little memory ---- */

static void without_memory_for_a_row_everything_waits(void **state)
{
    (void)state;
    rows_fit = 0;
    begin_fast(quiet);
    run_tasks(1, 10);
    WAIT(counters().retries >= 3);
    assert_int_equal(collecting_said(collecting, "out of memory; retrying"), 1);
    rows_fit = SIZE_MAX;
    WAIT(counters().rows_stored == 10);
    stop(STOP_MS);
    expect_tasks(10);
}

static void with_memory_for_some_rows_the_others_follow_at_once(void **state)
{
    (void)state;
    rows_fit = 3;
    fake_store_block(true);
    begin(quiet);
    WAIT(fake_store_calls().is_blocked);
    run_tasks(1, 30);
    fake_store_block(false);
    WAIT(counters().rows_stored == 30);
    stop(STOP_MS);
    expect_tasks(30);
    assert_int_equal(fake_store_calls().most_rows, 3);
    assert_int_equal(counters().retries, 0);
    assert_int_equal(collecting_said(collecting, ""), 1);
}

/* ---- running tasks ---- */

static void no_running_task_is_forgotten_behind_a_long_queue(void **state)
{
    /* Nothing else shall be due. */
    static const char *const parameters[] = {"database=dbname=fake", "table=tasks",
                                             "columns=log=log",      "columns=status=status",
                                             "liveInterval=1",       "lateWindow=1000000",
                                             "idleTimeout=0",        NULL};

    (void)state;
    begin_fast(parameters);
    WAIT(fake_store_calls().opens == 1);
    fake_store_block(true);
    run_tasks(1, 2000);
    collecting_give(collecting, "job[running]", "one");
    int64_t due_ms = tasklog_clock_now(&fast_clock).mono_ms + 2000;
    WAIT(tasklog_clock_now(&fast_clock).mono_ms > due_ms);
    fake_store_block(false);
    WAIT(fake_store_kept_of("running", "RUNNING") == 1); /* and no further line comes */
}

static void many_running_tasks_are_shown_a_part_at_a_time(void **state)
{
    enum { TASKS = 5000 };
    char tag[32];

    (void)state;
    begin_fast(lively);
    WAIT(fake_store_calls().opens == 1);
    fake_store_block(true);
    for (int i = 0; i < TASKS; i++) {
        snprintf(tag, sizeof(tag), "job[%d]", i);
        collecting_give(collecting, tag, "one");
    }
    int64_t due_ms = tasklog_clock_now(&fast_clock).mono_ms + 2000;
    WAIT(tasklog_clock_now(&fast_clock).mono_ms > due_ms && counters().waiting_rows >= 1024);
    assert_in_range(counters().waiting_rows, 1024, 1024 + 256);
    fake_store_block(false);
    WAIT(fake_store_kept_count() == TASKS);
    assert_int_equal(fake_store_kept_of(NULL, "RUNNING"), TASKS);
}

static void showing_running_tasks_stays_within_the_memory_budget(void **state)
{
    static const char *const parameters[] = {"database=dbname=fake",
                                             "table=tasks",
                                             "columns=log=log",
                                             "columns=status=status",
                                             "liveInterval=1",
                                             "memoryBudget=1m",
                                             NULL};
    enum { TASKS = 60 };
    char tag[32], text[10001];

    (void)state;
    memset(text, 'x', 10000);
    text[10000] = '\0';
    begin_fast(parameters);
    WAIT(fake_store_calls().opens == 1);
    for (int i = 0; i < TASKS; i++) {
        snprintf(tag, sizeof(tag), "job[%d]", i);
        WAIT(collecting_try(collecting, tag, text));
    }
    fake_store_block(true);
    int64_t due_ms = tasklog_clock_now(&fast_clock).mono_ms + 2000;
    WAIT(tasklog_clock_now(&fast_clock).mono_ms > due_ms);
    assert_in_range(counters().memory_bytes, 600000, (1 << 20) + 20000);
    fake_store_block(false);
    WAIT(fake_store_kept_count() >= TASKS);
}

/* ---- the stop ---- */

static void a_stop_writes_all_there_is_when_the_database_answers(void **state)
{
    (void)state;
    fake_store_block(true);
    begin(quiet);
    WAIT(fake_store_calls().is_blocked);
    run_tasks(1, 1000);
    fake_store_block(false);
    assert_in_range(stop(STOP_MS), 0, 10000);
    expect_tasks(1000);
    assert_int_equal(counters().rows_lost, 0);
    assert_int_equal(fake_store_calls().interrupts, 0);
    assert_int_equal(collecting_said(collecting, "dropped"), 0);
}

static void open_tasks_are_written_at_a_stop_with_their_whole_log(void **state)
{
    static const char *const parameters[] = {"database=dbname=fake", "table=tasks",
                                             "columns=log=log",      "columns=status=status",
                                             "liveBytes=1k",         NULL};
    char expected[40 * 1000] = "", text[32];
    size_t used = 0;

    (void)state;
    begin(parameters);
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "line %d", i);
        collecting_give(collecting, "job[1]", text);
        used += (size_t)snprintf(expected + used, sizeof(expected) - used,
                                 "%s[2026-11-24 10:00:00] %s", i > 0 ? "\n" : "", text);
    }
    collecting_give(collecting, "job[2]", "only one");
    stop(STOP_MS);
    assert_int_equal(fake_store_kept_of("1", "RUNNING"), 1);
    assert_int_equal(fake_store_kept_of("2", "RUNNING"), 1);
    assert_int_equal(fake_store_kept_count(), 2);
    assert_string_equal(fake_store_kept(0)->log, expected);
    assert_int_equal(counters().open_tasks, 0);
}

static void late_lines_are_written_at_a_stop(void **state)
{
    (void)state;
    begin(quiet);
    run_task(1);
    collecting_give(collecting, "job[1]", "late");
    stop(STOP_MS);
    assert_int_equal(fake_store_kept_count(), 2);
    assert_string_equal(fake_store_kept(1)->log, "\n[2026-11-24 10:00:00] late");
}

static void a_stop_interrupts_a_call_that_does_not_come_back(void **state)
{
    (void)state;
    fake_store_block(true);
    begin(quiet);
    run_tasks(1, 2);
    WAIT(fake_store_calls().is_blocked);
    collecting_give(collecting, "job[3]", "still running");
    assert_in_range(stop(300), 290, 3000);
    assert_int_equal(fake_store_calls().interrupts, 1);
    assert_int_equal(fake_store_kept_count(), 0);
    assert_int_equal(counters().rows_lost, 3);
    assert_string_equal(collecting_message(collecting, "stopped"),
                        "stopped with 3 results that the database did not take in time: dropped");
    assert_int_equal(collecting_severity(collecting, "stopped"), LOG_ERR);
    assert_int_equal(collecting_said(collecting, ""), 1);
}

static void a_single_result_is_dropped_in_the_singular(void **state)
{
    (void)state;
    fake_store_block(true);
    begin(quiet);
    run_task(1);
    WAIT(fake_store_calls().is_blocked);
    stop(50);
    assert_string_equal(collecting_message(collecting, "stopped"),
                        "stopped with 1 result that the database did not take in time: dropped");
}

static void a_stop_gives_up_when_the_database_stays_away(void **state)
{
    (void)state;
    fake_store_answer(-EAGAIN, "connection refused");
    begin(quiet);
    run_tasks(1, 5);
    WAIT(counters().retries >= 1);
    assert_in_range(stop(500), 400, 3000);
    assert_int_equal(counters().rows_lost, 5);
    assert_int_equal(collecting_said(collecting, "stopped with 5 results"), 1);
}

static void a_database_that_comes_back_during_the_stop_gets_everything(void **state)
{
    enum tasklog_verdict (*judge)(const char *, const char *, unsigned) = one_waits_twice;

    (void)state;
    fake_store_judge(judge);
    begin(quiet);
    run_task(1);
    run_task(2);
    assert_in_range(stop(STOP_MS), 0, 10000);
    assert_int_equal(fake_store_kept_count(), 2);
    assert_int_equal(counters().rows_lost, 0);
}

static void a_stop_does_not_wait_for_the_next_try(void **state)
{
    (void)state;
    fake_store_answer(-EAGAIN, "connection refused");
    begin(quiet);
    run_task(1);
    WAIT(counters().retries >= 5); /* the next one is seconds away */
    fake_store_answer(0, "");
    assert_in_range(stop(STOP_MS), 0, 1000);
    expect_tasks(1);
}

static void calls_of_a_stop_get_no_more_time_than_it_has(void **state)
{
    (void)state;
    begin(quiet);
    WAIT(fake_store_calls().opens == 1);
    assert_int_equal(fake_store_calls().timeout_ms, 30000);
    collecting_give(collecting, "job[1]", "still running");
    stop(2000);
    assert_int_equal(fake_store_kept_count(), 1);
    assert_in_range(fake_store_calls().timeout_ms, 100, 2000);
}

static void what_was_shown_of_a_running_task_is_not_counted_as_lost(void **state)
{
    (void)state;
    begin_fast(lively);
    WAIT(fake_store_calls().opens == 1);
    fake_store_block(true);
    collecting_give(collecting, "job[1]", "one");
    WAIT(counters().waiting_rows == 1); /* live */
    collecting_give(collecting, "job[1]", "two");
    collecting_give(collecting, "job[2]", "one");
    WAIT(counters().waiting_rows == 3);
    stop(100);
    assert_int_equal(counters().rows_lost, 2);
    assert_int_equal(collecting_said(collecting, "stopped with 2 results"), 1);
}

static void a_collector_that_is_freed_stops_at_once(void **state)
{
    (void)state;
    fake_store_block(true);
    begin(quiet);
    run_tasks(1, 2);
    WAIT(fake_store_calls().is_blocked);
    int64_t began_ms = steady_now_ms();
    collecting_free(collecting);
    collecting = NULL;
    assert_in_range(steady_now_ms() - began_ms, 0, 2000);
    assert_int_equal(fake_store_calls().interrupts, 1);
    assert_int_equal(fake_store_calls().stores, 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_result_is_written_once_and_the_target_is_named),
        TEST(the_target_is_checked_before_there_is_a_result),
        TEST(ten_thousand_tasks_that_end_at_once_come_in_few_batches),
        TEST(a_batch_of_long_logs_has_few_rows),
        TEST(the_memory_of_results_is_given_back),
        TEST(results_of_one_task_keep_their_order_when_one_has_to_wait),
        TEST(late_lines_of_a_waiting_task_come_behind_its_result),
        TEST(a_row_that_stays_locked_holds_up_no_others),
        TEST(a_row_that_stays_locked_does_not_slow_down_a_long_queue),
        TEST(more_locked_rows_than_a_batch_has_are_all_written),
        TEST(more_locked_rows_than_a_batch_has_hold_up_no_others),
        TEST(locked_rows_beyond_the_limit_are_not_forgotten),
        TEST(a_slow_row_is_tried_alone_with_more_patience_each_time),
        TEST(a_row_that_spoils_every_batch_is_found_and_put_off),
        TEST(what_is_shown_of_a_locked_task_does_not_pile_up),
        TEST(the_age_of_the_oldest_result_and_the_time_of_a_batch_are_counted),
        TEST(a_refused_result_is_told_and_its_neighbours_are_stored),
        TEST(a_flood_of_refusals_is_a_few_messages_a_minute),
        TEST(a_refused_live_result_is_left_to_the_end),
        TEST(a_database_that_went_away_and_came_back_has_everything_once),
        TEST(another_cause_of_the_same_trouble_is_told),
        TEST(the_time_that_a_database_was_away_is_told),
        TEST(a_database_that_is_away_at_the_start_is_waited_for),
        TEST(running_tasks_are_not_shown_while_the_database_is_away),
        TEST(tries_become_rarer_up_to_a_limit_and_are_spread),
        TEST(a_database_that_flaps_is_not_a_flood_of_messages),
        TEST(a_wrong_target_is_told_once_and_checked_again_until_it_is_mended),
        TEST(a_target_that_was_mended_before_the_stop_gets_everything),
        TEST(a_target_that_stays_wrong_does_not_hold_up_a_stop),
        TEST(without_memory_for_a_row_everything_waits),
        TEST(with_memory_for_some_rows_the_others_follow_at_once),
        TEST(no_running_task_is_forgotten_behind_a_long_queue),
        TEST(many_running_tasks_are_shown_a_part_at_a_time),
        TEST(showing_running_tasks_stays_within_the_memory_budget),
        TEST(a_stop_writes_all_there_is_when_the_database_answers),
        TEST(open_tasks_are_written_at_a_stop_with_their_whole_log),
        TEST(late_lines_are_written_at_a_stop),
        TEST(a_stop_interrupts_a_call_that_does_not_come_back),
        TEST(a_single_result_is_dropped_in_the_singular),
        TEST(a_stop_gives_up_when_the_database_stays_away),
        TEST(a_database_that_comes_back_during_the_stop_gets_everything),
        TEST(a_stop_does_not_wait_for_the_next_try),
        TEST(calls_of_a_stop_get_no_more_time_than_it_has),
        TEST(what_was_shown_of_a_running_task_is_not_counted_as_lost),
        TEST(a_collector_that_is_freed_stops_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
