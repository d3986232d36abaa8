/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the results of a queue have waited, without a time in each of them. Results are numbered as
 * they come; marks say from which number on they came at which time. There are only so many, so they lie
 * further apart the longer results wait, and a result may look a little older than it is.
 */
#ifndef TASKLOG_SRC_AGE_H
#define TASKLOG_SRC_AGE_H

#include <stddef.h>
#include <stdint.h>

enum { AGE_MARKS = 64 };

/* Zero-initialise it. */
struct age {
    struct {
        uint64_t number;
        int64_t ms;
    } marks[AGE_MARKS]; /* in order */
    size_t mark_count;
    int64_t step_ms; /* marks lie further apart than this */
    uint64_t next;   /* the number of the next result to come */
};

/* `count` results have come by now, since the beginning. */
void age_note(struct age *age, uint64_t count, int64_t now_ms);

/* When the result of this number came, the first one being 0. */
int64_t age_since_ms(const struct age *age, uint64_t number);

/* Nobody will ask for results before this number. */
void age_forget(struct age *age, uint64_t number);

#endif
