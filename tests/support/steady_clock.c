/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real clock as a struct tasklog_clock. It plays nothing.
 */
#include "support/steady_clock.h"

#include <time.h>

#include "tasklog/system_clock.h"

const struct tasklog_clock steady_clock = {.now = tasklog_system_now};

int64_t steady_now_ms(void)
{
    return tasklog_system_now(NULL).mono_ms;
}

void steady_sleep_ms(int ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&time, NULL);
}
