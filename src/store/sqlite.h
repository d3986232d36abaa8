/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the SQLite driver share: sqlite.c opens and writes, sqlite_file.c knows what the
 * operating system thinks of the file, sqlite_check.c compares the target with the schema.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <sqlite3.h>

#include "driver.h"
#include "value.h"

/* How a value is bound. */
enum sqlite_binding {
    SQLITE_BIND_TEXT,   /* as value_text() writes it */
    SQLITE_BIND_NUMBER, /* as a whole number */
    SQLITE_BIND_REAL,   /* seconds with a fraction */
};

struct sqlite_form {
    enum sqlite_binding binding;
    enum value_form text;
};

/* Which files were opened. Zero = there was none. */
struct sqlite_identity {
    dev_t device;
    ino_t inode;
    ino_t wal_inode;
};

struct sqlite {
    struct tasklog_store base;
    const char *path; /* a part of base.target.database once that is there */
    sqlite3 *db;      /* NULL, or open and the target found right */
    struct sqlite_identity identity;
    struct sqlite_form *forms; /* of the columns and then of the keys */
    sqlite3_stmt *update;      /* for rows that replace */
    sqlite3_stmt *append;      /* for rows that append; NULL if no column does */
    sqlite3_stmt *insert;      /* NULL unless the mode is upsert */
    int64_t deadline_ms;       /* of the running call: its statements are interrupted then */
    int64_t patience_ms;       /* until when a lock is waited for */
    int64_t statement_ms;      /* until when the running statement may take */
    int64_t locked_ms;         /* when the write lock was taken last */
    int64_t rest_until_ms;     /* it is not taken again before this */
};

/* --- sqlite.c ---------------------------------------------------------------------------------- */

/* The whole call's failure: -EAGAIN or -EINVAL by the result code, with SQLite's words. */
int sqlite_refused(struct sqlite *lite, int code);

/* --- sqlite_file.c: what SQLite would only call "unable to open database file" ------------------- */

/* Is the file there, and can it and its folder be written? 0, -EINVAL, -EAGAIN, with a message. */
int sqlite_check_file(struct sqlite *lite);

/* Remembers which files have been opened, and tells whether they are still those of this name. A
 * write-ahead log that has come since is remembered, too. */
int sqlite_identify(struct sqlite *lite);
bool sqlite_is_replaced(struct sqlite *lite);

/* --- sqlite_check.c ---------------------------------------------------------------------------- */

/* Compares the target with the schema; fills in forms and the statements. */
int sqlite_check(struct sqlite *lite);

#endif
