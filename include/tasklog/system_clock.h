/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's own clock, for fronts alone: everything below them is lent one (clock.h). */
#ifndef TASKLOG_SYSTEM_CLOCK_H
#define TASKLOG_SYSTEM_CLOCK_H

#include <stddef.h>
#include <time.h>

#include "tasklog/clock.h"

static inline struct tasklog_now tasklog_system_read(clockid_t mono_id, clockid_t wall_id)
{
    struct timespec mono, wall;

    clock_gettime(mono_id, &mono);
    clock_gettime(wall_id, &wall);
    return (struct tasklog_now){
        .mono_ms = (int64_t)mono.tv_sec * 1000 + mono.tv_nsec / 1000000,
        .wall_us = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000,
    };
}

/* As a struct tasklog_clock has them; `context` is not looked at. */
static inline struct tasklog_now tasklog_system_now(void *context)
{
    (void)context;
    return tasklog_system_read(CLOCK_MONOTONIC, CLOCK_REALTIME);
}

static inline struct tasklog_now tasklog_system_now_coarse(void *context)
{
    (void)context;
    return tasklog_system_read(CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME_COARSE);
}

#endif
