/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a database's error code means for the row that met it. The tables stand in sqlstate.c and
 * sqlite_code.c; what follows from a refusal is decided in the drivers.
 */
#ifndef STORE_REFUSAL_H
#define STORE_REFUSAL_H

enum refusal {
    REFUSAL_NEVER,   /* this row will not be taken, however often it is tried */
    REFUSAL_LATER,   /* this row may be taken another time; its neighbours may be taken now */
    REFUSAL_SESSION, /* nothing can be written through this session; another one may do */
    REFUSAL_TARGET,  /* table, column, role or database are not what the target says: look again */
};

/* `sqlstate` has five characters; anything else, NULL too, is REFUSAL_SESSION: a server that is there
 * always gives one. */
enum refusal refusal_of_sqlstate(const char *sqlstate);

/* `code` is an extended result code of SQLite. */
enum refusal refusal_of_sqlite(int code);

#endif
