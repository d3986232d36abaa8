/* SPDX-License-Identifier: Apache-2.0 */
/* Lines in pieces. There are few at a time: a list will do. */
#include "join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct held {
    struct held *next; /* that began later */
    char *stream;
    size_t stream_bytes;
    struct frame frame; /* of the first piece; its texts lie one behind the other in the buffer */
    size_t starts[FRAME_TEXTS];
    char *buffer;
    size_t used;
    size_t size;
    int64_t last_ms;
    char before[CURSOR_BYTES];
};

struct join {
    struct held *first;
    size_t count;
    struct held *given; /* the frame given last; freed at the next call */
};

int join_new(struct join **ret_join)
{
    struct join *join = calloc(1, sizeof(*join));

    if (!join)
        return -ENOMEM;
    *ret_join = join;
    return 0;
}

static void held_free(struct held *held)
{
    if (!held)
        return;
    free(held->stream);
    free(held->buffer);
    free(held);
}

void join_free(struct join *join)
{
    if (!join)
        return;
    while (join->first) {
        struct held *held = join->first;
        join->first = held->next;
        held_free(held);
    }
    held_free(join->given);
    free(join);
}

static int append(struct held *held, struct frame_text text)
{
    if (held->size - held->used < text.bytes) {
        size_t size = (held->used + text.bytes) * 2;
        char *buffer = realloc(held->buffer, size);
        if (!buffer)
            return -ENOMEM;
        held->buffer = buffer;
        held->size = size;
    }
    if (text.bytes > 0)
        memcpy(held->buffer + held->used, text.data, text.bytes);
    held->used += text.bytes;
    return 0;
}

/* The message is the last text, so that pieces can be put behind it. */
static struct held *held_new(struct frame_text stream, const char *before,
                             const struct frame *frame)
{
    struct held *held = calloc(1, sizeof(*held));
    int r = 0;

    if (!held)
        return NULL;
    held->stream = malloc(stream.bytes + 1);
    if (!held->stream)
        goto failed;
    memcpy(held->stream, stream.data, stream.bytes);
    held->stream_bytes = stream.bytes;
    held->frame = *frame;
    strncpy(held->before, before, sizeof(held->before) - 1);
    for (size_t i = 0; i < FRAME_TEXT && r == 0; i++) {
        held->starts[i] = held->used;
        r = append(held, frame->texts[i]);
    }
    held->starts[FRAME_TEXT] = held->used;
    if (r == 0)
        return held;

failed:
    held_free(held);
    return NULL;
}

static void give(struct join *join, struct held **place, struct frame *ret_frame)
{
    struct held *held = *place;

    *place = held->next;
    join->count--;
    join->given = held;
    *ret_frame = held->frame;
    for (size_t i = 0; i < FRAME_TEXTS; i++)
        ret_frame->texts[i].data = held->buffer + held->starts[i];
    ret_frame->texts[FRAME_TEXT].bytes = held->used - held->starts[FRAME_TEXT];
}

static void forget_given(struct join *join)
{
    held_free(join->given);
    join->given = NULL;
}

int join_add(struct join *join, struct frame_text stream, bool goes_on, const char *before,
             int64_t now_ms, struct frame *frame)
{
    struct held **place = &join->first;

    forget_given(join);
    while (*place && ((*place)->stream_bytes != stream.bytes ||
                      memcmp((*place)->stream, stream.data, stream.bytes) != 0))
        place = &(*place)->next;
    if (!*place) {
        if (!goes_on || join->count == JOIN_STREAMS_MAX)
            return 1; /* a line of one piece */
        *place = held_new(stream, before, frame);
        if (!*place)
            return -ENOMEM;
        join->count++;
    }
    int r = append(*place, frame->texts[FRAME_TEXT]);
    if (r < 0)
        return r;
    (*place)->last_ms = now_ms;
    if (goes_on && (*place)->used - (*place)->starts[FRAME_TEXT] < JOIN_BYTES_MAX)
        return 0;
    give(join, place, frame);
    return 1;
}

int join_flush(struct join *join, int64_t before_ms, struct frame *ret_frame)
{
    forget_given(join);
    for (struct held **place = &join->first; *place; place = &(*place)->next) {
        if ((*place)->last_ms <= before_ms) {
            give(join, place, ret_frame);
            return 1;
        }
    }
    return 0;
}

const char *join_from(const struct join *join)
{
    return join->first ? join->first->before : NULL;
}
