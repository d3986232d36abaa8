/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch of rows on its way into PostgreSQL: what pgsql_batch.c, which leads it, shares with the two
 * ways of writing, pgsql_pipeline.c and pgsql_careful.c.
 */
#ifndef STORE_PGSQL_BATCH_H
#define STORE_PGSQL_BATCH_H

#include "pgsql.h"

struct batch {
    struct pgsql *pg;
    const struct tasklog_row *rows;
    struct tasklog_outcome *outcomes;
    int64_t deadline_ms;
    int64_t half_ms; /* no row is begun after this */
    bool rechecked;  /* the target was compared with the catalog once more, and is right */
    struct tasklog_outcome commit_outcome; /* why a commit was refused */
};

enum { REDO = 1 }; /* the answer of a way that failed and left nothing behind */

/* All rows as one pipeline, or the rows from `from` up to `to` with a savepoint each. Both write one
 * transaction, pass over rows that are settled already, and return 0, REDO or an error. */
int batch_write_pipeline(struct batch *b, size_t count);
int batch_write_careful(struct batch *b, size_t from, size_t to);

/* Does the row append? It is the index of its statement in pg->sql, too. */
bool batch_appends(const struct batch *b, size_t i);

/* Fills in pg->parameters; returns how many there are. */
size_t batch_bind(struct batch *b, size_t i);

/* Is its verdict known, by the facade or as too slow? */
bool batch_is_settled(const struct batch *b, size_t i);

int batch_begin(struct batch *b, int64_t lock_ms);
int batch_rollback(struct batch *b);

/* What the answer to COMMIT says: 0, REDO when a constraint refused it at last, or -EAGAIN. */
int batch_judge_commit(struct batch *b, PGresult *result);

/* The row was executed; did it find its row? */
void batch_judge_good(struct batch *b, size_t i, PGresult *result);

/* Puts the server's words into an outcome. */
void batch_set_refused(struct tasklog_outcome *outcome, enum tasklog_verdict verdict,
                       const PGresult *result);

#endif
