/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the PostgreSQL store promises beyond test_conformance.c: a server that is locked, slow, frozen,
 * stopped or not what the target says. It runs against a real server, through a gate where the network
 * has to fail.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/steady_clock.h"
#include "support/store_fixture.h"
#include "support/tcp_gate.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { URL_BYTES = 400 };

static const struct tasklog_column text_key[] = {{.name = "task_id", .type = TASKLOG_TEXT}};

/* The fixture's target over another connection string. */
static int reopen_by(struct fixture *f, const char *url)
{
    f->target.database = url;
    return fixture_reopen(f, &f->target);
}

static int write_within(struct fixture *f, const struct fixture_row *row, int timeout_ms)
{
    struct tasklog_value key = fixture_text(row->task_id);
    struct tasklog_value values[] = {fixture_text(row->status), fixture_text(row->log)};
    struct tasklog_row written = {&key, values, row->appends ? row->append_at : -1};

    return tasklog_store_write(f->store, &written, 1, timeout_ms, f->outcomes);
}

/* Does `act` with the fixture after a while, from another thread. */
struct deed {
    struct fixture *fixture;
    void (*act)(struct fixture *fixture);
    int after_ms;
    pthread_t thread;
};

static void *do_deed(void *context)
{
    struct deed *deed = context;

    steady_sleep_ms(deed->after_ms);
    deed->act(deed->fixture);
    return NULL;
}

static void deed_start(struct deed *deed)
{
    assert_int_equal(pthread_create(&deed->thread, NULL, do_deed, deed), 0);
}

static void deed_end(struct deed *deed)
{
    assert_int_equal(pthread_join(deed->thread, NULL), 0);
}

/* Returns when they are gone: the server forgets a process a little before it hangs up. */
static void kill_sessions(struct fixture *f)
{
    char pids[400];
    long pid;

    snprintf(pids, sizeof pids, "%s",
             database_value(f->database, "SELECT string_agg(pid::text, ' ') FILTER (WHERE"
                                         " pg_terminate_backend(pid)) FROM pg_stat_activity"
                                         " WHERE application_name = 'tasklog'"));
    for (char *at = pids, *next; (pid = strtol(at, &next, 10)) > 0; at = next) {
        while (kill((pid_t)pid, 0) == 0 || errno == EPERM)
            steady_sleep_ms(1);
    }
}

/* --- Locks ------------------------------------------------------------------------------------- */

static void a_locked_row_does_not_hold_up_its_neighbours(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "X", "1"),    replace("b", "X", "2"),
                                       replace("c", "X", "3"),    replace("b", "Y", "4"),
                                       replace("none", "X", "5"), replace("d", "X", "6")};
    int64_t began_ms = steady_now_ms();

    database_hold(f->database, "SELECT 1 FROM tasks WHERE task_id = 'b' FOR UPDATE");
    assert_int_equal(fixture_write(f, rows, COUNT(rows)), 0);
    assert_in_range(steady_now_ms() - began_ms, 0, FIXTURE_SLACK_MS);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_LATER);
    expect_reason(f, 1, "lock timeout");
    expect_verdict(f, 2, TASKLOG_KEPT);
    expect_verdict(f, 3, TASKLOG_LATER);
    expect_reason(f, 3, "an earlier row with the same keys");
    expect_verdict(f, 4, TASKLOG_NEVER);
    expect_verdict(f, 5, TASKLOG_KEPT);
    expect_value_of(f, "SELECT string_agg(log, ',' ORDER BY log) FROM tasks", "1,3,6");
    database_release(f->database);
    assert_int_equal(fixture_write(f, rows, COUNT(rows)), 0);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'b'", "4");
}

static void many_locked_rows_are_waited_for_within_the_time(void **state)
{
    struct fixture *f = *state;
    static char ids[300][8];
    struct fixture_row rows[301];
    int64_t began_ms;

    database_run(f->database, "INSERT INTO tasks (task_id, status)"
                              " SELECT i::text, 'IDLE' FROM generate_series(0, 299) i");
    for (size_t i = 0; i < 300; i++) {
        snprintf(ids[i], sizeof ids[i], "%zu", i);
        rows[i] = replace(ids[i], "X", "log");
    }
    rows[300] = replace("a", "X", "log");
    database_hold(f->database, "SELECT 1 FROM tasks WHERE task_id <> 'a' FOR UPDATE");
    began_ms = steady_now_ms();
    assert_int_equal(fixture_write(f, rows, COUNT(rows)), 0);
    assert_in_range(steady_now_ms() - began_ms, 0, FIXTURE_TIMEOUT_MS);
    for (size_t i = 0; i < 300; i++)
        expect_verdict(f, i, TASKLOG_LATER);
    expect_verdict(f, 300, TASKLOG_KEPT);
}

static void a_locked_table_is_later(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "X", "1"), replace("b", "X", "2")};

    database_hold(f->database, "LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE");
    assert_int_equal(fixture_write(f, rows, 2), 0);
    expect_verdict(f, 0, TASKLOG_LATER);
    expect_verdict(f, 1, TASKLOG_LATER);
    database_release(f->database);
    assert_int_equal(fixture_write(f, rows, 2), 0);
    expect_verdict(f, 1, TASKLOG_KEPT);
}

static void commit_holder(struct fixture *f)
{
    database_commit(f->database);
}

/* By itself, and beside a row that makes the batch be written a second time. */
static void an_insert_that_loses_a_race_becomes_an_update(void **state)
{
    struct fixture *f = *state;
    static const char *const first_status[] = {"X", "FORBIDDEN"};
    struct deed deed = {.fixture = f, .act = commit_holder, .after_ms = 50};

    f->target.mode = TASKLOG_UPSERT;
    database_run(f->database, "CREATE UNIQUE INDEX ON tasks (task_id)");
    assert_int_equal(fixture_reopen(f, &f->target), 0);
    for (size_t i = 0; i < COUNT(first_status); i++) {
        const struct fixture_row rows[] = {replace("a", first_status[i], "1"),
                                           replace("new", "X", "2"), replace("b", "X", "3")};

        database_run(f->database, "DELETE FROM tasks WHERE task_id = 'new'");
        database_hold(f->database, "INSERT INTO tasks (task_id, status) VALUES ('new', 'THEIRS')");
        deed_start(&deed);
        assert_int_equal(fixture_write(f, rows, 3), 0);
        deed_end(&deed);
        expect_verdict(f, 0, i == 0 ? TASKLOG_KEPT : TASKLOG_NEVER);
        expect_verdict(f, 1, TASKLOG_KEPT);
        expect_verdict(f, 2, TASKLOG_KEPT);
        expect_value_of(f, "SELECT status || log FROM tasks WHERE task_id = 'new'", "X2");
    }
}

/* --- Slowness ---------------------------------------------------------------------------------- */

/* Rows whose status is SLOW take a minute, those with NAP a tenth of a second. */
static void make_slow(struct fixture *f)
{
    database_run(f->database,
                 "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " IF NEW.status = 'SLOW' THEN PERFORM pg_sleep(60); END IF;"
                 " IF NEW.status = 'NAP' THEN PERFORM pg_sleep(0.1); END IF;"
                 " RETURN NEW; END $$;"
                 "CREATE TRIGGER dawdle BEFORE UPDATE ON tasks FOR EACH ROW"
                 " EXECUTE FUNCTION dawdle()");
}

static void a_slow_row_is_bounded_and_its_neighbours_get_on(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "X", "1"), replace("b", "SLOW", "2"),
                                       replace("c", "X", "3")};
    int64_t began_ms;

    make_slow(f);
    f->timeout_ms = FIXTURE_SHORT_MS;
    began_ms = steady_now_ms();
    assert_int_equal(fixture_write(f, rows, 3), 0);
    assert_in_range(steady_now_ms() - began_ms, 0, FIXTURE_SHORT_MS + FIXTURE_SLACK_MS);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_LATER);
    assert_string_equal(f->outcomes[1].sqlstate, "57014");
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "1");
}

static void slow_rows_cost_their_patience_once(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "X", "1"), replace("b", "SLOW", "2"),
                                       replace("c", "SLOW", "3"), replace("b", "X", "4"),
                                       replace("d", "X", "5")};
    int64_t began_ms = 0;

    make_slow(f);
    tasklog_store_set_patience(f->store, 500);
    began_ms = steady_now_ms();
    assert_int_equal(fixture_write(f, rows, COUNT(rows)), 0);
    assert_in_range(steady_now_ms() - began_ms, 900, 1000 + FIXTURE_SLACK_MS);
    expect_verdict(f, 0, TASKLOG_KEPT);
    assert_int_equal(f->outcomes[1].cause, TASKLOG_SLOW);
    assert_int_equal(f->outcomes[2].cause, TASKLOG_SLOW);
    expect_verdict(f, 3, TASKLOG_LATER);
    assert_int_equal(f->outcomes[3].cause, TASKLOG_UNTRIED);
    expect_verdict(f, 4, TASKLOG_KEPT);
    expect_value_of(f, "SELECT string_agg(log, ',' ORDER BY log) FROM tasks", "1,5");
}

/* The server would end the session, and the same row would come again and again. */
static void a_row_that_no_message_can_carry_is_refused_unread(void **state)
{
    struct fixture *f = *state;
    const struct tasklog_value key = fixture_text("b");
    struct tasklog_value columns[] = {fixture_text("X"), fixture_text("far too little")};
    const struct tasklog_row row = {&key, columns, -1};

    columns[1].text_bytes = 1 << 30;
    assert_int_equal(tasklog_store_write(f->store, &row, 1, FIXTURE_TIMEOUT_MS, f->outcomes), 0);
    expect_verdict(f, 0, TASKLOG_NEVER);
    expect_reason(f, 0, "the database takes no more than 1073676288 in a row");
}

static void a_batch_that_is_too_slow_for_its_time_gets_on_by_and_by(void **state)
{
    struct fixture *f = *state;
    static char ids[100][8];
    struct fixture_row rows[100];
    size_t left = 100;
    int calls = 0;

    make_slow(f);
    database_run(f->database, "INSERT INTO tasks (task_id, status)"
                              " SELECT i::text, 'IDLE' FROM generate_series(0, 99) i");
    for (size_t i = 0; i < 100; i++) {
        snprintf(ids[i], sizeof ids[i], "%zu", i);
        rows[i] = replace(ids[i], "NAP", "log");
    }
    f->timeout_ms = FIXTURE_SHORT_MS;
    /* Ten seconds of work in calls of three. */
    for (; left > 0 && calls < 20; calls++) {
        size_t kept = 0;
        int64_t began_ms = steady_now_ms();
        int r = fixture_write(f, rows + (100 - left), left);

        assert_in_range(steady_now_ms() - began_ms, 0, FIXTURE_SHORT_MS + FIXTURE_SLACK_MS);
        if (r == -EAGAIN) /* a busy machine */
            continue;
        assert_int_equal(r, 0);
        while (kept < left && f->outcomes[kept].verdict == TASKLOG_KEPT)
            kept++;
        for (size_t i = kept; i < left; i++)
            expect_verdict(f, i, TASKLOG_LATER);
        assert_in_range(kept, 1, left);
        left -= kept;
    }
    assert_int_equal(left, 0);
    expect_value_of(f, "SELECT count(*) FROM tasks WHERE log = 'log'", "100");
}

static void much_sent_and_much_answered_does_not_get_stuck(void **state)
{
    struct fixture *f = *state;
    struct fixture_row rows[200];
    size_t bytes = 300 * 1000;
    char *log = calloc(1, bytes + 1);

    assert_non_null(log);
    memset(log, 'x', bytes);
    database_run(f->database, "CREATE FUNCTION chat() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                              " RAISE NOTICE '%', NEW.log; RETURN NEW; END $$;"
                              "CREATE TRIGGER chat BEFORE UPDATE ON tasks FOR EACH ROW"
                              " EXECUTE FUNCTION chat()");
    for (size_t i = 0; i < COUNT(rows); i++)
        rows[i] = replace("a", "X", log);
    assert_int_equal(fixture_write(f, rows, COUNT(rows)), 0);
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_verdict(f, i,
                       f->outcomes[i].verdict == TASKLOG_LATER ? TASKLOG_LATER : TASKLOG_KEPT);
    expect_verdict(f, 0, TASKLOG_KEPT);
    free(log);
}

/* --- A connection that fails ------------------------------------------------------------------- */

static void a_session_that_was_killed_is_replaced(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_write_one(f, "a", "X", "1"), 0);
    kill_sessions(f);
    /* It hung up while nobody asked, so nobody needs to know. */
    assert_int_equal(fixture_write_one(f, "a", "X", "2"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
}

static void a_session_that_is_killed_while_it_writes_is_tried_again(void **state)
{
    struct fixture *f = *state;
    struct deed deed = {.fixture = f, .act = kill_sessions, .after_ms = 100};
    const struct fixture_row rows[] = {replace("a", "X", "1"), replace("b", "X", "2")};

    database_hold(f->database, "SELECT 1 FROM tasks WHERE task_id = 'b' FOR UPDATE");
    deed_start(&deed);
    assert_int_equal(fixture_write(f, rows, 2), -EAGAIN);
    deed_end(&deed);
    expect_message(f, "terminating connection due to administrator command");
    database_release(f->database);
    expect_value_of(f, "SELECT count(*) FROM tasks WHERE log IS NOT NULL", "0");
    assert_int_equal(fixture_write(f, rows, 2), 0);
    expect_verdict(f, 1, TASKLOG_KEPT);
}

static int control_server(const char *verb)
{
    char command[200];

    snprintf(command, sizeof command, "pg_ctlcluster %s regress %s -m fast >/dev/null 2>&1",
             getenv("PGVERSION"), verb);
    return system(command);
}

static void a_server_that_is_stopped_and_started_is_found_again(void **state)
{
    struct fixture *f = *state;

    /* Only a server that is there to be thrown away. */
    if (getenv("PG_CLUSTER_CONF_ROOT") == NULL || getenv("PGVERSION") == NULL)
        skip();
    assert_int_equal(fixture_write_one(f, "a", "X", "1"), 0);
    assert_int_equal(control_server("stop"), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_write_one(f, "a", "X", "2"), -EAGAIN);
        expect_message(f, "cannot connect as user \"");
    }
    assert_int_equal(control_server("start"), 0);
    assert_int_equal(fixture_write_one(f, "a", "X", "3"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    /* The fixture's own session has ended with the server. */
    database_reopen(f->database);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "3");
}

static void gate_url(const struct tcp_gate *gate, char *url)
{
    snprintf(url, URL_BYTES, "dbname=tasklog_test host=127.0.0.1 port=%d", tcp_gate_port(gate));
}

static void a_frozen_network_costs_the_time_and_no_more(void **state)
{
    struct fixture *f = *state;
    struct tcp_gate *gate = tcp_gate_new(getenv("PGHOST"), getenv("PGPORT"));
    const struct fixture_row row = replace("a", "X", "1");
    char url[URL_BYTES];

    gate_url(gate, url);
    assert_int_equal(reopen_by(f, url), 0);
    tcp_gate_freeze(gate);
    /* The first call loses its session, the second one cannot get a new one. */
    for (int i = 0; i < 2; i++) {
        int64_t began_ms = steady_now_ms();

        assert_int_equal(write_within(f, &row, 500), -EAGAIN);
        assert_in_range(steady_now_ms() - began_ms, 490, 500 + FIXTURE_SLACK_MS);
        expect_message(f, "no answer in time");
    }
    tcp_gate_thaw(gate);
    assert_int_equal(fixture_write_one(f, "a", "X", "2"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    tcp_gate_cut(gate);
    steady_sleep_ms(50);
    assert_int_equal(fixture_write_one(f, "a", "X", "3"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    tcp_gate_free(gate);
}

/* 20 MB through a gate that fails in the middle of them. */
static void a_network_that_fails_in_the_middle_is_later(void **state)
{
    struct fixture *f = *state;
    static void (*const failures[])(struct tcp_gate *, long) = {tcp_gate_freeze_after,
                                                                tcp_gate_cut_after};
    struct tcp_gate *gate = tcp_gate_new(getenv("PGHOST"), getenv("PGPORT"));
    size_t bytes = 20 * 1000 * 1000;
    char *log = calloc(1, bytes + 1);
    char url[URL_BYTES];

    assert_non_null(log);
    memset(log, 'x', bytes);
    gate_url(gate, url);
    for (size_t i = 0; i < COUNT(failures); i++) {
        const struct fixture_row row = replace("a", "X", log);

        assert_int_equal(reopen_by(f, url), 0);
        database_run(f->database, "UPDATE tasks SET log = NULL");
        failures[i](gate, 10 * 1000 * 1000);
        assert_int_equal(write_within(f, &row, 1000), -EAGAIN);
        tcp_gate_thaw(gate);
        assert_int_equal(fixture_write(f, &row, 1), 0);
        expect_verdict(f, 0, TASKLOG_KEPT);
        expect_value_of(f, "SELECT length(log) FROM tasks WHERE task_id = 'a'", "20000000");
    }
    tcp_gate_free(gate);
    free(log);
}

static void interrupt_store(struct fixture *f)
{
    tasklog_store_interrupt(f->store);
}

static void an_interrupt_ends_a_connecting_store(void **state)
{
    struct fixture *f = *state;
    struct tcp_gate *gate = tcp_gate_new(getenv("PGHOST"), getenv("PGPORT"));
    struct deed deed = {.fixture = f, .act = interrupt_store, .after_ms = 100};
    char error[TASKLOG_REASON_BYTES];
    char url[URL_BYTES];
    int64_t began_ms;

    tcp_gate_freeze(gate);
    gate_url(gate, url);
    f->target.database = url;
    tasklog_store_free(f->store);
    f->store = NULL;
    assert_int_equal(tasklog_store_new(&f->target, &steady_clock, error, sizeof error, &f->store),
                     0);
    began_ms = steady_now_ms();
    deed_start(&deed);
    assert_int_equal(fixture_open(f), -ECANCELED);
    assert_in_range(steady_now_ms() - began_ms, 90, FIXTURE_SLACK_MS);
    deed_end(&deed);
    tcp_gate_free(gate);
}

/* A session that timed out still waits in the server for its lock. It must not get it and write its
 * old row over newer ones. */
static void an_abandoned_transaction_never_comes_through_later(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row old = replace("b", "OLD", "1");
    const struct fixture_row young = replace("b", "YOUNG", "2");

    database_run(f->database,
                 "CREATE TABLE history (status text);"
                 "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " INSERT INTO history VALUES (NEW.status); RETURN NEW; END $$;"
                 "CREATE TRIGGER note AFTER UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION note()");
    /* The user's own settings switch the server's time-outs off. */
    assert_int_equal(reopen_by(f, "dbname=tasklog_test options='-c lock_timeout=0"
                                  " -c statement_timeout=0'"),
                     0);
    database_hold(f->database, "SELECT 1 FROM tasks WHERE task_id = 'b' FOR UPDATE");
    assert_int_equal(write_within(f, &old, 300), -EAGAIN);
    expect_value_of(f,
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tasklog'"
                    " AND wait_event_type = 'Lock'",
                    "1");
    /* The next call ends it, waits in its place, and times out as well. */
    assert_int_equal(write_within(f, &young, 300), -EAGAIN);
    expect_value_of(f,
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tasklog'"
                    " AND wait_event_type = 'Lock'",
                    "1");
    database_release(f->database);
    assert_int_equal(fixture_write(f, &young, 1), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_value_of(f, "SELECT count(*) FROM history WHERE status = 'OLD'", "0");
    expect_value_of(f, "SELECT status FROM tasks WHERE task_id = 'b'", "YOUNG");
}

static void a_server_that_became_read_only_is_left(void **state)
{
    struct fixture *f = *state;

    database_run(f->database, "ALTER DATABASE tasklog_test SET default_transaction_read_only = on");
    kill_sessions(f);
    assert_int_equal(fixture_write_one(f, "a", "X", "1"), -EAGAIN);
    expect_message(f, "read-only transaction");
    database_run(f->database, "ALTER DATABASE tasklog_test RESET default_transaction_read_only");
    assert_int_equal(fixture_write_one(f, "a", "X", "1"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
}

/* --- Who and where ----------------------------------------------------------------------------- */

static void make_role(struct fixture *f, const char *name)
{
    char sql[300];

    snprintf(sql, sizeof sql,
             "DO $$ BEGIN IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '%s') THEN"
             " DROP OWNED BY %s; DROP ROLE %s; END IF;"
             " CREATE ROLE %s LOGIN PASSWORD 's3cret word'; END $$",
             name, name, name, name);
    database_run(f->database, sql);
}

static void a_wrong_log_in_is_one_clear_error(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *url;
        int r;
        const char *parts[3];
    } wrong[] = {
        {"dbname=tasklog_test user=tasklog_writer password=s3cret",
         -EINVAL,
         {"cannot connect to PostgreSQL database \"tasklog_test\" on host \"",
          " as user \"tasklog_writer\": password authentication failed for user"}},
        {"dbname=tasklog_test user=nobody_here password=s3cret",
         -EINVAL,
         {"as user \"nobody_here\": password authentication failed"}},
        {"dbname=not_there",
         -EINVAL,
         {"database \"not_there\"", "database \"not_there\" does not exist"}},
        {"host=no-such-host.invalid dbname=d password=s3cret",
         -EAGAIN,
         {"cannot connect as user", "could not translate host name"}},
        {"postgresql://u:s3cret@127.0.0.1:1/d",
         -EAGAIN,
         {"as user \"u\"", "127.0.0.1", "Connection refused"}},
        {"host=/nonexistent dbname=d", -EAGAIN, {"/nonexistent"}},
        {"dbname=tasklog_test options='-c no_such_setting=1'", -EINVAL, {"no_such_setting"}},
    };

    make_role(f, "tasklog_writer");
    for (size_t i = 0; i < COUNT(wrong); i++) {
        int r = reopen_by(f, wrong[i].url);

        if (r != wrong[i].r)
            fail_msg("%s: %d: %s", wrong[i].url, r, tasklog_store_message(f->store));
        for (size_t j = 0; j < 3 && wrong[i].parts[j] != NULL; j++)
            expect_message(f, wrong[i].parts[j]);
        assert_null(strstr(tasklog_store_message(f->store), "s3cret"));
        assert_null(strstr(tasklog_store_message(f->store), "LOCATION"));
        assert_null(strchr(tasklog_store_message(f->store), '\n'));
        assert_null(strstr(tasklog_store_name(f->store), "s3cret"));
    }
}

static void a_missing_password_is_the_targets_fault(void **state)
{
    struct fixture *f = *state;
    char *kept = strdup(getenv("PGPASSWORD"));

    make_role(f, "tasklog_writer");
    unsetenv("PGPASSWORD");
    assert_int_equal(reopen_by(f, "dbname=tasklog_test user=tasklog_writer"), -EINVAL);
    setenv("PGPASSWORD", kept, 1);
    expect_message(f, "no password supplied");
    free(kept);
}

static void a_malformed_string_is_refused_without_its_secrets(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *url, *part;
    } wrong[] = {
        {"password=my s3cret", "missing \"=\" after ..."},
        {"password=my s3cret=x", "invalid connection option ..."},
        {"password='s3cret", "unterminated quoted string"},
        {"dbname=x s3cret", "missing \"=\" after ..."},
        {"postgresql://u:s3%zzcret@host/db", "invalid percent-encoded token"},
        {"postgresql://u:s3cret@[::1/db", "IPv6"},
        {"postgresql://u:p@host/db?s3cret=x=y", "URI"},
        {"postgresql://u:p@host/db?s3cret", "URI"},
        {"postgresql://u:p@host/db?s3cret=1", "invalid URI query parameter"},
        {"mysql://u:s3cret@host/db", "\"postgresql://user@host/dbname\""},
        {"s3cret", "missing \"=\""},
        {"hots=db1 password=s3cret", "\"hots\", did you mean \"host\"?"},
    };

    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct tasklog_store *store = NULL;
        char error[TASKLOG_REASON_BYTES] = "";

        f->target.database = wrong[i].url;
        assert_int_equal(tasklog_store_new(&f->target, &steady_clock, error, sizeof error, &store),
                         -EINVAL);
        if (strstr(error, "cret") != NULL || strstr(error, wrong[i].part) == NULL)
            fail_msg("%s: %s", wrong[i].url, error);
        assert_non_null(strstr(error, "accepted are"));
    }
}

static int count_open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void a_new_store_opens_nothing_and_knows_its_name(void **state)
{
    struct fixture *f = *state;
    struct tasklog_store *store = NULL;
    char error[TASKLOG_REASON_BYTES];
    int before = count_open_files();

    f->target.database = "postgresql://u:s3cret@no-such-host.invalid/thoth";
    assert_int_equal(tasklog_store_new(&f->target, &steady_clock, error, sizeof error, &store), 0);
    assert_int_equal(count_open_files(), before);
    assert_string_equal(tasklog_store_name(store),
                        "PostgreSQL database \"thoth\" on host \"no-such-host.invalid\"");
    tasklog_store_free(store);
    assert_int_equal(count_open_files(), before);
}

static void no_file_is_left_open(void **state)
{
    struct fixture *f = *state;
    int before;

    tasklog_store_free(f->store);
    f->store = NULL;
    before = count_open_files();
    for (int i = 0; i < 3; i++) {
        f->target.table = i == 1 ? "absent" : "tasks";
        assert_int_equal(fixture_reopen(f, &f->target), i == 1 ? -EINVAL : 0);
        kill_sessions(f);
        (void)fixture_write_one(f, "a", "X", "1");
    }
    tasklog_store_free(f->store);
    f->store = NULL;
    assert_int_equal(count_open_files(), before);
}

static void missing_privileges_are_named(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *sql;
        enum tasklog_mode mode;
        const char *part; /* NULL = it is enough */
    } steps[] = {
        {"REVOKE USAGE ON SCHEMA public FROM PUBLIC", TASKLOG_UPDATE,
         "permission denied for schema public"},
        {"GRANT USAGE ON SCHEMA public TO tasklog_writer", TASKLOG_UPDATE,
         "role \"tasklog_writer\" lacks the privilege to SELECT column \"task_id\" of table"},
        {"GRANT SELECT (task_id) ON tasks TO tasklog_writer", TASKLOG_UPDATE,
         "lacks the privilege to UPDATE column \"status\""},
        {"GRANT UPDATE (status, log) ON tasks TO tasklog_writer", TASKLOG_UPDATE,
         "lacks the privilege to SELECT column \"log\""},
        {"GRANT SELECT (log) ON tasks TO tasklog_writer", TASKLOG_UPDATE, NULL},
        {"SELECT 1", TASKLOG_UPSERT, "lacks the privilege to INSERT column \"task_id\""},
        {"GRANT INSERT (task_id, status, log) ON tasks TO tasklog_writer", TASKLOG_UPSERT, NULL},
        {"ALTER TABLE tasks ADD COLUMN number serial", TASKLOG_UPSERT,
         "lacks the privilege to use sequence tasks_number_seq, which numbers column \"number\""},
        {"GRANT USAGE ON SEQUENCE tasks_number_seq TO tasklog_writer", TASKLOG_UPSERT, NULL},
    };
    const struct fixture_row rows[] = {replace("a", "X", "1"), append("a", "X", "2", 1),
                                       replace("new", "X", "3")};

    make_role(f, "tasklog_writer");
    f->target.table = "public.tasks";
    for (size_t i = 0; i < COUNT(steps); i++) {
        int r;

        database_run(f->database, steps[i].sql);
        f->target.mode = steps[i].mode;
        r = reopen_by(f, "dbname=tasklog_test user=tasklog_writer password='s3cret word'");
        if (r != (steps[i].part != NULL ? -EINVAL : 0))
            fail_msg("%s: %d: %s", steps[i].sql, r, tasklog_store_message(f->store));
        if (steps[i].part != NULL)
            expect_message(f, steps[i].part);
    }
    assert_int_equal(fixture_write(f, rows, 3), 0);
    for (size_t i = 0; i < 3; i++)
        expect_verdict(f, i, TASKLOG_KEPT);
    /* Taken away while the store is open. */
    database_run(f->database, "REVOKE UPDATE (log) ON tasks FROM tasklog_writer");
    assert_int_equal(fixture_write(f, rows, 3), -EINVAL);
    expect_message(f, "lacks the privilege to UPDATE column \"log\"");
    tasklog_store_free(f->store);
    f->store = NULL;
    database_run(f->database, "DROP OWNED BY tasklog_writer; DROP ROLE tasklog_writer;"
                              "ALTER TABLE tasks DROP COLUMN number");
}

static void settings_are_the_users_first(void **state)
{
    struct fixture *f = *state;
    static const char name_sql[] = "SELECT count(*) FROM pg_stat_activity"
                                   " WHERE application_name = 'mine'";

    database_run(f->database,
                 "CREATE TABLE seen (statement_timeout text, lock_timeout text, encoding text);"
                 "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " DELETE FROM seen; INSERT INTO seen VALUES (current_setting('statement_timeout'),"
                 " current_setting('lock_timeout'), current_setting('client_encoding'));"
                 " RETURN NEW; END $$;"
                 "CREATE TRIGGER see BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION see()");
    f->timeout_ms = 8000;
    assert_int_equal(fixture_write_one(f, "a", "X", "Größe 😀"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_value_of(f, "SELECT lock_timeout FROM seen", "200ms");
    expect_value_of(f, "SELECT statement_timeout::interval BETWEEN '2s' AND '4001ms' FROM seen",
                    "t");
    expect_value_of(f, name_sql, "0");
    assert_int_equal(reopen_by(f, "dbname=tasklog_test application_name=mine client_encoding=LATIN1"
                                  " options='-c statement_timeout=7s -c lock_timeout=3s'"),
                     0);
    expect_value_of(f, name_sql, "1");
    assert_int_equal(fixture_write_one(f, "a", "X", "Größe 😀"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_value_of(f, "SELECT lock_timeout || statement_timeout || encoding FROM seen",
                    "3s7sUTF8");
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "Größe 😀");
    setenv("PGCLIENTENCODING", "LATIN1", 1);
    assert_int_equal(reopen_by(f, "dbname=tasklog_test"), 0);
    unsetenv("PGCLIENTENCODING");
    assert_int_equal(fixture_write_one(f, "a", "X", "日本"), 0);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "日本");
}

static void a_character_that_the_database_has_not_is_refused(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "X", "Größe"), replace("a", "X", "日本")};

    database_run(f->database, "DROP DATABASE IF EXISTS tasklog_latin1");
    database_run(f->database, "CREATE DATABASE tasklog_latin1 ENCODING 'LATIN1' LC_COLLATE 'C'"
                              " LC_CTYPE 'C' TEMPLATE template0");
    f->target.table = "pg_temp.tasks";
    f->target.database = "dbname=tasklog_latin1";
    assert_int_equal(system("psql -q -d tasklog_latin1 -c \"CREATE TABLE tasks (task_id text,"
                            " status text, log text)\" -c \"INSERT INTO tasks VALUES ('a')\""),
                     0);
    f->target.table = "tasks";
    assert_int_equal(fixture_reopen(f, &f->target), 0);
    assert_int_equal(fixture_write(f, rows, 2), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_NEVER);
    assert_string_equal(f->outcomes[1].sqlstate, "22P05");
    tasklog_store_free(f->store);
    f->store = NULL;
    database_run(f->database, "DROP DATABASE tasklog_latin1");
}

/* --- What stands behind a table ---------------------------------------------------------------- */

static void what_a_trigger_raises_is_a_refusal_in_its_words(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "X", "1"), replace("b", "BAD", "2"),
                                       replace("c", "OWN", "3"), replace("d", "LOST", "4"),
                                       replace("a", "Y", "5")};

    database_run(f->database,
                 "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " IF NEW.status = 'BAD' THEN RAISE EXCEPTION E'bad\\nstatus'; END IF;"
                 " IF NEW.status = 'OWN' THEN RAISE EXCEPTION 'own' USING ERRCODE = 'TL001';"
                 " END IF;"
                 " IF NEW.status = 'LOST' THEN INSERT INTO nowhere VALUES (1); END IF;"
                 " RETURN NEW; END $$;"
                 "CREATE TRIGGER judge BEFORE UPDATE ON tasks FOR EACH ROW"
                 " EXECUTE FUNCTION judge()");
    assert_int_equal(fixture_write(f, rows, 5), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_NEVER);
    assert_string_equal(f->outcomes[1].reason, "bad status");
    assert_string_equal(f->outcomes[1].sqlstate, "P0001");
    expect_verdict(f, 2, TASKLOG_NEVER);
    assert_string_equal(f->outcomes[2].sqlstate, "TL001");
    /* The target is right; somebody has to mend the trigger. */
    expect_verdict(f, 3, TASKLOG_LATER);
    expect_reason(f, 3, "relation \"nowhere\" does not exist");
    expect_verdict(f, 4, TASKLOG_KEPT);
}

/* As a foreign table's wrapper does, in a session that is none the worse for it. */
static void a_connection_error_out_of_a_trigger_is_its_rows_only(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "X", "1"), replace("b", "AWAY", "2"),
                                       replace("c", "DOWN", "3"), replace("d", "X", "4")};

    database_run(f->database,
                 "CREATE FUNCTION ask() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " IF NEW.status = 'AWAY' THEN RAISE EXCEPTION 'x' USING ERRCODE = '08006'; END IF;"
                 " IF NEW.status = 'DOWN' THEN RAISE EXCEPTION 'y' USING ERRCODE = '57P01'; END IF;"
                 " RETURN NEW; END $$;"
                 "CREATE TRIGGER ask BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION ask()");
    assert_int_equal(fixture_write(f, rows, 4), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_LATER);
    expect_verdict(f, 2, TASKLOG_LATER);
    expect_verdict(f, 3, TASKLOG_KEPT);
}

static void a_policy_refuses_its_row_only(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "X", "1"), replace("b", "SECRET", "2"),
                                       replace("c", "X", "3")};

    make_role(f, "tasklog_writer");
    database_run(f->database,
                 "GRANT SELECT, UPDATE ON tasks TO tasklog_writer;"
                 "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;"
                 "CREATE POLICY p ON tasks USING (true) WITH CHECK (status <> 'SECRET')");
    assert_int_equal(reopen_by(f, "dbname=tasklog_test user=tasklog_writer password='s3cret word'"),
                     0);
    assert_int_equal(fixture_write(f, rows, 3), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_NEVER);
    assert_string_equal(f->outcomes[1].sqlstate, "42501");
    expect_verdict(f, 2, TASKLOG_KEPT);
    tasklog_store_free(f->store);
    f->store = NULL;
    database_run(f->database, "DROP OWNED BY tasklog_writer; DROP ROLE tasklog_writer");
}

static void what_can_be_written_is_not_only_a_table(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *table, *part;
    } relations[] = {
        {"simple_view", NULL},
        {"trigger_view", NULL},
        {"parts", NULL},
        {"other.tasks", NULL},
        {"sum_view", "\"sum_view\" is a view that cannot be written"},
        {"stored_view", "\"stored_view\" is a materialized view, not a table that can be written"},
        {"numbers", "\"numbers\" is a sequence, not"},
        {"tasks_only_there", "it has: \"other.tasks_only_there\""},
        {"other.nothing", "has no table \"other.nothing\"; it has: "},
    };

    database_run(
        f->database,
        "DROP SCHEMA IF EXISTS other CASCADE; CREATE SCHEMA other;"
        "CREATE TABLE other.tasks (LIKE tasks); INSERT INTO other.tasks SELECT * FROM tasks;"
        "CREATE TABLE other.tasks_only_there (i integer);"
        "CREATE VIEW simple_view AS SELECT * FROM tasks;"
        "CREATE VIEW trigger_view AS SELECT DISTINCT task_id, status, log FROM tasks;"
        "CREATE FUNCTION through() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE tasks SET status = NEW.status, log = NEW.log WHERE task_id = OLD.task_id;"
        " RETURN NEW; END $$;"
        "CREATE TRIGGER through INSTEAD OF UPDATE ON trigger_view FOR EACH ROW"
        " EXECUTE FUNCTION through();"
        "CREATE VIEW sum_view AS SELECT task_id, status, max(log) AS log FROM tasks GROUP BY 1, 2;"
        "CREATE MATERIALIZED VIEW stored_view AS SELECT * FROM tasks;"
        "CREATE SEQUENCE numbers;"
        "CREATE TABLE parts (task_id text, status text, log text) PARTITION BY LIST (status);"
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN ('IDLE');"
        "CREATE TABLE parts_2 PARTITION OF parts DEFAULT;"
        "INSERT INTO parts VALUES ('a', 'IDLE')");
    for (size_t i = 0; i < COUNT(relations); i++) {
        int r;

        f->target.table = relations[i].table;
        r = fixture_reopen(f, &f->target);
        if (r != (relations[i].part != NULL ? -EINVAL : 0))
            fail_msg("%s: %d: %s", relations[i].table, r, tasklog_store_message(f->store));
        if (relations[i].part != NULL) {
            expect_message(f, relations[i].part);
        } else {
            assert_int_equal(fixture_write_one(f, "a", "X", relations[i].table), 0);
            expect_verdict(f, 0, TASKLOG_KEPT);
        }
    }
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "trigger_view");
    expect_value_of(f, "SELECT log FROM parts WHERE task_id = 'a' AND status = 'X'", "parts");
    expect_value_of(f, "SELECT log FROM other.tasks WHERE task_id = 'a'", "other.tasks");
}

/* --- Types ------------------------------------------------------------------------------------- */

/* Writes one value into a column of one type; says what is there then, or why not. */
static const char *through_type(struct fixture *f, const char *type, enum tasklog_type field,
                                struct tasklog_value value)
{
    static char answer[TASKLOG_REASON_BYTES];
    const struct tasklog_column column[] = {{.name = "c", .type = field}};
    struct tasklog_target target = {.database = f->target.database,
                                    .table = "typed",
                                    .keys = text_key,
                                    .key_count = 1,
                                    .columns = column,
                                    .column_count = 1};
    struct tasklog_value key = fixture_text("a");
    struct tasklog_row row = {&key, &value, -1};
    char sql[300];

    snprintf(sql, sizeof sql,
             "DROP TABLE IF EXISTS typed; CREATE TABLE typed (task_id text, c %s);"
             "INSERT INTO typed VALUES ('a')",
             type);
    database_run(f->database, sql);
    if (fixture_reopen(f, &target) == -EINVAL)
        return "unfit";
    assert_int_equal(tasklog_store_write(f->store, &row, 1, FIXTURE_TIMEOUT_MS, f->outcomes), 0);
    if (f->outcomes[0].verdict != TASKLOG_KEPT)
        snprintf(answer, sizeof answer, "%s", f->outcomes[0].sqlstate);
    else
        snprintf(answer, sizeof answer, "%s",
                 database_value(f->database, "SET timezone = 'Europe/Rome'; SELECT c FROM typed"));
    return answer;
}

static void each_type_takes_what_it_can(void **state)
{
    struct fixture *f = *state;
    enum { TIME_US = 250000 }; /* a quarter past 2026-11-24 10:31:07 UTC */
    static const struct {
        const char *type;
        enum tasklog_type field;
        const char *text;
        long long number;
        const char *answer;
    } cases[] = {
        {"varchar(3)", TASKLOG_TEXT, "abc", 0, "abc"},
        {"varchar(3)", TASKLOG_TEXT, "abcd", 0, "22001"},
        {"char(3)", TASKLOG_TEXT, "abcd", 0, "22001"},
        {"mood", TASKLOG_TEXT, "happy", 0, "happy"},
        {"mood", TASKLOG_TEXT, "unheard", 0, "22P02"},
        {"short", TASKLOG_TEXT, "abc", 0, "abc"},
        {"short", TASKLOG_TEXT, "abcdef", 0, "23514"},
        {"shorter", TASKLOG_TEXT, "abcd", 0, "23514"},
        {"uuid", TASKLOG_TEXT, "6f1ed002-ab5b-4b0c-8c0a-1c2d3e4f5a6b", 0,
         "6f1ed002-ab5b-4b0c-8c0a-1c2d3e4f5a6b"},
        {"uuid", TASKLOG_TEXT, "run-42", 0, "22P02"},
        {"inet", TASKLOG_TEXT, "10.0.0.1", 0, "10.0.0.1"},
        {"xml", TASKLOG_TEXT, "x", 0, "unfit"},
        {"bytea", TASKLOG_TEXT, "x", 0, "unfit"},
        {"text[]", TASKLOG_TEXT, "x", 0, "unfit"},
        {"jsonb", TASKLOG_TEXT, "x", 0, "unfit"},
        {"tsvector", TASKLOG_TEXT, "x", 0, "unfit"},
        {"pair", TASKLOG_TEXT, "x", 0, "unfit"},
        {"integer GENERATED ALWAYS AS IDENTITY", TASKLOG_INTEGER, NULL, 1, "unfit"},
        {"smallint", TASKLOG_INTEGER, NULL, 32767, "32767"},
        {"smallint", TASKLOG_INTEGER, NULL, 32768, "22003"},
        {"bigint", TASKLOG_INTEGER, NULL, INT64_MAX, "9223372036854775807"},
        {"numeric(30,2)", TASKLOG_INTEGER, NULL, 12, "12.00"},
        {"text", TASKLOG_INTEGER, NULL, -12, "-12"},
        {"money", TASKLOG_INTEGER, NULL, 12, "unfit"},
        {"timestamptz", TASKLOG_TIME, NULL, TIME_US, "2026-11-24 11:31:07.25+01"},
        {"timestamptz(0)", TASKLOG_TIME, NULL, TIME_US, "2026-11-24 11:31:07+01"},
        {"timestamp", TASKLOG_TIME, NULL, TIME_US, "2026-11-24 10:31:07.25"},
        {"date", TASKLOG_TIME, NULL, TIME_US, "2026-11-24"},
        {"text", TASKLOG_TIME, NULL, TIME_US, "2026-11-24 10:31:07.250000+00"},
        {"time", TASKLOG_TIME, NULL, TIME_US, "unfit"},
        {"bigint", TASKLOG_TIME, NULL, TIME_US, "unfit"},
        {"double precision", TASKLOG_SECONDS, NULL, 65123456, "65.123456"},
        {"numeric(12,3)", TASKLOG_SECONDS, NULL, 65123456, "65.123"},
        {"integer", TASKLOG_SECONDS, NULL, 65500000, "66"},
        {"integer", TASKLOG_SECONDS, NULL, 65499999, "65"},
        {"bigint", TASKLOG_SECONDS, NULL, -1500000, "-2"},
        {"interval", TASKLOG_SECONDS, NULL, 65123456, "00:01:05.123456"},
        {"interval", TASKLOG_SECONDS, NULL, -500000, "-00:00:00.5"},
        {"text", TASKLOG_SECONDS, NULL, 65000000, "65"},
        {"boolean", TASKLOG_SECONDS, NULL, 1, "unfit"},
        {"boolean", TASKLOG_BOOLEAN, NULL, 1, "t"},
        {"smallint", TASKLOG_BOOLEAN, NULL, 1, "1"},
        {"text", TASKLOG_BOOLEAN, NULL, 0, "false"},
        {"date", TASKLOG_BOOLEAN, NULL, 0, "unfit"},
        {"json", TASKLOG_JSON, "{\"a\":1}", 0, "{\"a\":1}"},
        {"jsonb", TASKLOG_JSON, "{\"a\":1}", 0, "{\"a\": 1}"},
        {"jsonb", TASKLOG_JSON, "{", 0, "22P02"},
        {"text", TASKLOG_JSON, "{\"a\":1}", 0, "{\"a\":1}"},
        {"boolean", TASKLOG_JSON, "{}", 0, "unfit"},
    };

    database_run(f->database, "CREATE TYPE mood AS ENUM ('happy', 'sad');"
                              "CREATE TYPE pair AS (a integer, b integer);"
                              "CREATE DOMAIN short AS text CHECK (length(value) < 6);"
                              "CREATE DOMAIN shorter AS short CHECK (length(value) < 4)");
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tasklog_value value = fixture_number(cases[i].number);
        const char *answer;

        if (cases[i].text != NULL)
            value = fixture_text(cases[i].text);
        if (cases[i].field == TASKLOG_TIME)
            value.number += 1795516267000000;
        answer = through_type(f, cases[i].type, cases[i].field, value);
        if (strcmp(answer, cases[i].answer) != 0)
            fail_msg("%s, case %zu: \"%s\", not \"%s\" (%s)", cases[i].type, i, answer,
                     cases[i].answer, tasklog_store_message(f->store));
    }
}

static void each_type_of_key_is_found(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *type, *key;
    } cases[] = {
        {"text", "run-42"},
        {"varchar(40)", "run-42"},
        {"char(40)", "run-42"},
        {"integer", "42"},
        {"bigint", "42"},
        {"numeric", "42"},
        {"uuid", "6f1ed002-ab5b-4b0c-8c0a-1c2d3e4f5a6b"},
        {"mood", "happy"},
        {"short", "abc"},
        {"inet", "10.0.0.1"},
    };
    static const struct tasklog_column key_column[] = {{.name = "k", .type = TASKLOG_TEXT}};
    static const struct tasklog_column columns[] = {
        {.name = "log", .type = TASKLOG_TEXT, .appends = true}};
    struct tasklog_target target = {.database = f->target.database,
                                    .table = "keyed",
                                    .mode = TASKLOG_UPSERT,
                                    .keys = key_column,
                                    .key_count = 1,
                                    .columns = columns,
                                    .column_count = 1};

    database_run(f->database, "CREATE TYPE mood AS ENUM ('happy', 'sad');"
                              "CREATE DOMAIN short AS varchar(20) CHECK (length(value) < 6)");
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tasklog_value key = fixture_text(cases[i].key);
        struct tasklog_value log = fixture_text("12");
        struct tasklog_row rows[] = {{&key, &log, -1}, {&key, &log, 1}};
        char sql[300];
        int r;

        snprintf(sql, sizeof sql,
                 "DROP TABLE IF EXISTS keyed; CREATE TABLE keyed (k %s, log varchar(4))",
                 cases[i].type);
        database_run(f->database, sql);
        if (fixture_reopen(f, &target) < 0)
            fail_msg("%s: %s", cases[i].type, tasklog_store_message(f->store));
        r = tasklog_store_write(f->store, rows, 2, FIXTURE_TIMEOUT_MS, f->outcomes);
        if (r < 0)
            fail_msg("%s: %s", cases[i].type, tasklog_store_message(f->store));
        expect_verdict(f, 0, TASKLOG_KEPT);
        expect_verdict(f, 1, TASKLOG_KEPT);
        expect_value_of(f, "SELECT string_agg(log, '|') FROM keyed", "112");
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
        TEST(a_locked_row_does_not_hold_up_its_neighbours),
        TEST(many_locked_rows_are_waited_for_within_the_time),
        TEST(a_locked_table_is_later),
        TEST(an_insert_that_loses_a_race_becomes_an_update),
        TEST(a_slow_row_is_bounded_and_its_neighbours_get_on),
        TEST(slow_rows_cost_their_patience_once),
        TEST(a_row_that_no_message_can_carry_is_refused_unread),
        TEST(a_batch_that_is_too_slow_for_its_time_gets_on_by_and_by),
        TEST(much_sent_and_much_answered_does_not_get_stuck),
        TEST(a_session_that_was_killed_is_replaced),
        TEST(a_session_that_is_killed_while_it_writes_is_tried_again),
        TEST(a_server_that_is_stopped_and_started_is_found_again),
        TEST(a_frozen_network_costs_the_time_and_no_more),
        TEST(a_network_that_fails_in_the_middle_is_later),
        TEST(an_interrupt_ends_a_connecting_store),
        TEST(an_abandoned_transaction_never_comes_through_later),
        TEST(a_server_that_became_read_only_is_left),
        TEST(a_wrong_log_in_is_one_clear_error),
        TEST(a_missing_password_is_the_targets_fault),
        TEST(a_malformed_string_is_refused_without_its_secrets),
        TEST(a_new_store_opens_nothing_and_knows_its_name),
        TEST(no_file_is_left_open),
        TEST(missing_privileges_are_named),
        TEST(settings_are_the_users_first),
        TEST(a_character_that_the_database_has_not_is_refused),
        TEST(what_a_trigger_raises_is_a_refusal_in_its_words),
        TEST(a_connection_error_out_of_a_trigger_is_its_rows_only),
        TEST(a_policy_refuses_its_row_only),
        TEST(what_can_be_written_is_not_only_a_table),
        TEST(each_type_takes_what_it_can),
        TEST(each_type_of_key_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
