/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a batch of rows in one transaction and finds out what became of each. It knows verdicts and
 * savepoints; it neither connects nor looks into the catalog.
 *
 * Three ways, each slower than the one before and taken only when that one failed:
 *
 *   fast        BEGIN, all rows, COMMIT as one pipeline. Nearly always this is all.
 *   careful     one transaction with a savepoint around each row, a round trip a row: the rows that
 *               can be kept are kept, each of the others gets its verdict.
 *   one by one  the commit itself was refused (a deferred constraint), so that nobody can tell which
 *               row it was: careful again, with a transaction for each row.
 *
 * A batch must get on even if it can never be written within its time, because the same batch comes
 * again: after half of the time no further row is begun, those that are done are committed and the
 * rest is put off. What is sent cannot be called back, so no more than two windows of rows are on the
 * way, and a window grows from one row as long as the server answers quickly. For the same reason a
 * locked row is waited for only briefly, and ever more briefly.
 *
 * Statements are prepared anew in each batch, as the unnamed statement: that is cheap beside a
 * commit, follows a changed table, and works behind poolers, which share sessions between clients.
 */
#include "pgsql.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_WINDOW = 32,
    LOCK_FAST_MS = 500,
    LOCK_CAREFUL_MS = 250, /* for the first locked row; halved after each */
    LOCK_LEAST_MS = 4,
    LARGE_ROW_BYTES = 16 * 1024 * 1024,
};

enum { REDO = 1 }; /* the answer of a way that failed and left nothing behind */

struct batch {
    struct pgsql *pg;
    const struct tasklog_row *rows;
    struct tasklog_outcome *outcomes;
    int64_t deadline_ms;
    int64_t half_ms; /* no row is begun after this */
    bool rechecked;  /* the target was compared with the catalog once more, and is right */
};

static const char insert_race[] = "23505"; /* unique_violation */

/* --- One row as parameters --------------------------------------------------------------------- */

static bool row_appends(const struct pgsql *pg, const struct tasklog_row *row)
{
    return pg->appends && row->append_at >= 0;
}

/* Fills in pg->parameters; returns how many there are. */
static size_t bind_row(struct pgsql *pg, const struct tasklog_row *row)
{
    const struct tasklog_target *target = &pg->base.target;
    size_t n = 0;

    for (size_t i = 0; i < target->column_count; i++, n++)
        pg->parameters[n] = value_text(&row->columns[i], pg->forms[n], pg->scratch[n]);
    for (size_t i = 0; i < target->key_count; i++, n++)
        pg->parameters[n] = value_text(&row->keys[i], pg->forms[n], pg->scratch[n]);
    if (row_appends(pg, row)) {
        struct tasklog_value head = {.number =
                                         row->append_at < INT32_MAX ? row->append_at : INT32_MAX};

        pg->parameters[n] = value_text(&head, VALUE_NUMBER, pg->scratch[n]);
        n++;
    }
    return n;
}

static bool row_is_large(const struct pgsql *pg, const struct tasklog_row *row)
{
    size_t bytes = 0;

    for (size_t i = 0; i < pg->base.target.column_count; i++) {
        if (value_is_text(pg->base.target.columns[i].type) && !row->columns[i].is_null)
            bytes += row->columns[i].text_bytes;
    }
    return bytes >= LARGE_ROW_BYTES;
}

/* --- What a result means ----------------------------------------------------------------------- */

/* The row was executed; did it find its row? */
static void judge_good(struct batch *b, size_t i, const PGresult *result)
{
    if (b->pg->base.target.mode == TASKLOG_UPDATE &&
        strcmp(PQcmdTuples((PGresult *)result), "0") == 0)
        outcome_set_no_row(&b->outcomes[i], &b->pg->base, &b->rows[i]);
    else
        outcome_set(&b->outcomes[i], TASKLOG_KEPT, NULL, "%s", "");
}

static void set_refused(struct tasklog_outcome *outcome, enum tasklog_verdict verdict,
                        const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = NULL;

    /* The detail of these names the key; that of others repeats the whole row, log and all. */
    if (sqlstate != NULL && (strcmp(sqlstate, "23505") == 0 || strcmp(sqlstate, "23503") == 0))
        detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    outcome_set(outcome, verdict, sqlstate, "%s%s%s",
                text != NULL ? text : PQresultErrorMessage(result), detail != NULL ? ": " : "",
                detail != NULL ? detail : "");
}

/* --- Transactions ------------------------------------------------------------------------------ */

static const char *setting(bool is_users, int64_t ms, char text[PGSQL_ID_BYTES])
{
    if (is_users)
        return NULL;
    snprintf(text, PGSQL_ID_BYTES, "%d", ms < INT_MAX ? (int)ms : INT_MAX);
    return text;
}

/*
 * Begins, sets time-outs for this transaction alone, and learns its name before any row is sent. The
 * server's time-outs are the second line of defence behind the deadline; those that the user's own
 * connection string sets are left alone.
 */
static int begin(struct batch *b, int64_t lock_ms)
{
    struct pgsql *pg = b->pg;
    static const char sql[] =
        "SELECT pg_backend_pid(), (extract(epoch FROM now()) * 1000000)::bigint,"
        " CASE WHEN $1::text IS NOT NULL THEN set_config('statement_timeout', $1, true) END,"
        " CASE WHEN $2::text IS NOT NULL THEN set_config('lock_timeout', $2, true) END,"
        " CASE WHEN $3::text IS NOT NULL THEN"
        " set_config('idle_in_transaction_session_timeout', $3, true) END";
    char text[3][PGSQL_ID_BYTES];
    int left_ms = store_left_ms(&pg->base, b->deadline_ms);
    const char *const parameters[] = {
        setting(pg->has_statement_timeout, left_ms / 2 + 1, text[0]),
        setting(pg->has_lock_timeout, lock_ms, text[1]),
        setting(pg->has_idle_timeout, left_ms + 1, text[2]),
    };
    PGresult *result = NULL;
    int r = pgsql_send(pg, "BEGIN ISOLATION LEVEL READ COMMITTED", 0, NULL);

    if (r == 0)
        r = pgsql_send(pg, sql, 3, parameters);
    if (r == 0)
        r = pgsql_settle(pg, 2, b->deadline_ms, &result);
    if (r == 0 && !pgsql_is_good(result))
        r = pgsql_refused(pg, result);
    if (r == 0) {
        snprintf(pg->running.pid, sizeof pg->running.pid, "%s", PQgetvalue(result, 0, 0));
        snprintf(pg->running.started, sizeof pg->running.started, "%s", PQgetvalue(result, 0, 1));
    }
    PQclear(result);
    return r;
}

static int rollback(struct batch *b)
{
    PGresult *result = NULL;
    int r = pgsql_query(b->pg, "ROLLBACK", 0, NULL, b->deadline_ms, &result);

    PQclear(result);
    if (r == 0)
        b->pg->running.pid[0] = '\0';
    return r;
}

/* What the answer to COMMIT says: 0, REDO when a constraint refused it at last, or -EAGAIN. */
static int judge_commit(struct batch *b, PGresult *result)
{
    enum refusal refusal;

    if (pgsql_is_good(result)) {
        b->pg->running.pid[0] = '\0';
        if (strcmp(PQcmdStatus(result), "COMMIT") == 0)
            return 0;
        return store_fail(&b->pg->base, -EAGAIN, "%s rolled the transaction back",
                          b->pg->base.name);
    }
    refusal = pgsql_refusal(result);
    (void)pgsql_refused(b->pg, result);
    if (refusal == REFUSAL_NEVER || refusal == REFUSAL_TARGET) {
        b->pg->running.pid[0] = '\0'; /* a refused commit is a rollback */
        return REDO;
    }
    return -EAGAIN;
}

/* --- Fast -------------------------------------------------------------------------------------- */

/* What was sent and in which order its answers are due. A row is its index; a preparation is -1. */
struct pipeline {
    int *sent;
    size_t sent_count;
    size_t taken_count;
    bool is_refused;      /* an answer was bad, so the rest of the pipeline is void */
    const char *prepared; /* the statement that the session holds */
    size_t in_window;     /* rows of the window that is being filled */
    int64_t window_ms;    /* when it was begun */
};

static int pipeline_prepare(struct pgsql *pg, struct pipeline *pipeline, const char *sql)
{
    if (pipeline->prepared == sql)
        return 0;
    if (PQsendPrepare(pg->conn, "", sql, 0, NULL) == 0)
        return pgsql_lost(pg);
    pipeline->prepared = sql;
    pipeline->sent[pipeline->sent_count++] = -1;
    return 0;
}

static int pipeline_send(struct batch *b, struct pipeline *pipeline, size_t i)
{
    struct pgsql *pg = b->pg;
    int r = pipeline_prepare(pg, pipeline, pg->sql[row_appends(pg, &b->rows[i])]);
    size_t n;

    if (r < 0)
        return r;
    n = bind_row(pg, &b->rows[i]);
    if (PQsendQueryPrepared(pg->conn, "", (int)n, pg->parameters, NULL, NULL, 0) == 0)
        return pgsql_lost(pg);
    pipeline->sent[pipeline->sent_count++] = (int)i;
    pipeline->in_window++;
    if (pipeline->in_window >= pg->window && PQsendFlushRequest(pg->conn) == 0)
        return pgsql_lost(pg);
    return pgsql_flush(pg, b->deadline_ms);
}

static int pipeline_judge(struct batch *b, struct pipeline *pipeline, const PGresult *result)
{
    int what = pipeline->sent[pipeline->taken_count++];

    if (pgsql_is_good(result)) {
        if (what >= 0)
            judge_good(b, (size_t)what, result);
        return 0;
    }
    if (pipeline->is_refused)
        return 0;
    pipeline->is_refused = true;
    return pgsql_refusal(result) == REFUSAL_SESSION ? pgsql_refused(b->pg, result) : 0;
}

/* Takes the answers that are there, and waits as long as more than `most` are due. */
static int pipeline_take(struct batch *b, struct pipeline *pipeline, size_t most)
{
    int r = 0;

    while (r == 0 && pipeline->taken_count < pipeline->sent_count) {
        bool wait = pipeline->sent_count - pipeline->taken_count > most;
        PGresult *result = NULL;

        r = wait ? pgsql_next(b->pg, b->deadline_ms, &result) : pgsql_poll(b->pg, &result);
        if (r < 0 || result == NULL)
            return r;
        r = pipeline_judge(b, pipeline, result);
        PQclear(result);
    }
    return r;
}

/* A window is full: waits until the one before it is answered, and sees how long that took. */
static int pipeline_turn(struct batch *b, struct pipeline *pipeline)
{
    size_t *window = &b->pg->window;
    int r = pipeline_take(b, pipeline, *window > 1 ? *window : 0);
    int64_t now_ms = store_now_ms(&b->pg->base);
    int64_t took_ms = now_ms - pipeline->window_ms;

    if (took_ms * 16 < b->half_ms - now_ms)
        *window = *window < MOST_WINDOW ? *window * 2 : MOST_WINDOW;
    else if (*window > 1)
        *window /= 2;
    pipeline->in_window = 0;
    pipeline->window_ms = now_ms;
    return r;
}

static int pipeline_fill(struct batch *b, struct pipeline *pipeline, size_t count)
{
    int r = 0;

    pipeline->window_ms = store_now_ms(&b->pg->base);
    for (size_t i = 0; r == 0 && i < count && !pipeline->is_refused; i++) {
        if (b->outcomes[i].verdict == TASKLOG_NEVER)
            continue;
        if (store_now_ms(&b->pg->base) >= b->half_ms) {
            outcome_set_no_time(&b->outcomes[i]);
            continue;
        }
        r = pipeline_send(b, pipeline, i);
        if (r == 0 && pipeline->in_window >= b->pg->window)
            r = pipeline_turn(b, pipeline);
    }
    return r;
}

/* The rows are sent: asks for the commit and waits for all that is due. */
static int pipeline_commit(struct batch *b, struct pipeline *pipeline)
{
    PGresult *result = NULL;
    int r = pipeline->is_refused ? 0 : pgsql_send(b->pg, "COMMIT", 0, NULL);
    bool is_sent = !pipeline->is_refused;

    if (r == 0 && PQpipelineSync(b->pg->conn) == 0)
        r = pgsql_lost(b->pg);
    if (r == 0)
        r = pgsql_flush(b->pg, b->deadline_ms);
    if (r == 0)
        r = pipeline_take(b, pipeline, 0);
    if (r == 0 && is_sent) {
        r = pgsql_next(b->pg, b->deadline_ms, &result);
        if (r == 0 && !pipeline->is_refused)
            r = judge_commit(b, result);
        PQclear(result);
    }
    if (r >= 0) {
        int end = pgsql_next(b->pg, b->deadline_ms, &result); /* the pipeline's end itself */

        if (end == 0)
            PQclear(result);
        r = end < 0 ? end : r;
    }
    return r;
}

static int write_fast(struct batch *b, size_t count)
{
    struct pipeline pipeline = {0};
    int left_ms = store_left_ms(&b->pg->base, b->deadline_ms);
    int lock_ms = left_ms / 8 < LOCK_FAST_MS ? left_ms / 8 + 1 : LOCK_FAST_MS;
    int r = -1;

    pipeline.sent = calloc(2 * count, sizeof *pipeline.sent);
    if (pipeline.sent == NULL)
        return store_fail(&b->pg->base, -EAGAIN, "out of memory");
    r = begin(b, lock_ms);
    if (r < 0)
        goto finish;
    r = pipeline_fill(b, &pipeline, count);
    if (r == 0)
        r = pipeline_commit(b, &pipeline);
    if (r < 0 || !pipeline.is_refused)
        goto finish;
    r = rollback(b);
    if (r == 0)
        r = REDO;
finish:
    free(pipeline.sent);
    return r;
}

/* --- Careful ----------------------------------------------------------------------------------- */

struct careful {
    int64_t lock_ms;      /* how long the next row may wait for a lock */
    bool lock_is_changed; /* the server does not know that yet */
    const char *leave[2]; /* what ends the savepoint of the row before; NULL = nothing to end */
};

static int send_if(struct pgsql *pg, const char *sql, size_t *count)
{
    if (sql == NULL)
        return 0;
    (*count)++;
    return pgsql_send(pg, sql, 0, NULL);
}

static int send_lock_timeout(struct batch *b, struct careful *careful, size_t *count)
{
    char text[PGSQL_ID_BYTES];
    const char *const parameters[] = {setting(false, careful->lock_ms, text)};

    if (!careful->lock_is_changed || b->pg->has_lock_timeout)
        return 0;
    careful->lock_is_changed = false;
    (*count)++;
    return pgsql_send(b->pg, "SELECT set_config('lock_timeout', $1, true)", 1, parameters);
}

/* Executes row i inside a savepoint, which the next row or the commit leaves. */
static int execute_row(struct batch *b, struct careful *careful, size_t i, PGresult **ret_result)
{
    struct pgsql *pg = b->pg;
    size_t count = 0;
    int r = send_if(pg, careful->leave[0], &count);

    if (r == 0)
        r = send_if(pg, careful->leave[1], &count);
    if (r == 0)
        r = send_lock_timeout(b, careful, &count);
    if (r == 0)
        r = send_if(pg, "SAVEPOINT tasklog", &count);
    if (r == 0) {
        size_t n = bind_row(pg, &b->rows[i]);

        count++;
        r = pgsql_send(pg, pg->sql[row_appends(pg, &b->rows[i])], n, pg->parameters);
    }
    if (r == 0)
        r = pgsql_settle(pg, count, b->deadline_ms, ret_result);
    if (r == 0) {
        bool good = pgsql_is_good(*ret_result);

        careful->leave[0] = good ? NULL : "ROLLBACK TO SAVEPOINT tasklog";
        careful->leave[1] = "RELEASE SAVEPOINT tasklog";
    }
    return r;
}

/* Leaves the savepoint of the row before at once. */
static int leave_row(struct batch *b, struct careful *careful)
{
    PGresult *result = NULL;
    size_t count = 0;
    int r = send_if(b->pg, careful->leave[0], &count);

    if (r == 0)
        r = send_if(b->pg, careful->leave[1], &count);
    if (r == 0)
        r = pgsql_settle(b->pg, count, b->deadline_ms, &result);
    if (r == 0 && result != NULL && !pgsql_is_good(result))
        r = pgsql_refused(b->pg, result);
    PQclear(result);
    careful->leave[0] = careful->leave[1] = NULL;
    return r;
}

/* The server says that the target is wrong. Is it? If not, a trigger or a policy behind it speaks: a
 * policy refuses the row; what a trigger lacks somebody may mend. */
static int judge_target(struct batch *b, struct careful *careful, size_t i, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    int r = leave_row(b, careful);

    if (r == 0 && !b->rechecked)
        r = pgsql_check(b->pg, b->deadline_ms);
    if (r < 0)
        return r;
    b->rechecked = true;
    set_refused(&b->outcomes[i],
                sqlstate != NULL && strcmp(sqlstate, "42501") == 0 ? TASKLOG_NEVER : TASKLOG_LATER,
                result);
    return 0;
}

static int judge_bad(struct batch *b, struct careful *careful, size_t i, const PGresult *result)
{
    switch (pgsql_refusal(result)) {
    case REFUSAL_NEVER:
        set_refused(&b->outcomes[i], TASKLOG_NEVER, result);
        return 0;
    case REFUSAL_LATER:
        set_refused(&b->outcomes[i], TASKLOG_LATER, result);
        careful->lock_ms /= 2;
        if (careful->lock_ms < LOCK_LEAST_MS)
            careful->lock_ms = LOCK_LEAST_MS;
        careful->lock_is_changed = true;
        return 0;
    case REFUSAL_TARGET:
        return judge_target(b, careful, i, result);
    case REFUSAL_SESSION:
        break;
    }
    return pgsql_refused(b->pg, result);
}

static bool is_insert_race(const struct batch *b, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return b->pg->base.target.mode == TASKLOG_UPSERT && sqlstate != NULL &&
           strcmp(sqlstate, insert_race) == 0;
}

static int write_row(struct batch *b, struct careful *careful, size_t i)
{
    PGresult *result = NULL;
    int r = execute_row(b, careful, i, &result);

    /* Somebody inserted the row between our looking and our inserting: now it is there. */
    if (r == 0 && is_insert_race(b, result)) {
        PQclear(result);
        result = NULL;
        r = execute_row(b, careful, i, &result);
    }
    if (r == 0 && pgsql_is_good(result))
        judge_good(b, i, result);
    else if (r == 0)
        r = judge_bad(b, careful, i, result);
    PQclear(result);
    return r;
}

/* Must row i wait because an earlier one with its keys has to? */
static bool is_behind(const struct batch *b, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (b->outcomes[j].verdict == TASKLOG_LATER &&
            row_same_keys(&b->pg->base, &b->rows[i], &b->rows[j]))
            return true;
    }
    return false;
}

static int commit(struct batch *b, struct careful *careful)
{
    PGresult *result = NULL;
    int r = careful->leave[0] != NULL ? leave_row(b, careful) : 0;

    if (r == 0)
        r = pgsql_send(b->pg, "COMMIT", 0, NULL);
    if (r == 0)
        r = pgsql_settle(b->pg, 1, b->deadline_ms, &result);
    if (r == 0)
        r = judge_commit(b, result);
    PQclear(result);
    return r;
}

/* Rows from `from` up to `to` in one transaction. Returns 0, REDO or an error. */
static int write_careful(struct batch *b, size_t from, size_t to)
{
    struct careful careful = {.lock_ms = LOCK_CAREFUL_MS};
    int r;

    if (careful.lock_ms > store_left_ms(&b->pg->base, b->half_ms) / 4 + 1)
        careful.lock_ms = store_left_ms(&b->pg->base, b->half_ms) / 4 + 1;
    r = begin(b, careful.lock_ms);
    for (size_t i = from; r == 0 && i < to; i++) {
        if (b->outcomes[i].verdict == TASKLOG_NEVER)
            continue;
        if (store_now_ms(&b->pg->base) >= b->half_ms)
            outcome_set_no_time(&b->outcomes[i]);
        else if (is_behind(b, i))
            outcome_set(&b->outcomes[i], TASKLOG_LATER, NULL,
                        "an earlier row with the same keys has to be written first");
        else
            r = write_row(b, &careful, i);
    }
    return r < 0 ? r : commit(b, &careful);
}

static int write_one_by_one(struct batch *b, size_t count)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++) {
        r = write_careful(b, i, i + 1);
        if (r == REDO) {
            outcome_set(&b->outcomes[i], TASKLOG_NEVER, NULL, "%s", b->pg->base.message);
            r = 0;
        }
    }
    return r;
}

/* Verdicts of a way that failed are void, except what the facade itself refused before. */
static void forget(struct batch *b, const bool *is_settled, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_settled[i])
            b->outcomes[i] = (struct tasklog_outcome){.verdict = TASKLOG_LATER};
    }
    b->half_ms = store_now_ms(&b->pg->base) + store_left_ms(&b->pg->base, b->deadline_ms) / 2;
}

int pgsql_write_batch(struct pgsql *pg, const struct tasklog_row *rows, size_t count,
                      int64_t deadline_ms, struct tasklog_outcome *outcomes)
{
    struct batch b = {.pg = pg, .rows = rows, .outcomes = outcomes, .deadline_ms = deadline_ms};
    bool is_large = false;
    bool *is_settled = calloc(count, sizeof *is_settled);
    int r;

    if (is_settled == NULL)
        return store_fail(&pg->base, -EAGAIN, "out of memory");
    for (size_t i = 0; i < count; i++) {
        is_settled[i] = outcomes[i].verdict == TASKLOG_NEVER;
        is_large = is_large || row_is_large(pg, &rows[i]);
    }
    forget(&b, is_settled, count);
    r = write_fast(&b, count);
    if (r == REDO) {
        forget(&b, is_settled, count);
        r = write_careful(&b, 0, count);
    }
    if (r == REDO) {
        forget(&b, is_settled, count);
        r = write_one_by_one(&b, count);
    }
    free(is_settled);
    /* libpq never gives back the room that it made for sending a row. */
    if (r == 0 && is_large)
        pgsql_drop(pg);
    return r;
}
