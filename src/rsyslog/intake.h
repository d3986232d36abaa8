/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The intake of messages: from the strings that rsyslog made of each to lines that the collector has taken. Each of
 * rsyslog's workers has its own buffers. Zero-initialise them.
 */
#ifndef TASKLOG_RSYSLOG_INTAKE_H
#define TASKLOG_RSYSLOG_INTAKE_H

#include "rsyslog.h"

#include <stdbool.h>
#include <stddef.h>

#include "tasklog/collector.h"
#include "tasklog/tag.h"

/* The strings that an action gets of each message, in this order; the last three only if asked for. */
enum template_use { USE_MESSAGE, USE_LINE, USE_TASK, USE_KIND, USE_COUNT };

struct intake_strings {
    unsigned count;       /* of each message */
    int place[USE_COUNT]; /* of each use among them; -1 = not asked for */
};

struct intake {
    struct tasklog_line *lines;
    size_t line_size;
    struct tasklog_known_tag known_tag;
    char *joined; /* tag and text of a message whose tag had been cut */
    size_t joined_bytes;
};

/* Makes room for so many messages. False for want of memory, with the buffers as they were. */
bool intake_reserve(struct intake *intake, size_t count);

/* Takes so many messages, for which there is room. What is no task's line is counted. Returns when the collector
 * has all of them: it waits for as long as memory is used up, and may be cancelled meanwhile. */
void intake_take(struct intake *intake, const struct intake_strings *strings,
                 struct tasklog_collector *collector, const actWrkrIParams_t *params,
                 unsigned count);

void intake_done(struct intake *intake);

#endif
