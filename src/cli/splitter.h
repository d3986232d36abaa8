/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cuts what a job writes into lines. A line may come in many pieces of text, and text may be missing
 * between them: each line is then either whole, or counted as lost, and never anything else. Pure.
 *
 * A line that is longer than the limit is given out in parts, cut between characters of UTF-8; it is
 * one line in every count.
 */
#ifndef TASKLOG_SRC_SPLITTER_H
#define TASKLOG_SRC_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct splitter {
    size_t part_bytes; /* the limit; may be lowered at any time */
    char *held;        /* the beginning of a line that has not ended yet */
    size_t held_bytes;
    size_t given_bytes; /* of them, which have been given out */
    size_t held_size_bytes;
    bool broken; /* a piece of the line that is being read is missing */
    bool inside; /* a part of it has been given out already */
    uint64_t lost_lines;

    const char *input; /* the text that is being cut */
    size_t input_bytes;
};

struct splitter_part {
    const char *text; /* into the input, or into what was held: good until the next call */
    size_t bytes;
    bool is_first; /* with is_last: a line that is in one piece */
    bool is_last;
    bool held; /* it lies in the splitter, not in the input */
};

void splitter_init(struct splitter *splitter, size_t part_bytes);
void splitter_done(struct splitter *splitter);

/* More text; it must stay until splitter_next has said that there is no more in it. */
void splitter_feed(struct splitter *splitter, const char *text, size_t bytes);

/* The next line, or part of one, without its newline. False: more text is needed. */
bool splitter_next(struct splitter *splitter, struct splitter_part *ret_part);

/* Text with so many line ends is missing here; `open`: and a line's beginning behind the last one. */
void splitter_gap(struct splitter *splitter, uint64_t lines, bool open);

/* The text is over: true if it ended with a line without a newline, which is given out, the last
 * part of it at least. */
bool splitter_end(struct splitter *splitter, struct splitter_part *ret_part);

/* A part that was given out, and was not the last of its line, went nowhere: the line is lost. */
void splitter_lose(struct splitter *splitter);

/* The greatest length up to the limit that does not split a character, as far as bytes tell. */
size_t splitter_cut(const char *text, size_t bytes, size_t limit);

#endif
