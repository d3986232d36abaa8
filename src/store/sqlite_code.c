/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite's result codes and what they mean for a row, as one table. A table only: it decides nothing.
 *
 * SQLite locks and breaks as a whole, so LATER holds for all rows of a batch; SESSION means besides
 * that the file is closed and opened anew.
 */
#include "refusal.h"

#include <stddef.h>

#include <sqlite3.h>

struct entry {
    int code; /* a primary or an extended code; an extended one wins */
    enum refusal refusal;
};

static const struct entry table[] = {
    /* Somebody else is writing, or we were told to stop. */
    {SQLITE_BUSY, REFUSAL_LATER},
    {SQLITE_LOCKED, REFUSAL_LATER},
    {SQLITE_INTERRUPT, REFUSAL_LATER},
    {SQLITE_PROTOCOL, REFUSAL_LATER},
    {SQLITE_NOMEM, REFUSAL_LATER},
    {SQLITE_FULL, REFUSAL_LATER},

    /* The file or its journal cannot be used through this handle: disk errors, moved, made read-only,
     * changed beyond what the handle knows. */
    {SQLITE_IOERR, REFUSAL_SESSION},
    {SQLITE_IOERR_NOMEM, REFUSAL_LATER},
    {SQLITE_CANTOPEN, REFUSAL_SESSION},
    {SQLITE_READONLY, REFUSAL_SESSION},
    {SQLITE_SCHEMA, REFUSAL_SESSION},
    {SQLITE_NOLFS, REFUSAL_SESSION},
    {SQLITE_MISUSE, REFUSAL_SESSION},
    {SQLITE_INTERNAL, REFUSAL_SESSION},
    {SQLITE_ABORT, REFUSAL_SESSION},

    /* Not a database, damaged, or no permission; no such table or column (SQLite has no code of its
     * own for that). */
    {SQLITE_NOTADB, REFUSAL_TARGET},
    {SQLITE_CORRUPT, REFUSAL_TARGET},
    {SQLITE_PERM, REFUSAL_TARGET},
    {SQLITE_AUTH, REFUSAL_TARGET},
    {SQLITE_ERROR, REFUSAL_TARGET},

    /* NOT NULL, CHECK, UNIQUE, foreign key, a STRICT table's type, RAISE() of a trigger. */
    {SQLITE_CONSTRAINT, REFUSAL_NEVER},
    {SQLITE_TOOBIG, REFUSAL_NEVER},
    {SQLITE_MISMATCH, REFUSAL_NEVER},
    {SQLITE_RANGE, REFUSAL_NEVER},
};

enum refusal refusal_of_sqlite(int code)
{
    enum refusal refusal = REFUSAL_SESSION;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].code == code)
            return table[i].refusal;
        if (table[i].code == (code & 0xff))
            refusal = table[i].refusal;
    }
    return refusal;
}
