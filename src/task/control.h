/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control lines: `@task start|progress|end [name=value ...]`. Reads one; knows nothing of tasks.
 * What cannot be read is marked, never an error: a typo must not leave a task open.
 */
#ifndef TASKLOG_SRC_CONTROL_H
#define TASKLOG_SRC_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

enum control_verb { CONTROL_START, CONTROL_PROGRESS, CONTROL_END };

/* Limits on what a sender can make grow; what is beyond them counts as unreadable. */
enum { CONTROL_COUNTERS_MAX = 64, CONTROL_NAME_BYTES_MAX = 64, CONTROL_STATUS_BYTES_MAX = 32 };

struct control_counter {
    const char *name; /* into the line */
    size_t name_bytes;
    int64_t value;
};

struct control {
    enum control_verb verb;
    bool unreadable; /* at least one value could not be read, and was ignored */
    char status[CONTROL_STATUS_BYTES_MAX + 1]; /* "" if not given */
    int64_t processed;                         /* TASKLOG_ABSENT if not given; likewise: */
    int64_t failed;
    int64_t total;
    int64_t pid;
    bool pid_self;
    uint32_t process; /* which of these is to be watched, as the table has found; 0 = none */
    const char *text; /* NULL if not given; in the buffer, escapes turned back */
    size_t text_bytes;
    size_t counter_count;
    struct control_counter counters[CONTROL_COUNTERS_MAX];
};

/*
 * Reads `line` (valid UTF-8). `buffer` takes the closing text and must live as long as it is used.
 *
 * Returns 1 if it is a control line, 0 if it is an ordinary line (`ret_control` is undefined then),
 * or -ENOMEM.
 */
int control_parse(const char *marker, const char *line, size_t line_bytes,
                  struct text_buffer *buffer, struct control *ret_control)
    __attribute__((warn_unused_result));

#endif
