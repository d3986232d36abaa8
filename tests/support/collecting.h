/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collector as tests use it: parameters and lines are strings, what it says is remembered, and
 * what its threads do is waited for with a deadline.
 */
#ifndef TESTS_COLLECTING_H
#define TESTS_COLLECTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasklog/collector.h"

enum { COLLECTING_PATIENCE_MS = 10000 };

struct collecting;

/* A config of `parameters`, which are "name=value" and end with NULL; checked. "shared" alone: its source is. */
struct tasklog_config *collecting_config(const char *const *parameters);

/* A collector of these parameters that is not yet started. TZ becomes UTC. */
struct collecting *collecting_new(const char *const *parameters, const struct tasklog_clock *clock);
void collecting_start(struct collecting *collecting);
void collecting_free(struct collecting *collecting); /* stops at once if that was not done */

struct tasklog_collector *collecting_collector(const struct collecting *collecting);
struct tasklog_counters collecting_counters(const struct collecting *collecting);

/* Lines of "job[1]" at severity info, logged at 2026-11-24 10:00:00 UTC. `give` insists on being
 * taken; `try` tells whether it was. */
void collecting_give(struct collecting *collecting, const char *tag, const char *text);
bool collecting_try(struct collecting *collecting, const char *tag, const char *text);
struct tasklog_line collecting_line(const char *tag, const char *text);

/* How many messages there were that have `part` in them; "" = all. */
size_t collecting_said(struct collecting *collecting, const char *part);

/* The first message with `part` in it; it must be there. It stays. */
const char *collecting_message(struct collecting *collecting, const char *part);
int collecting_severity(struct collecting *collecting, const char *part);

/* Waits until something is so; if it never is, the test fails with what was said. */
#define COLLECTING_WAIT(collecting, condition)                                                   \
    do {                                                                                         \
        int64_t collecting_until_ms = collecting_deadline_ms();                                  \
        while (!(condition))                                                                     \
            collecting_pause((collecting), collecting_until_ms, #condition, __FILE__, __LINE__); \
    } while (0)

int64_t collecting_deadline_ms(void);
void collecting_pause(struct collecting *collecting, int64_t until_ms, const char *what,
                      const char *file, int line);

#endif
