/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real clock as a struct tasklog_clock. It plays nothing.
 */
#include "support/steady_clock.h"

#include <time.h>

static struct tasklog_now steady_now(void *context)
{
    struct timespec mono;
    struct timespec wall;

    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &wall);
    return (struct tasklog_now){
        .mono_ms = (int64_t)mono.tv_sec * 1000 + mono.tv_nsec / 1000000,
        .wall_us = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000,
    };
}

const struct tasklog_clock steady_clock = {.now = steady_now};

int64_t steady_now_ms(void)
{
    return steady_now(NULL).mono_ms;
}

void steady_sleep_ms(int ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&time, NULL);
}
