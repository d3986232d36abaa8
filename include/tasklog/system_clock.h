/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's own clock, for fronts alone: everything below them is lent one (clock.h). */
#ifndef TASKLOG_SYSTEM_CLOCK_H
#define TASKLOG_SYSTEM_CLOCK_H

#include <stddef.h>
#include <time.h>

#include "tasklog/clock.h"

/* As a struct tasklog_clock has it; `context` is not looked at. */
static inline struct tasklog_now tasklog_system_now(void *context)
{
    struct timespec mono, wall;

    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &wall);
    return (struct tasklog_now){
        .mono_ms = (int64_t)mono.tv_sec * 1000 + mono.tv_nsec / 1000000,
        .wall_us = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000,
    };
}

#endif
