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

/* A chunk of a spilled text is as small as can be: its data is the position where the text is. */
struct logbuf_chunk {
    struct logbuf_chunk *next;
    struct logbuf_chunk *prev;
    uint32_t size_bytes; /* of data; 0 = the text was spilled */
    uint32_t used_bytes; /* of the text */
    uint32_t message_count;
    uint32_t char_count; /* of a spilled one */
    char data[];
};

/* Of a log with more chunks than one. */
struct logbuf_rest {
    struct logbuf_chunk *head_last;  /* NULL: there is no head (it was taken up from a spool so) */
    struct logbuf_chunk *tail_first; /* NULL until the cap was reached */
    struct logbuf_chunk *tail_last;
    struct logbuf_sums sums;
    size_t tight_bytes; /* the cap while memory is short; 0 = it is not */
};

static bool is_stub(const struct logbuf_chunk *chunk)
{
    return chunk->size_bytes == 0;
}

static uint64_t position_of(const struct logbuf_chunk *stub)
{
    uint64_t position;

    memcpy(&position, stub->data, sizeof(position));
    return position;
}

static void set_position(struct logbuf_chunk *stub, uint64_t position)
{
    memcpy(stub->data, &position, sizeof(position));
}

static size_t chunk_memory(const struct logbuf_chunk *chunk)
{
    return sizeof(*chunk) + (is_stub(chunk) ? sizeof(uint64_t) : chunk->size_bytes);
}

struct logbuf_sums logbuf_sums(const struct logbuf *log)
{
    const struct logbuf_chunk *only = log->first;

    if (log->rest)
        return log->rest->sums;
    if (!only)
        return (struct logbuf_sums){0};
    return (struct logbuf_sums){.head_bytes = only->used_bytes,
                                .memory_bytes = chunk_memory(only),
                                .spilled_bytes = is_stub(only) ? only->used_bytes : 0,
                                .started = only->message_count > 0};
}

static struct logbuf_chunk *head_last(const struct logbuf *log)
{
    return log->rest ? log->rest->head_last : log->first;
}

static struct logbuf_chunk *tail_first(const struct logbuf *log)
{
    return log->rest ? log->rest->tail_first : NULL;
}

static struct logbuf_chunk *tail_last(const struct logbuf *log)
{
    return log->rest ? log->rest->tail_last : NULL;
}

/* Makes the rest, if it is not there. */
static bool need_rest(struct logbuf *log)
{
    if (log->rest)
        return true;
    struct logbuf_rest *rest = calloc(1, sizeof(*rest));
    if (!rest)
        return false;
    rest->sums = logbuf_sums(log);
    rest->sums.memory_bytes += sizeof(*rest);
    rest->head_last = log->first;
    log->rest = rest;
    return true;
}

/* The first chunk is as large as its message: many logs have no other. From then on they double, up to
 * a limit that leaves enough of them under the cap for dropping to be fine. */
static size_t chunk_size(const struct logbuf *log, struct logbuf_limits limits, size_t need_bytes)
{
    const size_t least = CHUNK_BYTES_MIN - sizeof(struct logbuf_chunk);
    size_t most = limits.cap_bytes / CHUNKS_PER_CAP, size = 1;

    if (log->first || log->rest) {
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
    if (is_stub(chunk))
        sums->spilled_bytes -= chunk->used_bytes;
    free(chunk);
}

/* `size_bytes` 0: one for a text that was spilled. */
static struct logbuf_chunk *chunk_new(size_t size_bytes)
{
    struct logbuf_chunk *chunk;

    if (size_bytes > UINT32_MAX)
        return NULL;
    chunk = malloc(sizeof(*chunk) + (size_bytes > 0 ? size_bytes : sizeof(uint64_t)));
    if (chunk)
        *chunk = (struct logbuf_chunk){.size_bytes = (uint32_t)size_bytes};
    return chunk;
}

/* Puts a new chunk at the end of the log. False for want of memory, with the log as it was. */
static bool push_chunk(struct logbuf *log, struct logbuf_chunk *chunk, bool in_tail)
{
    if (!log->first && !log->rest && !in_tail) {
        log->first = chunk;
        return true;
    }
    if (!need_rest(log))
        return false;
    if (in_tail)
        list_push(&log->rest->tail_first, &log->rest->tail_last, chunk);
    else
        list_push(&log->first, &log->rest->head_last, chunk);
    log->rest->sums.memory_bytes += chunk_memory(chunk);
    return true;
}

/* The chunk that takes the next `need` bytes; a new one if there is not enough room. NULL for want of
 * memory. Reaching the cap closes the head. */
static struct logbuf_chunk *chunk_for(struct logbuf *log, struct logbuf_limits limits, size_t need)
{
    struct logbuf_sums sums = logbuf_sums(log);
    bool over = sums.started && sums.head_bytes + sums.tail_bytes + need > limits.cap_bytes;
    bool split_now = over && !sums.has_tail;
    bool in_tail = split_now || sums.has_tail;
    struct logbuf_chunk *chunk = in_tail ? tail_last(log) : head_last(log);

    if (chunk && !is_stub(chunk) && chunk->size_bytes - chunk->used_bytes >= need)
        return chunk;
    chunk = chunk_new(chunk_size(log, limits, need));
    if (!chunk)
        return NULL;
    if (split_now && !need_rest(log)) {
        free(chunk);
        return NULL;
    }
    if (split_now)
        split(log, limits.cap_bytes);
    if (!push_chunk(log, chunk, in_tail)) {
        free(chunk);
        return NULL;
    }
    return chunk;
}

int logbuf_reserve(struct logbuf *log, struct logbuf_limits limits, size_t bytes)
{
    return chunk_for(log, limits, bytes) ? 0 : -ENOMEM;
}

/* Counts what was added; drops what is beyond the cap. */
static void grown(struct logbuf_rest *rest, size_t cap_bytes, size_t bytes)
{
    struct logbuf_sums *sums = &rest->sums;

    sums->started = true;
    *(sums->has_tail ? &sums->tail_bytes : &sums->head_bytes) += bytes;
    while (sums->head_bytes + sums->tail_bytes > cap_bytes && rest->tail_first != rest->tail_last)
        drop_oldest_of_tail(rest);
}

int logbuf_append(struct logbuf *log, struct logbuf_limits limits,
                  const struct logbuf_piece *pieces, size_t piece_count)
{
    bool started = logbuf_sums(log).started;
    size_t need = started ? 1 : 0;

    for (size_t i = 0; i < piece_count; i++)
        need += pieces[i].bytes;
    struct logbuf_chunk *chunk = chunk_for(log, limits, need);
    if (!chunk)
        return -ENOMEM;

    char *at = chunk->data + chunk->used_bytes;
    if (started)
        *at++ = '\n';
    for (size_t i = 0; i < piece_count; i++) {
        memcpy(at, pieces[i].data, pieces[i].bytes);
        at += pieces[i].bytes;
    }
    chunk->used_bytes += (uint32_t)need;
    chunk->message_count++;
    if (log->rest)
        grown(log->rest, limits.cap_bytes, need);
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

/* The last `bytes` of a chunk. What cannot be read becomes question marks. */
static int read_chunk_end(const struct logbuf_chunk *chunk, const struct tasklog_spill *spill,
                          char *buffer, size_t bytes)
{
    size_t skip = chunk->used_bytes - bytes;
    int r;

    if (!is_stub(chunk)) {
        memcpy(buffer, chunk->data + skip, bytes);
        return 0;
    }
    r = spill ? spill->read(spill->context, position_of(chunk), skip, buffer, bytes) : -EIO;
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
    struct logbuf_sums sums = logbuf_sums(log);
    char text[NOTE_BYTES_MAX];
    size_t bytes = note(&sums, text);
    int r = copy_list(log->first, spill, buffer);

    memcpy(buffer + sums.head_bytes, text, bytes);
    int r_tail = copy_list(tail_first(log), spill, buffer + sums.head_bytes + bytes);
    return r < 0 ? r : r_tail;
}

static size_t count_list(const struct logbuf_chunk *chunk)
{
    size_t count = 0;

    for (; chunk; chunk = chunk->next)
        count +=
            is_stub(chunk) ? chunk->char_count : text_char_count(chunk->data, chunk->used_bytes);
    return count;
}

size_t logbuf_char_count(const struct logbuf *log)
{
    struct logbuf_sums sums = logbuf_sums(log);
    char text[NOTE_BYTES_MAX];

    return count_list(log->first) + note(&sums, text) + count_list(tail_first(log));
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
    struct logbuf_sums sums = logbuf_sums(log);
    char text[NOTE_BYTES_MAX];
    size_t note_bytes = note(&sums, text);
    size_t all = sums.head_bytes + note_bytes + sums.tail_bytes;
    size_t room = max_bytes + 1; /* the byte before tells whether a line begins there */
    size_t start = copy_end_of_list(tail_last(log), spill, room, buffer);

    if (note_bytes > 0 && start > 0) {
        size_t bytes = note_bytes < start ? note_bytes : start;
        start -= bytes;
        memcpy(buffer + start, text + note_bytes - bytes, bytes);
    }
    start = copy_end_of_list(head_last(log), spill, start, buffer);

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

/* Puts a small chunk that only knows where the text is in the place of a whole one, which is freed. */
static void replace_chunk(struct logbuf *log, struct logbuf_chunk *whole, struct logbuf_chunk *stub)
{
    struct logbuf_rest *rest = log->rest;

    stub->prev = whole->prev;
    stub->next = whole->next;
    if (stub->prev)
        stub->prev->next = stub;
    else
        *(whole == log->first ? &log->first : &rest->tail_first) = stub;
    if (stub->next)
        stub->next->prev = stub;
    else if (rest)
        *(whole == rest->head_last ? &rest->head_last : &rest->tail_last) = stub;
    if (rest) {
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
    set_position(stub, position);
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
        if (!is_stub(chunk) && chunk->used_bytes > 0) {
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
    size_t freed = spill_list(log, log->first, spill, want_bytes);
    if (freed < want_bytes)
        freed += spill_list(log, tail_first(log), spill, want_bytes - freed);
    return freed;
}

static int move_list(struct logbuf_chunk *chunk, const struct tasklog_spill *spill,
                     uint64_t *ret_first)
{
    for (; chunk; chunk = chunk->next) {
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
        set_position(chunk, position);
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
    r = move_list(log->first, spill, &first);
    if (r == 0)
        r = move_list(tail_first(log), spill, &first);
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
    *ret_head = count_chunks(log->first);
    *ret_tail = count_chunks(tail_first(log));
}

const struct logbuf_chunk *logbuf_next_place(const struct logbuf *log,
                                             const struct logbuf_chunk *chunk,
                                             struct logbuf_place *ret_place)
{
    do {
        if (!chunk)
            chunk = log->first ? log->first : tail_first(log);
        else if (chunk == head_last(log))
            chunk = tail_first(log);
        else
            chunk = chunk->next;
    } while (chunk && chunk->used_bytes == 0);
    if (chunk)
        *ret_place = (struct logbuf_place){.position = is_stub(chunk) ? position_of(chunk) : 0,
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
    set_position(chunk, place->position);
    chunk->used_bytes = (uint32_t)place->bytes;
    chunk->message_count = (uint32_t)place->message_count;
    chunk->char_count = (uint32_t)place->char_count;
    if (!push_chunk(log, chunk, tail)) {
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
    if (!need_rest(log))
        return -ENOMEM;
    log->rest->sums.missing_messages = sums->missing_messages;
    log->rest->sums.missing_bytes = sums->missing_bytes;
    log->rest->sums.started = sums->started;
    log->rest->sums.has_tail = sums->has_tail;
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
    free_list(log->first);
    free_list(tail_first(log));
    free(log->rest);
    *log = (struct logbuf){0};
}
