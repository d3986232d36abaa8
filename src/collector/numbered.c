/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of fingerprints for each stream:
 *
 *     place of the newest number ─┐
 *     … 40 │ 41 │ 42 │ 43 │ -468 │ -467 …       0 = that number has not come
 */
#include "numbered.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fingerprint.h"
#include "tasklog/number.h"

enum { CHAINS = 2 * NUMBERED_STREAMS };

/* As it is saved, too. */
struct ring {
    uint64_t stream;
    uint32_t newest; /* its number */
    uint32_t place;  /* of the newest */
    uint32_t prints[NUMBERED_WINDOW];
    int64_t last_us; /* when the last line was taken */
    uint32_t
        firsts; /* how many there were after a silence; the next goes to this, modulo their size */
    uint32_t zero;
    struct first {
        uint32_t number;
        uint32_t print;
    } first[NUMBERED_FIRST];
};

struct stream {
    struct stream *next; /* in its chain */
    uint64_t used;       /* when it was last noted: greater is later */
    struct ring ring;
};

struct numbered {
    struct stream *streams[NUMBERED_STREAMS];
    size_t count;
    uint64_t uses;
    struct stream *chains[CHAINS];
};

struct numbered *numbered_new(void)
{
    return calloc(1, sizeof(struct numbered));
}

void numbered_free(struct numbered *numbered)
{
    if (!numbered)
        return;
    for (size_t i = 0; i < numbered->count; i++)
        free(numbered->streams[i]);
    free(numbered);
}

static uint32_t print_of(const struct tasklog_line *line)
{
    uint32_t print = (uint32_t)fingerprint_of(line);

    return print ? print : 1;
}

static struct stream *find(const struct numbered *numbered, uint64_t id)
{
    struct stream *stream = numbered->chains[id % CHAINS];

    while (stream && stream->ring.stream != id)
        stream = stream->next;
    return stream;
}

/* How many numbers the line's is before the newest; negative if it is behind that. */
static int32_t age_of(const struct ring *ring, uint32_t number)
{
    uint32_t ahead = (number + (uint32_t)TASKLOG_NUMBERS - ring->newest) % TASKLOG_NUMBERS;

    return ahead < TASKLOG_NUMBERS / 2 ? -(int32_t)ahead : (int32_t)(TASKLOG_NUMBERS - ahead);
}

static uint32_t *place_of(struct ring *ring, int32_t age)
{
    return &ring->prints[(ring->place - (uint32_t)age) % NUMBERED_WINDOW];
}

bool numbered_has(const struct numbered *numbered, const struct tasklog_line *line)
{
    struct stream *stream = find(numbered, line->stream);

    if (!stream)
        return false;
    struct ring *ring = &stream->ring;
    uint32_t print = print_of(line);
    int32_t age = age_of(ring, line->number);
    if (age >= 0 && age < NUMBERED_WINDOW)
        return *place_of(ring, age) == print;
    for (size_t i = 0; i < NUMBERED_FIRST; i++)
        if (ring->first[i].print == print && ring->first[i].number == line->number)
            return true;
    return false;
}

/* Room for one more: of its own, or that of the one that has been silent longest. */
static struct stream *make_room(struct numbered *numbered)
{
    if (numbered->count < NUMBERED_STREAMS) {
        struct stream *stream = malloc(sizeof(*stream));
        if (stream)
            numbered->streams[numbered->count++] = stream;
        return stream;
    }
    struct stream *oldest = numbered->streams[0];
    for (size_t i = 1; i < numbered->count; i++)
        if (numbered->streams[i]->used < oldest->used)
            oldest = numbered->streams[i];
    struct stream **link = &numbered->chains[oldest->ring.stream % CHAINS];
    while (*link != oldest)
        link = &(*link)->next;
    *link = oldest->next;
    return oldest;
}

static struct stream *add(struct numbered *numbered, uint64_t id)
{
    struct stream *stream = make_room(numbered);

    if (!stream)
        return NULL;
    struct stream **chain = &numbered->chains[id % CHAINS];
    *stream = (struct stream){.next = *chain, .ring = {.stream = id}};
    *chain = stream;
    return stream;
}

/* A greater number is the newest now; those between have not come. */
static void advance(struct ring *ring, uint32_t number, uint32_t steps)
{
    if (steps >= NUMBERED_WINDOW)
        memset(ring->prints, 0, sizeof(ring->prints));
    for (uint32_t i = 1; i <= steps && i < NUMBERED_WINDOW; i++)
        *place_of(ring, -(int32_t)i) = 0;
    ring->place = (ring->place + steps) % NUMBERED_WINDOW;
    ring->newest = number;
}

static void note_first(struct ring *ring, const struct tasklog_line *line, int64_t wall_us)
{
    if (wall_us < ring->last_us || wall_us - ring->last_us >= NUMBERED_SILENCE_MS * INT64_C(1000))
        ring->first[ring->firsts++ % NUMBERED_FIRST] =
            (struct first){.number = line->number, .print = print_of(line)};
    ring->last_us = wall_us;
}

void numbered_note(struct numbered *numbered, const struct tasklog_line *line, int64_t wall_us)
{
    struct stream *stream = find(numbered, line->stream);

    if (!stream) {
        stream = add(numbered, line->stream);
        if (!stream)
            return;
        stream->ring.newest = line->number;
    }
    int32_t age = age_of(&stream->ring, line->number);
    if (age < 0) {
        advance(&stream->ring, line->number, (uint32_t)-age);
        age = 0;
    }
    if (age < NUMBERED_WINDOW)
        *place_of(&stream->ring, age) = print_of(line);
    note_first(&stream->ring, line, wall_us);
    stream->used = ++numbered->uses;
}

static int compare_used(const void *a, const void *b)
{
    const struct stream *x = *(struct stream *const *)a, *y = *(struct stream *const *)b;

    return x->used < y->used ? -1 : x->used > y->used;
}

int numbered_save(const struct numbered *numbered, void **ret_data, size_t *ret_bytes)
{
    struct stream *by_use[NUMBERED_STREAMS];
    struct ring *rings = malloc(numbered->count * sizeof(*rings) + 1);

    if (!rings)
        return -ENOMEM;
    memcpy(by_use, numbered->streams, numbered->count * sizeof(struct stream *));
    qsort(by_use, numbered->count, sizeof(struct stream *), compare_used);
    for (size_t i = 0; i < numbered->count; i++)
        rings[i] = by_use[i]->ring;
    *ret_data = rings;
    *ret_bytes = numbered->count * sizeof(*rings);
    return 0;
}

int numbered_restore(struct numbered *numbered, const void *data, size_t bytes)
{
    const char *at = data;
    struct ring ring;

    if (bytes % sizeof(ring) != 0)
        return -EBADMSG;
    for (; bytes > 0; bytes -= sizeof(ring), at += sizeof(ring)) {
        memcpy(&ring, at, sizeof(ring));
        if (ring.stream == 0 || ring.newest >= TASKLOG_NUMBERS || ring.place >= NUMBERED_WINDOW)
            return -EBADMSG;
        struct stream *stream = find(numbered, ring.stream);
        if (!stream)
            stream = add(numbered, ring.stream);
        if (!stream)
            return -ENOMEM;
        stream->ring = ring;
        stream->used = ++numbered->uses;
    }
    return 0;
}
