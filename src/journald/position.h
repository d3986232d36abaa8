/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the reading of a journal stands, as text that the spool keeps: a cursor of the last entry that is
 * settled, and behind a newline, if that is another, one of the last entry before the oldest that is still
 * needed (a line that journald has cut, whose rest has not come).
 *
 *     s=…;i=…;b=…;m=…;t=…;x=…            everything up to there is settled
 *     s=…;i=9;…\ns=…;i=5;…               up to 9 it is settled, but 6 holds the beginning of a line
 *     head                               nothing is, and nothing was there
 */
#ifndef TASKLOG_SRC_JOURNALD_POSITION_H
#define TASKLOG_SRC_JOURNALD_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CURSOR_BYTES = 256 };

#define CURSOR_HEAD "head"

struct position {
    char settled[CURSOR_BYTES];
    char from[CURSOR_BYTES]; /* where to begin; the same as `settled` if nothing is held */
};

/* False if it is not one that was written by the next function. */
bool position_parse(const char *text, size_t bytes, struct position *ret_position);

/* Returns the bytes of the text. */
size_t position_print(const struct position *position, char buffer[2 * CURSOR_BYTES]);

/* What a cursor says of itself (sd_journal_get_cursor calls it opaque; so this is only used to count what is
 * missing, and to compare where the entry itself is gone). */
struct cursor {
    char sequence[33]; /* which numbering */
    uint64_t number;
    char boot[33];
    uint64_t realtime_us;
};

bool cursor_parse(const char *text, struct cursor *ret_cursor);

/* Does the entry of `a` stand behind that of `b`? */
bool cursor_is_after(const struct cursor *a, const struct cursor *b);

#endif
