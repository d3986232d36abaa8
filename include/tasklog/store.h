/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into a database: one target (a table, the columns that find a row, the columns that are
 * written) behind one table of functions, a driver per database. A store knows rows and values; it
 * does not know what a task is. It does not log: what went wrong is kept as text, for the front.
 *
 * Threads: a store belongs to one thread at a time. Only tasklog_store_interrupt may be called from
 * another one.
 */
#ifndef TASKLOG_STORE_H
#define TASKLOG_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasklog/clock.h"

/* How a value is handed over, and how it is written. */
enum tasklog_type {
    TASKLOG_TEXT,    /* valid UTF-8 without NUL */
    TASKLOG_INTEGER, /* number */
    TASKLOG_TIME,    /* number = microseconds since 1970 UTC; PostgreSQL: timestamptz; SQLite: text
                        'YYYY-MM-DD HH:MM:SS.ffffff' in UTC, as Django writes it */
    TASKLOG_SECONDS, /* number = microseconds; written as seconds, with a fraction unless the
                        column takes whole numbers only: then rounded */
    TASKLOG_BOOLEAN, /* number = 0 or 1 */
    TASKLOG_JSON,    /* text is a JSON document */
};

struct tasklog_value {
    bool is_null;
    int64_t number;
    const char *text; /* NUL-terminated; borrowed until the call returns */
    size_t text_bytes;
};

/* The hash of several values, one after the other: each goes on from that of those before it, the first from 0. */
uint64_t tasklog_value_hash(const struct tasklog_value *value, uint64_t hash);

struct tasklog_column {
    const char *name; /* as in the database, not quoted */
    enum tasklog_type type;
    bool appends; /* in a row with append_at >= 0 this column keeps its first append_at characters
                     and takes the value after them, instead of being replaced */
    bool guards;  /* a row never goes back: see struct tasklog_target */
};

enum tasklog_mode {
    TASKLOG_UPDATE, /* a row that is not there is a refusal */
    TASKLOG_UPSERT, /* a row that is not there is inserted */
};

/*
 * One of the written columns may guard the others. It takes whole numbers, which stand for places in a log: the
 * log's number << 48 and how far in it, so that what is written and what was written before can be compared. A
 * row keeps all it has, and that counts as written, if it has a place of the same log that is not before the new
 * one. If one of several keys is a time, other rows may be of the same thing as seen from its beginning: then no
 * row is inserted beside one whose other keys are the same and whose place is the same, or that has a later place
 * and an earlier time. In PostgreSQL an insert needs a unique index on the keys then.
 */
struct tasklog_target {
    const char *database; /* "sqlite:/absolute/path" or any libpq connection string */
    const char *table;    /* "table" or "schema.table" */
    enum tasklog_mode mode;
    const struct tasklog_column *keys; /* at least one */
    size_t key_count;
    const struct tasklog_column *columns; /* at least one; no name occurs twice in keys + columns */
    size_t column_count;
};

/* One statement's worth of values, in the order of the target's keys and columns. Writing the same
 * row again is harmless: a row is replaced, and what is appended is appended at a fixed place. */
struct tasklog_row {
    const struct tasklog_value *keys;
    const struct tasklog_value *columns;
    int64_t append_at; /* characters (not bytes) that appending columns keep; -1 = replace them */
};

enum tasklog_verdict {
    TASKLOG_KEPT,  /* committed */
    TASKLOG_LATER, /* not written: lock, deadlock, time-out. Try the same row again */
    TASKLOG_NEVER, /* the database refuses it for good: no such row, constraint, value too long */
};

/* Why a row is TASKLOG_LATER. */
enum tasklog_cause {
    TASKLOG_BUSY,    /* the database put it off */
    TASKLOG_SLOW,    /* its statement took longer than the patience */
    TASKLOG_UNTRIED, /* its turn did not come: the time was used up, or an earlier row with the
                        same keys has to be written first */
};

enum { TASKLOG_REASON_BYTES = 512 };

struct tasklog_outcome {
    enum tasklog_verdict verdict;
    enum tasklog_cause cause;          /* of TASKLOG_LATER */
    char sqlstate[6];                  /* PostgreSQL's SQLSTATE, or "" */
    char reason[TASKLOG_REASON_BYTES]; /* why not, valid UTF-8, one line; "" when kept */
};

struct tasklog_store;

/*
 * Makes a store for `target`, which is copied. Checks the connection string's form, and touches
 * neither file nor network. `clock` must live as long as the store.
 *
 * Returns 0, or -EINVAL with a text in `error` that names what is wrong and what is accepted (never a
 * password), or -ENOMEM.
 */
int tasklog_store_new(const struct tasklog_target *target, const struct tasklog_clock *clock,
                      char *error, size_t error_bytes, struct tasklog_store **ret_store)
    __attribute__((warn_unused_result));

/* Closes and frees; takes NULL. */
void tasklog_store_free(struct tasklog_store *store);

/*
 * Connects, unless connected, and checks table and columns against the database: they exist, can be
 * read and written as the mode needs it, and every column can take its type. A target that has been
 * found right stays so until the connection is lost.
 *
 * Returns 0; -EAGAIN when the database cannot be reached or does not answer within `timeout_ms`;
 * -EINVAL when it answers and the target is wrong (database, role, password, table, column, type or
 * privilege): it may be mended, so ask again from time to time; -ECANCELED after an interrupt.
 * tasklog_store_message tells why.
 */
int tasklog_store_open(struct tasklog_store *store, int timeout_ms)
    __attribute__((warn_unused_result));

/*
 * Writes `count` rows in order in one transaction and says of each what became of it. A row that is
 * refused harms no other. A row after a TASKLOG_LATER one with the same keys is TASKLOG_LATER too, so
 * that rows with the same keys are always written in order. Opens the store when it is not open.
 *
 * Returns 0 with all `ret_outcomes` filled in; or the error of tasklog_store_open, or -EAGAIN when
 * the transaction could not be committed: then nothing counts as written, and all of it is to be
 * tried again (had the commit come through unseen, doing it again changes nothing).
 * `timeout_ms` bounds the call as a whole.
 */
int tasklog_store_write(struct tasklog_store *store, const struct tasklog_row *rows, size_t count,
                        int timeout_ms, struct tasklog_outcome *ret_outcomes)
    __attribute__((warn_unused_result));

/* From now on a row's statement may take so long and no longer; 0, as in the beginning = half of the
 * call's time. One that is too slow costs its neighbours this time, and them nothing else. */
void tasklog_store_set_patience(struct tasklog_store *store, int patience_ms);

/* Makes a running or the next open or write return soon, with -ECANCELED or with what it has done.
 * Sticky until the store is freed. Any thread. */
void tasklog_store_interrupt(struct tasklog_store *store);

/* Why the last open or write failed: one line of valid UTF-8 without a password; "" after success. */
const char *tasklog_store_message(const struct tasklog_store *store);

/* What the store is connected to, for people: "PostgreSQL database \"thoth\" on host \"db1\"", or
 * "SQLite database \"/srv/db.sqlite3\"". Never a password. */
const char *tasklog_store_name(const struct tasklog_store *store);

#endif
