/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A round of the writer: the results that it takes, from the queue or from those that were put off, and
 * where those go that are still to be written. The collector's lock is held in all of it.
 */
#ifndef TASKLOG_SRC_ROUND_H
#define TASKLOG_SRC_ROUND_H

#include "state.h"

enum {
    ROUND_ROWS_MAX = 256,
    ROUND_BYTES_MAX = 8 << 20, /* passed by one result at most */
    ROUND_PATIENCE_MS = 1000,  /* with one row's statement, unless it is known to be slow */
};

enum round_source { ROUND_QUEUE, ROUND_BUSY, ROUND_SLOW };

struct round {
    enum round_source source; /* of this round, or else the last one */
    enum round_source line;   /* the line that was taken from last */
    size_t limit;             /* no more rows than this */
    size_t count;
    int patience_ms;
    struct tasklog_result *results[ROUND_ROWS_MAX]; /* NULL = it is settled */
    struct tasklog_outcome outcomes[ROUND_ROWS_MAX];
    struct put_off_group *groups[ROUND_ROWS_MAX]; /* where it came from; NULL = the queue */
    uint64_t keys[ROUND_ROWS_MAX];                /* of those from the queue, and: */
    int64_t since_ms[ROUND_ROWS_MAX];
    struct {
        int64_t until_ms; /* nothing of this line is tried again before */
        int64_t delay_ms;
    } pauses[PUT_OFF_LINES];
};

/* When something is to be done with what has been put off; INT64_MAX if there is nothing. */
int64_t round_due_ms(const struct round *round, const struct tasklog_collector *collector);

/* All that was put off is due now. */
void round_hurry(struct round *round, int64_t now_ms);

/* Fills the round, perhaps with nothing. */
void round_take(struct round *round, struct tasklog_collector *collector, int64_t now_ms);

/* Was this result tried in vain? */
bool round_is_put_off(const struct round *round, size_t i);

/* Ends the round, which was judged (or failed as a whole) and took so long: puts off what the database
 * has put off, and puts back what did not have its turn. True if the queue's first would have to be put
 * off, and there is no room for that. */
bool round_return(struct round *round, struct tasklog_collector *collector, bool is_judged,
                  int64_t took_ms, int64_t now_ms);

#endif
