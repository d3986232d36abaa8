/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second session for large batches: the server writes a batch with one process, mostly compressing, so
 * two sessions are nearly twice as fast where there is a processor for each. It is a help and no more: it
 * only takes the fast way, of rows that it does not store it says nothing, and the first session has them
 * next time. Whatever goes wrong with it gives it a rest.
 *
 * Rows with the same keys go to the same half, so their order stays. What the server may still do with a
 * session that was dropped is ended before its rows are written by the other one.
 *
 * Threads: the second half is written by a thread of its own, which lives for one call. It has the twin and
 * its half to itself, and reads the target, which nobody changes; the caller waits for its end.
 */
#include "pgsql_twin.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_LEAST = 4,
    BYTES_LEAST = 1 << 20, /* below, a thread is not worth it */
    CONNECT_MS = 2000,
    REST_MS = 30000,
    IDLE_MS = 60000,
};

struct half {
    struct pgsql *pg;
    struct tasklog_row *rows;
    struct tasklog_outcome *outcomes;
    size_t *places; /* of the rows, in the whole batch */
    size_t count;
    int64_t deadline_ms;
    int r;
};

/* --- Its life ---------------------------------------------------------------------------------- */

static struct pgsql *new_twin(const struct pgsql *pg)
{
    struct pgsql *twin = calloc(1, sizeof *twin);

    if (twin == NULL)
        return NULL;
    twin->base.ops = pg->base.ops;
    twin->base.clock = pg->base.clock;
    twin->base.target = pg->base.target; /* borrowed, with what follows */
    twin->base.schema = pg->base.schema;
    twin->base.table = pg->base.table;
    twin->base.leader = &pg->base;
    memcpy(twin->base.name, pg->base.name, sizeof twin->base.name);
    atomic_init(&twin->base.interrupted, false);
    atomic_init(&twin->base.wake_fd, atomic_load(&pg->base.wake_fd));
    return twin;
}

int twin_settle(struct pgsql *pg, int64_t deadline_ms)
{
    if (pg->twin == NULL)
        return 0;
    if (pg->twin->conn != NULL && store_now_ms(&pg->base) - pg->twin_used_ms > IDLE_MS)
        pgsql_drop(pg->twin);
    return pgsql_end_abandoned(pg, &pg->twin->abandoned, deadline_ms);
}

bool twin_is_worth_it(const struct pgsql *pg, const struct tasklog_row *rows, size_t count)
{
    size_t bytes = 0;

    if (count < ROWS_LEAST || store_now_ms(&pg->base) < pg->twin_rests_until_ms)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t row_bytes = row_text_bytes(&pg->base, &rows[i]);

        if (row_bytes >= PGSQL_LARGE_ROW_BYTES) /* one at a time, for they take memory */
            return false;
        bytes += row_bytes;
    }
    return bytes >= BYTES_LEAST;
}

/* --- Two halves -------------------------------------------------------------------------------- */

static bool half_init(struct half *half, struct pgsql *pg, size_t count, int64_t deadline_ms)
{
    *half = (struct half){.pg = pg, .deadline_ms = deadline_ms};
    half->rows = calloc(count, sizeof *half->rows);
    half->outcomes = calloc(count, sizeof *half->outcomes);
    half->places = calloc(count, sizeof *half->places);
    return half->rows != NULL && half->outcomes != NULL && half->places != NULL;
}

static void half_done(struct half *half)
{
    free(half->rows);
    free(half->outcomes);
    free(half->places);
}

static bool is_second(const struct pgsql *pg, const struct tasklog_row *row)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < pg->base.target.key_count; i++)
        hash = tasklog_value_hash(&row->keys[i], hash);
    return (hash & 1) != 0;
}

static void half_add(struct half *half, size_t place, const struct tasklog_row *row,
                     const struct tasklog_outcome *outcome)
{
    half->rows[half->count] = *row;
    half->outcomes[half->count] = *outcome;
    half->places[half->count++] = place;
}

static void half_return(const struct half *half, struct tasklog_outcome *outcomes)
{
    for (size_t i = 0; i < half->count; i++)
        outcomes[half->places[i]] = half->outcomes[i];
}

static bool nothing_is_left(const struct half *half)
{
    for (size_t i = 0; i < half->count; i++) {
        if (half->outcomes[i].verdict == TASKLOG_LATER)
            return false;
    }
    return true;
}

static void *write_second(void *context)
{
    struct half *half = context;
    struct tasklog_store *store = &half->pg->base;
    int64_t connect_ms = store_now_ms(store) + CONNECT_MS;

    half->r =
        store->ops->open(store, connect_ms < half->deadline_ms ? connect_ms : half->deadline_ms);
    if (half->r == 0)
        half->r =
            store->ops->write(store, half->rows, half->count, half->deadline_ms, half->outcomes);
    return NULL;
}

/* The process' signals are for its other threads. */
static bool start(pthread_t *thread, struct half *half)
{
    sigset_t all, before;
    bool is_started;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    is_started = pthread_create(thread, NULL, write_second, half) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started;
}

/* Both halves; returns what the first one's session says. */
static int write_both(struct half halves[2])
{
    pthread_t thread;
    bool is_started = halves[1].count > 0 && start(&thread, &halves[1]);
    int r = pgsql_write_batch(halves[0].pg, halves[0].rows, halves[0].count, halves[0].deadline_ms,
                              halves[0].outcomes);

    if (is_started)
        pthread_join(thread, NULL);
    return r;
}

int twin_write(struct pgsql *pg, const struct tasklog_row *rows, size_t count, int64_t deadline_ms,
               struct tasklog_outcome *outcomes)
{
    struct half halves[2] = {{.r = 0}, {.r = 0}};
    int r;

    if (pg->twin == NULL)
        pg->twin = new_twin(pg);
    if (pg->twin == NULL || !half_init(&halves[0], pg, count, deadline_ms) ||
        !half_init(&halves[1], pg->twin, count, deadline_ms)) {
        r = store_fail(&pg->base, -EAGAIN, "out of memory");
        goto finish;
    }
    pg->twin->base.patience_ms = pg->base.patience_ms;
    for (size_t i = 0; i < count; i++)
        half_add(is_second(pg, &rows[i]) ? &halves[1] : &halves[0], i, &rows[i], &outcomes[i]);
    r = write_both(halves);
    half_return(&halves[0], outcomes);
    /* Otherwise its verdicts are void: its rows were answered, and not committed. */
    if (halves[1].r == 0)
        half_return(&halves[1], outcomes);
    pg->twin_used_ms = store_now_ms(&pg->base);
    if (halves[1].r < 0 || !nothing_is_left(&halves[1]))
        pg->twin_rests_until_ms = pg->twin_used_ms + REST_MS;
finish:
    half_done(&halves[0]);
    half_done(&halves[1]);
    return r;
}
