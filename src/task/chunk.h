/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks of a log buffer, shared by its files: logbuf.c fills and reads them, logbuf_spill.c moves their text
 * out of memory. */
#ifndef TASKLOG_SRC_CHUNK_H
#define TASKLOG_SRC_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "logbuf.h"

/* A chunk of a spilled text is as small as can be: its data is the position where the text is. */
struct logbuf_chunk {
    struct logbuf_chunk *next;
    struct logbuf_chunk *prev;
    uint32_t size_bytes; /* of data; 0 = the text was spilled */
    uint32_t used_bytes; /* of the text */
    uint32_t message_count;
    union {
        uint32_t char_count; /* of a spilled one */
        uint32_t
            quick_bytes; /* of another: so far messages may be put into it without a look at the rest */
    };
    char data[];
};

/* Of a log with more chunks than one. */
struct logbuf_rest {
    struct logbuf_chunk *head_first; /* NULL: there is no head (it was taken up from a spool so) */
    struct logbuf_chunk *head_last;
    struct logbuf_chunk *tail_first; /* NULL until the cap was reached */
    struct logbuf_chunk *tail_last;
    struct logbuf_sums sums;
    uint32_t counted_bytes; /* how much of the log's last chunk is in the sums */
    size_t tight_bytes;     /* the cap while memory is short; 0 = it is not */
};

static inline bool chunk_is_stub(const struct logbuf_chunk *chunk)
{
    return chunk->size_bytes == 0;
}

static inline uint64_t chunk_position(const struct logbuf_chunk *stub)
{
    uint64_t position;

    memcpy(&position, stub->data, sizeof(position));
    return position;
}

static inline void chunk_set_position(struct logbuf_chunk *stub, uint64_t position)
{
    memcpy(stub->data, &position, sizeof(position));
}

static inline size_t chunk_memory(const struct logbuf_chunk *chunk)
{
    return sizeof(*chunk) + (chunk_is_stub(chunk) ? sizeof(uint64_t) : chunk->size_bytes);
}

static inline struct logbuf_chunk *logbuf_head_first(const struct logbuf *log)
{
    return log->rest ? log->rest->head_first : log->last;
}

static inline struct logbuf_chunk *logbuf_head_last(const struct logbuf *log)
{
    return log->rest ? log->rest->head_last : log->last;
}

static inline struct logbuf_chunk *logbuf_tail_first(const struct logbuf *log)
{
    return log->rest ? log->rest->tail_first : NULL;
}

static inline struct logbuf_chunk *logbuf_tail_last(const struct logbuf *log)
{
    return log->rest ? log->rest->tail_last : NULL;
}

/* A chunk with room for so many bytes; 0: one for a text that was spilled. NULL for want of memory. */
struct logbuf_chunk *chunk_new(size_t size_bytes);

/* The last `bytes` of its text. What cannot be read becomes question marks, and the answer a negative errno. */
int chunk_read_end(const struct logbuf_chunk *chunk, const struct tasklog_spill *spill,
                   char *buffer, size_t bytes);

/* Before the lists of a log are changed: what was put into its last chunk since comes into the sums. After it:
 * which chunk is the last now. */
void logbuf_settle(struct logbuf *log);
void logbuf_find_last(struct logbuf *log);

/* Makes the rest of a log, if it is not there. False for want of memory. */
bool logbuf_need_rest(struct logbuf *log);

/* Puts a new chunk at the end of head or tail. False for want of memory, with the log as it was. */
bool logbuf_push_chunk(struct logbuf *log, struct logbuf_chunk *chunk, bool in_tail);

#endif
