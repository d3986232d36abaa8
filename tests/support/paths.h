/* SPDX-License-Identifier: Apache-2.0 */
/* Where a test's data files are: beside its source, as the compiler was given it. */
#ifndef TASKLOG_TESTS_PATHS_H
#define TASKLOG_TESTS_PATHS_H

#include <stdio.h>
#include <string.h>

/* The path of `name` in the folder of `source`, which is __FILE__. */
static inline const char *beside(char path[256], const char *source, const char *name)
{
    const char *slash = strrchr(source, '/');

    snprintf(path, 256, "%.*s%s", slash ? (int)(slash - source + 1) : 0, source, name);
    return path;
}

#endif
