/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every store promises, whatever the database: each test runs against PostgreSQL and against
 * SQLite. What only one of them can do stands in test_pgsql.c and test_sqlite.c.
 */
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

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* --- Writing ----------------------------------------------------------------------------------- */

static void a_row_is_replaced_and_its_neighbours_are_not(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_write_one(f, "b", "RUNNING", "one"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    assert_int_equal(fixture_write_one(f, "b", "COMPLETED", "one\ntwo"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    assert_string_equal(tasklog_store_message(f->store), "");
    expect_value_of(f, "SELECT status FROM tasks WHERE task_id = 'b'", "COMPLETED");
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'b'", "one\ntwo");
    expect_value_of(f, "SELECT count(*) FROM tasks WHERE status = 'IDLE' AND log IS NULL", "3");
}

static void the_same_row_twice_is_harmless(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "COMPLETED", "log"),
                                       replace("a", "COMPLETED", "log")};

    assert_int_equal(fixture_write(f, rows, 2), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_KEPT);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "log");
}

static void rows_with_equal_keys_are_written_in_order(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {
        replace("a", "1", "first"),
        append("a", "2", " second", 5),
        replace("b", "1", "other"),
        append("a", "3", "x", 12),
    };

    assert_int_equal(fixture_write(f, rows, 4), 0);
    for (size_t i = 0; i < 4; i++)
        expect_verdict(f, i, TASKLOG_KEPT);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "first secondx");
    expect_value_of(f, "SELECT status FROM tasks WHERE task_id = 'a'", "3");
}

static void appending_twice_at_the_same_place_appends_once(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row head = replace("a", "RUNNING", "Größe 😀\n");
    const struct fixture_row tail = append("a", "RUNNING", "two\n", 8);

    assert_int_equal(fixture_write(f, &head, 1), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_write(f, &tail, 1), 0);
        expect_verdict(f, 0, TASKLOG_KEPT);
    }
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "Größe 😀\ntwo\n");
}

static void appending_to_null_begins_with_nothing(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {append("a", "RUNNING", "one", 0),
                                       append("b", "RUNNING", "one", 100),
                                       append("c", "RUNNING", "one", INT64_MAX),
                                       append("d", "RUNNING", NULL, 2)};

    assert_int_equal(fixture_write(f, rows, 4), 0);
    for (size_t i = 0; i < 4; i++)
        expect_verdict(f, i, TASKLOG_KEPT);
    expect_value_of(f, "SELECT count(*) FROM tasks WHERE log = 'one'", "3");
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'd'", "");
}

static void a_shorter_append_cuts_what_was_longer(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "R", "0123456789"), append("a", "R", "x", 3)};

    assert_int_equal(fixture_write(f, rows, 2), 0);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "012x");
}

static void null_is_written_as_null(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_write_one(f, "a", "X", "log"), 0);
    assert_int_equal(fixture_write_one(f, "a", "X", NULL), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "NULL");
}

static void values_are_data(void **state)
{
    struct fixture *f = *state;
    static const char *const logs[] = {
        "'; DROP TABLE tasks; --",
        "\"quoted\" and 'quoted' and \\back\\slashed\\",
        "$1 ?1 :name @name %s %n",
        "😀 Ärger 日本語 \xe2\x80\xae rtl",
        "\x1b[31mred\x1b[0m\x07\x01 and a tab\t",
        "<script>alert(1)</script>",
        "",
    };

    for (size_t i = 0; i < COUNT(logs); i++) {
        assert_int_equal(fixture_write_one(f, "a", "X", logs[i]), 0);
        expect_verdict(f, 0, TASKLOG_KEPT);
        expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", logs[i]);
    }
    assert_int_equal(fixture_write_one(f, "a' OR 'a' = 'a", "X", "log"), 0);
    expect_verdict(f, 0, TASKLOG_NEVER);
    expect_value_of(f, "SELECT count(*) FROM tasks", "4");
}

static void no_row_at_all_is_no_work(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_write(f, NULL, 0), 0);
}

static void twenty_megabytes_are_one_value(void **state)
{
    struct fixture *f = *state;
    size_t bytes = 20 * 1000 * 1000;
    char *log = calloc(1, bytes + 1);
    const struct fixture_row rows[] = {replace("a", "X", log), replace("b", "X", log),
                                       replace("c", "X", "small")};

    assert_non_null(log);
    /* Random enough not to be compressed away. */
    for (size_t i = 0; i < bytes; i++)
        log[i] = (char)(' ' + (i * 2654435761u >> 13) % 90);
    assert_int_equal(fixture_write(f, rows, 3), 0);
    for (size_t i = 0; i < 3; i++)
        expect_verdict(f, i, TASKLOG_KEPT);
    expect_value_of(f, "SELECT length(log) FROM tasks WHERE task_id = 'b'", "20000000");
    assert_string_equal(database_value(f->database, "SELECT log FROM tasks WHERE task_id = 'a'"),
                        log);
    assert_int_equal(fixture_write_one(f, "a", "X", "small"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    free(log);
}

/* --- Refusals ---------------------------------------------------------------------------------- */

static void a_row_that_is_not_there_is_refused_by_name(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_write_one(f, "nobody\nknows", "X", "log"), 0);
    expect_verdict(f, 0, TASKLOG_NEVER);
    expect_reason(f, 0, "no row with task_id = \"nobody knows\" in table \"tasks\"");
    expect_value_of(f, "SELECT count(*) FROM tasks", "4");
}

static void a_long_key_is_shortened_in_the_reason(void **state)
{
    struct fixture *f = *state;
    char key[251];

    memset(key, 'k', 250);
    key[250] = '\0';
    assert_int_equal(fixture_write_one(f, key, "X", "log"), 0);
    expect_verdict(f, 0, TASKLOG_NEVER);
    expect_reason(f, 0, "kkk...\" in table");
}

static void a_key_without_value_is_refused(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace(NULL, "X", "log"), replace("a", "X", "log")};

    assert_int_equal(fixture_write(f, rows, 2), 0);
    expect_verdict(f, 0, TASKLOG_NEVER);
    expect_reason(f, 0, "\"task_id\" has no value");
    expect_verdict(f, 1, TASKLOG_KEPT);
}

static void refused_values_have_their_reason(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *status, *reason, *sqlstate;
    } refused[] = {
        {"123456789012345678901", NULL, "22001"}, /* too long, and not cut */
        {"FORBIDDEN", NULL, "23514"},
        {NULL, "status", "23502"},
    };

    for (size_t i = 0; i < COUNT(refused); i++) {
        assert_int_equal(fixture_write_one(f, "a", refused[i].status, "log"), 0);
        expect_verdict(f, 0, TASKLOG_NEVER);
        if (refused[i].reason != NULL)
            expect_reason(f, 0, refused[i].reason);
        assert_string_equal(f->outcomes[0].sqlstate,
                            f->kind == DATABASE_POSTGRESQL ? refused[i].sqlstate : "");
    }
    expect_value_of(f, "SELECT status FROM tasks WHERE task_id = 'a'", "IDLE");
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "NULL");
}

/* Makes rows task_id 0 to 99. */
static void insert_a_hundred(struct fixture *f)
{
    database_run(
        f->database,
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99)"
        " INSERT INTO tasks (task_id, status) SELECT CAST(i AS varchar(9)), 'IDLE' FROM n");
}

static void write_a_hundred(struct fixture *f, const bool *is_bad)
{
    static char ids[100][8];
    struct fixture_row rows[100];

    for (size_t i = 0; i < 100; i++) {
        snprintf(ids[i], sizeof ids[i], "%zu", i);
        rows[i] = replace(ids[i], is_bad[i] ? "FORBIDDEN" : "COMPLETED", "log");
    }
    assert_int_equal(fixture_write(f, rows, 100), 0);
}

static void one_refused_row_leaves_99_kept_at_once(void **state)
{
    struct fixture *f = *state;
    static const size_t places[] = {0, 1, 50, 99};

    insert_a_hundred(f);
    for (size_t i = 0; i < COUNT(places); i++) {
        bool is_bad[100] = {false};
        int64_t began_ms = steady_now_ms();

        database_run(f->database, "UPDATE tasks SET status = 'IDLE'");
        is_bad[places[i]] = true;
        write_a_hundred(f, is_bad);
        assert_in_range(steady_now_ms() - began_ms, 0, FIXTURE_SLACK_MS);
        for (size_t j = 0; j < 100; j++)
            expect_verdict(f, j, is_bad[j] ? TASKLOG_NEVER : TASKLOG_KEPT);
        expect_value_of(f, "SELECT count(*) FROM tasks WHERE status = 'COMPLETED'", "99");
    }
}

static void several_refused_rows_each_get_their_verdict(void **state)
{
    struct fixture *f = *state;
    bool is_bad[100] = {false};

    insert_a_hundred(f);
    for (size_t i = 0; i < 100; i++)
        is_bad[i] = i % 7 == 0 || i == 8 || i == 99;
    write_a_hundred(f, is_bad);
    for (size_t i = 0; i < 100; i++)
        expect_verdict(f, i, is_bad[i] ? TASKLOG_NEVER : TASKLOG_KEPT);
    expect_value_of(f, "SELECT count(*) FROM tasks WHERE status = 'COMPLETED'", "83");
}

static void all_refused_is_no_failure_of_the_call(void **state)
{
    struct fixture *f = *state;
    bool is_bad[100];

    insert_a_hundred(f);
    memset(is_bad, true, sizeof is_bad);
    write_a_hundred(f, is_bad);
    for (size_t i = 0; i < 100; i++)
        expect_verdict(f, i, TASKLOG_NEVER);
}

/* A constraint that is looked at in the commit only does not say which row it was. */
static void a_refused_commit_is_traced_to_its_row(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "s1", "1"), replace("b", "nope", "2"),
                                       replace("x", "s1", "3"), replace("c", "s2", "4"),
                                       replace("c", "s1", "5")};

    database_run(f->database, "CREATE TABLE states (name varchar(20) NOT NULL PRIMARY KEY);"
                              "INSERT INTO states VALUES ('s1'), ('s2')");
    if (f->kind == DATABASE_POSTGRESQL)
        database_run(f->database,
                     "DELETE FROM tasks WHERE task_id = 'd'; UPDATE tasks SET status = 's1';"
                     "ALTER TABLE tasks ADD FOREIGN KEY (status) REFERENCES states (name)"
                     " DEFERRABLE INITIALLY DEFERRED");
    else
        database_run(f->database,
                     "DROP TABLE tasks; CREATE TABLE tasks (task_id varchar(255), log text,"
                     " status varchar(20) NOT NULL REFERENCES states (name)"
                     " DEFERRABLE INITIALLY DEFERRED);"
                     "INSERT INTO tasks (task_id, status) VALUES ('a', 's1'), ('b', 's1'),"
                     " ('c', 's1')");
    assert_int_equal(fixture_write(f, rows, 5), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_NEVER);
    if (f->kind == DATABASE_POSTGRESQL)
        expect_reason(f, 1, "Key (status)=(nope) is not present in table \"states\"");
    else
        expect_reason(f, 1, "FOREIGN KEY constraint failed");
    expect_verdict(f, 2, TASKLOG_NEVER);
    expect_verdict(f, 3, TASKLOG_KEPT);
    expect_verdict(f, 4, TASKLOG_KEPT);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "1");
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'b'", "NULL");
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'c'", "5");
}

/* --- Upsert ------------------------------------------------------------------------------------ */

static void upsert_inserts_once_and_updates_then(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {
        replace("new", "RUNNING", "one"),    append("new", "RUNNING", " two", 3),
        replace("a", "RUNNING", "three"),    append("newer", "RUNNING", "four", 0),
        replace("new", "FORBIDDEN", "five"), replace("newest", NULL, "six"),
    };

    f->target.mode = TASKLOG_UPSERT;
    assert_int_equal(fixture_reopen(f, &f->target), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fixture_write(f, rows, COUNT(rows)), 0);
        for (size_t j = 0; j < 4; j++)
            expect_verdict(f, j, TASKLOG_KEPT);
        expect_verdict(f, 4, TASKLOG_NEVER);
        expect_verdict(f, 5, TASKLOG_NEVER);
        expect_value_of(f, "SELECT count(*) FROM tasks", "6");
        expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'new'", "one two");
        expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'newer'", "four");
        expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "three");
    }
}

static void upsert_names_the_column_that_an_insert_would_lack(void **state)
{
    struct fixture *f = *state;
    static const struct tasklog_column key[] = {{.name = "task_id"}};
    static const struct tasklog_column column[] = {{.name = "log"}};
    struct tasklog_target target = {.database = f->target.database,
                                    .table = "tasks",
                                    .mode = TASKLOG_UPSERT,
                                    .keys = key,
                                    .key_count = 1,
                                    .columns = column,
                                    .column_count = 1};

    assert_int_equal(fixture_reopen(f, &target), -EINVAL);
    expect_message(f, "column \"status\" of table \"tasks\" is NOT NULL without a default and is "
                      "not written");
    database_run(f->database, "DROP TABLE tasks; CREATE TABLE tasks (task_id varchar(20) NOT NULL,"
                              " status varchar(20) NOT NULL DEFAULT 'IDLE', log text)");
    assert_int_equal(fixture_open(f), 0);
}

/* --- A row never goes back ---------------------------------------------------------------------- */

#define PLACE(log, at) ((INT64_C(log) << 48) + (at))

static const struct tasklog_column guarded[] = {
    {.name = "status", .type = TASKLOG_TEXT},
    {.name = "log", .type = TASKLOG_TEXT, .appends = true},
    {.name = "place", .type = TASKLOG_INTEGER, .guards = true},
};

static void write_place(struct fixture *f, const char *id, int64_t begun_us, const char *log,
                        int64_t append_at, int64_t place)
{
    const struct tasklog_value keys[] = {fixture_text(id), fixture_number(begun_us)};
    const struct tasklog_value columns[] = {fixture_text("s"), fixture_text(log),
                                            fixture_number(place)};
    const struct tasklog_row row = {.keys = keys, .columns = columns, .append_at = append_at};

    assert_int_equal(tasklog_store_write(f->store, &row, 1, FIXTURE_TIMEOUT_MS, f->outcomes), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
}

static void open_guarded(struct fixture *f, const struct tasklog_column *keys, size_t key_count,
                         enum tasklog_mode mode)
{
    const struct tasklog_target target = {.database = f->target.database,
                                          .table = "tasks",
                                          .mode = mode,
                                          .keys = keys,
                                          .key_count = key_count,
                                          .columns = guarded,
                                          .column_count = COUNT(guarded)};

    if (fixture_reopen(f, &target) != 0)
        fail_msg("%s", tasklog_store_message(f->store));
}

static void expect_log(struct fixture *f, const char *log)
{
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", log);
}

static void a_guarded_row_never_goes_back(void **state)
{
    struct fixture *f = *state;
    static const struct tasklog_column key[] = {{.name = "task_id", .type = TASKLOG_TEXT}};

    database_run(f->database, "ALTER TABLE tasks ADD COLUMN place bigint;"
                              "CREATE UNIQUE INDEX by_id ON tasks (task_id)");
    for (int mode = TASKLOG_UPDATE; mode <= TASKLOG_UPSERT; mode++) {
        database_run(f->database, "UPDATE tasks SET place = NULL");
        open_guarded(f, key, 1, (enum tasklog_mode)mode);
        write_place(f, "a", 0, "first", -1, PLACE(7, 11));
        expect_log(f, "first");
        write_place(f, "a", 0, "as far, and not the first", -1, PLACE(7, 11));
        write_place(f, "a", 0, "less far", -1, PLACE(7, 10));
        write_place(f, "a", 0, " less far", 5, PLACE(7, 8));
        expect_log(f, "first");
        write_place(f, "a", 0, " late", 5, PLACE(7, 13));
        expect_log(f, "first late");
        write_place(f, "a", 0, " late", 5, PLACE(7, 13));
        expect_log(f, "first late");
        write_place(f, "a", 0, "another log", -1, PLACE(9, 2));
        expect_log(f, "another log");
        expect_value_of(f, "SELECT count(*) FROM tasks", "4");
        expect_value_of(f, "SELECT count(*) FROM tasks WHERE place IS NULL", "3");
    }
}

/* The row of a run bears the time at which it began, which is unknown to who has seen only its end. */
static void no_row_is_inserted_for_the_tail_of_one_that_is_there(void **state)
{
    struct fixture *f = *state;
    static const struct tasklog_column keys[] = {{.name = "task_id", .type = TASKLOG_TEXT},
                                                 {.name = "end_time", .type = TASKLOG_TIME}};
    static const char count[] = "SELECT count(*) FROM tasks WHERE task_id = 'r'";

    database_run(f->database, "ALTER TABLE tasks ADD COLUMN place bigint;"
                              "CREATE UNIQUE INDEX by_run ON tasks (task_id, end_time)");
    open_guarded(f, keys, 2, TASKLOG_UPSERT);
    write_place(f, "r", 1000000, "whole", -1, PLACE(7, 11));
    write_place(f, "r", 5000000, "its tail", -1, PLACE(7, 11));
    write_place(f, "r", 500000, "its tail, by a clock that is slow", -1, PLACE(7, 11));
    write_place(f, "r", 5000000, "its tail, of which it has more", -1, PLACE(7, 9));
    expect_value_of(f, count, "1");
    write_place(f, "r", 6000000, "the next run", -1, PLACE(7, 21));
    expect_value_of(f, count, "2");
    write_place(f, "r", 900000, "an earlier run, which came to be written late", -1, PLACE(7, 3));
    expect_value_of(f, count, "3");
    write_place(f, "q", 5000000, "another task", -1, PLACE(7, 9));
    write_place(f, "r", 7000000, "in another log", -1, PLACE(8, 1));
    expect_value_of(f, count, "4");
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'r' AND place % 32 = 11", "whole");
}

static void a_guard_must_be_able_to_hold_a_place(void **state)
{
    struct fixture *f = *state;
    static const struct tasklog_column key[] = {{.name = "task_id", .type = TASKLOG_TEXT}};
    struct tasklog_target target = {.database = f->target.database,
                                    .table = "tasks",
                                    .keys = key,
                                    .key_count = 1,
                                    .columns = guarded,
                                    .column_count = COUNT(guarded)};

    database_run(f->database, "ALTER TABLE tasks ADD COLUMN place varchar(30)");
    assert_int_equal(fixture_reopen(f, &target), -EINVAL);
    expect_message(f, "column \"place\" of table \"tasks\" is of type");
    expect_message(f, "which cannot take a position; accepted is: ");
    if (f->kind == DATABASE_SQLITE) /* one writer at a time: nothing is inserted twice */
        return;
    database_run(f->database, "ALTER TABLE tasks ALTER place TYPE bigint USING NULL");
    assert_int_equal(fixture_open(f), 0);
    target.mode = TASKLOG_UPSERT;
    assert_int_equal(fixture_reopen(f, &target), -EINVAL);
    expect_message(f, "table \"tasks\" has no unique index on its key columns");
    database_run(f->database, "CREATE UNIQUE INDEX by_id ON tasks (task_id)");
    assert_int_equal(fixture_open(f), 0);
}

/* --- Types ------------------------------------------------------------------------------------- */

static void every_field_type_is_written_as_its_column_takes_it(void **state)
{
    struct fixture *f = *state;
    static const struct tasklog_column key[] = {{.name = "task_id", .type = TASKLOG_TEXT}};
    static const struct tasklog_column columns[] = {
        {.name = "end_time", .type = TASKLOG_TIME},  {.name = "seconds", .type = TASKLOG_SECONDS},
        {.name = "failed", .type = TASKLOG_SECONDS}, {.name = "complete", .type = TASKLOG_BOOLEAN},
        {.name = "counters", .type = TASKLOG_JSON},  {.name = "status", .type = TASKLOG_INTEGER},
    };
    struct tasklog_target target = {.database = f->target.database,
                                    .table = "tasks",
                                    .keys = key,
                                    .key_count = 1,
                                    .columns = columns,
                                    .column_count = 6};
    struct tasklog_value a = fixture_text("a");
    struct tasklog_value values[] = {
        /* 2026-11-24 10:31:07.000250 UTC */
        fixture_number(1795516267000250),   fixture_number(65500000),
        fixture_number(65500000),           fixture_number(1),
        fixture_text("{\"tables\": [12]}"), fixture_number(-7),
    };
    struct tasklog_row row = {.keys = &a, .columns = values, .append_at = -1};
    bool pg = f->kind == DATABASE_POSTGRESQL;
    const char *time_sql =
        pg ? "SELECT to_char(end_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') FROM tasks"
             " WHERE task_id = 'a'"
           : "SELECT end_time FROM tasks WHERE task_id = 'a'";

    assert_int_equal(fixture_reopen(f, &target), 0);
    assert_int_equal(tasklog_store_write(f->store, &row, 1, FIXTURE_TIMEOUT_MS, f->outcomes), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_value_of(f, time_sql, "2026-11-24 10:31:07.000250");
    expect_value_of(f, "SELECT seconds FROM tasks WHERE task_id = 'a'", "65.5");
    expect_value_of(f, "SELECT failed FROM tasks WHERE task_id = 'a'", "66");
    expect_value_of(f, "SELECT complete FROM tasks WHERE task_id = 'a'", pg ? "t" : "1");
    expect_value_of(f, "SELECT counters FROM tasks WHERE task_id = 'a'", "{\"tables\": [12]}");
    expect_value_of(f, "SELECT status FROM tasks WHERE task_id = 'a'", "-7");

    /* A whole second has no fraction: what Django writes, too. */
    values[0].number = 1795516267000000;
    values[4] = fixture_null;
    assert_int_equal(tasklog_store_write(f->store, &row, 1, FIXTURE_TIMEOUT_MS, f->outcomes), 0);
    expect_value_of(f, time_sql, pg ? "2026-11-24 10:31:07.000000" : "2026-11-24 10:31:07");
    expect_value_of(f, "SELECT counters FROM tasks WHERE task_id = 'a'", "NULL");
    values[4] = fixture_text("{broken");
    assert_int_equal(tasklog_store_write(f->store, &row, 1, FIXTURE_TIMEOUT_MS, f->outcomes), 0);
    expect_verdict(f, 0, TASKLOG_NEVER);
}

static void a_key_of_text_finds_an_integer(void **state)
{
    struct fixture *f = *state;
    static const struct tasklog_column key[] = {{.name = "id", .type = TASKLOG_TEXT}};
    static const struct tasklog_column column[] = {{.name = "log", .type = TASKLOG_TEXT}};
    struct tasklog_target target = {.database = f->target.database,
                                    .table = "tasks",
                                    .keys = key,
                                    .key_count = 1,
                                    .columns = column,
                                    .column_count = 1};
    struct tasklog_value ids[] = {fixture_text("2"), fixture_text("run-2")};
    struct tasklog_value log = fixture_text("log");
    struct tasklog_row rows[] = {{&ids[0], &log, -1}, {&ids[1], &log, -1}};

    assert_int_equal(fixture_reopen(f, &target), 0);
    assert_int_equal(tasklog_store_write(f->store, rows, 2, FIXTURE_TIMEOUT_MS, f->outcomes), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_NEVER);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'b'", "log");
}

static void several_keys_are_all_compared(void **state)
{
    struct fixture *f = *state;
    static const struct tasklog_column keys[] = {{.name = "task_id", .type = TASKLOG_TEXT},
                                                 {.name = "failed", .type = TASKLOG_INTEGER}};
    static const struct tasklog_column column[] = {{.name = "log", .type = TASKLOG_TEXT}};
    struct tasklog_target target = {.database = f->target.database,
                                    .table = "tasks",
                                    .keys = keys,
                                    .key_count = 2,
                                    .columns = column,
                                    .column_count = 1};
    struct tasklog_value found[] = {fixture_text("a"), fixture_number(3)};
    struct tasklog_value not_found[] = {fixture_text("a"), fixture_number(4)};
    struct tasklog_value log = fixture_text("log");
    struct tasklog_row rows[] = {{found, &log, -1}, {not_found, &log, -1}};

    database_run(f->database, "UPDATE tasks SET failed = 3");
    assert_int_equal(fixture_reopen(f, &target), 0);
    assert_int_equal(tasklog_store_write(f->store, rows, 2, FIXTURE_TIMEOUT_MS, f->outcomes), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_NEVER);
    expect_reason(f, 1, "no row with task_id = \"a\" and failed = 4 in table");
    expect_value_of(f, "SELECT count(*) FROM tasks WHERE log = 'log'", "1");
}

static void names_may_hold_anything(void **state)
{
    struct fixture *f = *state;
    static const struct tasklog_column key[] = {{.name = "Task \"Id\"", .type = TASKLOG_TEXT}};
    static const struct tasklog_column columns[] = {
        {.name = "log'; DROP TABLE tasks; --", .type = TASKLOG_TEXT, .appends = true},
        {.name = "select", .type = TASKLOG_TEXT},
        {.name = "Größe 😀 %s $1 ?1", .type = TASKLOG_TEXT},
    };
    struct tasklog_target target = {.database = f->target.database,
                                    .table = "My \"Tasks\" 'x'",
                                    .mode = TASKLOG_UPSERT,
                                    .keys = key,
                                    .key_count = 1,
                                    .columns = columns,
                                    .column_count = 3};
    struct tasklog_value id = fixture_text("a");
    struct tasklog_value values[] = {fixture_text("1"), fixture_text("2"), fixture_text("3")};
    struct tasklog_row rows[] = {{&id, values, -1}, {&id, values, 1}};

    database_run(f->database, "CREATE TABLE \"My \"\"Tasks\"\" 'x'\" (\"Task \"\"Id\"\"\" text,"
                              " \"log'; DROP TABLE tasks; --\" text, \"select\" text,"
                              " \"Größe 😀 %s $1 ?1\" text)");
    assert_int_equal(fixture_reopen(f, &target), 0);
    assert_int_equal(tasklog_store_write(f->store, rows, 2, FIXTURE_TIMEOUT_MS, f->outcomes), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_KEPT);
    expect_value_of(f, "SELECT \"log'; DROP TABLE tasks; --\" FROM \"My \"\"Tasks\"\" 'x'\"", "11");
    expect_value_of(f, "SELECT \"Größe 😀 %s $1 ?1\" FROM \"My \"\"Tasks\"\" 'x'\"", "3");
    expect_value_of(f, "SELECT count(*) FROM tasks", "4");
}

static void a_schema_may_stand_before_the_table(void **state)
{
    struct fixture *f = *state;

    f->target.table = f->kind == DATABASE_POSTGRESQL ? "public.tasks" : "main.tasks";
    assert_int_equal(fixture_reopen(f, &f->target), 0);
    assert_int_equal(fixture_write_one(f, "a", "X", "log"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
}

/* --- A wrong target ---------------------------------------------------------------------------- */

static void a_wrong_table_is_named_beside_the_right_one(void **state)
{
    struct fixture *f = *state;

    database_run(f->database, "CREATE TABLE aaa (i integer); CREATE TABLE zzz (i integer)");
    f->target.table = "Taks";
    assert_int_equal(fixture_reopen(f, &f->target), -EINVAL);
    expect_message(f, "has no table \"Taks\"; it has: \"tasks\", \"aaa\", \"zzz\"");
    assert_int_equal(fixture_write_one(f, "a", "X", "log"), -EINVAL);
}

/* A target that has one column as well. */
static int open_column(struct fixture *f, const char *name, enum tasklog_type type, bool appends)
{
    const struct tasklog_column columns[] = {
        {.name = "log", .type = TASKLOG_TEXT},
        {.name = name, .type = type, .appends = appends},
    };
    struct tasklog_target target = f->target;

    target.columns = columns;
    target.column_count = 2;
    return fixture_reopen(f, &target);
}

static void a_wrong_column_is_named_beside_the_right_one(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_column(f, "end_tme", TASKLOG_TIME, false), -EINVAL);
    expect_message(f, "table \"tasks\" has no column \"end_tme\"; it has: \"end_time\", \"id\", ");
}

static void a_column_that_cannot_take_its_field_is_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *column;
        enum tasklog_type type;
        const char *part;
    } wrong[] = {
        {"failed", TASKLOG_TEXT, "which cannot take text; accepted are: text"},
        {"failed", TASKLOG_TEXT, "column \"failed\" of table \"tasks\" is of type "},
        {"complete", TASKLOG_TEXT, "bool"},
        {"end_time", TASKLOG_TEXT, "time"},
        {"seconds", TASKLOG_TIME, "which cannot take a time; accepted are: "},
        {"complete", TASKLOG_TIME, "cannot take a time"},
        {"end_time", TASKLOG_INTEGER, "cannot take a whole number"},
        {"end_time", TASKLOG_SECONDS, "cannot take a number of seconds"},
        {"end_time", TASKLOG_BOOLEAN, "cannot take true or false"},
        {"failed", TASKLOG_JSON, "cannot take JSON"},
    };

    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_int_equal(open_column(f, wrong[i].column, wrong[i].type, false), -EINVAL);
        expect_message(f, wrong[i].part);
    }
    assert_int_equal(open_column(f, "failed", TASKLOG_INTEGER, true), -EINVAL);
    expect_message(f, "to which nothing can be appended");
}

static void a_generated_column_cannot_be_written(void **state)
{
    struct fixture *f = *state;

    database_run(f->database,
                 "DROP TABLE tasks; CREATE TABLE tasks (task_id text, status text,"
                 " log text, twice text GENERATED ALWAYS AS (status || status) STORED)");
    assert_int_equal(open_column(f, "twice", TASKLOG_TEXT, false), -EINVAL);
    expect_message(f, "\"twice\" of table \"tasks\" is generated and cannot be written");
}

static void a_target_that_is_mended_is_found_right(void **state)
{
    struct fixture *f = *state;

    database_run(f->database, "ALTER TABLE tasks RENAME TO elsewhere");
    f->target.table = "tasks";
    assert_int_equal(fixture_reopen(f, &f->target), -EINVAL);
    assert_int_equal(fixture_write_one(f, "a", "X", "log"), -EINVAL);
    database_run(f->database, "ALTER TABLE elsewhere RENAME TO tasks");
    assert_int_equal(fixture_write_one(f, "a", "X", "log"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
}

static void a_target_that_breaks_while_open_is_found_wrong(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_write_one(f, "a", "X", "log"), 0);
    database_run(f->database, "ALTER TABLE tasks RENAME COLUMN log TO logg");
    assert_int_equal(fixture_write_one(f, "a", "X", "log"), -EINVAL);
    expect_message(f, "has no column \"log\"; it has: \"logg\"");
    database_run(f->database, "ALTER TABLE tasks RENAME TO gone");
    assert_int_equal(fixture_write_one(f, "a", "X", "log"), -EINVAL);
    expect_message(f, "has no table \"tasks\"; it has: ");
    database_run(f->database,
                 "ALTER TABLE gone RENAME TO tasks; ALTER TABLE tasks RENAME COLUMN logg TO log");
    assert_int_equal(fixture_write_one(f, "a", "X", "log"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
}

static void a_target_that_contradicts_itself_is_refused_at_once(void **state)
{
    struct fixture *f = *state;
    static const struct tasklog_column twice[] = {{.name = "log"}, {.name = "log"}};
    static const struct tasklog_column nameless[] = {{.name = ""}};
    static const struct {
        const char *table;
        const struct tasklog_column *columns;
        size_t column_count;
        const char *part;
    } wrong[] = {
        {"", twice, 1, "table"},
        {".tasks", twice, 1, "\".tasks\" is neither"},
        {"public.", twice, 1, "\"public.\" is neither"},
        {"tasks", twice, 2, "column \"log\" is named twice"},
        {"tasks", twice, 0, "no column"},
        {"tasks", nameless, 1, "no name"},
    };

    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct tasklog_target target = f->target;
        struct tasklog_store *store = NULL;
        char error[TASKLOG_REASON_BYTES] = "";

        target.table = wrong[i].table;
        target.columns = wrong[i].columns;
        target.column_count = wrong[i].column_count;
        assert_int_equal(tasklog_store_new(&target, &steady_clock, error, sizeof error, &store),
                         -EINVAL);
        assert_null(store);
        assert_non_null(strstr(error, wrong[i].part));
    }
}

/* --- Locks, time and interrupts ---------------------------------------------------------------- */

static const char *lock_row_b(const struct fixture *f)
{
    return f->kind == DATABASE_POSTGRESQL ? "SELECT 1 FROM tasks WHERE task_id = 'b' FOR UPDATE"
                                          : "UPDATE tasks SET failed = 1 WHERE task_id = 'b'";
}

static void a_lock_is_survived_within_the_time_and_released(void **state)
{
    struct fixture *f = *state;
    int64_t began_ms;
    int r;

    database_hold(f->database, lock_row_b(f));
    f->timeout_ms = FIXTURE_SHORT_MS;
    began_ms = steady_now_ms();
    r = fixture_write_one(f, "b", "X", "log");
    assert_in_range(steady_now_ms() - began_ms, 100, FIXTURE_SHORT_MS + FIXTURE_SLACK_MS);
    if (f->kind == DATABASE_POSTGRESQL) {
        assert_int_equal(r, 0);
        expect_verdict(f, 0, TASKLOG_LATER);
        assert_string_equal(f->outcomes[0].sqlstate, "55P03");
    } else {
        assert_int_equal(r, -EAGAIN);
        expect_message(f, "locked");
    }
    database_release(f->database);
    assert_int_equal(fixture_write_one(f, "b", "X", "log"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
}

static void *release_soon(void *context)
{
    struct fixture *f = context;

    steady_sleep_ms(150);
    database_release(f->database);
    return NULL;
}

static void a_short_lock_is_only_waited_for(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;

    database_hold(f->database, lock_row_b(f));
    assert_int_equal(pthread_create(&thread, NULL, release_soon, f), 0);
    assert_int_equal(fixture_write_one(f, "b", "X", "log"), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
}

/* The best of three, as the machine may be busy. */
static void an_interrupt_ends_a_blocked_write(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row row = replace("b", "X", "log");
    int64_t best_ms = INT64_MAX;

    database_hold(f->database, lock_row_b(f));
    for (int i = 0; i < 3; i++) {
        int64_t took_ms;

        assert_int_equal(fixture_reopen(f, &f->target), 0);
        took_ms = fixture_interrupt(f, &row);
        best_ms = took_ms < best_ms ? took_ms : best_ms;
        expect_message(f, "interrupted");
    }
    assert_in_range(best_ms, 0, 200);
    /* It stays so. */
    assert_int_equal(fixture_write_one(f, "a", "X", "log"), -ECANCELED);
    assert_int_equal(fixture_open(f), -ECANCELED);
    expect_value_of(f, "SELECT count(*) FROM tasks WHERE log IS NOT NULL", "0");
}

static void an_interrupt_before_the_first_open_counts(void **state)
{
    struct fixture *f = *state;
    char error[TASKLOG_REASON_BYTES];
    struct tasklog_store *store = NULL;

    assert_int_equal(tasklog_store_new(&f->target, &steady_clock, error, sizeof error, &store), 0);
    tasklog_store_interrupt(store);
    assert_int_equal(tasklog_store_open(store, FIXTURE_TIMEOUT_MS), -ECANCELED);
    tasklog_store_free(store);
    tasklog_store_free(NULL);
}

static void no_time_at_all_is_later(void **state)
{
    struct fixture *f = *state;
    struct tasklog_value a = fixture_text("a");
    struct tasklog_value values[] = {fixture_text("X"), fixture_text("log")};
    struct tasklog_row row = {&a, values, -1};
    int r = tasklog_store_write(f->store, &row, 1, 0, f->outcomes);

    if (r == 0)
        expect_verdict(f, 0, TASKLOG_LATER);
    else
        assert_int_equal(r, -EAGAIN);
    assert_int_equal(fixture_write_one(f, "a", "X", "log"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
}

static enum database_kind postgresql = DATABASE_POSTGRESQL;
static enum database_kind sqlite = DATABASE_SQLITE;

#define TEST(function)                                                                   \
    {#function " (PostgreSQL)", function, fixture_setup, fixture_teardown, &postgresql}, \
    {                                                                                    \
#function " (SQLite)", function, fixture_setup, fixture_teardown, &sqlite        \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_row_is_replaced_and_its_neighbours_are_not),
        TEST(the_same_row_twice_is_harmless),
        TEST(rows_with_equal_keys_are_written_in_order),
        TEST(appending_twice_at_the_same_place_appends_once),
        TEST(appending_to_null_begins_with_nothing),
        TEST(a_shorter_append_cuts_what_was_longer),
        TEST(null_is_written_as_null),
        TEST(values_are_data),
        TEST(no_row_at_all_is_no_work),
        TEST(twenty_megabytes_are_one_value),
        TEST(a_row_that_is_not_there_is_refused_by_name),
        TEST(a_long_key_is_shortened_in_the_reason),
        TEST(a_key_without_value_is_refused),
        TEST(refused_values_have_their_reason),
        TEST(one_refused_row_leaves_99_kept_at_once),
        TEST(several_refused_rows_each_get_their_verdict),
        TEST(all_refused_is_no_failure_of_the_call),
        TEST(a_refused_commit_is_traced_to_its_row),
        TEST(upsert_inserts_once_and_updates_then),
        TEST(upsert_names_the_column_that_an_insert_would_lack),
        TEST(a_guarded_row_never_goes_back),
        TEST(no_row_is_inserted_for_the_tail_of_one_that_is_there),
        TEST(a_guard_must_be_able_to_hold_a_place),
        TEST(every_field_type_is_written_as_its_column_takes_it),
        TEST(a_key_of_text_finds_an_integer),
        TEST(several_keys_are_all_compared),
        TEST(names_may_hold_anything),
        TEST(a_schema_may_stand_before_the_table),
        TEST(a_wrong_table_is_named_beside_the_right_one),
        TEST(a_wrong_column_is_named_beside_the_right_one),
        TEST(a_column_that_cannot_take_its_field_is_refused),
        TEST(a_generated_column_cannot_be_written),
        TEST(a_target_that_is_mended_is_found_right),
        TEST(a_target_that_breaks_while_open_is_found_wrong),
        TEST(a_target_that_contradicts_itself_is_refused_at_once),
        TEST(a_lock_is_survived_within_the_time_and_released),
        TEST(a_short_lock_is_only_waited_for),
        TEST(an_interrupt_ends_a_blocked_write),
        TEST(an_interrupt_before_the_first_open_counts),
        TEST(no_time_at_all_is_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
