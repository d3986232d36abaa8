/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people. What comes from a database or an administrator is made one printable line here,
 * and nowhere else; the nearest name is found by edit distance. It formats nothing that a database
 * reads.
 */
#include "message.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MOST_NAMES = 12, COMPARED_BYTES = 64 };

/* Reads one character; returns its bytes, or 0 when there is no valid one. */
static size_t read_utf8(const unsigned char *s, uint32_t *ret_char)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t value = bytes == 1 ? s[0] : s[0] & (0x7fu >> bytes);

    for (size_t i = 1; i < bytes; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (s[i] & 0x3fu);
    }
    if (bytes == 0 || value < smallest[bytes] || value > 0x10ffff ||
        (value >= 0xd800 && value < 0xe000))
        return 0;
    *ret_char = value;
    return bytes;
}

/* Marks that turn the text behind them around are none that a line for people may have, either. */
static bool is_blank(uint32_t c)
{
    return c <= 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void message_line(char *line, size_t line_bytes, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t used = 0;
    size_t cut = 0; /* how much of the line stays when "..." has to follow */
    bool blank = false;

    if (line_bytes < sizeof "...")
        return;
    while (*s != '\0') {
        uint32_t c = '?';
        size_t bytes = read_utf8(s, &c);
        size_t taken = bytes > 0 ? bytes : 1;

        if (is_blank(c)) {
            blank = used > 0;
        } else {
            if (used + blank + taken >= line_bytes) {
                strcpy(line + cut, "...");
                return;
            }
            if (blank)
                line[used++] = ' ';
            if (bytes > 0)
                memcpy(line + used, s, bytes);
            else
                line[used] = '?';
            used += taken;
            blank = false;
            if (used + sizeof "..." <= line_bytes)
                cut = used;
        }
        s += taken;
    }
    line[used] = '\0';
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* Levenshtein's distance of the first bytes, without regard to case. */
static size_t distance(const char *a, const char *b)
{
    size_t row[COMPARED_BYTES + 1];
    size_t a_bytes = strnlen(a, COMPARED_BYTES);
    size_t b_bytes = strnlen(b, COMPARED_BYTES);

    for (size_t j = 0; j <= b_bytes; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            size_t best = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));

            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_bytes];
}

static size_t nearest(const char *wanted, const char *const *names, size_t count)
{
    size_t best = 0;
    size_t best_distance = SIZE_MAX;

    for (size_t i = 0; i < count; i++) {
        size_t d = distance(wanted, names[i]);

        if (d < best_distance) {
            best = i;
            best_distance = d;
        }
    }
    return best;
}

const char *message_meant(const char *wanted, const char *const *names, size_t count)
{
    size_t best = nearest(wanted, names, count);

    if (count == 0 || distance(wanted, names[best]) > 1 + strlen(wanted) / 4)
        return NULL;
    return names[best];
}

void message_names(char *list, size_t list_bytes, const char *wanted, const char *const *names,
                   size_t count)
{
    size_t first = nearest(wanted, names, count);
    size_t used = 0;
    size_t shown = count < MOST_NAMES ? count : MOST_NAMES;

    snprintf(list, list_bytes, "nothing");
    for (size_t i = 0; i < shown && used < list_bytes; i++) {
        size_t which = i == 0 ? first : i <= first ? i - 1 : i;

        used += (size_t)snprintf(list + used, list_bytes - used, "%s\"%s\"", i == 0 ? "" : ", ",
                                 names[which]);
    }
    if (count > shown && used < list_bytes)
        snprintf(list + used, list_bytes - used, " and %zu more", count - shown);
}
