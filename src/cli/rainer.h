/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds statements in a configuration of rsyslog: action(…), global(…), include(…), and the old forms
 * $IncludeConfig and $WorkDirectory, which are given as include(file="…") and global(workDirectory="…").
 * All else, conditions, rulesets and other objects, is passed over, and nothing is judged. Pure: it opens no file.
 */
#ifndef TASKLOG_SRC_RAINER_H
#define TASKLOG_SRC_RAINER_H

#include <stdbool.h>
#include <stddef.h>

enum { RAINER_ERROR_BYTES = 160 };

struct rainer_parameter {
    char *name; /* as written; upper and lower case are the same to rsyslog */
    char **values;
    size_t value_count; /* other than 1 only for an array */
    int line;
};

struct rainer_statement {
    const char *name; /* "action", "global", "include" */
    int line;
    struct rainer_parameter *parameters;
    size_t parameter_count;
};

struct rainer {
    struct rainer_statement *statements;
    size_t count;
};

/*
 * Reads `text`. Returns 0, or -ENOMEM, or -EINVAL with `ret_line` and a line in `error`
 * (RAINER_ERROR_BYTES): one of the statements is not well-formed.
 */
int rainer_read(const char *text, size_t bytes, char *error, int *ret_line,
                struct rainer **ret_rainer) __attribute__((warn_unused_result));
void rainer_free(struct rainer *rainer); /* takes NULL */

/* The last parameter of that name, or NULL; and its value, if it has just one. */
const struct rainer_parameter *rainer_find(const struct rainer_statement *statement,
                                           const char *name);
const char *rainer_value(const struct rainer_statement *statement, const char *name);

#endif
