/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people: foreign text made fit to be printed, and lists of names that help with a typo.
 * It formats nothing that a database reads.
 */
#ifndef STORE_MESSAGE_H
#define STORE_MESSAGE_H

#include <stddef.h>

/* Copies `text` as one line of valid UTF-8 that ends in "..." when it had to be cut. Runs of white
 * space, control characters and marks of direction become one blank, bytes that are no UTF-8 become '?'. */
void message_line(char *line, size_t line_bytes, const char *text);

/* Lists names in double quotes: the one most like `wanted` first, then the others as they come, and
 * how many more there are. With no names it says "nothing". */
void message_names(char *list, size_t list_bytes, const char *wanted, const char *const *names,
                   size_t count);

/* The name that `wanted` may be a misspelling of, or NULL. */
const char *message_meant(const char *wanted, const char *const *names, size_t count);

#endif
