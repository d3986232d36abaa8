/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognises numbered lines (tasklog/number.h) that come a second time, at any time: a sender whose connection
 * broke sends again what was not acknowledged, and rsyslog with it the whole batch that it was at.
 *
 * Of each stream the last NUMBERED_WINDOW numbers are remembered, with what the lines were. A line counts as
 * sent again if its number is one of these and it is the same line: host, tag, time, severity and text. So two
 * equal lines are two, for their numbers differ, and a sender that numbers wrongly loses nothing: it has
 * lines doubled, as one that does not number them.
 *
 * One line comes again later than that: what a sending rsyslogd has first when it starts, while the other side is away.
 * rsyslog sends it in its turn, and puts it behind all that has come meanwhile, too. So the first lines
 * after a silence are remembered for longer.
 *
 * Memory: 2 KB a stream, and no more than NUMBERED_STREAMS of them; the one that has been silent longest goes.
 */
#ifndef TASKLOG_SRC_NUMBERED_H
#define TASKLOG_SRC_NUMBERED_H

#include <stdbool.h>
#include <stddef.h>

#include "tasklog/line.h"

enum {
    NUMBERED_WINDOW = 512, /* twice RELP's window and a batch of rsyslog's, 128 each */
    NUMBERED_FIRST = 32,   /* lines after a silence */
    NUMBERED_SILENCE_MS = 900,
    NUMBERED_STREAMS = 2048
};

struct numbered;

struct numbered *numbered_new(void);           /* NULL for want of memory */
void numbered_free(struct numbered *numbered); /* takes NULL */

/* Was this line noted? */
bool numbered_has(const struct numbered *numbered, const struct tasklog_line *line);

/* Remembers it, as taken at this time. Without memory for a new stream it does not, which costs a doubled line at worst. */
void numbered_note(struct numbered *numbered, const struct tasklog_line *line, int64_t wall_us);

/* All that is remembered, as bytes to be freed by the caller, and from such. 0, or -ENOMEM, or -EBADMSG: these are
 * not what was saved. */
int numbered_save(const struct numbered *numbered, void **ret_data, size_t *ret_bytes)
    __attribute__((warn_unused_result));
int numbered_restore(struct numbered *numbered, const void *data, size_t bytes)
    __attribute__((warn_unused_result));

#endif
