/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every test of a store begins with: a database with a table like Django's in it, a store for
 * that table, and short ways to write rows and to look at what became of them.
 *
 * The table "tasks" has: id, task_id varchar(255), status varchar(20) NOT NULL and not 'FORBIDDEN',
 * log text, end_time, seconds (a fraction), failed (an integer), complete (a boolean), counters
 * (JSON). A status of more than 20 characters is refused, in SQLite by a check. There are rows with
 * task_id a, b, c, d, whose status is IDLE and whose log is NULL.
 */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/database.h"
#include "tasklog/store.h"

/* The time of a call is long enough for a busy machine. A test that waits for its end makes it short,
 * and grants the machine some slack. */
enum { FIXTURE_TIMEOUT_MS = 15000, FIXTURE_SHORT_MS = 3000, FIXTURE_SLACK_MS = 1500 };

enum { FIXTURE_MOST_ROWS = 400 };

struct fixture {
    enum database_kind kind;
    struct database *database;
    struct tasklog_target target; /* of `store`; a test may change it and open another one */
    struct tasklog_store *store;
    int timeout_ms; /* of fixture_open and fixture_write */
    struct tasklog_outcome outcomes[FIXTURE_MOST_ROWS];
};

/* A row of the fixture's target: the key task_id, the columns status and log (which appends). */
struct fixture_row {
    const char *task_id;
    const char *status; /* NULL = NULL */
    const char *log;
    bool appends; /* the log is appended after append_at characters, instead of replaced */
    int64_t append_at;
};

/* For cmocka: *state is an enum database_kind before, and a struct fixture after. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

struct tasklog_value fixture_text(const char *text);
struct tasklog_value fixture_number(long long number);
extern const struct tasklog_value fixture_null;

/* The store for another target, in place of the one there is; it is opened, and what that answers is
 * returned. */
int fixture_reopen(struct fixture *fixture, const struct tasklog_target *target);
int fixture_open(struct fixture *fixture);

struct fixture_row replace(const char *task_id, const char *status, const char *log);
struct fixture_row append(const char *task_id, const char *status, const char *log,
                          int64_t append_at);

/* Has another thread interrupt the store while it writes the row, which something else must block.
 * Says how long after the interrupt the write ended. */
int64_t fixture_interrupt(struct fixture *fixture, const struct fixture_row *row);

/* Writes rows; the answer is returned and the outcomes are in the fixture. */
int fixture_write(struct fixture *fixture, const struct fixture_row *rows, size_t count);

/* The same for a single row; also shorter. */
int fixture_write_one(struct fixture *fixture, const char *task_id, const char *status,
                      const char *log);

/* --- What is expected ------------------------------------------------------------------------- */

void expect_verdict(const struct fixture *fixture, size_t row, enum tasklog_verdict verdict);
void expect_reason(const struct fixture *fixture, size_t row, const char *part);
void expect_message(const struct fixture *fixture, const char *part);
void expect_value_of(struct fixture *fixture, const char *sql, const char *value);

#endif
