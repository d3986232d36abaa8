/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clock that runs faster than the world's, so that a test of threads need not sit through half a
 * minute. The test must be linked with -Wl,--wrap=pthread_cond_timedwait: threads that wait by this
 * clock then wait that much shorter.
 */
#ifndef TESTS_FAST_CLOCK_H
#define TESTS_FAST_CLOCK_H

#include "tasklog/clock.h"

enum { FAST_CLOCK_SPEED = 100 };

extern const struct tasklog_clock fast_clock;

/* Begins to run fast now, and runs like the world's again. No thread may be waiting by it. */
void fast_clock_begin(void);
void fast_clock_end(void);

#endif
