/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leads a batch of rows into PostgreSQL: chooses the way, begins and ends transactions, and gives the
 * large memory back. How rows are sent stands in pgsql_pipeline.c and pgsql_careful.c.
 *
 * Three ways, each slower than the one before and taken only when that one failed:
 *
 *   pipeline    BEGIN, all rows, COMMIT at once. Nearly always this is all.
 *   careful     a savepoint around each row: the rows that can be kept are kept, each of the others
 *               gets its verdict.
 *   one by one  the commit itself was refused (a deferred constraint), so that nobody can tell which
 *               row it was: careful again, with a transaction for each row.
 *
 * A batch must get on even if it can never be written within its time, because the same batch comes
 * again: after half of the time no further row is begun, those that are done are committed and the
 * rest is put off.
 */
#include "pgsql_batch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_ROW_BYTES = (1 << 30) - (1 << 16), /* a field's limit and a message's are 1 GiB */
};

/* --- One row as parameters --------------------------------------------------------------------- */

bool batch_appends(const struct batch *b, size_t i)
{
    return b->pg->appends && b->rows[i].append_at >= 0;
}

size_t batch_bind(struct batch *b, size_t i)
{
    struct pgsql *pg = b->pg;
    const struct tasklog_row *row = &b->rows[i];
    const struct tasklog_target *target = &pg->base.target;
    size_t n = 0;

    for (size_t j = 0; j < target->column_count; j++, n++)
        pg->parameters[n] = value_text(&row->columns[j], pg->forms[n], pg->scratch[n]);
    for (size_t j = 0; j < target->key_count; j++, n++)
        pg->parameters[n] = value_text(&row->keys[j], pg->forms[n], pg->scratch[n]);
    if (batch_appends(b, i)) {
        struct tasklog_value head = {.number =
                                         row->append_at < INT32_MAX ? row->append_at : INT32_MAX};

        pg->parameters[n] = value_text(&head, VALUE_NUMBER, pg->scratch[n]);
        n++;
    }
    return n;
}

/* --- What a result means ----------------------------------------------------------------------- */

void batch_judge_good(struct batch *b, size_t i, PGresult *result)
{
    if (b->pg->base.target.mode == TASKLOG_UPDATE && strcmp(PQcmdTuples(result), "0") == 0)
        outcome_set_no_row(&b->outcomes[i], &b->pg->base, &b->rows[i]);
    else
        outcome_set(&b->outcomes[i], TASKLOG_KEPT, NULL, "%s", "");
}

void batch_set_refused(struct tasklog_outcome *outcome, enum tasklog_verdict verdict,
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
    if (sqlstate != NULL && strcmp(sqlstate, "57014") == 0)
        outcome->cause = TASKLOG_SLOW;
}

bool batch_is_settled(const struct batch *b, size_t i)
{
    return b->outcomes[i].verdict == TASKLOG_NEVER || outcome_is_slow(&b->outcomes[i]);
}

/* --- Transactions ------------------------------------------------------------------------------ */

static const char *setting(bool is_users, int64_t ms, char text[PGSQL_ID_BYTES])
{
    if (is_users)
        return NULL;
    snprintf(text, PGSQL_ID_BYTES, "%d", ms < INT_MAX ? (int)ms : INT_MAX);
    return text;
}

/* Begins, with a look at the server. One that the session does not hold is prepared in the same
 * transaction: behind a pooler the next one may be another session's. */
static int begin(struct batch *b, const char *const *parameters, PGresult **ret_result)
{
    struct pgsql *pg = b->pg;
    PGresult *result = NULL;
    int r = pgsql_send(pg, "BEGIN ISOLATION LEVEL READ COMMITTED", 0, NULL);

    if (r == 0)
        r = pgsql_send_look(pg, parameters);
    if (r == 0)
        r = pgsql_settle(pg, 2, b->deadline_ms, &result);
    if (r == 0 && pgsql_is_unknown_statement(result)) {
        PQclear(result);
        result = NULL;
        r = pgsql_send(pg, "ROLLBACK AND CHAIN", 0, NULL);
        if (r == 0)
            r = pgsql_prepare(pg, pg->look_name, pg->look);
        if (r == 0)
            r = pgsql_send_look(pg, parameters);
        if (r == 0)
            r = pgsql_settle(pg, 3, b->deadline_ms, &result);
    }
    if (r == 0 && !pgsql_is_good(result))
        r = pgsql_refused(pg, result);
    if (r < 0) {
        PQclear(result);
        return r;
    }
    *ret_result = result;
    return 0;
}

/*
 * Begins, sets time-outs for this transaction alone, and learns its name before any row is sent. The
 * server's time-outs are the second line of defence behind the deadline; those that the user's own
 * connection string sets are left alone. A table whose columns have changed is checked once more.
 */
int batch_begin(struct batch *b, int64_t lock_ms)
{
    struct pgsql *pg = b->pg;
    char text[3][PGSQL_ID_BYTES];
    int left_ms = store_left_ms(&pg->base, b->deadline_ms);
    const char *const parameters[PGSQL_LOOK_PARAMETERS] = {
        setting(pg->has_statement_timeout, store_patience_ms(&pg->base, b->deadline_ms), text[0]),
        setting(pg->has_lock_timeout, lock_ms, text[1]),
        setting(pg->has_idle_timeout, left_ms + 1, text[2]),
    };

    for (int attempt = 0; attempt < 2; attempt++) {
        PGresult *result = NULL;
        bool is_same;
        int r = begin(b, parameters, &result);

        if (r < 0)
            return r;
        is_same = pgsql_take_look(pg, result);
        PQclear(result);
        if (is_same)
            return 0;
        r = batch_rollback(b);
        if (r == 0)
            r = pgsql_check(pg, b->deadline_ms);
        if (r < 0)
            return r;
    }
    return store_fail(&pg->base, -EAGAIN, "the table's columns are being changed");
}

int batch_rollback(struct batch *b)
{
    PGresult *result = NULL;
    int r = pgsql_query(b->pg, "ROLLBACK", 0, NULL, b->deadline_ms, &result);

    PQclear(result);
    if (r == 0)
        b->pg->running.pid[0] = '\0';
    return r;
}

int batch_judge_commit(struct batch *b, PGresult *result)
{
    enum refusal refusal;

    if (pgsql_is_good(result)) {
        b->pg->running.pid[0] = '\0';
        if (strcmp(PQcmdStatus(result), "COMMIT") == 0)
            return 0;
        return store_fail(&b->pg->base, -EAGAIN, "the transaction was rolled back");
    }
    refusal = pgsql_refusal(result);
    if (refusal == REFUSAL_NEVER || refusal == REFUSAL_TARGET) {
        batch_set_refused(&b->commit_outcome, TASKLOG_NEVER, result);
        b->pg->running.pid[0] = '\0'; /* a refused commit is a rollback */
        return REDO;
    }
    return pgsql_refused(b->pg, result);
}

/* --- The ways --------------------------------------------------------------------------------- */

static int write_one_by_one(struct batch *b, size_t count)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++) {
        r = batch_write_careful(b, i, i + 1);
        if (r == REDO) {
            b->outcomes[i] = b->commit_outcome;
            r = 0;
        }
    }
    return r;
}

/* Verdicts of a way that failed are void, except what was refused before, and what is too slow: nobody
 * waits for that twice. */
static void forget(struct batch *b, const bool *is_settled, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_settled[i] && !outcome_is_slow(&b->outcomes[i]))
            outcome_set_no_time(&b->outcomes[i]);
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
        is_settled[i] = outcomes[i].verdict == TASKLOG_NEVER ||
                        row_is_too_large(&pg->base, &rows[i], MOST_ROW_BYTES, &outcomes[i]);
        is_large = is_large || row_text_bytes(&pg->base, &rows[i]) >= PGSQL_LARGE_ROW_BYTES;
    }
    forget(&b, is_settled, count);
    r = batch_write_pipeline(&b, count);
    if (r == REDO && pg->base.leader != NULL) { /* the first session will find out */
        forget(&b, is_settled, count);
        r = 0;
    }
    if (r == REDO) {
        forget(&b, is_settled, count);
        r = batch_write_careful(&b, 0, count);
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
