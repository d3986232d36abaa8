/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements that the session holds: prepared once, and right whatever becomes of the table and of the
 * session. A trigger looks at the session from within.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/steady_clock.h"
#include "support/store_fixture.h"

static const char *const held_sql =
    "SELECT count(DISTINCT prepared) || ' ' || count(*) FROM (SELECT DISTINCT prepared, statement"
    " FROM seen WHERE statement LIKE 'UPDATE%') s";

/* As a batch is committed: notes what the session holds, and does `deed`. */
static void see(struct fixture *f, const char *deed)
{
    char sql[800];

    snprintf(sql, sizeof sql,
             "CREATE TABLE seen (prepared timestamptz, statement text);"
             "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
             " INSERT INTO seen SELECT prepare_time, statement FROM pg_prepared_statements"
             " WHERE name LIKE 'tasklog%%'; %s; RETURN NULL; END $$;"
             "CREATE CONSTRAINT TRIGGER see AFTER UPDATE ON tasks DEFERRABLE INITIALLY DEFERRED"
             " FOR EACH ROW EXECUTE FUNCTION see()",
             deed);
    database_run(f->database, sql);
}

static void write_log(struct fixture *f, const char *text)
{
    if (fixture_write_one(f, "a", "X", text) < 0)
        fail_msg("%s", tasklog_store_message(f->store));
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", text);
}

static void a_statement_is_prepared_once(void **state)
{
    struct fixture *f = *state;

    see(f, "PERFORM 1");
    for (int i = 0; i < 5; i++) {
        write_log(f, i % 2 ? "one" : "two");
        steady_sleep_ms(2);
    }
    expect_value_of(f, held_sql, "1 1");
    assert_int_equal(fixture_write(f, (struct fixture_row[]){append("b", "X", "1", 0)}, 1), 0);
    write_log(f, "three");
    expect_value_of(f, held_sql, "2 2"); /* the one that appends, too */
}

static void a_session_that_forgets_its_statements(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "X", "1"), replace("b", "X", "2"),
                                       append("b", "X", "3", 1), replace("c", "X", "4")};

    see(f, "DEALLOCATE ALL");
    write_log(f, "one");
    write_log(f, "two");
    write_log(f, "three");
    expect_value_of(f, held_sql, "3 3");
    assert_int_equal(fixture_write(f, rows, 4), 0);
    expect_value_of(f, "SELECT string_agg(log, ',' ORDER BY task_id) FROM tasks", "1,23,4");
}

static const struct tasklog_column text_key[] = {{.name = "task_id", .type = TASKLOG_TEXT}};
static const struct tasklog_column columns[] = {{.name = "moment", .type = TASKLOG_TIME},
                                                {.name = "number", .type = TASKLOG_INTEGER},
                                                {.name = "text", .type = TASKLOG_TEXT}};
static const long long moment_us = 1795516267250000; /* 2026-11-24 10:31:07.25 */

static int write_typed(struct fixture *f, long long number, const char *text)
{
    struct tasklog_value key = fixture_text("a");
    struct tasklog_value values[] = {fixture_number(moment_us), fixture_number(number),
                                     fixture_text(text)};
    struct tasklog_row row = {&key, values, -1};

    return tasklog_store_write(f->store, &row, 1, f->timeout_ms, f->outcomes);
}

static const char *const make_typed =
    "CREATE TABLE typed (task_id text, moment timestamp, number integer, text varchar(3));"
    "INSERT INTO typed VALUES ('a')";
static const char *const change_types =
    "ALTER TABLE typed ALTER moment TYPE timestamptz USING moment AT TIME ZONE 'UTC',"
    " ALTER number TYPE bigint, ALTER text TYPE varchar(30)";

static void open_typed(struct fixture *f)
{
    struct tasklog_target target = {.database =
                                        "dbname=tasklog_test options='-c TimeZone=Asia/Tokyo'",
                                    .table = "typed",
                                    .keys = text_key,
                                    .key_count = 1,
                                    .columns = columns,
                                    .column_count = 3};

    database_run(f->database, make_typed);
    assert_int_equal(fixture_reopen(f, &target), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write_typed(f, 42, "abc"), 0);
        expect_verdict(f, 0, TASKLOG_KEPT);
    }
    expect_value_of(f, "SELECT moment FROM typed", "2026-11-24 10:31:07.25");
}

static void expect_changed(struct fixture *f)
{
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_value_of(f, "SELECT moment AT TIME ZONE 'UTC' FROM typed", "2026-11-24 10:31:07.25");
    expect_value_of(f, "SELECT number FROM typed", "5000000000");
    expect_value_of(f, "SELECT text FROM typed", "abcdef");
}

/* The server would take a parameter for the old type and convert: a time by nine hours. */
static void columns_that_change_their_type(void **state)
{
    struct fixture *f = *state;

    open_typed(f);
    database_run(f->database, change_types);
    assert_int_equal(write_typed(f, 5000000000, "abcdef"), 0);
    expect_changed(f);
    /* And back, and with another form of value. */
    database_run(f->database, "ALTER TABLE typed ALTER moment TYPE date, ALTER number TYPE text");
    assert_int_equal(write_typed(f, 7, "abc"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_value_of(f, "SELECT moment || number FROM typed", "2026-11-247");
    database_run(f->database, "DROP TABLE typed");
    database_run(f->database, make_typed);
    assert_int_equal(write_typed(f, 8, "abc"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_value_of(f, "SELECT moment FROM typed", "2026-11-24 10:31:07.25");
}

static void *commit_soon(void *context)
{
    steady_sleep_ms(80);
    database_commit(context);
    return NULL;
}

/* The batch has begun when they do: its row waits for the change to be committed. */
static void columns_that_change_while_a_row_waits(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;

    open_typed(f);
    database_hold(f->database, change_types);
    assert_int_equal(pthread_create(&thread, NULL, commit_soon, f->database), 0);
    assert_int_equal(write_typed(f, 30, "abcdef"), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_value_of(f, "SELECT moment AT TIME ZONE 'UTC' FROM typed", "2026-11-24 10:31:07.25");
    assert_int_equal(write_typed(f, 5000000000, "abcdef"), 0);
    expect_changed(f);
}

static void a_plan_that_was_made_for_few_rows_is_made_anew(void **state)
{
    struct fixture *f = *state;
    static char ids[300][12];
    struct fixture_row rows[300];

    f->target.mode = TASKLOG_UPSERT;
    assert_int_equal(fixture_reopen(f, &f->target), 0);
    database_run(f->database, "CREATE TABLE seen (name text);"
                              "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                              " DELETE FROM seen; INSERT INTO seen SELECT name"
                              " FROM pg_prepared_statements WHERE statement LIKE 'WITH%';"
                              " RETURN NULL; END $$;"
                              "CREATE TRIGGER see AFTER INSERT ON tasks EXECUTE FUNCTION see()");
    for (int batch = 0; batch < 8; batch++) {
        for (int i = 0; i < 300; i++) {
            snprintf(ids[i], sizeof ids[i], "%d-%d", batch, i);
            rows[i] = replace(ids[i], "X", "log");
        }
        assert_int_equal(fixture_write(f, rows, 300), 0);
        for (size_t i = 0; i < 300; i++)
            expect_verdict(f, i, TASKLOG_KEPT);
        expect_value_of(f, "SELECT count(*) FROM seen", batch < 4 ? "1" : batch < 7 ? "2" : "3");
    }
}

static enum database_kind postgresql = DATABASE_POSTGRESQL;

#define TEST(function)                                                    \
    {                                                                     \
#function, function, fixture_setup, fixture_teardown, &postgresql \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_statement_is_prepared_once),
        TEST(a_session_that_forgets_its_statements),
        TEST(columns_that_change_their_type),
        TEST(columns_that_change_while_a_row_waits),
        TEST(a_plan_that_was_made_for_few_rows_is_made_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
