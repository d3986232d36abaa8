/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends single lines, for scripts: each waits for its turn, for a bounded time. Once one had to be given
 * up, those behind it do not wait before one has gone through, so that a reader who is away costs that
 * time once.
 */
#ifndef TASKLOG_SRC_POST_H
#define TASKLOG_SRC_POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "channel.h"
#include "frame.h"
#include "task_options.h"

struct post {
    struct channel channel;
    struct frame frame;
    int64_t timeout_ms;
    uint64_t unsent_lines;
    bool gave_up;
    int error; /* errno of the last line that did not go out; 0: nobody read in time */
};

/* `options` is complete, and borrowed. */
void post_open(struct post *post, const struct task_options *options, int64_t timeout_ms);

/* Says on stderr how many lines were not sent, if any. Returns CLI_OK or CLI_FAILED. */
int post_close(struct post *post);

/* One message; too long a one goes in parts. */
void post_line(struct post *post, int severity, const char *text, size_t bytes);

/* Each line of a file. `take` is called with each one, without its newline, and may change it. Returns
 * CLI_OK, or CLI_FAILED after saying that it could not be read. */
typedef void post_function(struct post *post, void *context, char *text, size_t bytes);
int post_file(struct post *post, FILE *file, post_function *take, void *context);

#endif
