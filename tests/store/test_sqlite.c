/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the SQLite store promises beyond test_conformance.c: it is a guest in a file that belongs to
 * somebody else, who goes on using it. The other users are real processes here.
 */
#include <errno.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "support/steady_clock.h"
#include "support/store_fixture.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const modes[] = {"delete", "wal"};

static void set_journal(struct fixture *f, const char *mode)
{
    char sql[64];

    snprintf(sql, sizeof sql, "PRAGMA journal_mode = %s", mode);
    database_run(f->database, sql);
}

/*
 * The other processes are this program again, with the name of what to do as its first argument: a
 * forked one would share SQLite's memory of which locks it holds.
 */
static pid_t start_process(const char *const *arguments)
{
    char program[256];
    ssize_t bytes = readlink("/proc/self/exe", program, sizeof program - 1);
    pid_t pid;

    assert_true(bytes > 0);
    program[bytes] = '\0';
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execv(program, (char *const *)arguments);
        _exit(99);
    }
    return pid;
}

static void end_process(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the other process failed with status %x", (unsigned)status);
}

/* --- Other users of the file ------------------------------------------------------------------- */

static void the_journal_mode_stays_as_it_is(void **state)
{
    struct fixture *f = *state;
    static const char *const kept[] = {"delete", "wal", "persist", "truncate"};

    for (size_t i = 0; i < COUNT(kept); i++) {
        tasklog_store_free(f->store);
        f->store = NULL;
        set_journal(f, kept[i]);
        assert_int_equal(fixture_reopen(f, &f->target), 0);
        assert_int_equal(fixture_write_one(f, "a", "X", kept[i]), 0);
        expect_verdict(f, 0, TASKLOG_KEPT);
        /* Only WAL is a property of the file; the others are the connection's. */
        if (strcmp(kept[i], "wal") == 0) {
            expect_value_of(f, "PRAGMA journal_mode", "wal");
            tasklog_store_free(f->store);
            f->store = NULL;
            expect_value_of(f, "PRAGMA journal_mode", "wal");
            assert_int_equal(fixture_reopen(f, &f->target), 0);
        } else {
            expect_value_of(f, "PRAGMA journal_mode", kept[i]);
        }
        expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", kept[i]);
    }
}

/* As Django does it: a connection a request, 5 seconds of patience. */
static int write_all_the_time(char **arguments)
{
    for (int i = 0; i < 300; i++) {
        sqlite3 *lite = NULL;
        int code = sqlite3_open(arguments[0], &lite);

        sqlite3_busy_timeout(lite, 5000);
        if (code == SQLITE_OK)
            code = sqlite3_exec(lite,
                                "BEGIN IMMEDIATE;"
                                "UPDATE tasks SET failed = coalesce(failed, 0) + 1"
                                " WHERE task_id = 'd'; COMMIT",
                                NULL, NULL, NULL);
        if (code != SQLITE_OK)
            fprintf(stderr, "the other process, write %d: %s\n", i, sqlite3_errmsg(lite));
        sqlite3_close(lite);
        if (code != SQLITE_OK)
            return 1;
    }
    return 0;
}

static void another_process_may_write_all_the_time(void **state)
{
    struct fixture *f = *state;

    for (size_t m = 0; m < COUNT(modes); m++) {
        pid_t pid;
        int status = 0;
        int written = 0;

        set_journal(f, modes[m]);
        database_run(f->database, "UPDATE tasks SET failed = NULL");
        pid =
            start_process((const char *const[]){"test", "write", database_path(f->database), NULL});
        while (waitpid(pid, &status, WNOHANG) == 0) {
            char log[16];
            const struct fixture_row rows[] = {replace("a", "X", log), replace("none", "X", log),
                                               replace("b", "X", log)};

            snprintf(log, sizeof log, "%d", written);
            assert_int_equal(fixture_write(f, rows, 3), 0);
            expect_verdict(f, 0, TASKLOG_KEPT);
            expect_verdict(f, 1, TASKLOG_NEVER);
            expect_verdict(f, 2, TASKLOG_KEPT);
            expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'b'", log);
            written++;
        }
        assert_int_equal(status, 0);
        assert_in_range(written, 1, 1000000);
        expect_value_of(f, "SELECT failed FROM tasks WHERE task_id = 'd'", "300");
    }
}

/* Somebody reads while the commit wants to be alone with the file. */
static void a_long_reader_costs_patience_but_not_the_row(void **state)
{
    struct fixture *f = *state;
    sqlite3 *reader = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t began_ms = steady_now_ms();
    int r;

    set_journal(f, "delete");
    assert_int_equal(sqlite3_open(database_path(f->database), &reader), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(reader, "SELECT * FROM tasks", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    r = fixture_write_one(f, "a", "X", "1");
    assert_int_equal(r, -EAGAIN);
    expect_message(f, "locked");
    /* Others must not be kept out for as long as they are patient. */
    assert_in_range(steady_now_ms() - began_ms, 1000, 2000 + FIXTURE_SLACK_MS);
    sqlite3_finalize(statement);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "NULL");
    assert_int_equal(fixture_write_one(f, "a", "X", "2"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    sqlite3_close(reader);
}

/* --- The file as such -------------------------------------------------------------------------- */

/* Restores a backup, as people do it while the store has the file open. */
struct restore {
    const char *mode;
    const char *command; /* $1 is the backup, $2 the database */
};

static const struct restore restores[] = {
    {"delete", "mv \"$1\" \"$2\""},
    {"wal", "mv \"$1\" \"$2\"; rm \"$2-wal\" \"$2-shm\""},
    {"wal", "cat \"$1\" > \"$2\"; rm \"$2-wal\" \"$2-shm\""},
    {"wal", "rm \"$2\" \"$2-wal\" \"$2-shm\"; cp \"$1\" \"$2\""},
};

static void restore_backup(struct fixture *f, const struct restore *restore)
{
    char command[600];

    database_close(f->database);
    snprintf(command, sizeof command, "set -e; set -- '%s/backup' '%s'; %s; rm -f \"$1\"",
             database_folder(f->database), database_path(f->database), restore->command);
    assert_int_equal(system(command), 0);
}

static void a_file_that_is_replaced_while_open_is_opened_anew(void **state)
{
    struct fixture *f = *state;
    char sql[200];

    for (size_t i = 0; i < COUNT(restores); i++) {
        tasklog_store_free(f->store);
        f->store = NULL;
        set_journal(f, restores[i].mode);
        database_run(f->database, "UPDATE tasks SET log = 'backup'");
        snprintf(sql, sizeof sql, "VACUUM INTO '%s/backup'", database_folder(f->database));
        database_run(f->database, sql);
        assert_int_equal(fixture_reopen(f, &f->target), 0);
        database_run(f->database, "UPDATE tasks SET log = 'lost'");
        assert_int_equal(fixture_write_one(f, "a", "X", "before"), 0);
        restore_backup(f, &restores[i]);
        assert_int_equal(fixture_write_one(f, "b", "X", "after"), 0);
        expect_verdict(f, 0, TASKLOG_KEPT);
        database_reopen(f->database);
        expect_value_of(f, "SELECT group_concat(log) FROM (SELECT log FROM tasks ORDER BY task_id)",
                        "backup,after,backup,backup");
        expect_value_of(f, "PRAGMA integrity_check", "ok");
    }
}

static void a_file_that_is_replaced_is_left_alone_at_the_end(void **state)
{
    struct fixture *f = *state;
    char sql[200];

    set_journal(f, "wal");
    snprintf(sql, sizeof sql, "VACUUM INTO '%s/backup'", database_folder(f->database));
    database_run(f->database, sql);
    assert_int_equal(fixture_reopen(f, &f->target), 0);
    assert_int_equal(fixture_write_one(f, "a", "X", "before"), 0);
    restore_backup(f, &restores[2]);
    tasklog_store_free(f->store);
    f->store = NULL;
    database_reopen(f->database);
    expect_value_of(f, "SELECT count(*) FROM tasks WHERE log IS NOT NULL", "0");
    expect_value_of(f, "PRAGMA integrity_check", "ok");
}

static void a_file_that_is_gone_is_named_and_never_made(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_write_one(f, "a", "X", "1"), 0);
    assert_int_equal(unlink(database_path(f->database)), 0);
    assert_int_equal(fixture_write_one(f, "a", "X", "2"), -EINVAL);
    expect_message(f, database_path(f->database));
    expect_message(f, "does not exist, and is never created");
    assert_int_equal(access(database_path(f->database), F_OK), -1);
}

static int open_path(struct fixture *f, const char *path)
{
    static char url[400];

    snprintf(url, sizeof url, "sqlite:%s", path);
    f->target.database = url;
    return fixture_reopen(f, &f->target);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void what_is_no_database_is_told_apart(void **state)
{
    struct fixture *f = *state;
    char path[256];

    snprintf(path, sizeof path, "%s/text", database_folder(f->database));
    write_file(path,
               "this is no database, and long enough to be seen as none: 0123456789 0123456789"
               " 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789");
    assert_int_equal(open_path(f, path), -EINVAL);
    expect_message(f, "file is not a database");
    write_file(path, "");
    assert_int_equal(open_path(f, path), -EINVAL);
    expect_message(f, "has no table \"tasks\"; it has: nothing");
    assert_int_equal(open_path(f, database_folder(f->database)), -EINVAL);
    expect_message(f, "is not a regular file");
    assert_int_equal(open_path(f, "/nonexistent/db.sqlite3"), -EINVAL);
    expect_message(f, "\"/nonexistent/db.sqlite3\" does not exist");
}

static void a_path_that_is_not_absolute_is_refused_at_once(void **state)
{
    struct fixture *f = *state;
    static const char *const wrong[] = {"sqlite:db.sqlite3", "sqlite:", "sqlite:./db",
                                        "sqlite::memory:"};

    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct tasklog_store *store = NULL;
        char error[TASKLOG_REASON_BYTES] = "";

        f->target.database = wrong[i];
        assert_int_equal(tasklog_store_new(&f->target, &steady_clock, error, sizeof error, &store),
                         -EINVAL);
        assert_non_null(strstr(error, "must be absolute"));
        assert_non_null(strstr(error, wrong[i]));
    }
    f->target.database = "sqlite:/nonexistent";
    f->target.table = "other.tasks";
    {
        struct tasklog_store *store = NULL;
        char error[TASKLOG_REASON_BYTES] = "";

        assert_int_equal(tasklog_store_new(&f->target, &steady_clock, error, sizeof error, &store),
                         -EINVAL);
        assert_non_null(strstr(error, "no schema but \"main\""));
    }
}

static void a_path_may_hold_anything(void **state)
{
    struct fixture *f = *state;
    char path[300];
    char sql[400];

    snprintf(path, sizeof path, "%s/a b?mode=ro#%%41 Größe 'x'.sqlite3",
             database_folder(f->database));
    snprintf(sql, sizeof sql, "VACUUM INTO '%s/plain'", database_folder(f->database));
    database_run(f->database, sql);
    snprintf(sql, sizeof sql, "%s/plain", database_folder(f->database));
    assert_int_equal(rename(sql, path), 0);
    assert_int_equal(open_path(f, path), 0);
    assert_int_equal(fixture_write_one(f, "a", "X", "1"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "NULL");
}

/* --- Owners and modes -------------------------------------------------------------------------- */

static const struct passwd *nobody(void)
{
    return getpwnam("nobody");
}

static void give_to_nobody(struct fixture *f)
{
    assert_int_equal(chown(database_folder(f->database), nobody()->pw_uid, nobody()->pw_gid), 0);
    assert_int_equal(chown(database_path(f->database), nobody()->pw_uid, nobody()->pw_gid), 0);
    assert_int_equal(chmod(database_path(f->database), 0640), 0);
}

static bool become_nobody(void)
{
    return setgid(nobody()->pw_gid) == 0 && setuid(nobody()->pw_uid) == 0;
}

static int write_as_nobody(char **arguments)
{
    sqlite3 *lite = NULL;

    if (!become_nobody())
        return 10;
    if (sqlite3_open(arguments[0], &lite) != SQLITE_OK)
        return 11;
    sqlite3_busy_timeout(lite, 5000);
    if (sqlite3_exec(lite, "UPDATE tasks SET log = 'nobody' WHERE task_id = 'b'", 0, 0, 0) != 0)
        return 12;
    return sqlite3_close(lite) == SQLITE_OK ? 0 : 13;
}

static void the_files_owner_can_write_beside_root_and_after_it(void **state)
{
    struct fixture *f = *state;

    const char *const as_nobody[] = {"test", "write-as-nobody", database_path(f->database), NULL};

    if (geteuid() != 0)
        skip();
    for (size_t m = 0; m < COUNT(modes); m++) {
        struct stat is;
        char wal[300];

        tasklog_store_free(f->store);
        f->store = NULL;
        set_journal(f, modes[m]);
        give_to_nobody(f);
        /* Nobody else has the file open, so that all journals are made by the store. */
        database_close(f->database);
        assert_int_equal(fixture_reopen(f, &f->target), 0);
        assert_int_equal(fixture_write_one(f, "a", "X", "root"), 0);
        expect_verdict(f, 0, TASKLOG_KEPT);
        snprintf(wal, sizeof wal, "%s-wal", database_path(f->database));
        assert_int_equal(stat(wal, &is), strcmp(modes[m], "wal") == 0 ? 0 : -1);
        if (strcmp(modes[m], "wal") == 0)
            assert_int_equal(is.st_uid, nobody()->pw_uid);
        end_process(start_process(as_nobody));
        assert_int_equal(fixture_write_one(f, "a", "X", "root again"), 0);
        expect_verdict(f, 0, TASKLOG_KEPT);
        tasklog_store_free(f->store);
        f->store = NULL;
        end_process(start_process(as_nobody));
        database_reopen(f->database);
        expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'a'", "root again");
        expect_value_of(f, "SELECT log FROM tasks WHERE task_id = 'b'", "nobody");
        assert_int_equal(fixture_reopen(f, &f->target), 0);
    }
}

/* Arguments: the database, and what has to be in the message. */
static int open_as_nobody(char **arguments)
{
    static const struct tasklog_column column[] = {{.name = "a"}, {.name = "b"}};
    struct tasklog_target target = {.database = arguments[0],
                                    .table = "tasks",
                                    .keys = &column[0],
                                    .key_count = 1,
                                    .columns = &column[1],
                                    .column_count = 1};
    struct tasklog_store *store = NULL;
    char error[TASKLOG_REASON_BYTES];

    if (!become_nobody() ||
        tasklog_store_new(&target, &steady_clock, error, sizeof error, &store) != 0)
        return 20;
    if (tasklog_store_open(store, FIXTURE_TIMEOUT_MS) != -EINVAL)
        return 21;
    for (char **part = arguments + 1; *part != NULL; part++) {
        if (strstr(tasklog_store_message(store), *part) == NULL) {
            fprintf(stderr, "no \"%s\" in \"%s\"\n", *part, tasklog_store_message(store));
            return 22;
        }
    }
    tasklog_store_free(store);
    return 0;
}

static void expect_of_nobody(const struct fixture *f, const char *part, const char *other)
{
    const char *const arguments[] = {
        "test", "open-as-nobody", database_url(f->database), part, other, NULL};

    end_process(start_process(arguments));
}

static void missing_rights_are_named(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(database_folder(f->database), 0700), 0);
    expect_of_nobody(f, "SQLite database \"/tmp/tasklog-test-",
                     "db.sqlite3\" cannot be reached: Permission denied");
    assert_int_equal(chmod(database_folder(f->database), 0755), 0);
    assert_int_equal(chmod(database_path(f->database), 0644), 0);
    expect_of_nobody(f, "db.sqlite3\" cannot be written by user \"nobody\"",
                     "owner \"root\", group \"root\", mode 0644");
    assert_int_equal(chmod(database_path(f->database), 0666), 0);
    expect_of_nobody(f,
                     "cannot be written by user \"nobody\", and SQLite has to put the journal of "
                     "\"db.sqlite3\" there",
                     "owner \"root\", group \"root\", mode 0755");
}

/* --- What stands in the file ------------------------------------------------------------------- */

static void a_row_that_undoes_the_transaction_harms_no_other(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "X", "1"),    replace("b", "ROLLBACK", "2"),
                                       replace("c", "X", "3"),    replace("b", "CONFLICT", "4"),
                                       replace("b", "ABORT", ""), replace("d", "FAIL", "5"),
                                       replace("a", "Y", "6")};

    database_run(f->database, "CREATE TABLE once (i integer UNIQUE ON CONFLICT ROLLBACK);"
                              "INSERT INTO once VALUES (1);"
                              "CREATE TRIGGER judge BEFORE UPDATE ON tasks BEGIN"
                              " SELECT RAISE(ROLLBACK, 'undone') WHERE NEW.status = 'ROLLBACK';"
                              " SELECT RAISE(ABORT, 'not this') WHERE NEW.status = 'ABORT';"
                              " SELECT RAISE(FAIL, 'nor this') WHERE NEW.status = 'FAIL';"
                              " INSERT INTO once SELECT 1 WHERE NEW.status = 'CONFLICT';"
                              " END");
    assert_int_equal(fixture_write(f, rows, COUNT(rows)), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_NEVER);
    assert_string_equal(f->outcomes[1].reason, "undone");
    expect_verdict(f, 2, TASKLOG_KEPT);
    expect_verdict(f, 3, TASKLOG_NEVER);
    expect_verdict(f, 4, TASKLOG_NEVER);
    assert_string_equal(f->outcomes[4].reason, "not this");
    expect_verdict(f, 5, TASKLOG_NEVER);
    expect_verdict(f, 6, TASKLOG_KEPT);
    expect_value_of(f, "SELECT group_concat(log) FROM (SELECT log FROM tasks ORDER BY log)", "3,6");
}

static void a_view_is_not_written(void **state)
{
    struct fixture *f = *state;

    database_run(f->database, "CREATE VIEW seen AS SELECT * FROM tasks;"
                              "CREATE TRIGGER through INSTEAD OF UPDATE ON seen BEGIN"
                              " UPDATE tasks SET log = NEW.log WHERE task_id = OLD.task_id; END");
    f->target.table = "seen";
    assert_int_equal(fixture_reopen(f, &f->target), -EINVAL);
    expect_message(f, "\"seen\" is a view; in SQLite only a table can be written");
}

static void names_are_found_whatever_their_case(void **state)
{
    struct fixture *f = *state;
    static const struct tasklog_column key[] = {{.name = "TASK_ID", .type = TASKLOG_TEXT}};
    static const struct tasklog_column column[] = {{.name = "Log", .type = TASKLOG_TEXT}};

    f->target.table = "TASKS";
    f->target.keys = key;
    f->target.columns = column;
    f->target.column_count = 1;
    assert_int_equal(fixture_reopen(f, &f->target), 0);
}

static void each_declared_type_takes_what_it_can(void **state)
{
    struct fixture *f = *state;
    static const struct tasklog_column key[] = {{.name = "task_id", .type = TASKLOG_TEXT}};
    static const struct {
        const char *type;
        enum tasklog_type field;
        const char *text;
        long long number;
        const char *answer; /* typeof and value */
    } cases[] = {
        {"varchar(3)", TASKLOG_TEXT, "abcd", 0, "text abcd"},
        {"", TASKLOG_TEXT, "7", 0, "text 7"},
        {"char(32)", TASKLOG_TEXT, "x", 0, "text x"},
        {"blob", TASKLOG_TEXT, "x", 0, "unfit"},
        {"decimal", TASKLOG_TEXT, "x", 0, "unfit"},
        {"bool", TASKLOG_TEXT, "x", 0, "unfit"},
        {"datetime", TASKLOG_TEXT, "x", 0, "unfit"},
        {"integer unsigned", TASKLOG_INTEGER, NULL, 7, "integer 7"},
        {"bigint", TASKLOG_INTEGER, NULL, INT64_MIN, "integer -9223372036854775808"},
        {"text", TASKLOG_INTEGER, NULL, 7, "text 7"},
        {"real", TASKLOG_INTEGER, NULL, 7, "real 7.0"},
        {"datetime", TASKLOG_TIME, NULL, 1795516267000000, "text 2026-11-24 10:31:07"},
        {"datetime", TASKLOG_TIME, NULL, 1795516267000001, "text 2026-11-24 10:31:07.000001"},
        {"datetime", TASKLOG_TIME, NULL, -1, "text 1969-12-31 23:59:59.999999"},
        {"date", TASKLOG_TIME, NULL, 1795516267000001, "text 2026-11-24"},
        {"text", TASKLOG_TIME, NULL, 0, "text 1970-01-01 00:00:00"},
        {"real", TASKLOG_SECONDS, NULL, 65250000, "real 65.25"},
        {"decimal", TASKLOG_SECONDS, NULL, 65000000, "integer 65"},
        {"", TASKLOG_SECONDS, NULL, 65250000, "real 65.25"},
        {"integer", TASKLOG_SECONDS, NULL, 65500000, "integer 66"},
        {"integer", TASKLOG_SECONDS, NULL, -500000, "integer -1"},
        {"text", TASKLOG_SECONDS, NULL, 65000001, "text 65.000001"},
        {"text", TASKLOG_SECONDS, NULL, -20, "text -0.00002"},
        {"bool", TASKLOG_BOOLEAN, NULL, 1, "integer 1"},
        {"integer", TASKLOG_BOOLEAN, NULL, 0, "integer 0"},
        {"varchar(5)", TASKLOG_BOOLEAN, NULL, 1, "text true"},
        {"json", TASKLOG_JSON, "{}", 0, "text {}"},
        {"text", TASKLOG_JSON, "{}", 0, "text {}"},
        {"real", TASKLOG_JSON, "{}", 0, "unfit"},
    };

    f->target.keys = key;
    f->target.table = "typed";
    f->target.column_count = 1;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct tasklog_column column[] = {{.name = "c", .type = cases[i].field}};
        struct tasklog_value id = fixture_text("a");
        struct tasklog_value value =
            cases[i].text != NULL ? fixture_text(cases[i].text) : fixture_number(cases[i].number);
        struct tasklog_row row = {&id, &value, -1};
        const char *answer = "unfit";
        char sql[300];

        snprintf(sql, sizeof sql,
                 "DROP TABLE IF EXISTS typed; CREATE TABLE typed (task_id text, c %s);"
                 "INSERT INTO typed VALUES ('a', NULL)",
                 cases[i].type);
        database_run(f->database, sql);
        f->target.columns = column;
        if (fixture_reopen(f, &f->target) == 0) {
            assert_int_equal(tasklog_store_write(f->store, &row, 1, FIXTURE_TIMEOUT_MS,
                                                 f->outcomes),
                             0);
            expect_verdict(f, 0, TASKLOG_KEPT);
            answer = database_value(f->database, "SELECT typeof(c) || ' ' || c FROM typed");
        }
        if (strcmp(answer, cases[i].answer) != 0)
            fail_msg("%s, case %zu: \"%s\", not \"%s\" (%s)", cases[i].type, i, answer,
                     cases[i].answer, tasklog_store_message(f->store));
    }
}

static void a_strict_table_has_its_say(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "7", "1"), replace("a", "X", "2")};

    if (sqlite3_libversion_number() < 3037000)
        skip();
    database_run(f->database, "DROP TABLE tasks;"
                              "CREATE TABLE tasks (task_id ANY, status TEXT, log TEXT) STRICT;"
                              "INSERT INTO tasks (task_id) VALUES ('a')");
    assert_int_equal(fixture_reopen(f, &f->target), 0);
    assert_int_equal(fixture_write(f, rows, 2), 0);
    expect_verdict(f, 1, TASKLOG_KEPT);
}

/* --- Time -------------------------------------------------------------------------------------- */

static void make_slow(struct fixture *f)
{
    database_run(f->database,
                 "CREATE TABLE sink (i integer);"
                 "CREATE TRIGGER dawdle BEFORE UPDATE ON tasks WHEN NEW.status = 'SLOW' BEGIN"
                 " INSERT INTO sink SELECT count(*) FROM"
                 " (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                 "  WHERE i < 2000000000) SELECT i FROM n); END");
}

static void a_statement_without_end_is_bounded_and_its_neighbours_are_kept(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row rows[] = {replace("a", "X", "1"), replace("b", "SLOW", "2"),
                                       replace("c", "X", "3"), replace("b", "X", "4"),
                                       replace("d", "SLOW", "5")};
    int64_t began_ms;

    make_slow(f);
    tasklog_store_set_patience(f->store, 300);
    began_ms = steady_now_ms();
    assert_int_equal(fixture_write(f, rows, COUNT(rows)), 0);
    assert_in_range(steady_now_ms() - began_ms, 500, 600 + FIXTURE_SLACK_MS);
    expect_verdict(f, 0, TASKLOG_KEPT);
    expect_verdict(f, 1, TASKLOG_LATER);
    expect_reason(f, 1, "its statement takes too long");
    assert_int_equal(f->outcomes[1].cause, TASKLOG_SLOW);
    expect_verdict(f, 2, TASKLOG_KEPT);
    expect_verdict(f, 3, TASKLOG_LATER);
    assert_int_equal(f->outcomes[3].cause, TASKLOG_UNTRIED);
    assert_int_equal(f->outcomes[4].cause, TASKLOG_SLOW);
    expect_value_of(f, "SELECT group_concat(log) FROM tasks", "1,3");
}

static void a_row_that_no_database_takes_is_refused_unread(void **state)
{
    struct fixture *f = *state;
    const struct tasklog_value key = fixture_text("b");
    struct tasklog_value columns[] = {fixture_text("X"), fixture_text("far too little")};
    const struct tasklog_row row = {&key, columns, -1};

    columns[1].text_bytes = 1500 * 1000 * 1000;
    assert_int_equal(tasklog_store_write(f->store, &row, 1, FIXTURE_TIMEOUT_MS, f->outcomes), 0);
    expect_verdict(f, 0, TASKLOG_NEVER);
    expect_reason(f, 0, "too big");
    assert_int_equal(fixture_write_one(f, "b", "X", "log"), 0);
    expect_verdict(f, 0, TASKLOG_KEPT);
}

/* An empty log that appears later is no restored backup. */
static void a_file_that_another_process_puts_into_wal_mode_is_the_same_file(void **state)
{
    struct fixture *f = *state;

    set_journal(f, "delete");
    assert_int_equal(fixture_write_one(f, "a", "X", "1"), 0);
    set_journal(f, "wal");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_write_one(f, "b", "X", "2"), 0);
        expect_verdict(f, 0, TASKLOG_KEPT);
    }
    expect_value_of(f, "PRAGMA journal_mode", "wal");
    expect_value_of(f, "SELECT group_concat(log) FROM tasks", "1,2");
}

static void an_interrupt_ends_a_running_statement(void **state)
{
    struct fixture *f = *state;
    const struct fixture_row row = replace("a", "SLOW", "1");
    int64_t best_ms = INT64_MAX;

    make_slow(f);
    for (int i = 0; i < 3; i++) {
        int64_t took_ms;

        assert_int_equal(fixture_reopen(f, &f->target), 0);
        took_ms = fixture_interrupt(f, &row);
        best_ms = took_ms < best_ms ? took_ms : best_ms;
    }
    assert_in_range(best_ms, 0, 200);
    /* The lock is gone with it. */
    database_run(f->database, "UPDATE tasks SET log = 'free'");
}

static enum database_kind sqlite = DATABASE_SQLITE;

#define TEST(function)                                                \
    {                                                                 \
#function, function, fixture_setup, fixture_teardown, &sqlite \
    }

static int act(const char *name, char **arguments)
{
    if (strcmp(name, "write") == 0)
        return write_all_the_time(arguments);
    if (strcmp(name, "write-as-nobody") == 0)
        return write_as_nobody(arguments);
    return open_as_nobody(arguments);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(the_journal_mode_stays_as_it_is),
        TEST(another_process_may_write_all_the_time),
        TEST(a_long_reader_costs_patience_but_not_the_row),
        TEST(a_file_that_is_replaced_while_open_is_opened_anew),
        TEST(a_file_that_is_replaced_is_left_alone_at_the_end),
        TEST(a_file_that_is_gone_is_named_and_never_made),
        TEST(what_is_no_database_is_told_apart),
        TEST(a_path_that_is_not_absolute_is_refused_at_once),
        TEST(a_path_may_hold_anything),
        TEST(the_files_owner_can_write_beside_root_and_after_it),
        TEST(missing_rights_are_named),
        TEST(a_row_that_undoes_the_transaction_harms_no_other),
        TEST(a_view_is_not_written),
        TEST(names_are_found_whatever_their_case),
        TEST(each_declared_type_takes_what_it_can),
        TEST(a_strict_table_has_its_say),
        TEST(a_statement_without_end_is_bounded_and_its_neighbours_are_kept),
        TEST(a_row_that_no_database_takes_is_refused_unread),
        TEST(a_file_that_another_process_puts_into_wal_mode_is_the_same_file),
        TEST(an_interrupt_ends_a_running_statement),
    };

    if (argc > 2)
        return act(argv[1], argv + 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
