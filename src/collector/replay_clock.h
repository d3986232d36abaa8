/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock of a replay: the times of a spool's records, as if it had stood still between one run of the
 * collector and the next. Zero-initialise it.
 */
#ifndef TASKLOG_SRC_REPLAY_CLOCK_H
#define TASKLOG_SRC_REPLAY_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "tasklog/clock.h"

struct replay_clock {
    bool begun;
    int64_t offset_ms; /* added to the recorded times */
    int64_t last_ms;   /* the latest of them, so shifted */
};

/* A record's time. */
static inline struct tasklog_now replay_clock_at(struct replay_clock *clock, struct tasklog_now now)
{
    now.mono_ms += clock->offset_ms;
    clock->last_ms = now.mono_ms;
    clock->begun = true;
    return now;
}

/* The record of a start: the clock goes on from where it was. */
static inline void replay_clock_start(struct replay_clock *clock, struct tasklog_now now)
{
    if (clock->begun)
        clock->offset_ms = clock->last_ms - now.mono_ms;
    (void)replay_clock_at(clock, now);
}

#endif
