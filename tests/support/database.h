/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test's own hand in a database, beside the store that is tested: an SQLite file in a folder of its
 * own, or the PostgreSQL that the environment names (PGHOST, PGPORT, PGUSER, PGPASSWORD), in which it
 * makes a database "tasklog_test". What fails here fails the test.
 */
#ifndef TESTS_DATABASE_H
#define TESTS_DATABASE_H

#include <stdbool.h>

enum database_kind { DATABASE_POSTGRESQL, DATABASE_SQLITE };

struct database;

/* An empty database. */
struct database *database_new(enum database_kind kind);
void database_free(struct database *database);

/* What a store's target has as `database`. */
const char *database_url(const struct database *database);

/* SQLite: the file, and the folder that holds nothing else. */
const char *database_path(const struct database *database);
const char *database_folder(const struct database *database);

/* Closes its session, and opens it again: database_run and database_value need it. */
void database_close(struct database *database);
void database_reopen(struct database *database);

void database_run(struct database *database, const char *sql);

/* The first value of the first row as text: "NULL" for NULL, "no row" for no row. It stays until the
 * next call. */
const char *database_value(struct database *database, const char *sql);

/* Another session begins a transaction and runs `sql` in it, until it is released. In SQLite it takes
 * the write lock. */
void database_hold(struct database *database, const char *sql);
void database_release(struct database *database); /* and rolled back */
void database_commit(struct database *database);  /* or committed and released */

#endif
