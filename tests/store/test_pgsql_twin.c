/* SPDX-License-Identifier: Apache-2.0 */
/* Large batches, of which a second session writes half: faster, and otherwise as if there were one. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/steady_clock.h"
#include "support/store_fixture.h"

enum { TASKS = 32, LOG_BYTES = 100 * 1000, TRIES_MAX = 5 };

/* A batch: `TASKS` tasks with large logs. */
struct large {
    char ids[TASKS][12];
    char log[LOG_BYTES + 1];
    struct fixture_row rows[TASKS];
};

static const char *const sessions_sql =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tasklog'";
static const char *const whole_sql = "SELECT count(*) FROM tasks WHERE length(log) = 100000";

static struct large *large_new(struct fixture *f)
{
    struct large *large = calloc(1, sizeof *large);

    assert_non_null(large);
    memset(large->log, 'x', LOG_BYTES);
    database_run(f->database, "INSERT INTO tasks (task_id, status)"
                              " SELECT i::text, 'IDLE' FROM generate_series(0, 31) i");
    for (int i = 0; i < TASKS; i++) {
        snprintf(large->ids[i], sizeof large->ids[i], "%d", i);
        large->rows[i] = replace(large->ids[i], "X", large->log);
    }
    return large;
}

/* Until nothing is put off, as the writer does. Returns how many calls that took. */
static int write_all(struct fixture *f, const struct large *large)
{
    for (int tries = 1; tries <= TRIES_MAX; tries++) {
        size_t left = 0;
        int r = fixture_write(f, large->rows, TASKS);

        for (size_t i = 0; r == 0 && i < TASKS; i++)
            left += f->outcomes[i].verdict == TASKLOG_LATER;
        if (r == 0 && left == 0)
            return tries;
        if (r < 0)
            assert_int_equal(r, -EAGAIN);
    }
    fail_msg("rows are put off again and again");
    return 0;
}

static void it_is_written_by_two_sessions(void **state)
{
    struct fixture *f = *state;
    struct large *large = large_new(f);

    assert_int_equal(fixture_write_one(f, "a", "X", "small"), 0);
    expect_value_of(f, sessions_sql, "1");
    assert_int_equal(write_all(f, large), 1);
    expect_value_of(f, sessions_sql, "2");
    expect_value_of(f, whole_sql, "32");
    free(large);
}

static void rows_with_the_same_keys_keep_their_order(void **state)
{
    struct fixture *f = *state;
    struct large *large = large_new(f);
    char status[TASKS][12];

    for (int i = 0; i < TASKS; i++) { /* eight tasks, four times each */
        snprintf(status[i], sizeof status[i], "%d", i);
        large->rows[i] = replace(large->ids[i % 8], status[i], large->log);
    }
    assert_int_equal(write_all(f, large), 1);
    expect_value_of(f,
                    "SELECT string_agg(status, ',' ORDER BY task_id) FROM tasks"
                    " WHERE length(log) = 100000",
                    "24,25,26,27,28,29,30,31");
    free(large);
}

static void what_cannot_be_stored_gets_its_verdict_in_either_half(void **state)
{
    struct fixture *f = *state;
    struct large *large = large_new(f);

    for (int i = 0; i < TASKS; i += 4)
        large->rows[i].status = "FORBIDDEN";
    large->rows[1].task_id = "none";
    assert_in_range(write_all(f, large), 1, 2);
    for (int i = 0; i < TASKS; i++)
        expect_verdict(f, (size_t)i, i % 4 == 0 || i == 1 ? TASKLOG_NEVER : TASKLOG_KEPT);
    expect_value_of(f, whole_sql, "23");
    free(large);
}

static void where_there_is_room_for_one_session_one_does_it(void **state)
{
    struct fixture *f = *state;
    struct large *large = large_new(f);
    struct tasklog_target target = f->target;
    char url[1000];

    database_run(f->database,
                 "DO $$ BEGIN IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tasklog_one') THEN"
                 " DROP OWNED BY tasklog_one; DROP ROLE tasklog_one; END IF; END $$;"
                 "CREATE ROLE tasklog_one LOGIN PASSWORD 'one' CONNECTION LIMIT 1;"
                 "GRANT SELECT, UPDATE ON tasks TO tasklog_one");
    snprintf(url, sizeof url, "host=%s port=%s user=tasklog_one password=one dbname=tasklog_test",
             getenv("PGHOST"), getenv("PGPORT"));
    target.database = url;
    assert_int_equal(fixture_reopen(f, &target), 0);
    assert_int_equal(write_all(f, large), 2);
    expect_value_of(f, whole_sql, "32");
    assert_int_equal(write_all(f, large), 1); /* it is not tried again at once */
    free(large);
}

/* ---- while both write ---- */

static void *kill_soon(void *context)
{
    struct fixture *f = context;

    steady_sleep_ms(150);
    (void)database_value(f->database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                      " WHERE application_name = 'tasklog' AND state <> 'idle'");
    return NULL;
}

static void sessions_that_are_killed_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct large *large = large_new(f);
    pthread_t thread;

    assert_int_equal(write_all(f, large), 1);
    database_run(f->database,
                 "UPDATE tasks SET log = NULL;"
                 "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " PERFORM pg_sleep(0.02); RETURN NEW; END $$;"
                 "CREATE TRIGGER slow BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION slow()");
    assert_int_equal(pthread_create(&thread, NULL, kill_soon, f), 0);
    assert_in_range(write_all(f, large), 2, TRIES_MAX);
    assert_int_equal(pthread_join(thread, NULL), 0);
    expect_value_of(f, whole_sql, "32");
    free(large);
}

/* Its rows were answered well before, and none of them is there. */
static void a_session_that_ends_at_its_commit_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct large *large = large_new(f);
    char sql[500];

    database_run(f->database,
                 "CREATE SEQUENCE ends;"
                 "CREATE FUNCTION end_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " IF nextval('ends') = 1 THEN"
                 " PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(5);"
                 " END IF; RETURN NULL; END $$");
    for (int i = 0; i < 8; i++) { /* whichever half that one is in */
        snprintf(sql, sizeof sql,
                 "DROP TRIGGER IF EXISTS at_commit ON tasks; ALTER SEQUENCE ends RESTART;"
                 "UPDATE tasks SET log = NULL;"
                 "CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON tasks DEFERRABLE INITIALLY"
                 " DEFERRED FOR EACH ROW WHEN (NEW.task_id = '%d') EXECUTE FUNCTION end_once()",
                 i);
        database_run(f->database, sql);
        assert_in_range(write_all(f, large), 2, TRIES_MAX);
        expect_value_of(f, whole_sql, "32");
        database_run(f->database, "DROP TRIGGER at_commit ON tasks");
        assert_int_equal(fixture_reopen(f, &f->target), 0); /* the second session rests no more */
    }
    free(large);
}

static void *interrupt_soon(void *context)
{
    struct fixture *f = context;

    steady_sleep_ms(100);
    tasklog_store_interrupt(f->store);
    return NULL;
}

static void an_interrupt_ends_both(void **state)
{
    struct fixture *f = *state;
    struct large *large = large_new(f);
    int64_t began_ms;
    pthread_t thread;

    assert_int_equal(write_all(f, large), 1);
    database_run(
        f->database,
        "CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_sleep(60); RETURN NEW; END $$;"
        "CREATE TRIGGER stuck BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION stuck()");
    began_ms = steady_now_ms();
    assert_int_equal(pthread_create(&thread, NULL, interrupt_soon, f), 0);
    assert_int_equal(fixture_write(f, large->rows, TASKS), -ECANCELED);
    assert_in_range(steady_now_ms() - began_ms, 90, FIXTURE_SLACK_MS);
    assert_int_equal(pthread_join(thread, NULL), 0);
    free(large);
}

static enum database_kind postgresql = DATABASE_POSTGRESQL;

#define TEST(function)                                                    \
    {                                                                     \
#function, function, fixture_setup, fixture_teardown, &postgresql \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_written_by_two_sessions),
        TEST(rows_with_the_same_keys_keep_their_order),
        TEST(what_cannot_be_stored_gets_its_verdict_in_either_half),
        TEST(where_there_is_room_for_one_session_one_does_it),
        TEST(sessions_that_are_killed_lose_nothing),
        TEST(a_session_that_ends_at_its_commit_loses_nothing),
        TEST(an_interrupt_ends_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
