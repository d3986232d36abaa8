/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One target: its collector, the process that reads the journal for it, and the thread that gives the one
 * what the other finds. The reader is started again when it dies.
 */
#ifndef TASKLOG_SRC_JOURNALD_FEED_H
#define TASKLOG_SRC_JOURNALD_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "tasklog/clock.h"
#include "tasklog/collector.h"
#include "tasklog/targets.h"

struct feed;

/* What the feeds are lent. Any thread may call. */
struct feed_hooks {
    struct tasklog_clock clock;
    void (*say)(const char *target, int severity, const char *text); /* one line for people */
    void (*begun)(void);                                             /* a feed's reader has begun */
};

/* Makes the collector of a target, which takes its config. Starts nothing. `hooks` must live as long as the
 * feed. 0 or negative errno with a line in `error` (TASKLOG_ERROR_BYTES). */
int feed_new(struct tasklog_named_target *target, const struct tasklog_journal *journal,
             const struct feed_hooks *hooks, char *error, struct feed **ret_feed)
    __attribute__((warn_unused_result));
void feed_free(struct feed *feed); /* takes NULL */

/* Takes up the spool, starts collector and thread. */
int feed_start(struct feed *feed, char *error) __attribute__((warn_unused_result));

/* Ends the reader and the thread, then the collector. */
void feed_stop(struct feed *feed);

/* Has its reader begun? From then on nothing that is logged is missed. */
bool feed_has_begun(const struct feed *feed);

/* When its thread last did something, by CLOCK_MONOTONIC. */
int64_t feed_alive_ms(const struct feed *feed);

const char *feed_name(const struct feed *feed);
void feed_count(const struct feed *feed, struct tasklog_counters *ret_counters);

#endif
