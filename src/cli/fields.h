/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control lines out of arguments such as processed=12 and text="closing line", for tasklog progress and
 * tasklog end. What could not be read at the other end is an error here, and said. Pure but for that.
 */
#ifndef TASKLOG_SRC_FIELDS_H
#define TASKLOG_SRC_FIELDS_H

#include <stddef.h>

enum fields_verb { FIELDS_PROGRESS, FIELDS_END };

/*
 * Returns the line, which the caller frees, or NULL: then `error` says what is wrong with one of the
 * arguments.
 */
char *fields_line(const char *marker, enum fields_verb verb, char *const *arguments, size_t count,
                  char *error, size_t error_bytes);

#endif
