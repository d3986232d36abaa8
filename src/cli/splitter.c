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

/* Out of what is held, with the first `bytes` of the input behind it. */
static bool give_held(struct splitter *splitter, size_t bytes, bool is_last,
                      struct splitter_part *ret_part)
{
    bool whole = hold(splitter, splitter->input, bytes);

    take(splitter, bytes);
    if (!whole)
        return false;
    give(splitter, splitter->held, splitter->held_bytes, is_last, ret_part);
    splitter->held_bytes = 0; /* it is there until something is held again */
    return true;
}

/* A line's end was met, or the stream's. True if the line was broken, and is counted now. */
static bool end_broken(struct splitter *splitter)
{
    if (!splitter->broken)
        return false;
    splitter->lost_lines++;
    splitter->broken = splitter->inside = false;
    splitter->held_bytes = 0;
    return true;
}

/* One step; false if it gave nothing, which need not mean that the input is used up. */
static bool step(struct splitter *splitter, struct splitter_part *ret_part)
{
    const char *text = splitter->input;
    const char *newline = memchr(text, '\n', splitter->input_bytes);
    size_t bytes = newline ? (size_t)(newline - text) : splitter->input_bytes;
    size_t held = splitter->held_bytes, limit = splitter->part_bytes;
    bool given = false;

    if (splitter->broken) {
        take(splitter, bytes);
    } else if (held + bytes > limit) {
        if (held == 0) {
            bytes = splitter_cut(text, bytes, limit);
            give(splitter, text, bytes, false, ret_part);
            take(splitter, bytes);
            return true;
        }
        if (held >= limit) { /* the limit was lowered, or a character reaches over it */
            give(splitter, splitter->held, held, false, ret_part);
            splitter->held_bytes = 0;
            return true;
        }
        return give_held(splitter, splitter_cut(text, bytes, limit - held), false, ret_part);
    } else if (!newline) {
        (void)hold(splitter, text, bytes);
        take(splitter, bytes);
        return false;
    } else if (held > 0) {
        given = give_held(splitter, bytes, true, ret_part);
    } else {
        give(splitter, text, bytes, true, ret_part);
        take(splitter, bytes);
        given = true;
    }
    if (newline) {
        take(splitter, 1);
        if (!given)
            (void)end_broken(splitter);
    }
    return given;
}

bool splitter_next(struct splitter *splitter, struct splitter_part *ret_part)
{
    while (splitter->input_bytes > 0)
        if (step(splitter, ret_part))
            return true;
    return false;
}

void splitter_gap(struct splitter *splitter, uint64_t lines, bool open)
{
    splitter->lost_lines += lines;
    splitter->held_bytes = 0;
    splitter->broken = open;
    if (lines > 0)
        splitter->inside = false;
}

bool splitter_end(struct splitter *splitter, struct splitter_part *ret_part)
{
    if (end_broken(splitter))
        return false;
    if (splitter->held_bytes == 0 && !splitter->inside)
        return false;
    give(splitter, splitter->held, splitter->held_bytes, true, ret_part);
    splitter->held_bytes = 0;
    return true;
}

void splitter_lose(struct splitter *splitter)
{
    splitter->broken = true;
    splitter->held_bytes = 0;
}
