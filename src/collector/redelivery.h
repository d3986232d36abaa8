/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognises lines that come a second time. After a crash a RELP sender sends again what was not
 * acknowledged, and a disk queue delivers its last batch again, though the spool has the lines. With both,
 * a line may lie in the queue when it is sent again, and neither of the two has been in the spool before the
 * start. What was received before the start is therefore remembered, too, when it is taken. What was received
 * after it cannot come twice, and is not: the same line a second time is a second line.
 *
 * A line counts as delivered again if the end of the spool has just one like it: same host, tag, time as
 * reported, severity and text. If the spool has several alike, nobody can tell which of them this is:
 * it is kept. A time without a fraction is coarse, and the same text may well be logged twice within
 * it: then lines of that host must also come in the spool's order, and only what was in the spool before the
 * start is good for it. A line is sent once to each life of this program, so of those that were received in
 * one life only one is recognised. All this is for a while after the start.
 */
#ifndef TASKLOG_SRC_REDELIVERY_H
#define TASKLOG_SRC_REDELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "tasklog/line.h"

struct redelivery;

/* NULL for want of memory: then nothing is recognised, which costs a doubled line at worst. */
struct redelivery *redelivery_new(void);
void redelivery_free(struct redelivery *redelivery); /* takes NULL */

/* A life of this program began, by the wall clock; in order. The last one is this. */
void redelivery_begin_life(struct redelivery *redelivery, int64_t wall_us);

/* A line that the spool has; the last REDELIVERY_LINES of them are remembered. */
enum { REDELIVERY_LINES = 1 << 16 };
void redelivery_remember(struct redelivery *redelivery, const struct tasklog_line *line);

/* A line that the spool has from this life: remembered if it may come again. */
void redelivery_note(struct redelivery *redelivery, const struct tasklog_line *line);

/* Where the first of them lies; UINT64_MAX if there is none. */
uint64_t redelivery_oldest(const struct redelivery *redelivery);

/* Has the spool this line already? */
bool redelivery_is_known(struct redelivery *redelivery, const struct tasklog_line *line);

#endif
