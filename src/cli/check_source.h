/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the targets of a configuration are read from: the sections of a journald.conf, or the actions of a
 * rsyslog configuration and of what it includes. What a target's parameters mean, the config knows.
 */
#ifndef TASKLOG_SRC_CHECK_SOURCE_H
#define TASKLOG_SRC_CHECK_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "tasklog/config.h"

/* One target that was found. Texts are borrowed. */
struct check_target {
    const char *what; /* "action" or "section" */
    const char *name;
    const char *path;
    int line;           /* 0 = not known */
    char *const *kinds; /* of a section; NULL = a condition of rsyslog's decides */
    size_t kind_count;
    const char *spool; /* its folder, "off", or NULL: below a workDirectory that is not known */
    const struct tasklog_config *config; /* checked */
};

/* Is called for each target, in order. */
typedef void check_visit(void *context, const struct check_target *target);

/* Shows all targets that are well-formed. What is wrong with others, and with the file, is said to stderr, a line for
 * each. Returns how many mistakes were said. */
size_t check_source_read(const char *path, check_visit *visit, void *context);

#endif
