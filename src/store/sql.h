/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statements that write a row, as text. Parameters are numbered alike in all of them: the
 * target's columns from 1, then its keys, then the count of characters that appending columns keep.
 */
#ifndef STORE_SQL_H
#define STORE_SQL_H

#include <stdio.h>

#include "driver.h"

enum sql_kind {
    SQL_UPDATE, /* replaces every column */
    SQL_APPEND, /* the same, and appending columns keep their head */
    SQL_INSERT,
    /* PostgreSQL: one statement that does the insert when the update finds nothing. It needs no
     * unique index, which Django's models do not have on such columns. */
    SQL_UPSERT_UPDATE,
    SQL_UPSERT_APPEND,
};

/* What differs between the databases. */
struct sql_dialect {
    const char *mark;                    /* "$" or "?": what stands before a parameter's number */
    const char *head_open, *head_middle; /* around the column in: its first $n characters */
    /* Prints a name as a quoted identifier; returns 0 or -ENOMEM. */
    int (*print_name)(void *context, FILE *out, const char *name);
    void *context;
};

/* Returns 0 and a text to be freed, or -ENOMEM. */
int sql_build(const struct sql_dialect *dialect, const struct tasklog_store *store,
              enum sql_kind kind, char **ret_sql);

/* Prints the table's name, quoted, with the schema if there is one. */
int sql_print_table(const struct sql_dialect *dialect, const struct tasklog_store *store,
                    FILE *out);

#endif
