/* SPDX-License-Identifier: Apache-2.0 */
/* A fast clock; see the header. Its origin is the world's time at fast_clock_begin. */
#include "support/fast_clock.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

static bool is_fast;
static int64_t origin_ns;

/* Not there in tests that are linked without the wrapping: they do not call it. */
int __real_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until) __attribute__((weak));
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until);

static int64_t nanoseconds(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static int64_t world_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return nanoseconds(&time);
}

void fast_clock_begin(void)
{
    origin_ns = world_ns();
    is_fast = true;
}

void fast_clock_end(void)
{
    is_fast = false;
}

static struct tasklog_now now(void *context)
{
    int64_t ns = world_ns();

    (void)context;
    if (is_fast)
        ns = origin_ns + (ns - origin_ns) * FAST_CLOCK_SPEED;
    return (struct tasklog_now){.mono_ms = ns / 1000000, .wall_us = ns / 1000};
}

const struct tasklog_clock fast_clock = {.now = now};

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    struct timespec until_world = *until;

    if (is_fast) {
        int64_t wait_ns = nanoseconds(until) - origin_ns;
        int64_t ns = origin_ns + (wait_ns + FAST_CLOCK_SPEED - 1) / FAST_CLOCK_SPEED;
        until_world.tv_sec = (time_t)(ns / 1000000000);
        until_world.tv_nsec = (long)(ns % 1000000000);
    }
    return __real_pthread_cond_timedwait(condition, mutex, &until_world);
}
