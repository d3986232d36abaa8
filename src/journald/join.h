/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of a stream (a service's standard output) that journald has cut at its LineMax: their pieces are
 * held until the last one has come. Pure.
 */
#ifndef TASKLOG_SRC_JOURNALD_JOIN_H
#define TASKLOG_SRC_JOURNALD_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "position.h"

/* A longer line is given in pieces of this size after all. */
enum { JOIN_BYTES_MAX = 16 << 20, JOIN_STREAMS_MAX = 1024 };

struct join;

int join_new(struct join **ret_join) __attribute__((warn_unused_result)); /* 0 or -ENOMEM */
void join_free(struct join *join);                                        /* takes NULL */

/*
 * Takes a piece of `stream`. `before`: the cursor of the last entry before it. Returns 0 if it is held, 1 if
 * `frame` is now the whole line (its texts are valid until the next call), or -ENOMEM.
 */
int join_add(struct join *join, struct frame_text stream, bool goes_on, const char *before,
             int64_t now_ms, struct frame *frame) __attribute__((warn_unused_result));

/* Gives a line whose rest has not come since `before_ms`: 1 with `ret_frame`, or 0 if there is none. */
int join_flush(struct join *join, int64_t before_ms, struct frame *ret_frame);

/* The cursor before the oldest piece that is held, or NULL if none is. */
const char *join_from(const struct join *join);

#endif
