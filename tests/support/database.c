/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test's own hand in a database. It uses libpq and SQLite in the simplest way there is, so that it
 * does not share a mistake with the store.
 */
#include "support/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <sqlite3.h>

enum { BUSY_MS = 20000 };

struct database {
    enum database_kind kind;
    char folder[64];
    char path[128];
    char url[160];
    char *value;
    PGconn *conn, *holder;
    sqlite3 *lite, *lite_holder;
};

/* --- PostgreSQL -------------------------------------------------------------------------------- */

static PGconn *pg_connect(const char *name)
{
    char conninfo[200];
    PGconn *conn;

    snprintf(conninfo, sizeof conninfo,
             "dbname=%s client_encoding=UTF8 options='-c client_min_messages=warning"
             " -c default_transaction_read_only=off'",
             name);
    conn = PQconnectdb(conninfo);
    if (PQstatus(conn) != CONNECTION_OK)
        fail_msg("the tests need a PostgreSQL (pg_virtualenv): %s", PQerrorMessage(conn));
    return conn;
}

static PGresult *pg_run(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);

    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    return result;
}

static void pg_new(struct database *database)
{
    PGconn *maintenance = pg_connect("postgres");
    PGresult *found =
        pg_run(maintenance, "SELECT 1 FROM pg_database WHERE datname = 'tasklog_test'");

    if (PQntuples(found) == 0)
        PQclear(
            pg_run(maintenance, "CREATE DATABASE tasklog_test ENCODING 'UTF8' TEMPLATE template0"));
    PQclear(found);
    PQfinish(maintenance);
    database->conn = pg_connect("tasklog_test");
    database_run(database, "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public;"
                           "GRANT ALL ON SCHEMA public TO PUBLIC");
    snprintf(database->url, sizeof database->url, "dbname=tasklog_test");
}

/* --- SQLite ------------------------------------------------------------------------------------ */

static sqlite3 *lite_open(const char *path)
{
    sqlite3 *lite = NULL;

    if (sqlite3_open(path, &lite) != SQLITE_OK)
        fail_msg("%s: %s", path, sqlite3_errmsg(lite));
    sqlite3_busy_timeout(lite, BUSY_MS);
    return lite;
}

static void lite_run(sqlite3 *lite, const char *sql)
{
    char *why = NULL;

    if (sqlite3_exec(lite, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
}

static void lite_new(struct database *database)
{
    snprintf(database->folder, sizeof database->folder, "/tmp/tasklog-test-XXXXXX");
    assert_non_null(mkdtemp(database->folder));
    snprintf(database->path, sizeof database->path, "%s/db.sqlite3", database->folder);
    snprintf(database->url, sizeof database->url, "sqlite:%s", database->path);
    database->lite = lite_open(database->path);
    lite_run(database->lite, "PRAGMA user_version = 1");
}

static char *lite_value(sqlite3 *lite, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    char *value = NULL;
    int code;

    if (sqlite3_prepare_v2(lite, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(lite));
    code = sqlite3_step(statement);
    if (code == SQLITE_DONE)
        value = strdup("no row");
    else if (code != SQLITE_ROW)
        fail_msg("%s: %s", sql, sqlite3_errmsg(lite));
    else if (sqlite3_column_type(statement, 0) == SQLITE_NULL)
        value = strdup("NULL");
    else
        value = strdup((const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    return value;
}

/* --- Both -------------------------------------------------------------------------------------- */

struct database *database_new(enum database_kind kind)
{
    struct database *database = calloc(1, sizeof *database);

    assert_non_null(database);
    database->kind = kind;
    if (kind == DATABASE_POSTGRESQL)
        pg_new(database);
    else
        lite_new(database);
    return database;
}

void database_free(struct database *database)
{
    char command[128];

    if (database == NULL)
        return;
    database_release(database);
    database_close(database);
    if (database->folder[0] != '\0') {
        snprintf(command, sizeof command, "rm -rf %s", database->folder);
        assert_int_equal(system(command), 0);
    }
    free(database->value);
    free(database);
}

const char *database_url(const struct database *database)
{
    return database->url;
}

const char *database_path(const struct database *database)
{
    return database->path;
}

const char *database_folder(const struct database *database)
{
    return database->folder;
}

void database_close(struct database *database)
{
    PQfinish(database->conn);
    database->conn = NULL;
    sqlite3_close(database->lite);
    database->lite = NULL;
}

void database_reopen(struct database *database)
{
    database_close(database);
    if (database->kind == DATABASE_SQLITE)
        database->lite = lite_open(database->path);
    else
        database->conn = pg_connect("tasklog_test");
}

void database_run(struct database *database, const char *sql)
{
    if (database->kind == DATABASE_SQLITE)
        lite_run(database->lite, sql);
    else
        PQclear(pg_run(database->conn, sql));
}

const char *database_value(struct database *database, const char *sql)
{
    free(database->value);
    database->value = NULL;
    if (database->kind == DATABASE_SQLITE) {
        database->value = lite_value(database->lite, sql);
    } else {
        PGresult *result = pg_run(database->conn, sql);

        if (PQntuples(result) == 0)
            database->value = strdup("no row");
        else if (PQgetisnull(result, 0, 0))
            database->value = strdup("NULL");
        else
            database->value = strdup(PQgetvalue(result, 0, 0));
        PQclear(result);
    }
    return database->value;
}

void database_hold(struct database *database, const char *sql)
{
    if (database->kind == DATABASE_SQLITE) {
        database->lite_holder = lite_open(database->path);
        lite_run(database->lite_holder, "BEGIN IMMEDIATE");
        lite_run(database->lite_holder, sql);
    } else {
        database->holder = pg_connect("tasklog_test");
        PQclear(pg_run(database->holder, "BEGIN"));
        PQclear(pg_run(database->holder, sql));
    }
}

void database_commit(struct database *database)
{
    if (database->kind == DATABASE_SQLITE)
        lite_run(database->lite_holder, "COMMIT");
    else
        PQclear(pg_run(database->holder, "COMMIT"));
    database_release(database);
}

void database_release(struct database *database)
{
    PQfinish(database->holder);
    database->holder = NULL;
    sqlite3_close(database->lite_holder);
    database->lite_holder = NULL;
}
