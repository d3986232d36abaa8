/* SPDX-License-Identifier: Apache-2.0 */
/* The log buffer; its picture stands in the header. */
#include "logbuf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { CHUNK_BYTES_MIN = 256, CHUNK_BYTES_MAX = 65536, CHUNKS_PER_CAP = 16, NOTE_BYTES_MAX = 128 };

struct logbuf_chunk {
    struct logbuf_chunk *next;
    struct logbuf_chunk *prev;
    size_t size_bytes; /* of data */
    size_t used_bytes;
    uint64_t message_count;
    uint64_t position; /* where the text is if it was spilled: then size_bytes is 0 */
    size_t char_count; /* of a spilled one */
    char data[];
};

static size_t chunk_memory(const struct logbuf_chunk *chunk)
{
    return sizeof(*chunk) + chunk->size_bytes;
}

/* Chunks double up to a limit that leaves enough of them under the cap for dropping to be fine. */
static size_t chunk_size(const struct logbuf *log, size_t cap_bytes, size_t need_bytes)
{
    size_t text = log->head_bytes + log->tail_bytes;
    size_t most = cap_bytes / CHUNKS_PER_CAP;
    size_t size = text;

    if (most > CHUNK_BYTES_MAX)
        most = CHUNK_BYTES_MAX;
    if (log->chunk_bytes > 0 && most > log->chunk_bytes)
        most = log->chunk_bytes;
    if (size > most)
        size = most;
    if (size < CHUNK_BYTES_MIN - sizeof(struct logbuf_chunk))
        size = CHUNK_BYTES_MIN - sizeof(struct logbuf_chunk);
    return size < need_bytes ? need_bytes : size;
}

static void list_push(struct logbuf_chunk **first, struct logbuf_chunk **last,
                      struct logbuf_chunk *chunk)
{
    chunk->prev = *last;
    chunk->next = NULL;
    if (*last)
        (*last)->next = chunk;
    else
        *first = chunk;
    *last = chunk;
}

/* The cap is reached for the first time: what lies beyond its half becomes the tail. Something stays
 * in the head. */
static void split(struct logbuf *log, size_t cap_bytes)
{
    while (log->head_bytes > cap_bytes / 2 && log->head_last->used_bytes < log->head_bytes) {
        struct logbuf_chunk *chunk = log->head_last;
        log->head_last = chunk->prev;
        log->head_last->next = NULL;
        log->head_bytes -= chunk->used_bytes;
        chunk->prev = NULL;
        chunk->next = log->tail_first;
        if (log->tail_first)
            log->tail_first->prev = chunk;
        else
            log->tail_last = chunk;
        log->tail_first = chunk;
        log->tail_bytes += chunk->used_bytes;
    }
}

static void drop_oldest_of_tail(struct logbuf *log)
{
    struct logbuf_chunk *chunk = log->tail_first;

    log->tail_first = chunk->next;
    if (log->tail_first)
        log->tail_first->prev = NULL;
    else
        log->tail_last = NULL;
    log->tail_bytes -= chunk->used_bytes;
    log->memory_bytes -= chunk_memory(chunk);
    log->missing_messages += chunk->message_count;
    log->missing_bytes += chunk->used_bytes;
    if (chunk->position != 0)
        log->spilled_bytes -= chunk->used_bytes;
    free(chunk);
}

static struct logbuf_chunk *chunk_new(size_t size_bytes)
{
    struct logbuf_chunk *chunk = malloc(sizeof(*chunk) + size_bytes);

    if (chunk) {
        chunk->size_bytes = size_bytes;
        chunk->used_bytes = 0;
        chunk->message_count = 0;
        chunk->position = 0;
        chunk->char_count = 0;
    }
    return chunk;
}

static bool cap_reached(const struct logbuf *log, size_t cap_bytes, size_t need)
{
    return log->started && log->head_bytes + log->tail_bytes + need > cap_bytes;
}

/* The chunk that takes the next `need` bytes; a new one if there is not enough room. NULL for want of
 * memory. Reaching the cap closes the head. */
static struct logbuf_chunk *chunk_for(struct logbuf *log, size_t cap_bytes, size_t need)
{
    bool split_now = cap_reached(log, cap_bytes, need) && !log->has_tail;
    bool in_tail = split_now || log->has_tail;
    struct logbuf_chunk *chunk = in_tail ? log->tail_last : log->head_last;

    if (chunk && chunk->position == 0 && chunk->size_bytes - chunk->used_bytes >= need)
        return chunk;
    chunk = chunk_new(chunk_size(log, cap_bytes, need));
    if (!chunk)
        return NULL;
    if (split_now) {
        split(log, cap_bytes);
        log->has_tail = true;
    }
    if (in_tail)
        list_push(&log->tail_first, &log->tail_last, chunk);
    else
        list_push(&log->head_first, &log->head_last, chunk);
    log->memory_bytes += chunk_memory(chunk);
    return chunk;
}

int logbuf_reserve(struct logbuf *log, size_t cap_bytes, size_t bytes)
{
    return chunk_for(log, cap_bytes, bytes) ? 0 : -ENOMEM;
}

int logbuf_append(struct logbuf *log, size_t cap_bytes, const struct logbuf_piece *pieces,
                  size_t piece_count)
{
    size_t need = log->started ? 1 : 0;

    for (size_t i = 0; i < piece_count; i++)
        need += pieces[i].bytes;
    struct logbuf_chunk *chunk = chunk_for(log, cap_bytes, need);
    if (!chunk)
        return -ENOMEM;

    if (log->started)
        chunk->data[chunk->used_bytes++] = '\n';
    log->started = true;
    for (size_t i = 0; i < piece_count; i++) {
        memcpy(chunk->data + chunk->used_bytes, pieces[i].data, pieces[i].bytes);
        chunk->used_bytes += pieces[i].bytes;
    }
    chunk->message_count++;
    *(log->has_tail ? &log->tail_bytes : &log->head_bytes) += need;

    while (log->head_bytes + log->tail_bytes > cap_bytes && log->tail_first != log->tail_last)
        drop_oldest_of_tail(log);
    return 0;
}

static size_t note(const struct logbuf *log, char *buffer, size_t buffer_bytes)
{
    if (log->missing_messages == 0)
        return 0;
    return (size_t)snprintf(buffer, buffer_bytes,
                            "\n[... %llu line%s (%llu bytes) missing here ...]",
                            (unsigned long long)log->missing_messages,
                            log->missing_messages == 1 ? "" : "s",
                            (unsigned long long)log->missing_bytes);
}

size_t logbuf_bytes(const struct logbuf *log)
{
    char text[NOTE_BYTES_MAX];

    return log->head_bytes + note(log, text, sizeof(text)) + log->tail_bytes;
}

/* The last `bytes` of a chunk. What cannot be read becomes question marks. */
static int read_chunk_end(const struct logbuf_chunk *chunk, const struct tasklog_spill *spill,
                          char *buffer, size_t bytes)
{
    size_t skip = chunk->used_bytes - bytes;
    int r;

    if (chunk->position == 0) {
        memcpy(buffer, chunk->data + skip, bytes);
        return 0;
    }
    r = spill ? spill->read(spill->context, chunk->position, skip, buffer, bytes) : -EIO;
    if (r < 0)
        memset(buffer, '?', bytes);
    return r;
}

static int copy_list(const struct logbuf_chunk *chunk, const struct tasklog_spill *spill,
                     char *buffer)
{
    int result = 0;

    for (; chunk; chunk = chunk->next) {
        int r = read_chunk_end(chunk, spill, buffer, chunk->used_bytes);
        if (r < 0)
            result = r;
        buffer += chunk->used_bytes;
    }
    return result;
}

int logbuf_copy(const struct logbuf *log, const struct tasklog_spill *spill, char *buffer)
{
    char text[NOTE_BYTES_MAX];
    size_t bytes = note(log, text, sizeof(text));
    int r = copy_list(log->head_first, spill, buffer);

    memcpy(buffer + log->head_bytes, text, bytes);
    int r_tail = copy_list(log->tail_first, spill, buffer + log->head_bytes + bytes);
    return r < 0 ? r : r_tail;
}

static size_t count_list(const struct logbuf_chunk *chunk)
{
    size_t count = 0;

    for (; chunk; chunk = chunk->next)
        count += chunk->position != 0 ? chunk->char_count
                                      : text_char_count(chunk->data, chunk->used_bytes);
    return count;
}

size_t logbuf_char_count(const struct logbuf *log)
{
    char text[NOTE_BYTES_MAX];

    return count_list(log->head_first) + note(log, text, sizeof(text)) +
           count_list(log->tail_first);
}

/* Fills the buffer from its end; returns where the copy starts. */
static size_t copy_end_of_list(const struct logbuf_chunk *last, const struct tasklog_spill *spill,
                               size_t room, char *buffer)
{
    for (; last && room > 0; last = last->prev) {
        size_t bytes = last->used_bytes < room ? last->used_bytes : room;
        room -= bytes;
        (void)read_chunk_end(last, spill, buffer + room, bytes);
    }
    return room;
}

size_t logbuf_copy_end(const struct logbuf *log, const struct tasklog_spill *spill,
                       size_t max_bytes, char *buffer)
{
    char text[NOTE_BYTES_MAX];
    size_t note_bytes = note(log, text, sizeof(text));
    size_t all = log->head_bytes + note_bytes + log->tail_bytes;
    size_t room = max_bytes + 1; /* the byte before tells whether a line begins there */
    size_t start = copy_end_of_list(log->tail_last, spill, room, buffer);

    if (note_bytes > 0 && start > 0) {
        size_t bytes = note_bytes < start ? note_bytes : start;
        start -= bytes;
        memcpy(buffer + start, text + note_bytes - bytes, bytes);
    }
    start = copy_end_of_list(log->head_last, spill, start, buffer);

    if (all > max_bytes) {
        /* Begin with a whole line, or at least with a whole character. */
        const char *newline = memchr(buffer, '\n', room);
        start = 1;
        if (newline && newline + 1 < buffer + room)
            start = (size_t)(newline + 1 - buffer);
        else
            while (start < room && ((unsigned char)buffer[start] & 0xC0) == 0x80)
                start++;
    }
    memmove(buffer, buffer + start, room - start);
    return room - start;
}

/* Puts a small chunk that only knows where the text is in the place of a whole one. */
static void replace_chunk(struct logbuf_chunk **first, struct logbuf_chunk **last,
                          struct logbuf_chunk *whole, struct logbuf_chunk *stub)
{
    stub->prev = whole->prev;
    stub->next = whole->next;
    *(whole->prev ? &whole->prev->next : first) = stub;
    *(whole->next ? &whole->next->prev : last) = stub;
}

static size_t spill_list(struct logbuf *log, struct logbuf_chunk **first,
                         struct logbuf_chunk **last, const struct tasklog_spill *spill,
                         size_t want_bytes)
{
    size_t freed = 0;

    for (struct logbuf_chunk *chunk = *first; chunk && freed < want_bytes;) {
        struct logbuf_chunk *next = chunk->next;
        if (chunk->position == 0 && chunk->used_bytes > 0) {
            struct logbuf_chunk *stub = chunk_new(0);
            if (!stub)
                return freed;
            if (spill->write(spill->context, chunk->data, chunk->used_bytes, &stub->position) < 0) {
                free(stub);
                return freed;
            }
            stub->used_bytes = chunk->used_bytes;
            stub->message_count = chunk->message_count;
            stub->char_count = text_char_count(chunk->data, chunk->used_bytes);
            replace_chunk(first, last, chunk, stub);
            log->spilled_bytes += chunk->used_bytes;
            log->memory_bytes -= chunk->size_bytes;
            freed += chunk->size_bytes;
            free(chunk);
        }
        chunk = next;
    }
    return freed;
}

size_t logbuf_spill(struct logbuf *log, const struct tasklog_spill *spill, size_t want_bytes)
{
    if (log->spilled_bytes == log->head_bytes + log->tail_bytes)
        return 0;
    size_t freed = spill_list(log, &log->head_first, &log->head_last, spill, want_bytes);
    if (freed < want_bytes)
        freed += spill_list(log, &log->tail_first, &log->tail_last, spill, want_bytes - freed);
    return freed;
}

static int move_list(const struct logbuf_chunk *const first, const struct tasklog_spill *spill,
                     uint64_t *ret_first)
{
    for (struct logbuf_chunk *chunk = (struct logbuf_chunk *)first; chunk; chunk = chunk->next) {
        uint64_t position;
        if (chunk->used_bytes == 0)
            continue;
        char *text = malloc(chunk->used_bytes);
        if (!text)
            return -ENOMEM;
        int r = read_chunk_end(chunk, spill, text, chunk->used_bytes);
        if (r == 0)
            r = spill->write(spill->context, text, chunk->used_bytes, &position);
        free(text);
        if (r < 0)
            return r;
        chunk->position = position;
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
    if (log->spilled_bytes != log->head_bytes + log->tail_bytes)
        return -EAGAIN;
    r = move_list(log->head_first, spill, &first);
    if (r == 0)
        r = move_list(log->tail_first, spill, &first);
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
    *ret_head = count_chunks(log->head_first);
    *ret_tail = count_chunks(log->tail_first);
}

const struct logbuf_chunk *logbuf_next_place(const struct logbuf *log,
                                             const struct logbuf_chunk *chunk,
                                             struct logbuf_place *ret_place)
{
    do {
        if (!chunk)
            chunk = log->head_first ? log->head_first : log->tail_first;
        else if (chunk == log->head_last)
            chunk = log->tail_first;
        else
            chunk = chunk->next;
    } while (chunk && chunk->used_bytes == 0);
    if (chunk)
        *ret_place = (struct logbuf_place){.position = chunk->position,
                                           .bytes = chunk->used_bytes,
                                           .message_count = chunk->message_count,
                                           .char_count = chunk->char_count};
    return chunk;
}

int logbuf_add_place(struct logbuf *log, const struct logbuf_place *place, bool tail)
{
    struct logbuf_chunk *chunk = chunk_new(0);

    if (!chunk)
        return -ENOMEM;
    chunk->position = place->position;
    chunk->used_bytes = place->bytes;
    chunk->message_count = place->message_count;
    chunk->char_count = place->char_count;
    if (tail)
        list_push(&log->tail_first, &log->tail_last, chunk);
    else
        list_push(&log->head_first, &log->head_last, chunk);
    *(tail ? &log->tail_bytes : &log->head_bytes) += place->bytes;
    log->spilled_bytes += place->bytes;
    log->memory_bytes += chunk_memory(chunk);
    return 0;
}

static void free_list(struct logbuf_chunk *chunk)
{
    while (chunk) {
        struct logbuf_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void logbuf_done(struct logbuf *log)
{
    free_list(log->head_first);
    free_list(log->tail_first);
    *log = (struct logbuf){0};
}
