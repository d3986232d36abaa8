/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast way of writing a batch: BEGIN, all rows, COMMIT as one pipeline. It knows that a row was
 * refused, not which verdict that means, unless it was too slow; then it rolls back and leaves the batch
 * to the careful way.
 *
 * What is sent cannot be called back, so no more than two windows of rows are on the way. A window
 * grows from one row as long as the server answers quickly.
 *
 * The session holds the statements, see pgsql_held.c; where it does not, they are prepared anew in each
 * batch, without a name.
 */
#include "pgsql_batch.h"

#include <errno.h>
#include <stdlib.h>

enum { MOST_WINDOW = 32, LOCK_MS = 200, FLUSH_BYTES = 128 * 1024 };

/* What was sent and in which order its answers are due. A row is its index; what is none is -1. */
struct pipeline {
    int *sent;
    size_t sent_count;
    size_t taken_count;
    bool is_refused;   /* an answer was bad, so the rest of the pipeline is void */
    size_t in_window;  /* rows of the window that is being filled */
    size_t held_bytes; /* of rows that lie in libpq's buffer: small ones go together */
    int64_t window_ms; /* when it was begun */
};

static int pipeline_send(struct batch *b, struct pipeline *pipeline, size_t i)
{
    struct pgsql *pg = b->pg;
    bool is_prepared;
    int r = pgsql_send_row(pg, batch_appends(b, i), batch_bind(b, i), &is_prepared);

    if (r < 0)
        return r;
    if (is_prepared)
        pipeline->sent[pipeline->sent_count++] = -1;
    pipeline->sent[pipeline->sent_count++] = (int)i;
    pipeline->in_window++;
    pipeline->held_bytes += row_text_bytes(&pg->base, &b->rows[i]);
    bool is_full = pipeline->in_window >= pg->window;
    if (is_full && PQsendFlushRequest(pg->conn) == 0)
        return pgsql_lost(pg);
    if (!is_full && pipeline->held_bytes < FLUSH_BYTES)
        return 0;
    pipeline->held_bytes = 0;
    return pgsql_flush(pg, b->deadline_ms);
}

static int pipeline_judge(struct batch *b, struct pipeline *pipeline, PGresult *result)
{
    int what = pipeline->sent[pipeline->taken_count++];

    if (pgsql_is_good(result)) {
        if (what >= 0)
            batch_judge_good(b, (size_t)what, result);
        return 0;
    }
    if (pipeline->is_refused)
        return 0;
    pipeline->is_refused = true;
    if (what >= 0 && pgsql_refusal(result) == REFUSAL_LATER)
        batch_set_refused(&b->outcomes[what], TASKLOG_LATER, result); /* is it slow? */
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
        if (batch_is_settled(b, i))
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

/* A statement that was prepared before must not have met a column of another type. */
static int pipeline_look(struct pgsql *pg, struct pipeline *pipeline)
{
    if (!pg->holds)
        return 0;
    pipeline->sent[pipeline->sent_count++] = -1;
    return pgsql_send_last_look(pg);
}

/* The rows are sent: asks for the commit and waits for all that is due. */
static int pipeline_commit(struct batch *b, struct pipeline *pipeline)
{
    PGresult *result = NULL;
    bool is_sent = !pipeline->is_refused;
    int r = is_sent ? pipeline_look(b->pg, pipeline) : 0;

    if (r == 0 && is_sent)
        r = pgsql_send(b->pg, "COMMIT", 0, NULL);
    if (r == 0 && PQpipelineSync(b->pg->conn) == 0)
        r = pgsql_lost(b->pg);
    if (r == 0)
        r = pgsql_flush(b->pg, b->deadline_ms);
    if (r == 0)
        r = pipeline_take(b, pipeline, 0);
    if (r == 0 && is_sent) {
        r = pgsql_next(b->pg, b->deadline_ms, &result);
        if (r == 0 && !pipeline->is_refused)
            r = batch_judge_commit(b, result);
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

int batch_write_pipeline(struct batch *b, size_t count)
{
    struct pipeline pipeline = {0};
    int left_ms = store_left_ms(&b->pg->base, b->deadline_ms);
    int lock_ms = left_ms / 8 < LOCK_MS ? left_ms / 8 + 1 : LOCK_MS;
    int r = -1;

    pipeline.sent = calloc(2 * count + 1, sizeof *pipeline.sent);
    if (pipeline.sent == NULL)
        return store_fail(&b->pg->base, -EAGAIN, "out of memory");
    r = batch_begin(b, lock_ms);
    if (r < 0)
        goto finish;
    r = pipeline_fill(b, &pipeline, count);
    if (r == 0)
        r = pipeline_commit(b, &pipeline);
    if (r < 0 || !pipeline.is_refused)
        goto finish;
    r = batch_rollback(b);
    if (r == 0)
        r = REDO;
finish:
    free(pipeline.sent);
    return r;
}
