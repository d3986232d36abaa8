/* SPDX-License-Identifier: Apache-2.0 */
/* Makes foreign text fit to stand in a message to people: short, on one line, and without the codes
 * that terminals obey. */
#ifndef TASKLOG_SRC_SHOWN_H
#define TASKLOG_SRC_SHOWN_H

#include <stddef.h>
#include <string.h>

enum { SHOWN_BYTES_MAX = 80 };

struct shown {
    char text[SHOWN_BYTES_MAX + sizeof("...")];
};

/* The beginning of `text`; control characters, marks of direction and what is not UTF-8 become question marks, and dots
 * tell that there is more. */
struct shown show_text(const char *text, size_t text_bytes);

static inline struct shown show_string(const char *text)
{
    return show_text(text, strlen(text));
}

#endif
