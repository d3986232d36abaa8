/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real clock, for tests that talk to a real database. Tests that play time make their own.
 */
#ifndef TESTS_STEADY_CLOCK_H
#define TESTS_STEADY_CLOCK_H

#include <stdint.h>

#include "tasklog/clock.h"

extern const struct tasklog_clock steady_clock;

int64_t steady_now_ms(void);

/* For the few places where a test has to let time go by. */
void steady_sleep_ms(int ms);

#endif
