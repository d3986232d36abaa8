/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times as people read them: the stamp before a line, and durations. The local time zone is the C
 * library's (the front has called tzset).
 */
#ifndef TASKLOG_SRC_STAMP_H
#define TASKLOG_SRC_STAMP_H

#include <stddef.h>
#include <stdint.h>

enum { STAMP_BYTES_MAX = 48, DURATION_BYTES_MAX = 48 };

/* The text of one second, kept since most lines come within the same one. Zero-initialise it. */
struct stamp {
    int64_t second;
    size_t bytes; /* 0 = nothing formatted yet */
    char text[STAMP_BYTES_MAX];
};

/* Makes the text "[YYYY-MM-DD HH:MM:SS] " for a time in microseconds since 1970 UTC. */
void stamp_set(struct stamp *stamp, int64_t time_us);

/* Whole seconds as "5s", "1m 5s" or "2h 3m 4s"; returns the length. */
size_t stamp_duration(int64_t duration_us, char buffer[DURATION_BYTES_MAX]);

#endif
