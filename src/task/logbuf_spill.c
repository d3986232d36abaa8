/* SPDX-License-Identifier: Apache-2.0 */
/* The log buffer whose text is not in memory: where it went, and how such a log is made again. */
#include "logbuf.h"

#include <errno.h>
#include <stdlib.h>

#include "chunk.h"
#include "text.h"

/* Puts a small chunk that only knows where the text is in the place of a whole one, which is freed. */
static void replace_chunk(struct logbuf *log, struct logbuf_chunk *whole, struct logbuf_chunk *stub)
{
    struct logbuf_rest *rest = log->rest;

    stub->prev = whole->prev;
    stub->next = whole->next;
    if (!rest)
        log->last = stub;
    if (stub->prev)
        stub->prev->next = stub;
    else if (rest)
        *(whole == rest->head_first ? &rest->head_first : &rest->tail_first) = stub;
    if (stub->next)
        stub->next->prev = stub;
    else if (rest)
        *(whole == rest->head_last ? &rest->head_last : &rest->tail_last) = stub;
    if (rest) {
        logbuf_find_last(log);
        rest->sums.spilled_bytes += whole->used_bytes;
        rest->sums.memory_bytes -= chunk_memory(whole) - chunk_memory(stub);
    }
    free(whole);
}

/* A stub for a chunk whose text has been moved; NULL if it could not be. */
static struct logbuf_chunk *spill_chunk(const struct logbuf_chunk *whole,
                                        const struct tasklog_spill *spill)
{
    struct logbuf_chunk *stub = chunk_new(0);
    uint64_t position;

    if (!stub)
        return NULL;
    if (spill->write(spill->context, whole->data, whole->used_bytes, &position) < 0) {
        free(stub);
        return NULL;
    }
    chunk_set_position(stub, position);
    stub->used_bytes = whole->used_bytes;
    stub->message_count = whole->message_count;
    stub->char_count = (uint32_t)text_char_count(whole->data, whole->used_bytes);
    return stub;
}

static size_t spill_list(struct logbuf *log, struct logbuf_chunk *chunk,
                         const struct tasklog_spill *spill, size_t want_bytes)
{
    size_t freed = 0;

    while (chunk && freed < want_bytes) {
        struct logbuf_chunk *next = chunk->next;
        if (!chunk_is_stub(chunk) && chunk->used_bytes > 0) {
            struct logbuf_chunk *stub = spill_chunk(chunk, spill);
            if (!stub)
                return freed;
            freed += chunk_memory(chunk) - chunk_memory(stub);
            replace_chunk(log, chunk, stub);
        }
        chunk = next;
    }
    return freed;
}

bool logbuf_is_spilled(const struct logbuf *log)
{
    struct logbuf_sums sums = logbuf_sums(log);

    return sums.spilled_bytes == sums.head_bytes + sums.tail_bytes;
}

size_t logbuf_spill(struct logbuf *log, const struct tasklog_spill *spill, size_t want_bytes)
{
    if (logbuf_is_spilled(log))
        return 0;
    logbuf_settle(log);
    size_t before = logbuf_sums(log).memory_bytes;
    size_t freed = spill_list(log, logbuf_head_first(log), spill, want_bytes);
    if (freed < want_bytes)
        (void)spill_list(log, logbuf_tail_first(log), spill, want_bytes - freed);
    return before - logbuf_sums(log).memory_bytes;
}

static int move_list(struct logbuf_chunk *chunk, const struct tasklog_spill *spill,
                     uint64_t *ret_first)
{
    for (; chunk; chunk = chunk->next) {
        uint64_t position = 0;
        if (chunk->used_bytes == 0)
            continue;
        char *text = malloc(chunk->used_bytes);
        if (!text)
            return -ENOMEM;
        int r = chunk_read_end(chunk, spill, text, chunk->used_bytes);
        if (r == 0)
            r = spill->write(spill->context, text, chunk->used_bytes, &position);
        free(text);
        if (r < 0)
            return r;
        chunk_set_position(chunk, position);
        if (*ret_first == 0)
            *ret_first = position;
    }
    return 0;
}

int logbuf_move(struct logbuf *log, const struct tasklog_spill *spill, uint64_t *ret_first)
{
    uint64_t first = 0;
    int r;

    (void)logbuf_spill(log, spill, SIZE_MAX); /* a chunk knows its position only without its text */
    if (!logbuf_is_spilled(log))
        return -EAGAIN;
    r = move_list(logbuf_head_first(log), spill, &first);
    if (r == 0)
        r = move_list(logbuf_tail_first(log), spill, &first);
    if (r == 0)
        *ret_first = first;
    return r;
}

static size_t count_chunks(const struct logbuf_chunk *chunk)
{
    size_t count = 0;

    for (; chunk; chunk = chunk->next)
        count += chunk->used_bytes > 0;
    return count;
}

void logbuf_count_chunks(const struct logbuf *log, size_t *ret_head, size_t *ret_tail)
{
    *ret_head = count_chunks(logbuf_head_first(log));
    *ret_tail = count_chunks(logbuf_tail_first(log));
}

const struct logbuf_chunk *logbuf_next_place(const struct logbuf *log,
                                             const struct logbuf_chunk *chunk,
                                             struct logbuf_place *ret_place)
{
    do {
        if (!chunk)
            chunk = logbuf_head_first(log) ? logbuf_head_first(log) : logbuf_tail_first(log);
        else if (chunk == logbuf_head_last(log))
            chunk = logbuf_tail_first(log);
        else
            chunk = chunk->next;
    } while (chunk && chunk->used_bytes == 0);
    if (chunk)
        *ret_place =
            (struct logbuf_place){.position = chunk_is_stub(chunk) ? chunk_position(chunk) : 0,
                                  .bytes = chunk->used_bytes,
                                  .message_count = chunk->message_count,
                                  .char_count = chunk->char_count};
    return chunk;
}

bool logbuf_place_is_valid(const struct logbuf_place *place)
{
    return place->position != 0 && place->bytes > 0 && place->bytes <= INT32_MAX &&
           place->char_count <= place->bytes && place->message_count <= place->bytes + 1;
}

int logbuf_add_place(struct logbuf *log, const struct logbuf_place *place, bool tail)
{
    struct logbuf_chunk *chunk = chunk_new(0);

    if (!chunk)
        return -ENOMEM;
    chunk_set_position(chunk, place->position);
    chunk->used_bytes = (uint32_t)place->bytes;
    chunk->message_count = (uint32_t)place->message_count;
    chunk->char_count = (uint32_t)place->char_count;
    if (!logbuf_push_chunk(log, chunk, tail)) {
        free(chunk);
        return -ENOMEM;
    }
    if (log->rest) {
        struct logbuf_sums *sums = &log->rest->sums;
        *(tail ? &sums->tail_bytes : &sums->head_bytes) += place->bytes;
        sums->spilled_bytes += place->bytes;
    }
    return 0;
}

int logbuf_restore(struct logbuf *log, const struct logbuf_sums *sums)
{
    if (sums->missing_messages == 0 && sums->missing_bytes == 0 && !sums->has_tail &&
        sums->started == logbuf_sums(log).started && !log->rest)
        return 0;
    if (!logbuf_need_rest(log))
        return -ENOMEM;
    log->rest->sums.missing_messages = sums->missing_messages;
    log->rest->sums.missing_bytes = sums->missing_bytes;
    log->rest->sums.started = sums->started;
    log->rest->sums.has_tail = sums->has_tail;
    logbuf_find_last(log);
    return 0;
}
