/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The careful way of writing a batch: one transaction with a savepoint around each row, at a round
 * trip a row. Here each row gets its verdict, and what can be kept is kept.
 *
 * A locked row is waited for briefly, and after each one that stayed locked more briefly, so that
 * hundreds of them do not use up the time of their neighbours. With slow statements it is the same.
 */
#include "pgsql_batch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LOCK_FIRST_MS = 100, LOCK_LEAST_MS = 1, STATEMENT_LEAST_MS = 200 };

static const char insert_race[] = "23505"; /* unique_violation */

struct careful {
    int64_t lock_ms;      /* how long the next row may wait for a lock */
    bool lock_is_changed; /* the server does not know that yet; likewise: */
    int64_t statement_ms; /* how long its statement may take */
    bool statement_is_changed;
    const char *leave[2]; /* what ends the savepoint of the row before; NULL = nothing to end */
};

static int send_if(struct pgsql *pg, const char *sql, size_t *count)
{
    if (sql == NULL)
        return 0;
    (*count)++;
    return pgsql_send(pg, sql, 0, NULL);
}

static int send_timeout(struct batch *b, const char *sql, int64_t ms, size_t *count)
{
    char text[PGSQL_ID_BYTES];
    const char *const parameters[] = {text};

    snprintf(text, sizeof text, "%d", (int)ms);
    (*count)++;
    return pgsql_send(b->pg, sql, 1, parameters);
}

static int send_timeouts(struct batch *b, struct careful *careful, size_t *count)
{
    int r = 0;

    if (careful->lock_is_changed && !b->pg->has_lock_timeout)
        r = send_timeout(b, "SELECT set_config('lock_timeout', $1, true)", careful->lock_ms, count);
    if (r == 0 && careful->statement_is_changed && !b->pg->has_statement_timeout)
        r = send_timeout(b, "SELECT set_config('statement_timeout', $1, true)",
                         careful->statement_ms, count);
    careful->lock_is_changed = careful->statement_is_changed = false;
    return r;
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
        r = send_timeouts(b, careful, &count);
    if (r == 0)
        r = send_if(pg, "SAVEPOINT tasklog", &count);
    if (r == 0) {
        size_t n = batch_bind(b, i);

        count++;
        r = pgsql_send(pg, pg->sql[batch_appends(b, i)], n, pg->parameters);
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
    batch_set_refused(&b->outcomes[i],
                      sqlstate != NULL && strcmp(sqlstate, "42501") == 0 ? TASKLOG_NEVER
                                                                         : TASKLOG_LATER,
                      result);
    return 0;
}

/* After a row that was waited for in vain. */
static void wait_less(struct batch *b, struct careful *careful, size_t i)
{
    if (outcome_is_slow(&b->outcomes[i])) {
        if (careful->statement_ms > STATEMENT_LEAST_MS) {
            careful->statement_ms /= 2;
            if (careful->statement_ms < STATEMENT_LEAST_MS)
                careful->statement_ms = STATEMENT_LEAST_MS;
            careful->statement_is_changed = true;
        }
        return;
    }
    careful->lock_ms = careful->lock_ms / 2 > LOCK_LEAST_MS ? careful->lock_ms / 2 : LOCK_LEAST_MS;
    careful->lock_is_changed = true;
}

static int judge_bad(struct batch *b, struct careful *careful, size_t i, const PGresult *result)
{
    switch (pgsql_refusal(result)) {
    case REFUSAL_NEVER:
        batch_set_refused(&b->outcomes[i], TASKLOG_NEVER, result);
        return 0;
    case REFUSAL_LATER:
        batch_set_refused(&b->outcomes[i], TASKLOG_LATER, result);
        wait_less(b, careful, i);
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
        batch_judge_good(b, i, result);
    else if (r == 0)
        r = judge_bad(b, careful, i, result);
    PQclear(result);
    return r;
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
        r = batch_judge_commit(b, result);
    PQclear(result);
    return r;
}

/* Rows from `from` up to `to` in one transaction. Returns 0, REDO or an error. */
int batch_write_careful(struct batch *b, size_t from, size_t to)
{
    struct careful careful = {.lock_ms = LOCK_FIRST_MS};
    int r;

    if (careful.lock_ms > store_left_ms(&b->pg->base, b->half_ms) / 4 + 1)
        careful.lock_ms = store_left_ms(&b->pg->base, b->half_ms) / 4 + 1;
    careful.statement_ms = store_patience_ms(&b->pg->base, b->deadline_ms);
    r = batch_begin(b, careful.lock_ms);
    for (size_t i = from; r == 0 && i < to; i++) {
        if (batch_is_settled(b, i))
            continue;
        if (store_now_ms(&b->pg->base) >= b->half_ms)
            outcome_set_no_time(&b->outcomes[i]);
        else if (row_is_behind(&b->pg->base, b->rows, i, b->outcomes))
            outcome_set_behind(&b->outcomes[i]);
        else
            r = write_row(b, &careful, i);
    }
    return r < 0 ? r : commit(b, &careful);
}
