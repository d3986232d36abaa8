/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of one log, in chunks that grow from small to large, with a cap from birth. Messages are
 * joined by newlines and never lie in two chunks:
 *
 *     head chunks ─▶ … ─▶ [missing messages] ─▶ tail chunks ─▶ …
 *
 * Until the cap is reached there is no tail. From then on the head is left as it is (the older half)
 * and whole chunks are dropped at the front of the tail; what they held is counted exactly and said
 * in a line of its own when the log is read. A chunk's text may be moved out of memory (spilled); the
 * chunk stays, and knows where it went. A message is never cut: the cap can be passed by the
 * size of one.
 *
 * There may be a million logs of one line: all that a log of one chunk can do without is in a part of
 * its own, which is made with the second chunk.
 */
#ifndef TASKLOG_SRC_LOGBUF_H
#define TASKLOG_SRC_LOGBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasklog/result.h"

struct logbuf_chunk;
struct logbuf_rest;

/* Zero-initialise it. */
struct logbuf {
    struct logbuf_chunk *last; /* which messages go into; NULL = none yet */
    struct logbuf_rest *rest;  /* NULL: there is one chunk at most */
};

/* What a log comes to. */
struct logbuf_sums {
    size_t head_bytes; /* text; the note of what is missing is in neither */
    size_t tail_bytes;
    size_t
        memory_bytes; /* what its chunks hold; an only one that was spilled does not count: so much
                             belongs to every task */
    size_t spilled_bytes; /* text that is not in memory */
    uint64_t missing_messages;
    uint64_t missing_bytes;
    bool started;  /* it has a message, be it an empty one */
    bool has_tail; /* the cap was reached; the head is closed */
};

struct logbuf_sums logbuf_sums(const struct logbuf *log);

/* How large it may become; may change from call to call. */
struct logbuf_limits {
    size_t cap_bytes;
    size_t chunk_bytes; /* no chunk is larger, unless a message is; 0 = as the log likes */
};

/* One message is put together of pieces. */
struct logbuf_piece {
    const char *data;
    size_t bytes;
};

/* Appends one message, with a newline before it if it is not the first. Returns 0, or -ENOMEM with the
 * buffer as it was. */
int logbuf_append(struct logbuf *log, struct logbuf_limits limits,
                  const struct logbuf_piece *pieces, size_t piece_count)
    __attribute__((warn_unused_result));

/* The same for nearly all messages, without a look at the rest of the log: not the first one, and there is
 * room in the last chunk, below the cap of the time when another message was last appended. Returns how
 * many bytes the log has grown by, 0 = it must be appended. */
size_t logbuf_append_quick(struct logbuf *log, const struct logbuf_piece *pieces,
                           size_t piece_count);

/* Makes sure that messages of `bytes` in all, newlines included, can be appended without failing, as
 * long as nothing else is. 0 or -ENOMEM. */
int logbuf_reserve(struct logbuf *log, struct logbuf_limits limits, size_t bytes)
    __attribute__((warn_unused_result));

/* The cap while memory is short, for as long as it is: the size that the log had when it became so, or
 * `least_bytes` if that is more. `logbuf_loosen`: memory is short no longer. */
size_t logbuf_tighten(struct logbuf *log, size_t least_bytes);
void logbuf_loosen(struct logbuf *log);

/* All of it, with the line that tells what is missing: size, copy, characters. */
size_t logbuf_bytes(const struct logbuf *log);
int logbuf_copy(const struct logbuf *log, const struct tasklog_spill *spill, char *buffer);
size_t logbuf_char_count(const struct logbuf *log);

/* Copies the last whole lines that fit into `max_bytes` (a longer last line: its end). Returns how
 * many bytes that were. `buffer` must have room for one more. */
size_t logbuf_copy_end(const struct logbuf *log, const struct tasklog_spill *spill,
                       size_t max_bytes, char *buffer);

/* Moves chunks out of memory, the oldest first, until `want_bytes` have been given back. Returns how
 * many were. */
size_t logbuf_spill(struct logbuf *log, const struct tasklog_spill *spill, size_t want_bytes);

/* Is no text of it in memory? */
bool logbuf_is_spilled(const struct logbuf *log);

/* Where one chunk's text is that was moved out of memory. */
struct logbuf_place {
    uint64_t position;
    uint64_t bytes;
    uint64_t message_count;
    uint64_t char_count;
};

/* Moves all text to new positions, wherever it is now. 0 with the first of them in `ret_first` (0 if
 * there is no text), or negative errno: then some of it has been moved. */
int logbuf_move(struct logbuf *log, const struct tasklog_spill *spill, uint64_t *ret_first)
    __attribute__((warn_unused_result));

/* The chunks that have text, those of the head first: how many, and one after the other, beginning with
 * NULL; NULL when there is none left. */
void logbuf_count_chunks(const struct logbuf *log, size_t *ret_head, size_t *ret_tail);
const struct logbuf_chunk *logbuf_next_place(const struct logbuf *log,
                                             const struct logbuf_chunk *chunk,
                                             struct logbuf_place *ret_place);

/* Adds such a chunk at the end of head or tail. A place is one if `logbuf_place_is_valid` says so. 0 or
 * -ENOMEM. */
bool logbuf_place_is_valid(const struct logbuf_place *place);
int logbuf_add_place(struct logbuf *log, const struct logbuf_place *place, bool tail)
    __attribute__((warn_unused_result));

/* Behind all places: what else the log was, of which `sums` takes what is missing, `started` and
 * `has_tail`. 0 or -ENOMEM. */
int logbuf_restore(struct logbuf *log, const struct logbuf_sums *sums)
    __attribute__((warn_unused_result));

void logbuf_done(struct logbuf *log);

#endif
