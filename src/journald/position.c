/* SPDX-License-Identifier: Apache-2.0 */
/* Where the reading of a journal stands. */
#include "position.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool position_parse(const char *text, size_t bytes, struct position *ret_position)
{
    const char *newline = memchr(text, '\n', bytes);
    size_t settled_bytes = newline ? (size_t)(newline - text) : bytes;
    const char *from = newline ? newline + 1 : text;
    size_t from_bytes = newline ? bytes - settled_bytes - 1 : bytes;

    if (settled_bytes == 0 || settled_bytes >= CURSOR_BYTES || from_bytes == 0 ||
        from_bytes >= CURSOR_BYTES || memchr(text, '\0', bytes) || memchr(from, '\n', from_bytes))
        return false;
    *ret_position = (struct position){{0}, {0}};
    memcpy(ret_position->settled, text, settled_bytes);
    memcpy(ret_position->from, from, from_bytes);
    return true;
}

size_t position_print(const struct position *position, char buffer[2 * CURSOR_BYTES])
{
    size_t bytes = strlen(position->settled);

    memcpy(buffer, position->settled, bytes);
    if (strcmp(position->settled, position->from) == 0)
        return bytes;
    buffer[bytes++] = '\n';
    size_t from_bytes = strlen(position->from);
    memcpy(buffer + bytes, position->from, from_bytes);
    return bytes + from_bytes;
}

/* The value of `key`, such as "i=", at the beginning of the text or after a semicolon. */
static const char *find_value(const char *text, const char *key)
{
    for (; text; text = strchr(text, ';')) {
        if (*text == ';')
            text++;
        if (strncmp(text, key, 2) == 0)
            return text + 2;
    }
    return NULL;
}

static bool read_id(const char *text, char id[33])
{
    if (!text || strspn(text, "0123456789abcdef") != 32)
        return false;
    memcpy(id, text, 32);
    id[32] = '\0';
    return true;
}

static bool read_hex(const char *text, uint64_t *number)
{
    char *end;

    if (!text)
        return false;
    *number = strtoull(text, &end, 16);
    return end != text;
}

bool cursor_parse(const char *text, struct cursor *ret_cursor)
{
    struct cursor cursor;

    if (!read_id(find_value(text, "s="), cursor.sequence) ||
        !read_hex(find_value(text, "i="), &cursor.number) ||
        !read_id(find_value(text, "b="), cursor.boot) ||
        !read_hex(find_value(text, "t="), &cursor.realtime_us))
        return false;
    *ret_cursor = cursor;
    return true;
}

bool cursor_is_after(const struct cursor *a, const struct cursor *b)
{
    if (strcmp(a->sequence, b->sequence) == 0)
        return a->number > b->number;
    return a->realtime_us > b->realtime_us;
}
