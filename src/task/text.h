/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes text of bytes: valid UTF-8 without NUL, which every database takes. Bad bytes become U+FFFD,
 * one for each maximal part of a broken sequence (as Unicode recommends and Python does). Escapes of
 * control characters that rsyslog made (`#012`) are turned back first.
 */
#ifndef TASKLOG_SRC_TEXT_H
#define TASKLOG_SRC_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* A buffer that is used again for one text after the other. Zero-initialise it. */
struct text_buffer {
    char *data;
    size_t size_bytes;
};

struct text {
    const char *data; /* the input itself when it was good, else in the buffer */
    size_t bytes;
    bool altered; /* something that was not text was replaced */
};

/* True if all of it is valid UTF-8 without NUL. */
bool text_is_valid(const char *data, size_t bytes);

/* `escape_prefix`: the character that starts an escape, or -1 to leave them alone. 0 or -ENOMEM. */
int text_repair(const char *data, size_t bytes, int escape_prefix, struct text_buffer *buffer,
                struct text *ret_text) __attribute__((warn_unused_result));

/* The number of characters in valid UTF-8. */
size_t text_char_count(const char *data, size_t bytes);

/* The greatest length <= `max_bytes` that does not split a character of valid UTF-8. */
size_t text_cut(const char *data, size_t bytes, size_t max_bytes);

/* Makes room for `bytes`; the content may be lost. 0 or -ENOMEM. */
int text_buffer_reserve(struct text_buffer *buffer, size_t bytes)
    __attribute__((warn_unused_result));
void text_buffer_done(struct text_buffer *buffer);

/* A string of `bytes` bytes, behind which nothing is looked at; to be freed. NULL for want of memory. */
char *text_copy(const char *data, size_t bytes);

#endif
