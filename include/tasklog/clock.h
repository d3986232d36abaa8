/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock that a front lends to everything below it. Nothing under a front asks the operating
 * system for the time, so that a test can play hours in microseconds.
 */
#ifndef TASKLOG_CLOCK_H
#define TASKLOG_CLOCK_H

#include <stdint.h>

/* One instant, told by two clocks. */
struct tasklog_now {
    int64_t mono_ms; /* CLOCK_MONOTONIC in milliseconds: for time-outs */
    int64_t wall_us; /* microseconds since 1970-01-01 00:00 UTC: for what people read */
};

struct tasklog_clock {
    struct tasklog_now (*now)(void *context); /* may be called from any thread */
    /* The same as it was some milliseconds ago at most, for what is done with each line; NULL = `now`. */
    struct tasklog_now (*now_coarse)(void *context);
    void *context;
};

static inline struct tasklog_now tasklog_clock_now(const struct tasklog_clock *clock)
{
    return clock->now(clock->context);
}

static inline struct tasklog_now tasklog_clock_now_coarse(const struct tasklog_clock *clock)
{
    return clock->now_coarse ? clock->now_coarse(clock->context) : clock->now(clock->context);
}

#endif
