/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statements that a session with PostgreSQL holds, so that a batch costs its values and not the text
 * of its statements. Which they are is asked of the server at each batch's begin and never remembered:
 * a pooler lends its sessions to many clients, and DISCARD ALL empties one.
 *
 *   look   opens each batch and closes it: sets the time-outs, names the transaction, tells the types of
 *          the table's columns and what is held; with $4 it fails unless the types are these
 *   rows   the two statements of the check
 *
 * A name is the hash of what was prepared: its text and the types of the table's columns at that time.
 * Whoever holds a statement by this name, of this session or through a pooler, holds this one. The types
 * belong to it because the server remembers a parameter's type for ever: after a change of the column a
 * time would be converted by way of the old type. The look at a batch's end sees what was changed since
 * its begin; after it nothing can be, for the rows hold a lock.
 *
 * A generic plan is chosen when the statement is young. So that one made for an empty table is not kept
 * while this session fills it, the statements are prepared anew after 1000 upserts, 2000, 4000, ...
 *
 * A pooler that gives statements names of its own is noticed by the check. With it nothing is held.
 */
#include "pgsql.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

enum { FIRST_ROWS = 1000 };

static const char *const nothing[PGSQL_LOOK_PARAMETERS] = {NULL};

static void name_statement(char name[PGSQL_NAME_BYTES], const char *sql, const char *types,
                           unsigned generation)
{
    uint64_t seed = XXH3_64bits_withSeed(types, strlen(types), generation);

    snprintf(name, PGSQL_NAME_BYTES, "tasklog_%016" PRIx64,
             (uint64_t)XXH3_64bits_withSeed(sql, strlen(sql), seed));
}

static bool is_sqlstate(const PGresult *result, const char *wanted)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return sqlstate != NULL && strcmp(sqlstate, wanted) == 0;
}

bool pgsql_is_unknown_statement(const PGresult *result)
{
    return is_sqlstate(result, "26000");
}

/* --- The check --------------------------------------------------------------------------------- */

static int make_look(struct pgsql *pg, const char *quoted_table)
{
    char *table = PQescapeLiteral(pg->conn, quoted_table, strlen(quoted_table));
    int bytes = -1;

    free(pg->look);
    pg->look = NULL;
    if (table != NULL)
        bytes = asprintf(
            &pg->look,
            "SELECT pg_backend_pid(), (extract(epoch FROM now()) * 1000000)::bigint, types,"
            " (SELECT string_agg(name, ' ') FROM pg_prepared_statements WHERE name LIKE "
            "'tasklog%%'),"
            " CASE WHEN $1::text IS NOT NULL THEN set_config('statement_timeout', $1, true) END,"
            " CASE WHEN $2::text IS NOT NULL THEN set_config('lock_timeout', $2, true) END,"
            " CASE WHEN $3::text IS NOT NULL THEN"
            " set_config('idle_in_transaction_session_timeout', $3, true) END,"
            " 1 / ($4::text IS NULL OR $4 = types)::integer"
            " FROM (SELECT md5(ARRAY(SELECT atttypid FROM pg_attribute WHERE attnum > 0"
            " AND attrelid = to_regclass(%s) ORDER BY attnum)::text) AS types) AS t",
            table);
    PQfreemem(table);
    if (bytes < 0) {
        pg->look = NULL;
        return store_fail(&pg->base, -EAGAIN, "out of memory");
    }
    name_statement(pg->look_name, pg->look, "", 0);
    return 0;
}

static bool is_held(const PGresult *result, const char *name)
{
    return strstr(PQgetvalue(result, 0, PGSQL_LOOK_HELD), name) != NULL;
}

/* Prepares the look, and looks whether it is there under its name. */
static int try_to_hold(struct pgsql *pg, int64_t deadline_ms)
{
    PGresult *result = NULL;
    int r = pgsql_prepare(pg, pg->look_name, pg->look);

    if (r == 0)
        r = pgsql_send(pg, pg->look, PGSQL_LOOK_PARAMETERS, nothing);
    if (r == 0)
        r = pgsql_settle(pg, 2, deadline_ms, &result);
    if (r == 0)
        pg->holds =
            pgsql_is_good(result)
                ? is_held(result, pg->look_name)
                : is_sqlstate(result, "42P05"); /* there is one: another session's, lent to us */
    PQclear(result);
    return r;
}

int pgsql_hold(struct pgsql *pg, const char *quoted_table, int64_t deadline_ms)
{
    PGresult *result = NULL;
    int r = make_look(pg, quoted_table);

    if (r == 0)
        r = pgsql_query(pg, pg->look, PGSQL_LOOK_PARAMETERS, nothing, deadline_ms, &result);
    if (r < 0)
        return r;
    snprintf(pg->types, sizeof pg->types, "%s", PQgetvalue(result, 0, PGSQL_LOOK_TYPES));
    pg->holds = is_held(result, pg->look_name);
    PQclear(result);
    return pg->holds ? 0 : try_to_hold(pg, deadline_ms);
}

/* --- A batch ----------------------------------------------------------------------------------- */

int pgsql_prepare(struct pgsql *pg, const char *name, const char *sql)
{
    return PQsendPrepare(pg->conn, name, sql, 0, NULL) == 0 ? pgsql_lost(pg) : 0;
}

int pgsql_send_look(struct pgsql *pg, const char *const parameters[PGSQL_LOOK_PARAMETERS])
{
    if (!pg->holds)
        return pgsql_send(pg, pg->look, PGSQL_LOOK_PARAMETERS, parameters);
    if (PQsendQueryPrepared(pg->conn, pg->look_name, PGSQL_LOOK_PARAMETERS, parameters, NULL, NULL,
                            0) == 0)
        return pgsql_lost(pg);
    return 0;
}

int pgsql_send_last_look(struct pgsql *pg)
{
    const char *const parameters[PGSQL_LOOK_PARAMETERS] = {[3] = pg->types};

    return pgsql_send_look(pg, parameters);
}

bool pgsql_take_look(struct pgsql *pg, const PGresult *result)
{
    unsigned generation = 0;

    snprintf(pg->running.pid, sizeof pg->running.pid, "%s", PQgetvalue(result, 0, PGSQL_LOOK_PID));
    snprintf(pg->running.started, sizeof pg->running.started, "%s",
             PQgetvalue(result, 0, PGSQL_LOOK_STARTED));
    for (uint64_t rows = pg->row_count / FIRST_ROWS; rows > 0; rows /= 2)
        generation++;
    for (size_t i = 0; i < 2; i++) {
        pg->is_held[i] = false;
        if (pg->sql[i] == NULL || !pg->holds)
            continue;
        name_statement(pg->names[i], pg->sql[i], pg->types, generation);
        pg->is_held[i] = is_held(result, pg->names[i]);
    }
    return strcmp(PQgetvalue(result, 0, PGSQL_LOOK_TYPES), pg->types) == 0;
}

int pgsql_send_row(struct pgsql *pg, size_t which, size_t count, bool *ret_is_prepared)
{
    const char *name = pg->holds ? pg->names[which] : "";

    *ret_is_prepared = !pg->is_held[which];
    if (!pg->is_held[which]) {
        int r = pgsql_prepare(pg, name, pg->sql[which]);

        if (r < 0)
            return r;
        pg->is_held[which] = true;
        if (!pg->holds)
            pg->is_held[!which] = false; /* there is one without a name */
    }
    if (PQsendQueryPrepared(pg->conn, name, (int)count, pg->parameters, NULL, NULL, 0) == 0)
        return pgsql_lost(pg);
    pg->row_count += pg->base.target.mode == TASKLOG_UPSERT;
    return 0;
}
