/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task table as tests use it: lines are written as strings, time is told by hand, results are read
 * as text.
 */
#ifndef TASKLOG_TESTS_TASKS_H
#define TASKLOG_TESTS_TASKS_H

#include <stdbool.h>
#include <stdint.h>

#include "tasklog/table.h"

enum { EMERG, ALERT, CRIT, ERR, WARNING, NOTICE, INFO, DEBUG };

/* 2026-11-24 10:00:00 UTC: when every test begins. */
#define TASKS_BEGIN_US INT64_C(1795514400000000)
enum { TASKS_BEGIN_MS = 1000000 };

struct tasks {
    struct tasklog_rules rules; /* what the contract says, if not changed before tasks_open */
    struct tasklog_table *table;
    struct tasklog_results results;
    struct tasklog_now now;
    bool tight;
};

/* Sets the rules, and TZ to UTC. */
void tasks_init(struct tasks *tasks);
void tasks_open(struct tasks *tasks);
void tasks_close(struct tasks *tasks); /* checks that the memory is accounted for */

/* The time goes on; nobody looks at the table. */
void tasks_pass_ms(struct tasks *tasks, int64_t ms);

/* A line of `tag` ("job[1]"), now, from host "web1"; the texts must live as long as it. */
struct tasklog_line tasks_line(const struct tasks *tasks, const char *tag, int severity,
                               const char *text);
void tasks_accept(struct tasks *tasks, const char *tag, int severity, const char *text);
void tasks_tick(struct tasks *tasks);

/* The next result, which must be there and without fault; the caller frees it. */
struct tasklog_result *tasks_pop(struct tasks *tasks);

/* All results there are, as text, in the form of tests/unit/scenarios; to be freed. */
char *tasks_pop_text(struct tasks *tasks);

/* The log of a result as a string; to be freed. */
char *tasks_log(const struct tasklog_result *result);

/* Fails with both texts in full if they are not the same. `what` says where. */
void expect_text(const char *what, const char *got, const char *expected);

#endif
