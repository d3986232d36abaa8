/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text repair. One pass finds out that nearly all lines are good and need no copy; only a line that
 * is not is rewritten into the buffer. It judges bytes, not what they say: terminal codes and
 * bidirectional controls are text.
 */
#include "text.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"
enum { REPLACEMENT_BYTES = 3 };

/* How many bytes of ASCII without NUL stand at the beginning. */
static size_t ascii_span(const char *data, size_t bytes)
{
    size_t at = 0;

    while (bytes - at >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data + at, sizeof(word));
        /* A byte with the high bit, or a zero byte (may also fire beside one: the loop below
         * decides). */
        if (((word - UINT64_C(0x0101010101010101)) | word) & UINT64_C(0x8080808080808080))
            break;
        at += sizeof(word);
    }
    while (at < bytes && (signed char)data[at] > 0)
        at++;
    return at;
}

/*
 * Looks at the sequence that starts with a byte that is not ASCII. Returns its length if it is good,
 * else 0, with the length of the maximal part to replace in `ret_bad`.
 */
static size_t sequence_span(const unsigned char *data, size_t bytes, size_t *ret_bad)
{
    unsigned char lead = data[0];
    unsigned char low = 0x80, high = 0xBF; /* what the second byte may be */
    size_t length, at;

    if (lead >= 0xC2 && lead <= 0xDF)
        length = 2;
    else if (lead >= 0xE0 && lead <= 0xEF)
        length = 3;
    else if (lead >= 0xF0 && lead <= 0xF4)
        length = 4;
    else
        length = 1;

    if (lead == 0xE0)
        low = 0xA0; /* shorter forms exist */
    else if (lead == 0xED)
        high = 0x9F; /* surrogates */
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F; /* beyond U+10FFFF */

    for (at = 1; at < length && at < bytes; at++) {
        if (data[at] < low || data[at] > high)
            break;
        low = 0x80;
        high = 0xBF;
    }
    if (length > 1 && at == length)
        return length;
    *ret_bad = at;
    return 0;
}

static size_t valid_span(const char *data, size_t bytes)
{
    size_t at = 0, bad;

    for (;;) {
        at += ascii_span(data + at, bytes - at);
        if (at == bytes || data[at] == '\0')
            return at;
        size_t length = sequence_span((const unsigned char *)data + at, bytes - at, &bad);
        if (length == 0)
            return at;
        at += length;
    }
}

bool text_is_valid(const char *data, size_t bytes)
{
    return valid_span(data, bytes) == bytes;
}

/* Is this `#ooo` for a character that rsyslog escapes (000 to 037)? */
static bool is_escape(const char *data, size_t bytes)
{
    return bytes >= 4 && data[1] == '0' && data[2] >= '0' && data[2] <= '3' && data[3] >= '0' &&
           data[3] <= '7';
}

static const char *find_escape(const char *data, size_t bytes, int prefix)
{
    const char *end = data + bytes;

    if (prefix < 0)
        return NULL;
    while (bytes > 0 && (data = memchr(data, prefix, (size_t)(end - data))) != NULL) {
        if (is_escape(data, (size_t)(end - data)))
            return data;
        data++;
    }
    return NULL;
}

/* Copies with the escapes turned back; the copy is never longer. Returns its length. */
static size_t unescape(const char *data, size_t bytes, int prefix, char *copy)
{
    const char *end = data + bytes;
    size_t used = 0;

    for (;;) {
        const char *escape = find_escape(data, (size_t)(end - data), prefix);
        size_t plain = (size_t)((escape ? escape : end) - data);
        memcpy(copy + used, data, plain);
        used += plain;
        if (!escape)
            return used;
        copy[used++] = (char)((escape[2] - '0') * 8 + (escape[3] - '0'));
        data = escape + 4;
    }
}

/* Copies with U+FFFD for what is not text; the copy is at most three times as long. */
static size_t replace_bad(const char *data, size_t bytes, char *copy)
{
    size_t at = 0, used = 0;

    while (at < bytes) {
        size_t good = valid_span(data + at, bytes - at), bad = 1;
        memcpy(copy + used, data + at, good);
        used += good;
        at += good;
        if (at == bytes)
            break;
        if (data[at] != '\0')
            (void)sequence_span((const unsigned char *)data + at, bytes - at, &bad);
        memcpy(copy + used, REPLACEMENT, REPLACEMENT_BYTES);
        used += REPLACEMENT_BYTES;
        at += bad;
    }
    return used;
}

int text_repair(const char *data, size_t bytes, int escape_prefix, struct text_buffer *buffer,
                struct text *ret_text)
{
    bool escaped = find_escape(data, bytes, escape_prefix) != NULL;

    if (!escaped && text_is_valid(data, bytes)) {
        *ret_text = (struct text){.data = data, .bytes = bytes};
        return 0;
    }
    /* The unescaped text lies behind the place where its repaired copy may grow to. */
    int r = text_buffer_reserve(buffer, bytes * 4);
    if (r < 0)
        return r;
    char *plain = buffer->data + bytes * 3;
    size_t plain_bytes = unescape(data, bytes, escape_prefix, plain);
    if (text_is_valid(plain, plain_bytes)) {
        *ret_text = (struct text){.data = plain, .bytes = plain_bytes};
        return 0;
    }
    size_t repaired = replace_bad(plain, plain_bytes, buffer->data);
    *ret_text = (struct text){.data = buffer->data, .bytes = repaired, .altered = true};
    return 0;
}

size_t text_char_count(const char *data, size_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t at = 0, inner = 0; /* bytes within a character: 10xxxxxx */

    for (; bytes - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data + at, sizeof(word));
        inner += (((word >> 7) & ~(word >> 6) & ones) * ones) >> 56;
    }
    for (; at < bytes; at++)
        inner += ((unsigned char)data[at] & 0xC0) == 0x80;
    return bytes - inner;
}

size_t text_cut(const char *data, size_t bytes, size_t max_bytes)
{
    if (bytes <= max_bytes)
        return bytes;
    while (max_bytes > 0 && ((unsigned char)data[max_bytes] & 0xC0) == 0x80)
        max_bytes--;
    return max_bytes;
}

int text_buffer_reserve(struct text_buffer *buffer, size_t bytes)
{
    if (bytes <= buffer->size_bytes)
        return 0;
    size_t size = bytes < 1024 ? 1024 : bytes;
    char *data = malloc(size);
    if (!data)
        return -ENOMEM;
    free(buffer->data);
    buffer->data = data;
    buffer->size_bytes = size;
    return 0;
}

void text_buffer_done(struct text_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct text_buffer){0};
}

char *text_copy(const char *data, size_t bytes)
{
    char *copy = malloc(bytes + 1);

    if (!copy)
        return NULL;
    if (bytes > 0)
        memcpy(copy, data, bytes);
    copy[bytes] = '\0';
    return copy;
}
