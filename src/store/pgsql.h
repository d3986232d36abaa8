/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the PostgreSQL driver share: pgsql.c drives, pgsql_session.c talks to libpq
 * without ever blocking, pgsql_check.c compares the target with the catalog, pgsql_held.c keeps
 * statements prepared, pgsql_batch.c and its two ways, pgsql_pipeline.c and pgsql_careful.c, write, pgsql_twin.c does
 * so with two sessions.
 */
#ifndef STORE_PGSQL_H
#define STORE_PGSQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "driver.h"
#include "refusal.h"
#include "sql.h"
#include "value.h"

enum { PGSQL_ID_BYTES = 32, PGSQL_NAME_BYTES = 32, PGSQL_TYPES_BYTES = 40 };
enum { PGSQL_LARGE_ROW_BYTES = 16 * 1024 * 1024 };

/* The look at the server that opens and closes a batch; what it answers. See pgsql_held.c. */
enum { PGSQL_LOOK_PID, PGSQL_LOOK_STARTED, PGSQL_LOOK_TYPES, PGSQL_LOOK_HELD };
enum {
    PGSQL_LOOK_PARAMETERS = 4
}; /* time-outs of statement, lock and idle session, or NULL; types */

/* A transaction, named so that no other one can be taken for it. */
struct pgsql_transaction {
    char pid[PGSQL_ID_BYTES];     /* the server process; "" = none */
    char started[PGSQL_ID_BYTES]; /* its start, microseconds since 1970 */
};

struct pgsql {
    struct tasklog_store base;
    PGconn *conn; /* NULL, or connected, non-blocking and in pipeline mode for good */
    bool checked; /* the target was found right over this connection */
    bool has_statement_timeout, has_lock_timeout, has_idle_timeout; /* by the user's own options */
    size_t window; /* rows sent at once, see pgsql_pipeline.c */

    /* Made by the check, kept until the next one. */
    enum value_form *forms; /* of the columns and then of the keys, as parameters are numbered */
    char *sql[2];           /* for rows that replace, and for rows that append (or NULL) */
    bool appends;           /* does any column? */
    char *look;             /* see pgsql_held.c */
    char look_name[PGSQL_NAME_BYTES];
    char types[PGSQL_TYPES_BYTES]; /* of the table's columns */
    bool holds;                    /* the session keeps statements under our names */

    /* Of the running transaction's session: the statements for rows, as in sql. */
    char names[2][PGSQL_NAME_BYTES];
    bool is_held[2];
    uint64_t row_count; /* upserts sent in all */

    /* Of the row that is being sent; parameter_count of each. */
    const char **parameters;
    char (*scratch)[VALUE_SCRATCH_BYTES];
    size_t parameter_count; /* columns + keys + 1 */

    struct pgsql_transaction running;
    struct pgsql_transaction abandoned; /* of a session that was dropped in the middle of it */

    struct pgsql
        *twin; /* the second session, see pgsql_twin.c; NULL = not needed yet, or it is one */
    int64_t twin_used_ms;
    int64_t twin_rests_until_ms;
};

/* --- pgsql_session.c: all of them return 0 or, with a message, -EAGAIN, -EINVAL, -ECANCELED --- */

int pgsql_connect(struct pgsql *pg, int64_t deadline_ms);

/* Ends a transaction that a dropped session may have left in the server, and waits for its end. It is none
 * afterwards. */
int pgsql_end_abandoned(struct pgsql *pg, struct pgsql_transaction *abandoned, int64_t deadline_ms);

/* Ends the session, whatever it is doing; never waits. */
void pgsql_drop(struct pgsql *pg);

/* Has the server hung up while nothing was asked of it? */
bool pgsql_is_dead(struct pgsql *pg);

/* Queues a statement with text parameters of types that the server infers. */
int pgsql_send(struct pgsql *pg, const char *sql, size_t count, const char *const *parameters);

/* Hands to the system all that is queued, reading meanwhile, so that neither side gets stuck. */
int pgsql_flush(struct pgsql *pg, int64_t deadline_ms);

/* The next result, never NULL on success; it is the caller's to clear. */
int pgsql_next(struct pgsql *pg, int64_t deadline_ms, PGresult **ret_result);

/* The next result if it has come already, else NULL. */
int pgsql_poll(struct pgsql *pg, PGresult **ret_result);

/* Ends a segment of the pipeline after `count` sent statements and waits for them. The result is
 * that of the first statement that failed or else of the last one. An end of the session is an error
 * of the call. */
int pgsql_settle(struct pgsql *pg, size_t count, int64_t deadline_ms, PGresult **ret_result);

/* Sends one statement, waits for it, and fails as pgsql_refused does when it is refused. */
int pgsql_query(struct pgsql *pg, const char *sql, size_t count, const char *const *parameters,
                int64_t deadline_ms, PGresult **ret_result);

bool pgsql_is_good(const PGresult *result);
enum refusal pgsql_refusal(const PGresult *result);

/* A refusal that does not concern a single row: -EAGAIN or -EINVAL, with the server's words. */
int pgsql_refused(struct pgsql *pg, const PGresult *result);

/* The connection is gone or unusable: -EAGAIN with libpq's words. */
int pgsql_lost(struct pgsql *pg);

/* --- pgsql_check.c --- */

/* Compares the target with the catalog; fills in forms and sql. */
int pgsql_check(struct pgsql *pg, int64_t deadline_ms);

/* --- pgsql_held.c --- */

/* The last part of the check: makes the look, learns the types, finds out whether the session holds
 * statements for us. */
int pgsql_hold(struct pgsql *pg, const char *quoted_table, int64_t deadline_ms);

/* Queues the preparation of a statement. */
int pgsql_prepare(struct pgsql *pg, const char *name, const char *sql);

/* Queues the look; what comes back may be pgsql_is_unknown_statement, then it has to be prepared. The
 * last one of a batch is refused if the columns' types are no longer those of the check. */
int pgsql_send_look(struct pgsql *pg, const char *const parameters[PGSQL_LOOK_PARAMETERS]);
int pgsql_send_last_look(struct pgsql *pg);
bool pgsql_is_unknown_statement(const PGresult *result);

/* Takes the first one's answer: the transaction's name, and what is held. Are the types still those of
 * the check? */
bool pgsql_take_look(struct pgsql *pg, const PGresult *result);

/* Queues statement `which` of pg->sql with pg->parameters; and before it, as `ret_is_prepared` says, its
 * preparation. */
int pgsql_send_row(struct pgsql *pg, size_t which, size_t count, bool *ret_is_prepared);

/* --- pgsql_batch.c --- */

int pgsql_write_batch(struct pgsql *pg, const struct tasklog_row *rows, size_t count,
                      int64_t deadline_ms, struct tasklog_outcome *outcomes);

#endif
