/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that compress about as well as those of real logs do, for the sender and for what it is compared with. */
#ifndef TESTS_BENCH_WORDS_H
#define TESTS_BENCH_WORDS_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_BYTES = 1 << 16 };

static char words[WORDS_BYTES + 64];

static inline void words_make(void)
{
    static const char *const list[] = {"table",    "column",   "orders",  "created",  "comment",
                                       "customer", "relation", "reading", "index",    "schema",
                                       "updated",  "invoice",  "skipped", "payments", "done",
                                       "value",    "product",  "missing", "chunk",    "written"};
    uint64_t state = 42;
    size_t at = 0;

    while (at < WORDS_BYTES) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        unsigned number = (unsigned)(state >> 33);
        at += (size_t)(number % 4 ? sprintf(words + at, "%s ", list[number / 4 % 20])
                                  : sprintf(words + at, "%u ", number / 4 % 100000));
    }
}

/* The text of a line, of `bytes` or a little more; returns how long it is. */
static inline size_t words_line(unsigned long task, unsigned long line, size_t bytes, char *text)
{
    size_t at = (size_t)sprintf(text, "line %lu ", line);

    if (at < bytes) {
        memcpy(text + at, words + (task * 7919 + line * 101) % (WORDS_BYTES - 4096), bytes - at);
        at = bytes;
    }
    return at;
}

#endif
