/* SPDX-License-Identifier: Apache-2.0 */
/* The last lines of a text that comes in parts: as many as were asked for, and no more than fit into
 * RING_BYTES_MAX, but always the last one. */
#ifndef TASKLOG_SRC_RING_H
#define TASKLOG_SRC_RING_H

#include <stdbool.h>
#include <stddef.h>

enum { RING_LINES_MAX = 1000000, RING_BYTES_MAX = 64 << 20 };

struct ring_line {
    char *text;
    size_t bytes;
};

struct ring {
    struct ring_line *lines; /* of `size`, the oldest at `first` */
    size_t size;             /* grows up to `most` */
    size_t most;
    size_t first;
    size_t count;
    size_t bytes;          /* of all of them */
    struct ring_line open; /* what has come of a line whose end has not */
};

/* Keeps up to `most` lines. 0 or -ENOMEM. */
int ring_init(struct ring *ring, size_t most) __attribute__((warn_unused_result));
void ring_done(struct ring *ring);

/* Without memory for it, a line is left out. */
void ring_add(struct ring *ring, const char *text, size_t bytes, bool more);
void ring_clear(struct ring *ring);

/* The i-th of those that are kept, the oldest first; false if there are not so many. */
bool ring_get(const struct ring *ring, size_t i, const char **ret_text, size_t *ret_bytes);

#endif
