/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a line's number. */
#include "tasklog/number.h"

#include <string.h>

#include "hash.h"

#define BEGIN "[tasklog@32473 stream=\""
#define MIDDLE "\" number=\""
#define END "\"]"

static bool skip(const char **at, const char *end, const char *text)
{
    size_t bytes = strlen(text);

    if ((size_t)(end - *at) < bytes || memcmp(*at, text, bytes) != 0)
        return false;
    *at += bytes;
    return true;
}

bool tasklog_number_parse(const char *data, size_t bytes, uint64_t *ret_stream,
                          uint32_t *ret_number)
{
    static const struct hash_key key = {0, 0};
    const char *at = data, *end = data + bytes;
    uint64_t number = 0;

    if (!skip(&at, end, BEGIN))
        return false;
    const char *stream = at;
    const char *quote = memchr(at, '"', (size_t)(end - at));
    if (!quote || quote == stream || quote - stream > TASKLOG_STREAM_BYTES_MAX)
        return false;
    at = quote;
    if (!skip(&at, end, MIDDLE))
        return false;
    const char *digits = at;
    for (; at < end && *at >= '0' && *at <= '9' && number < TASKLOG_NUMBERS; at++)
        number = number * 10 + (uint64_t)(*at - '0');
    if (at == digits || number >= TASKLOG_NUMBERS || !skip(&at, end, END))
        return false;
    uint64_t hash = hash_bytes(&key, stream, (size_t)(quote - stream));
    *ret_stream = hash ? hash : 1;
    *ret_number = (uint32_t)number;
    return true;
}
