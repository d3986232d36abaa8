/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a job's output into lines; see the header. */
#include "splitter.h"

#include <stdlib.h>
#include <string.h>

void splitter_init(struct splitter *splitter, size_t part_bytes)
{
    *splitter = (struct splitter){.part_bytes = part_bytes};
}

void splitter_done(struct splitter *splitter)
{
    free(splitter->held);
}

void splitter_feed(struct splitter *splitter, const char *text, size_t bytes)
{
    splitter->input = text;
    splitter->input_bytes = bytes;
}

size_t splitter_cut(const char *text, size_t bytes, size_t limit)
{
    size_t at = limit;

    if (bytes <= limit)
        return bytes;
    while (at > 0 && limit - at < 4 && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    return at > 0 && ((unsigned char)text[at] & 0xC0) != 0x80 ? at : limit;
}

/* False: there is no memory, or the line is broken anyhow. Then the line is lost. */
static bool hold(struct splitter *splitter, const char *text, size_t bytes)
{
    size_t needed = splitter->held_bytes + bytes;

    if (splitter->broken)
        return false;
    if (needed > splitter->held_size_bytes) {
        size_t size = needed < 4096 ? 4096 : needed + needed / 2;
        char *grown = realloc(splitter->held, size);
        if (!grown) {
            splitter_lose(splitter);
            return false;
        }
        splitter->held = grown;
        splitter->held_size_bytes = size;
    }
    memcpy(splitter->held + splitter->held_bytes, text, bytes);
    splitter->held_bytes = needed;
    return true;
}

static void take(struct splitter *splitter, size_t bytes)
{
    splitter->input += bytes;
    splitter->input_bytes -= bytes;
}

static void give(struct splitter *splitter, const char *text, size_t bytes, bool is_last,
                 struct splitter_part *ret_part)
{
    *ret_part = (struct splitter_part){text, bytes, !splitter->inside, is_last,
                                       text == splitter->held && splitter->held};
    splitter->inside = !is_last;
}

/* Forgets what was given out of it. */
static void drop_given(struct splitter *splitter)
{
    if (splitter->given_bytes == 0)
        return;
    splitter->held_bytes -= splitter->given_bytes;
    memmove(splitter->held, splitter->held + splitter->given_bytes, splitter->held_bytes);
    splitter->given_bytes = 0;
}

/* The first bytes of what is held; they are there until the next call. */
static void give_held(struct splitter *splitter, size_t bytes, bool is_last,
                      struct splitter_part *ret_part)
{
    give(splitter, splitter->held, bytes, is_last, ret_part);
    splitter->given_bytes = bytes;
}

static void forget_held(struct splitter *splitter)
{
    splitter->held_bytes = splitter->given_bytes = 0;
}

/* A line's end was met, or the stream's. True if the line was broken, and is counted now. */
static bool end_broken(struct splitter *splitter)
{
    if (!splitter->broken)
        return false;
    splitter->lost_lines++;
    splitter->broken = splitter->inside = false;
    forget_held(splitter);
    return true;
}

/* A part of a line that has a beginning that is held. `bytes` of the input belong to it. */
static bool step_held(struct splitter *splitter, size_t bytes, bool ends,
                      struct splitter_part *ret_part)
{
    size_t limit = splitter->part_bytes, room = 0;

    /* One byte more than a part has shows where its last character ends. */
    if (splitter->held_bytes <= limit)
        room = limit + 1 - splitter->held_bytes;
    bool all = bytes < room;
    if (all)
        room = bytes;
    if (!hold(splitter, splitter->input, room)) /* broken now: the next step goes over it */
        return false;
    take(splitter, room);
    if (splitter->held_bytes > limit) {
        give_held(splitter, splitter_cut(splitter->held, splitter->held_bytes, limit), false,
                  ret_part);
        return true;
    }
    if (!ends)
        return false;
    take(splitter, 1);
    give_held(splitter, splitter->held_bytes, true, ret_part);
    return true;
}

/* One step; false if it gave nothing, which need not mean that the input is used up. */
static bool step(struct splitter *splitter, struct splitter_part *ret_part)
{
    const char *text = splitter->input;
    const char *newline = memchr(text, '\n', splitter->input_bytes);
    size_t bytes = newline ? (size_t)(newline - text) : splitter->input_bytes;

    if (splitter->broken) {
        take(splitter, newline ? bytes + 1 : bytes);
        if (newline)
            (void)end_broken(splitter);
        return false;
    }
    if (splitter->held_bytes > 0 || (!newline && bytes <= splitter->part_bytes))
        return step_held(splitter, bytes, newline != NULL, ret_part);
    bool fits = bytes <= splitter->part_bytes;
    if (!fits)
        bytes = splitter_cut(text, bytes, splitter->part_bytes);
    give(splitter, text, bytes, fits, ret_part);
    take(splitter, fits ? bytes + 1 : bytes);
    return true;
}

bool splitter_next(struct splitter *splitter, struct splitter_part *ret_part)
{
    drop_given(splitter);
    while (splitter->input_bytes > 0)
        if (step(splitter, ret_part))
            return true;
    return false;
}

void splitter_gap(struct splitter *splitter, uint64_t lines, bool open)
{
    splitter->lost_lines += lines;
    forget_held(splitter);
    splitter->broken = open;
    if (lines > 0)
        splitter->inside = false;
}

bool splitter_end(struct splitter *splitter, struct splitter_part *ret_part)
{
    drop_given(splitter);
    if (end_broken(splitter))
        return false;
    if (splitter->held_bytes == 0 && !splitter->inside)
        return false;
    give_held(splitter, splitter->held_bytes, true, ret_part);
    return true;
}

void splitter_lose(struct splitter *splitter)
{
    splitter->broken = true;
    forget_held(splitter);
}
