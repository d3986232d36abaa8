/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session with PostgreSQL: connecting, sending, receiving, hanging up. libpq is only used in its
 * non-blocking form and every wait has the call's deadline and ends at an interrupt. (What libpq
 * itself does not offer without blocking is the look-up of a host's name.) Nothing here knows what
 * the statements are about.
 *
 * The session is in pipeline mode for good. Statements are sent one after the other and settled
 * together, at the price of one round trip.
 *
 * A session that is dropped in the middle of a transaction may live on in the server and commit when
 * its rows have long been overwritten by newer ones. The server's own time-outs make that unlikely;
 * to make it impossible, the next session ends it before anything is written. The transaction is
 * named by process and start, so that this is right behind a pooler, too, where processes are shared.
 * It is also why there is no PQcancel: that one blocks, and can tell nobody that it came too late.
 */
#include "pgsql.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

enum { MOST_SETTINGS = 12, AGAIN_MS = 20 };

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

int pgsql_lost(struct pgsql *pg)
{
    const char *why = PQerrorMessage(pg->conn);

    return store_fail(&pg->base, -EAGAIN, "the connection is lost: %s",
                      *why != '\0' ? why : "no reason given");
}

bool pgsql_is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* A trigger may raise what only a session's end has otherwise (a foreign table's wrapper does): then the
 * severity is ERROR, the session lives, and it is a matter of this row. */
static bool is_raised(const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return severity != NULL && sqlstate != NULL && strcmp(severity, "ERROR") == 0 &&
           (strncmp(sqlstate, "08", 2) == 0 || strncmp(sqlstate, "57P", 3) == 0);
}

enum refusal pgsql_refusal(const PGresult *result)
{
    enum refusal refusal = refusal_of_sqlstate(PQresultErrorField(result, PG_DIAG_SQLSTATE));

    return refusal == REFUSAL_SESSION && is_raised(result) ? REFUSAL_LATER : refusal;
}

int pgsql_refused(struct pgsql *pg, const PGresult *result)
{
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    enum refusal refusal = pgsql_refusal(result);

    if (text == NULL)
        text = PQresultErrorMessage(result);
    if (refusal == REFUSAL_LATER || refusal == REFUSAL_SESSION)
        return store_fail(&pg->base, -EAGAIN, "%s", text);
    return store_fail(&pg->base, -EINVAL, "%s: %s", pg->base.name, text);
}

/* --- Connecting -------------------------------------------------------------------------------- */

static const char *nonempty(const char *text, const char *otherwise)
{
    return text != NULL && *text != '\0' ? text : otherwise;
}

static void name_session(struct pgsql *pg)
{
    char name[2 * STORE_NAME_BYTES];

    snprintf(name, sizeof name, "PostgreSQL database \"%s\" on host \"%s\"",
             nonempty(PQdb(pg->conn), "?"), nonempty(PQhost(pg->conn), "localhost"));
    message_line(pg->base.name, sizeof pg->base.name, name);
}

/* The last SQLSTATE in a verbose text of libpq, "...:  28P01: password ..."; libpq tells the one of a
 * failed log-in in no other way. Returns where it stands, or NULL. */
static const char *find_sqlstate(const char *text)
{
    const char *found = NULL;

    for (const char *s = strstr(text, ":  "); s != NULL; s = strstr(s + 1, ":  ")) {
        size_t length = strspn(s + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");

        if (length == 5 && strncmp(s + 8, ": ", 2) == 0)
            found = s + 3;
    }
    return found;
}

/* What a log-in that was refused calls for. */
static const char *what_to_do(PGconn *conn, const char *sqlstate)
{
    if (sqlstate == NULL && PQconnectionNeedsPassword(conn) == 0)
        return "";
    if (sqlstate == NULL || strncmp(sqlstate, "28P01", 5) == 0)
        return "; correct the password: in ~/.pgpass of the user that connects, in the passfile, "
               "or in "
               "parameter \"database\"";
    if (strncmp(sqlstate, "28", 2) == 0)
        return "; correct the user in parameter \"database\", or let it in by the server's "
               "pg_hba.conf";
    return strncmp(sqlstate, "3D000", 5) == 0
               ? "; create it, or correct parameter \"database\""
               : "; correct parameter \"database\", or what the server allows";
}

/* Why there is no connection, and whether that will pass. */
static int refuse_connection(struct pgsql *pg)
{
    const char *why = nonempty(PQerrorMessage(pg->conn), "no reason given");
    const char *user = nonempty(PQuser(pg->conn), "?");
    const char *found = find_sqlstate(why);
    bool wrong = PQconnectionNeedsPassword(pg->conn) != 0;
    int bytes = (int)strlen(why);

    if (found != NULL) {
        char sqlstate[6] = "";
        enum refusal refusal;

        memcpy(sqlstate, found, 5);
        refusal = refusal_of_sqlstate(sqlstate);
        wrong = refusal != REFUSAL_SESSION && refusal != REFUSAL_LATER;
        why = found + strlen("28P01: ");
        bytes = (int)strcspn(why, "\n");
    }
    if (wrong)
        return store_fail(&pg->base, -EINVAL, "cannot connect to %s as user \"%s\": %.*s%s",
                          pg->base.name, user, bytes, why, what_to_do(pg->conn, found));
    return store_fail(&pg->base, -EAGAIN, "cannot connect as user \"%s\": %.*s", user, bytes, why);
}

/* Does the user, by connection string, environment or service file, set `name` at the start? */
static bool options_set(PGconn *conn, const char *name)
{
    PQconninfoOption *options = PQconninfo(conn);
    bool found = false;

    for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
        if (strcmp(o->keyword, "options") == 0 && o->val != NULL)
            found = strstr(o->val, name) != NULL;
    }
    PQconninfoFree(options);
    return found;
}

/* What stands before dbname yields to the connection string, what stands after it does not. The text
 * that is sent is UTF-8, so that is not the user's to choose. A service file would not win against
 * the former, so with one there are none. */
static PGconn *start_connection(const char *database)
{
    const char *keywords[MOST_SETTINGS] = {NULL};
    const char *values[MOST_SETTINGS] = {NULL};
    static const char *const defaults[][2] = {
        {"keepalives_idle", "30"},
        {"keepalives_interval", "10"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "30000"},
    };
    static const char *const always[][2] = {
        {"fallback_application_name", "tasklog"},
        {"client_encoding", "UTF8"},
    };
    size_t n = 0;

    if (strstr(database, "service") == NULL && getenv("PGSERVICE") == NULL) {
        for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++, n++) {
            keywords[n] = defaults[i][0];
            values[n] = defaults[i][1];
        }
    }
    keywords[n] = "dbname";
    values[n++] = database;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++, n++) {
        keywords[n] = always[i][0];
        values[n] = always[i][1];
    }
    return PQconnectStartParams(keywords, values, 1);
}

static int finish_connection(struct pgsql *pg, int64_t deadline_ms)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    while (status != PGRES_POLLING_OK) {
        int r;

        if (PQstatus(pg->conn) == CONNECTION_BAD || status == PGRES_POLLING_FAILED)
            return refuse_connection(pg);
        r = store_wait(&pg->base, PQsocket(pg->conn),
                       status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms);
        if (r < 0)
            return r;
        status = PQconnectPoll(pg->conn);
    }
    return 0;
}

int pgsql_end_abandoned(struct pgsql *pg, struct pgsql_transaction *abandoned, int64_t deadline_ms)
{
    const char *parameters[] = {abandoned->pid, abandoned->started};

    while (abandoned->pid[0] != '\0') {
        PGresult *result = NULL;
        int r = pgsql_query(pg,
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1"
                            " AND (extract(epoch FROM xact_start) * 1000000)::bigint = $2",
                            2, parameters, deadline_ms, &result);

        if (r == -EINVAL) {
            /* It must not be ended by this role: then it was not its own. */
            abandoned->pid[0] = '\0';
            return 0;
        }
        if (r < 0)
            return r;
        if (PQntuples(result) == 0)
            abandoned->pid[0] = '\0';
        PQclear(result);
        if (abandoned->pid[0] != '\0') {
            int64_t again_ms = store_now_ms(&pg->base) + AGAIN_MS;

            r = store_wait(&pg->base, -1, 0, again_ms < deadline_ms ? again_ms : deadline_ms);
            if (r == -ECANCELED || store_left_ms(&pg->base, deadline_ms) == 0)
                return r;
        }
    }
    return 0;
}

int pgsql_connect(struct pgsql *pg, int64_t deadline_ms)
{
    int r;

    pg->conn = start_connection(pg->base.target.database);
    if (pg->conn == NULL)
        return store_fail(&pg->base, -EAGAIN, "out of memory");
    PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
    PQsetErrorVerbosity(pg->conn, PQERRORS_VERBOSE);
    if (PQdb(pg->conn) != NULL)
        name_session(pg);
    r = finish_connection(pg, deadline_ms);
    if (r < 0)
        return r;
    name_session(pg);
    PQsetErrorVerbosity(pg->conn, PQERRORS_TERSE);
    pg->window = 1;
    pg->has_statement_timeout = options_set(pg->conn, "statement_timeout");
    pg->has_lock_timeout = options_set(pg->conn, "lock_timeout");
    pg->has_idle_timeout = options_set(pg->conn, "idle_in_transaction_session_timeout");
    if (PQsetnonblocking(pg->conn, 1) != 0 || PQenterPipelineMode(pg->conn) != 1)
        return pgsql_lost(pg);
    return pgsql_end_abandoned(pg, &pg->abandoned, deadline_ms);
}

void pgsql_drop(struct pgsql *pg)
{
    if (pg->running.pid[0] != '\0')
        pg->abandoned = pg->running;
    pg->running.pid[0] = '\0';
    pg->checked = false;
    PQfinish(pg->conn);
    pg->conn = NULL;
}

bool pgsql_is_dead(struct pgsql *pg)
{
    /* The first one may read the server's parting words, the second one finds the end. */
    /* NOLINTNEXTLINE(misc-redundant-expression): two reads */
    return PQconsumeInput(pg->conn) == 0 || PQconsumeInput(pg->conn) == 0 ||
           PQstatus(pg->conn) == CONNECTION_BAD;
}

/* --- Sending and receiving --------------------------------------------------------------------- */

int pgsql_send(struct pgsql *pg, const char *sql, size_t count, const char *const *parameters)
{
    if (PQsendQueryParams(pg->conn, sql, (int)count, NULL, parameters, NULL, NULL, 0) == 0)
        return pgsql_lost(pg);
    return 0;
}

/* A server that hangs up may have said why: what it said is looked at before the end counts. */
static int receive(struct pgsql *pg, short events, int64_t deadline_ms)
{
    int r;

    if (PQsocket(pg->conn) < 0)
        return pgsql_lost(pg);
    r = store_wait(&pg->base, PQsocket(pg->conn), events, deadline_ms);
    if (r < 0)
        return r;
    if ((r & ~POLLOUT) != 0 && PQconsumeInput(pg->conn) == 0 && PQisBusy(pg->conn))
        return pgsql_lost(pg);
    return 0;
}

int pgsql_flush(struct pgsql *pg, int64_t deadline_ms)
{
    for (;;) {
        int r = PQflush(pg->conn);

        if (r == 0)
            return 0;
        if (r < 0)
            return PQisBusy(pg->conn) ? pgsql_lost(pg) : 0;
        r = receive(pg, POLLIN | POLLOUT, deadline_ms);
        if (r < 0)
            return r;
    }
}

int pgsql_poll(struct pgsql *pg, PGresult **ret_result)
{
    if (PQconsumeInput(pg->conn) == 0)
        return pgsql_lost(pg);
    /* A NULL ends the results of each statement, so one at most stands before a result. */
    for (int i = 0; i < 2; i++) {
        PGresult *result = NULL;

        if (!PQisBusy(pg->conn))
            result = PQgetResult(pg->conn);
        if (result != NULL || i == 1) {
            *ret_result = result;
            return 0;
        }
    }
    return 0;
}

int pgsql_next(struct pgsql *pg, int64_t deadline_ms, PGresult **ret_result)
{
    int ends = 0;

    while (ends < 2) {
        PGresult *result = NULL;

        if (PQisBusy(pg->conn)) {
            int r = receive(pg, POLLIN, deadline_ms);

            if (r < 0)
                return r;
            continue;
        }
        result = PQgetResult(pg->conn);
        if (result != NULL) {
            *ret_result = result;
            return 0;
        }
        ends++;
    }
    return pgsql_lost(pg);
}

int pgsql_settle(struct pgsql *pg, size_t count, int64_t deadline_ms, PGresult **ret_result)
{
    PGresult *kept = NULL;
    int r;

    if (PQpipelineSync(pg->conn) == 0)
        return pgsql_lost(pg);
    r = pgsql_flush(pg, deadline_ms);
    for (size_t i = 0; r == 0 && i <= count; i++) {
        PGresult *result = NULL;

        r = pgsql_next(pg, deadline_ms, &result);
        if (r == 0 && i < count && (kept == NULL || pgsql_is_good(kept))) {
            PQclear(kept);
            kept = result;
        } else {
            PQclear(result);
        }
    }
    if (kept != NULL && !pgsql_is_good(kept) && pgsql_refusal(kept) == REFUSAL_SESSION)
        r = pgsql_refused(pg, kept);
    if (r < 0) {
        PQclear(kept);
        return r;
    }
    *ret_result = kept;
    return 0;
}

int pgsql_query(struct pgsql *pg, const char *sql, size_t count, const char *const *parameters,
                int64_t deadline_ms, PGresult **ret_result)
{
    PGresult *result = NULL;
    int r = pgsql_send(pg, sql, count, parameters);

    if (r == 0)
        r = pgsql_settle(pg, 1, deadline_ms, &result);
    if (r < 0)
        return r;
    if (!pgsql_is_good(result)) {
        r = pgsql_refused(pg, result);
        PQclear(result);
        return r;
    }
    *ret_result = result;
    return 0;
}
