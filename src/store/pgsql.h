/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the PostgreSQL driver share: pgsql.c drives, pgsql_session.c talks to libpq
 * without ever blocking, pgsql_check.c compares the target with the catalog, pgsql_batch.c and its
 * two ways, pgsql_pipeline.c and pgsql_careful.c, write.
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

enum { PGSQL_ID_BYTES = 32 };

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

    /* Of the row that is being sent; parameter_count of each. */
    const char **parameters;
    char (*scratch)[VALUE_SCRATCH_BYTES];
    size_t parameter_count; /* columns + keys + 1 */

    struct pgsql_transaction running;
    struct pgsql_transaction abandoned; /* of a session that was dropped in the middle of it */
};

/* --- pgsql_session.c: all of them return 0 or, with a message, -EAGAIN, -EINVAL, -ECANCELED --- */

int pgsql_connect(struct pgsql *pg, int64_t deadline_ms);

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

/* --- pgsql_batch.c --- */

int pgsql_write_batch(struct pgsql *pg, const struct tasklog_row *rows, size_t count,
                      int64_t deadline_ms, struct tasklog_outcome *outcomes);

#endif
