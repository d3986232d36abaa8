/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps messages to people from becoming a flood: a few a minute, and how many were held back. */
#ifndef TASKLOG_SRC_RATE_H
#define TASKLOG_SRC_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialise it. */
struct rate {
    int64_t since_ms; /* when the minute began */
    unsigned said;    /* in it */
    uint64_t held;    /* since the last one that was said */
};

/* May one more be said? If so, `ret_held` tells how many like it were not. */
bool rate_allows(struct rate *rate, unsigned per_minute, int64_t now_ms, uint64_t *ret_held);

#endif
