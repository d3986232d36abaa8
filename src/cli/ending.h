/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `tasklog run` says as its task ends, and how it takes the control lines that the job itself
 * writes to its output. Pure.
 *
 * There is one end and one start, those of `tasklog run`: a job's own `@task end` is held back, and
 * what it says goes into the real one, its `@task start` becomes a `@task progress`.
 */
#ifndef TASKLOG_SRC_ENDING_H
#define TASKLOG_SRC_ENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ending_line { ENDING_OTHER, ENDING_START, ENDING_END };

struct ending {
    int exit_code;   /* -1: it did not exit by itself */
    int signal;      /* that killed it, else 0 */
    bool dumped;     /* its core */
    int start_error; /* errno: why it could not be run at all; then exit_code is 126 or 127 */
    int64_t duration_ms;
    uint64_t unsent; /* lines of its output */
    const char
        *fields; /* of the job's own end, as ending_read gives them; NULL if there was none */
};

/* Which of the two a line is, and what stands behind its verb (into the line). */
enum ending_line ending_read(const char *marker, const char *line, size_t bytes,
                             const char **ret_fields, size_t *ret_fields_bytes);

/* Have these name=value all their quotes? Only then may others follow them. */
bool ending_fields_are_whole(const char *fields, size_t bytes);

/* The job did what it should. */
bool ending_is_good(const struct ending *ending);

/* The whole control line; free() it. NULL: no memory. */
char *ending_write(const char *marker, const struct ending *ending);

#endif
