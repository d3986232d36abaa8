/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the collector keeps in its spool: the lines it took and what it decided about them, so that the
 * same lines through an empty table lead to the same tasks and results again.
 *
 *     LINE    a line that was taken, with the time at which it was and the cursor of its source behind it
 *     CLOSE   a task was closed, by the clock or because its sender had died
 *     PROCESS which process it is that a task has named
 *     DEATH   some senders are dead, the source says
 *     NOTE    lines of some senders may be missing, the source says
 *     OMIT    lines of a running task were refused; more of them are told with its next line, or its close
 *     DONE    a result needs no more care: the database has it, or it lies with the dead letters
 *     TEXT    part of a log that was moved out of memory; a replay does not need it
 *     TASK    a running task as it is: older entries are not needed for it, but for its text
 *     RULES   by what rules the lines behind it were taken; in each segment before its first line
 *     CURSOR  how far the source was read: what came behind the last line's cursor was of no matter
 *     TIME    nothing but the time: the collector was stopped
 *     NUMBERS what is remembered of numbered lines, see numbered.h; in each segment before its first line
 *     GAP     lines were taken behind this that the spool had no room for
 *     WHOLE   the running tasks that had such lines stand before this, in entries TASK: nothing is missing
 *     ENDED   a run that ended in such a gap needs no more care
 *     STOP    the collector stops in such a gap: the tasks that stand behind this, in entries TASK, are whole
 *     START   the collector was started: the monotonic clock may have begun anew
 *
 * Encoding: a head of fixed size, then the texts. Decoding trusts nothing but the checksum: lengths are
 * checked against the record's.
 */
#ifndef TASKLOG_SRC_ENTRY_H
#define TASKLOG_SRC_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasklog/clock.h"
#include "tasklog/line.h"
#include "tasklog/result.h"
#include "tasklog/spool.h"
#include "tasklog/table.h"

enum entry_type {
    ENTRY_LINE = 1,
    ENTRY_CLOSE = 2,
    ENTRY_DONE = 3,
    ENTRY_START = 4,
    ENTRY_TEXT = 5,
    ENTRY_TASK = 6,
    ENTRY_RULES = 7,
    ENTRY_TIME = 8,
    ENTRY_CURSOR = 9,
    ENTRY_PROCESS = 10,
    ENTRY_DEATH = 11,
    ENTRY_NOTE = 12,
    ENTRY_OMIT = 13,
    ENTRY_NUMBERS = 14,
    ENTRY_GAP = 15,
    ENTRY_WHOLE = 16,
    ENTRY_ENDED = 17,
    ENTRY_STOP = 18
};

enum { ENTRY_MARKER_BYTES_MAX = 64, ENTRY_DETAIL_BYTES_MAX = 400 };

/* One of them, decoded; texts point into the record. */
struct entry {
    enum entry_type type;
    struct tasklog_now now;
    struct tasklog_line
        line; /* LINE: all of it; CLOSE, PROCESS, OMIT, ENDED: kind and id; CLOSE, OMIT: omitted; DEATH,
                 NOTE: origin, cursor */
    bool tight;                     /* LINE: memory was short */
    struct tasklog_process process; /* PROCESS */
    uint64_t run; /* LINE, DONE, ENDED: the position of the line that began the run */
    enum tasklog_result_type result; /* DONE, ENDED, likewise: */
    int64_t end_chars;
    const char
        *data; /* TASK: for tasklog_table_restore; NUMBERS: for numbered_restore; CURSOR: it */
    size_t bytes;
    /* From here on nothing is set in an entry of another type, for there are many of lines. */
    char reason[16];                         /* CLOSE */
    char detail[ENTRY_DETAIL_BYTES_MAX + 1]; /* CLOSE, DEATH, NOTE */
    struct tasklog_rules rules; /* RULES: those that shape results; the marker is not set */
    char marker[ENTRY_MARKER_BYTES_MAX + 1];
};

/* How many bytes the entry of a line takes. */
size_t entry_line_bytes(const struct tasklog_line *line);

/* Writes into room that was reserved for entry_line_bytes. */
void entry_write_line(struct tasklog_spool *spool, const struct tasklog_line *line,
                      struct tasklog_now now, bool tight, uint64_t run);

/* These reserve for themselves: 0 or negative errno. */
int entry_write_close(struct tasklog_spool *spool, const struct tasklog_report *report,
                      struct tasklog_now now) __attribute__((warn_unused_result));
int entry_write_done(struct tasklog_spool *spool, const struct tasklog_report *report,
                     struct tasklog_now now) __attribute__((warn_unused_result));
int entry_write_ended(struct tasklog_spool *spool, const struct tasklog_report *report,
                      struct tasklog_now now) __attribute__((warn_unused_result));
/* In the room that is left for it when there is none for others. */
int entry_write_gap(struct tasklog_spool *spool, struct tasklog_now now)
    __attribute__((warn_unused_result));
int entry_write_whole(struct tasklog_spool *spool, struct tasklog_now now)
    __attribute__((warn_unused_result));
int entry_write_stop(struct tasklog_spool *spool, struct tasklog_now now)
    __attribute__((warn_unused_result));
int entry_write_text(struct tasklog_spool *spool, const char *text, size_t bytes,
                     tasklog_position *ret_position) __attribute__((warn_unused_result));
int entry_write_task(struct tasklog_spool *spool, const char *data, size_t bytes,
                     tasklog_position *ret_position) __attribute__((warn_unused_result));
int entry_write_start(struct tasklog_spool *spool, struct tasklog_now now)
    __attribute__((warn_unused_result));
int entry_write_time(struct tasklog_spool *spool, struct tasklog_now now)
    __attribute__((warn_unused_result));
int entry_write_cursor(struct tasklog_spool *spool, const char *cursor, size_t bytes,
                       tasklog_position *ret_position) __attribute__((warn_unused_result));
int entry_write_process(struct tasklog_spool *spool, const struct tasklog_line *key,
                        const struct tasklog_process *process) __attribute__((warn_unused_result));
int entry_write_omit(struct tasklog_spool *spool, const struct tasklog_line *key, uint32_t count)
    __attribute__((warn_unused_result));
int entry_write_numbers(struct tasklog_spool *spool, const void *data, size_t bytes,
                        tasklog_position *ret_position) __attribute__((warn_unused_result));
/* DEATH or NOTE. */
int entry_write_news(struct tasklog_spool *spool, const struct entry *news,
                     tasklog_position *ret_position) __attribute__((warn_unused_result));
int entry_write_rules(struct tasklog_spool *spool, const struct tasklog_rules *rules)
    __attribute__((warn_unused_result));

/* False if it is not one of ours. */
bool entry_read(uint32_t type, const void *data, size_t bytes, struct entry *ret_entry)
    __attribute__((warn_unused_result));

#endif
