/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL's SQLSTATEs and what they mean for a row, as one table. A table only: it neither knows
 * libpq nor decides what is done.
 *
 * An entry is a whole SQLSTATE or the first two characters of one, its class; a whole one wins. What
 * is in doubt is LATER when the server or the administrator can mend it without the row changing,
 * and NEVER when it depends on the row's values: a row that is tried for ever costs a little, a row
 * that is given up too early costs its reader a look into the dead letters.
 */
#include "refusal.h"

#include <stddef.h>
#include <string.h>

struct entry {
    const char *code;
    enum refusal refusal;
};

static const struct entry table[] = {
    /* Connection exception, as the server or a pooler in between words it. */
    {"08", REFUSAL_SESSION},

    /* The value does not fit: too long (22001), out of range (22003), not of the type (22P02), a
     * character that the database's encoding does not have (22P05), ... */
    {"22", REFUSAL_NEVER},
    {"21", REFUSAL_NEVER},
    /* Constraints: NOT NULL, foreign key, unique, check, exclusion; WITH CHECK OPTION of a view. */
    {"23", REFUSAL_NEVER},
    {"44", REFUSAL_NEVER},
    {"27", REFUSAL_NEVER},
    /* Raised on purpose by a trigger. Classes that a trigger makes up are NEVER as well, by default. */
    {"P0", REFUSAL_NEVER},

    /* Invalid transaction state. A server that became a standby says 25006: the session must go and
     * find the new primary. 25P03 and 25P04 end the session. */
    {"25", REFUSAL_LATER},
    {"25006", REFUSAL_SESSION},
    {"25P03", REFUSAL_SESSION},
    {"25P04", REFUSAL_SESSION},

    /* The role, its password, the database or the schema is not there or not right. */
    {"28", REFUSAL_TARGET},
    {"3D", REFUSAL_TARGET},
    {"3F", REFUSAL_TARGET},

    /* Rolled back by the server: serialization failure, deadlock. */
    {"40", REFUSAL_LATER},

    /* Undefined table or column, missing privilege, wrong syntax or names: the statement does not
     * suit the database any more. A type that does not match, raised while the target is right, comes
     * out of a trigger and its row's values. */
    {"42", REFUSAL_TARGET},
    {"42804", REFUSAL_NEVER},
    {"0A", REFUSAL_TARGET},

    /* Disk full, out of memory, too many connections. */
    {"53", REFUSAL_LATER},
    /* Too large for an index row, too deep, too many columns: depends on the value. */
    {"54", REFUSAL_NEVER},

    /* Not in the state for it: locked, in use; a published table without replica identity. */
    {"55", REFUSAL_LATER},
    {"55000", REFUSAL_TARGET},

    /* The operator intervened. 57014, a cancelled or timed-out statement, leaves the session alive;
     * shutdown, crash, start-up and a dropped database do not. */
    {"57", REFUSAL_SESSION},
    {"57014", REFUSAL_LATER},

    /* The server's own trouble: I/O errors, missing files, its configuration, foreign servers, lost
     * snapshots, internal errors. Some of these hang on one damaged page, so neighbours go on. */
    {"58", REFUSAL_LATER},
    {"72", REFUSAL_LATER},
    {"F0", REFUSAL_LATER},
    {"HV", REFUSAL_LATER},
    {"XX", REFUSAL_LATER},
};

enum refusal refusal_of_sqlstate(const char *sqlstate)
{
    enum refusal refusal = REFUSAL_NEVER;

    if (sqlstate == NULL || strlen(sqlstate) != 5)
        return REFUSAL_SESSION;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].code, sqlstate) == 0)
            return table[i].refusal;
        if (table[i].code[2] == '\0' && strncmp(table[i].code, sqlstate, 2) == 0)
            refusal = table[i].refusal;
    }
    return refusal;
}
