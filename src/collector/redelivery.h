/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognises lines that come a second time. After a crash a RELP sender sends again what was not
 * acknowledged, and a disk queue delivers its last batch again, though the spool has the lines.
 *
 * A line counts as delivered again if the end of the spool has just one like it: same host, tag, time as
 * reported, severity and text. If the spool has several alike, nobody can tell which of them this is:
 * it is kept. A time without a fraction is coarse, and the same text may well be logged twice within
 * it: then lines of that host must also come in the spool's order. Each line of the spool can be
 * recognised once, and only for a while after the start.
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

/* A line that the spool has; the last REDELIVERY_LINES of them are remembered. */
enum { REDELIVERY_LINES = 1 << 16 };
void redelivery_remember(struct redelivery *redelivery, const struct tasklog_line *line);

/* Where the first of them lies; UINT64_MAX if there is none. */
uint64_t redelivery_oldest(const struct redelivery *redelivery);

/* Has the spool this line already? */
bool redelivery_is_known(struct redelivery *redelivery, const struct tasklog_line *line);

#endif
