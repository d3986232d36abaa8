/* SPDX-License-Identifier: Apache-2.0 */
/* The last lines. */
#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_AT_FIRST = 64 };

int ring_init(struct ring *ring, size_t most)
{
    *ring = (struct ring){.most = most, .size = most < SIZE_AT_FIRST ? most : SIZE_AT_FIRST};
    ring->lines = calloc(ring->size + 1, sizeof(*ring->lines));
    return ring->lines ? 0 : -ENOMEM;
}

static void drop_oldest(struct ring *ring)
{
    struct ring_line *line = &ring->lines[ring->first];

    ring->bytes -= line->bytes;
    free(line->text);
    *line = (struct ring_line){0};
    ring->first = (ring->first + 1) % ring->size;
    ring->count--;
}

void ring_clear(struct ring *ring)
{
    while (ring->count > 0)
        drop_oldest(ring);
    free(ring->open.text);
    ring->open = (struct ring_line){0};
}

void ring_done(struct ring *ring)
{
    ring_clear(ring);
    free(ring->lines);
    *ring = (struct ring){0};
}

/* Makes room for one more line, of memory or by letting the oldest go. False if none are to be kept. */
static bool make_room(struct ring *ring)
{
    if (ring->most == 0)
        return false;
    if (ring->count < ring->size)
        return true;
    size_t size = ring->size * 2 < ring->most ? ring->size * 2 : ring->most;
    struct ring_line *lines = size > ring->size ? calloc(size, sizeof(*lines)) : NULL;
    if (!lines) {
        drop_oldest(ring);
        return true;
    }
    for (size_t i = 0; i < ring->count; i++)
        lines[i] = ring->lines[(ring->first + i) % ring->size];
    free(ring->lines);
    ring->lines = lines;
    ring->size = size;
    ring->first = 0;
    return true;
}

void ring_add(struct ring *ring, const char *text, size_t bytes, bool more)
{
    struct ring_line *open = &ring->open;
    char *grown = realloc(open->text, open->bytes + bytes + 1);

    if (grown) {
        if (bytes > 0)
            memcpy(grown + open->bytes, text, bytes);
        open->text = grown;
        open->bytes += bytes;
    }
    if (more)
        return;
    if (open->text && make_room(ring)) {
        ring->lines[(ring->first + ring->count++) % ring->size] = *open;
        ring->bytes += open->bytes;
        *open = (struct ring_line){0};
    }
    free(open->text);
    *open = (struct ring_line){0};
    while (ring->bytes > RING_BYTES_MAX && ring->count > 1)
        drop_oldest(ring);
}

bool ring_get(const struct ring *ring, size_t i, const char **ret_text, size_t *ret_bytes)
{
    if (i >= ring->count)
        return false;
    const struct ring_line *line = &ring->lines[(ring->first + i) % ring->size];
    *ret_text = line->text;
    *ret_bytes = line->bytes;
    return true;
}
