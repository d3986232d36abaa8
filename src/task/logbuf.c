/* SPDX-License-Identifier: Apache-2.0 */
/* The log buffer; its picture stands in the header. */
#include "logbuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "text.h"

enum {
    CHUNK_BYTES_MIN = 128,
    CHUNK_BYTES_MAX = 65536,
    ONLY_BYTES_MAX = 4096, /* as long as there is one chunk, it grows up to this size */
    CHUNKS_PER_CAP = 16,
    NOTE_BYTES_MAX = 128
};

/* Of a log with a rest: what has been put into its last chunk without a look at that. */
static size_t uncounted(const struct logbuf *log)
{
    return log->last ? log->last->used_bytes - log->rest->counted_bytes : 0;
}

void logbuf_settle(struct logbuf *log)
{
    if (!log->rest || !log->last)
        return;
    struct logbuf_sums *sums = &log->rest->sums;
    *(sums->has_tail ? &sums->tail_bytes : &sums->head_bytes) += uncounted(log);
    log->rest->counted_bytes = log->last->used_bytes;
}

void logbuf_find_last(struct logbuf *log)
{
    const struct logbuf_rest *rest = log->rest;

    if (!rest)
        return;
    log->last = rest->sums.has_tail ? rest->tail_last : rest->head_last;
    log->rest->counted_bytes = log->last ? log->last->used_bytes : 0;
}

struct logbuf_sums logbuf_sums(const struct logbuf *log)
{
    const struct logbuf_chunk *only = log->last;

    if (log->rest) {
        struct logbuf_sums sums = log->rest->sums;
        *(sums.has_tail ? &sums.tail_bytes : &sums.head_bytes) += uncounted(log);
        return sums;
    }
    if (!only)
        return (struct logbuf_sums){0};
    return (struct logbuf_sums){.head_bytes = only->used_bytes,
                                .memory_bytes = chunk_is_stub(only) ? 0 : chunk_memory(only),
                                .spilled_bytes = chunk_is_stub(only) ? only->used_bytes : 0,
                                .started = only->message_count > 0};
}

bool logbuf_need_rest(struct logbuf *log)
{
    if (log->rest)
        return true;
    struct logbuf_rest *rest = calloc(1, sizeof(*rest));
    if (!rest)
        return false;
    rest->sums = logbuf_sums(log);
    rest->sums.memory_bytes = sizeof(*rest) + (log->last ? chunk_memory(log->last) : 0);
    rest->head_first = rest->head_last = log->last;
    log->rest = rest;
    logbuf_find_last(log);
    return true;
}

/* The first chunk is as large as its message: many logs have no other. From then on they double, up to
 * a limit that leaves enough of them under the cap for dropping to be fine. */
static size_t chunk_size(const struct logbuf *log, struct logbuf_limits limits, size_t need_bytes)
{
    const size_t least = CHUNK_BYTES_MIN - sizeof(struct logbuf_chunk);
    size_t most = limits.cap_bytes / CHUNKS_PER_CAP;
    size_t size = sizeof(uint64_t); /* so that a spilled one takes no more than it did before */

    if (log->last || log->rest) {
        struct logbuf_sums sums = logbuf_sums(log);
        if (most > CHUNK_BYTES_MAX)
            most = CHUNK_BYTES_MAX;
        if (limits.chunk_bytes > 0 && most > limits.chunk_bytes)
            most = limits.chunk_bytes;
        size = sums.head_bytes + sums.tail_bytes;
        if (size > most)
            size = most;
        if (size < least)
            size = least;
    }
    return size < need_bytes ? need_bytes : size;
}

/* The cap is reached for the first time: what lies beyond its half becomes the tail. Something stays
 * in the head. */
static void split(struct logbuf *log, size_t cap_bytes)
{
    struct logbuf_rest *rest = log->rest;
    struct logbuf_sums *sums = &rest->sums;

    while (sums->head_bytes > cap_bytes / 2 && rest->head_last->used_bytes < sums->head_bytes) {
        struct logbuf_chunk *chunk = rest->head_last;
        rest->head_last = chunk->prev;
        rest->head_last->next = NULL;
        sums->head_bytes -= chunk->used_bytes;
        chunk->prev = NULL;
        chunk->next = rest->tail_first;
        if (rest->tail_first)
            rest->tail_first->prev = chunk;
        else
            rest->tail_last = chunk;
        rest->tail_first = chunk;
        sums->tail_bytes += chunk->used_bytes;
    }
    sums->has_tail = true;
}

static void drop_oldest_of_tail(struct logbuf_rest *rest)
{
    struct logbuf_chunk *chunk = rest->tail_first;
    struct logbuf_sums *sums = &rest->sums;

    rest->tail_first = chunk->next;
    if (rest->tail_first)
        rest->tail_first->prev = NULL;
    else
        rest->tail_last = NULL;
    sums->tail_bytes -= chunk->used_bytes;
    sums->memory_bytes -= chunk_memory(chunk);
    sums->missing_messages += chunk->message_count;
    sums->missing_bytes += chunk->used_bytes;
    if (chunk_is_stub(chunk))
        sums->spilled_bytes -= chunk->used_bytes;
    free(chunk);
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

struct logbuf_chunk *chunk_new(size_t size_bytes)
{
    struct logbuf_chunk *chunk;

    if (size_bytes > UINT32_MAX)
        return NULL;
    chunk = malloc(sizeof(*chunk) + (size_bytes > 0 ? size_bytes : sizeof(uint64_t)));
    if (chunk)
        *chunk = (struct logbuf_chunk){.size_bytes = (uint32_t)size_bytes};
    return chunk;
}

bool logbuf_push_chunk(struct logbuf *log, struct logbuf_chunk *chunk, bool in_tail)
{
    if (!log->last && !log->rest && !in_tail) {
        log->last = chunk;
        return true;
    }
    if (!logbuf_need_rest(log))
        return false;
    struct logbuf_rest *rest = log->rest;
    logbuf_settle(log);
    if (in_tail)
        list_push(&rest->tail_first, &rest->tail_last, chunk);
    else
        list_push(&rest->head_first, &rest->head_last, chunk);
    rest->sums.memory_bytes += chunk_memory(chunk);
    logbuf_find_last(log);
    return true;
}

/* May the only chunk of a log become so large? It must not be too much of the cap. */
static bool may_grow_to(const struct logbuf *log, struct logbuf_limits limits, size_t bytes)
{
    size_t most = limits.cap_bytes / CHUNKS_PER_CAP;

    if (most < CHUNK_BYTES_MIN)
        most = CHUNK_BYTES_MIN;
    return !log->rest && !chunk_is_stub(log->last) && bytes <= most && bytes <= ONLY_BYTES_MAX;
}

/* NULL for want of memory, with the chunk as it was. */
static struct logbuf_chunk *grow_only_chunk(struct logbuf *log, size_t size_bytes)
{
    struct logbuf_chunk *grown = realloc(log->last, sizeof(*grown) + size_bytes);

    if (!grown)
        return NULL;
    grown->size_bytes = (uint32_t)size_bytes;
    log->last = grown;
    return grown;
}

/* The chunk that takes the next `need` bytes; a new one if there is not enough room. NULL for want of
 * memory. Reaching the cap closes the head. */
static struct logbuf_chunk *chunk_for(struct logbuf *log, struct logbuf_limits limits, size_t need)
{
    logbuf_settle(log);
    struct logbuf_sums sums = logbuf_sums(log);
    bool over = sums.started && sums.head_bytes + sums.tail_bytes + need > limits.cap_bytes;
    bool split_now = over && !sums.has_tail;
    bool in_tail = split_now || sums.has_tail;
    struct logbuf_chunk *chunk = in_tail ? logbuf_tail_last(log) : logbuf_head_last(log);

    if (chunk && !chunk_is_stub(chunk) && chunk->size_bytes - chunk->used_bytes >= need)
        return chunk;
    size_t size = chunk_size(log, limits, need);
    if (!split_now && chunk && may_grow_to(log, limits, chunk->used_bytes + size))
        return grow_only_chunk(log, chunk->used_bytes + size);
    chunk = chunk_new(size);
    if (!chunk)
        return NULL;
    if (split_now && !logbuf_need_rest(log)) {
        free(chunk);
        return NULL;
    }
    if (split_now)
        split(log, limits.cap_bytes);
    if (!logbuf_push_chunk(log, chunk, in_tail)) {
        free(chunk);
        return NULL;
    }
    return chunk;
}

int logbuf_reserve(struct logbuf *log, struct logbuf_limits limits, size_t bytes)
{
    return chunk_for(log, limits, bytes) ? 0 : -ENOMEM;
}

/* The last chunk has grown: counts that, and drops what is beyond the cap. */
static void grown(struct logbuf *log, size_t cap_bytes)
{
    struct logbuf_rest *rest = log->rest;
    const struct logbuf_sums *sums = &rest->sums;

    logbuf_settle(log);
    rest->sums.started = true;
    while (sums->head_bytes + sums->tail_bytes > cap_bytes && rest->tail_first != rest->tail_last)
        drop_oldest_of_tail(rest);
}

static char *put(char *at, const struct logbuf_piece *pieces, size_t piece_count)
{
    for (size_t i = 0; i < piece_count; i++)
        at = mempcpy(at, pieces[i].data, pieces[i].bytes);
    return at;
}

static size_t sum_of(const struct logbuf_piece *pieces, size_t piece_count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < piece_count; i++)
        bytes += pieces[i].bytes;
    return bytes;
}

/* Until where the last chunk may be filled at once: its end, or the cap. Never while memory is short, for then
 * the cap may rise and fall. */
static uint32_t quick_bytes(const struct logbuf *log, size_t cap_bytes)
{
    const struct logbuf_chunk *chunk = log->last;
    const struct logbuf_sums sums = logbuf_sums(log);
    size_t all = sums.head_bytes + sums.tail_bytes;
    size_t room = all < cap_bytes ? cap_bytes - all : 0;

    if (log->rest && log->rest->tight_bytes > 0)
        room = 0;
    return room < chunk->size_bytes - chunk->used_bytes ? (uint32_t)(chunk->used_bytes + room)
                                                        : chunk->size_bytes;
}

size_t logbuf_append_quick(struct logbuf *log, const struct logbuf_piece *pieces,
                           size_t piece_count)
{
    struct logbuf_chunk *chunk = log->last;
    size_t need = sum_of(pieces, piece_count) + 1;

    if (!chunk || chunk_is_stub(chunk) || chunk->used_bytes + need > chunk->quick_bytes)
        return 0;
    char *at = chunk->data + chunk->used_bytes;
    *at++ = '\n';
    (void)put(at, pieces, piece_count);
    chunk->used_bytes += (uint32_t)need;
    chunk->message_count++;
    return need;
}

int logbuf_append(struct logbuf *log, struct logbuf_limits limits,
                  const struct logbuf_piece *pieces, size_t piece_count)
{
    bool started = logbuf_sums(log).started;
    size_t need = sum_of(pieces, piece_count) + started;
    struct logbuf_chunk *chunk = chunk_for(log, limits, need);

    if (!chunk)
        return -ENOMEM;

    char *at = chunk->data + chunk->used_bytes;
    if (started)
        *at++ = '\n';
    (void)put(at, pieces, piece_count);
    chunk->used_bytes += (uint32_t)need;
    chunk->message_count++;
    if (log->rest)
        grown(log, limits.cap_bytes);
    chunk->quick_bytes = quick_bytes(log, limits.cap_bytes);
    return 0;
}

size_t logbuf_tighten(struct logbuf *log, size_t least_bytes)
{
    size_t bytes =
        log->rest && log->rest->tight_bytes > 0 ? log->rest->tight_bytes : logbuf_bytes(log);

    if (bytes < least_bytes)
        bytes = least_bytes;
    if (log->rest) /* one chunk has little room to grow: it need not remember */
        log->rest->tight_bytes = bytes;
    return bytes;
}

void logbuf_loosen(struct logbuf *log)
{
    if (log->rest)
        log->rest->tight_bytes = 0;
}

static size_t note(const struct logbuf_sums *sums, char buffer[NOTE_BYTES_MAX])
{
    if (sums->missing_messages == 0)
        return 0;
    return (size_t)snprintf(buffer, NOTE_BYTES_MAX,
                            "\n[... %llu line%s (%llu bytes) missing here ...]",
                            (unsigned long long)sums->missing_messages,
                            sums->missing_messages == 1 ? "" : "s",
                            (unsigned long long)sums->missing_bytes);
}

size_t logbuf_bytes(const struct logbuf *log)
{
    struct logbuf_sums sums = logbuf_sums(log);
    char text[NOTE_BYTES_MAX];

    return sums.head_bytes + note(&sums, text) + sums.tail_bytes;
}

int chunk_read_end(const struct logbuf_chunk *chunk, const struct tasklog_spill *spill,
                   char *buffer, size_t bytes)
{
    size_t skip = chunk->used_bytes - bytes;
    int r;

    if (!chunk_is_stub(chunk)) {
        memcpy(buffer, chunk->data + skip, bytes);
        return 0;
    }
    r = spill ? spill->read(spill->context, chunk_position(chunk), skip, buffer, bytes) : -EIO;
    if (r < 0)
        memset(buffer, '?', bytes);
    return r;
}

static int copy_list(const struct logbuf_chunk *chunk, const struct tasklog_spill *spill,
                     char *buffer)
{
    int result = 0;

    for (; chunk; chunk = chunk->next) {
        int r = chunk_read_end(chunk, spill, buffer, chunk->used_bytes);
        if (r < 0)
            result = r;
        buffer += chunk->used_bytes;
    }
    return result;
}

int logbuf_copy(const struct logbuf *log, const struct tasklog_spill *spill, char *buffer)
{
    struct logbuf_sums sums = logbuf_sums(log);
    char text[NOTE_BYTES_MAX];
    size_t bytes = note(&sums, text);
    int r = copy_list(logbuf_head_first(log), spill, buffer);

    memcpy(buffer + sums.head_bytes, text, bytes);
    int r_tail = copy_list(logbuf_tail_first(log), spill, buffer + sums.head_bytes + bytes);
    return r < 0 ? r : r_tail;
}

static size_t count_list(const struct logbuf_chunk *chunk)
{
    size_t count = 0;

    for (; chunk; chunk = chunk->next)
        count += chunk_is_stub(chunk) ? chunk->char_count
                                      : text_char_count(chunk->data, chunk->used_bytes);
    return count;
}

size_t logbuf_char_count(const struct logbuf *log)
{
    struct logbuf_sums sums = logbuf_sums(log);
    char text[NOTE_BYTES_MAX];

    return count_list(logbuf_head_first(log)) + note(&sums, text) +
           count_list(logbuf_tail_first(log));
}

/* Fills the buffer from its end; returns where the copy starts. */
static size_t copy_end_of_list(const struct logbuf_chunk *last, const struct tasklog_spill *spill,
                               size_t room, char *buffer)
{
    for (; last && room > 0; last = last->prev) {
        size_t bytes = last->used_bytes < room ? last->used_bytes : room;
        room -= bytes;
        (void)chunk_read_end(last, spill, buffer + room, bytes);
    }
    return room;
}

size_t logbuf_copy_end(const struct logbuf *log, const struct tasklog_spill *spill,
                       size_t max_bytes, char *buffer)
{
    struct logbuf_sums sums = logbuf_sums(log);
    char text[NOTE_BYTES_MAX];
    size_t note_bytes = note(&sums, text);
    size_t all = sums.head_bytes + note_bytes + sums.tail_bytes;
    size_t room = max_bytes + 1; /* the byte before tells whether a line begins there */
    size_t start = copy_end_of_list(logbuf_tail_last(log), spill, room, buffer);

    if (note_bytes > 0 && start > 0) {
        size_t bytes = note_bytes < start ? note_bytes : start;
        start -= bytes;
        memcpy(buffer + start, text + note_bytes - bytes, bytes);
    }
    start = copy_end_of_list(logbuf_head_last(log), spill, start, buffer);

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
    free_list(logbuf_head_first(log));
    free_list(logbuf_tail_first(log));
    free(log->rest);
    *log = (struct logbuf){0};
}
