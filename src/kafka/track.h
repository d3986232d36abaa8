/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in a partition the lines lie that a collector still needs. The collector numbers its lines, of whatever
 * partition; every now and then it is noted which number it was at which offset. Few notes make the answer
 * coarse: too low, never too high. Zero-initialise it.
 */
#ifndef TASKLOG_SRC_KAFKA_TRACK_H
#define TASKLOG_SRC_KAFKA_TRACK_H

#include <stddef.h>
#include <stdint.h>

struct track_mark {
    uint64_t given; /* the number of the last line before … */
    int64_t offset; /* … this one, of this partition or another */
};

struct track {
    struct track_mark *marks;
    size_t count;
    size_t size;
    size_t every; /* so many notes there are for one that is kept, less one */
    size_t left_out;
};

void track_done(struct track *track);

/* The collector's last line had the number `given`; from here on its lines of the partition lie at `offset` or
 * behind. Both grow from call to call. 0, or -ENOMEM: then such a line must not be given. */
int track_note(struct track *track, uint64_t given, int64_t offset)
    __attribute__((warn_unused_result));

/* From which offset on the partition has to be read again for the lines from number `needed` on (UINT64_MAX =
 * there are none), if it was read up to `next`. */
int64_t track_needed(struct track *track, uint64_t needed, int64_t next);

#endif
