/* SPDX-License-Identifier: Apache-2.0 */
/* What tells lines apart: host, tag, time as reported, severity and text. */
#ifndef TASKLOG_SRC_FINGERPRINT_H
#define TASKLOG_SRC_FINGERPRINT_H

#include <xxhash.h>

#include "tasklog/line.h"

static inline uint64_t fingerprint_of(const struct tasklog_line *line)
{
    uint64_t print = (uint64_t)line->time_us ^ (uint64_t)line->severity << 56;

    print = XXH3_64bits_withSeed(line->kind, line->kind_bytes, print);
    print = XXH3_64bits_withSeed(line->id, line->id_bytes, print);
    print = XXH3_64bits_withSeed(line->host, line->host_bytes, print);
    return XXH3_64bits_withSeed(line->text, line->text_bytes, print);
}

#endif
