/* SPDX-License-Identifier: Apache-2.0 */
/* What the sub-commands of `tasklog` share. Exit statuses: 0 well, 1 something did not work, 2 the call
 * was wrong. */
#ifndef TASKLOG_SRC_CLI_H
#define TASKLOG_SRC_CLI_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tasklog/clock.h"

#define CLI_VERSION "0.1.0-dev"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct cli_command {
    const char *name;
    const char *summary;
    int (*run)(int count, char **arguments); /* arguments[0] is the command's name */
};

extern const struct cli_command cli_check;
extern const struct cli_command cli_end;
extern const struct cli_command cli_log;
extern const struct cli_command cli_progress;
extern const struct cli_command cli_run;
extern const struct cli_command cli_spool;
extern const struct cli_command cli_tail;

extern const struct tasklog_clock cli_clock;

/* Milliseconds of a clock that never steps; seconds since 1970. */
int64_t cli_now_ms(void);
int64_t cli_now_s(void);

void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints text of others: control characters but newline and tab are shown as ^X, so that no terminal
 * obeys them. */
void cli_print_text(FILE *out, const char *text, size_t bytes);

/* "YYYY-MM-DD HH:MM:SS", local time. */
void cli_print_time(FILE *out, int64_t time_us);

#endif
