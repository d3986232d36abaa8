/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a database driver is to the facade in store.c: a table of functions over a struct that begins
 * with struct tasklog_store. Here is also what all drivers need alike: the deadline, the way to wait
 * that an interrupt ends, and the way to say what went wrong. Nothing here knows a database.
 *
 * Threads: all of a store belongs to one thread at a time, except `interrupted` and `wake_fd`, which
 * tasklog_store_interrupt touches from any thread. The eventfd is made by the first open and not by
 * new, so that a store which is only checked makes no file descriptor. That costs no wake-up: open
 * publishes the descriptor and then looks at the flag, interrupt sets the flag and then looks for
 * the descriptor.
 */
#ifndef STORE_DRIVER_H
#define STORE_DRIVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasklog/store.h"

enum { STORE_NAME_BYTES = 512, STORE_MESSAGE_BYTES = 1024 };

/* What a message about a wrong target ends with: what to do. Parameters are called as fronts call them. */
#define STORE_MEND_TABLE "create it, or correct parameter \"table\""
#define STORE_MEND_OTHER_TABLE "name another one in parameter \"table\""
#define STORE_MEND_COLUMN "add it, or correct parameter \"%s\""
#define STORE_MEND_OTHER_COLUMN "name another one"
#define STORE_MEND_TYPE "change its type, or name another column"
#define STORE_MEND_DEFAULT "give it a default in the database, or a field in parameter \"columns\""

struct store_ops {
    /* As tasklog_store_open and tasklog_store_write; the call must be over at `deadline_ms` on the
     * clock's mono_ms. `count` is at least 1, and no key is NULL in rows whose outcome is not
     * TASKLOG_NEVER already; those that are have been settled by the facade and are passed over. */
    int (*open)(struct tasklog_store *store, int64_t deadline_ms);
    int (*write)(struct tasklog_store *store, const struct tasklog_row *rows, size_t count,
                 int64_t deadline_ms, struct tasklog_outcome *outcomes);
    /* Closes and frees what the driver added, and the struct itself; takes half-built ones. */
    void (*free)(struct tasklog_store *store);
};

struct tasklog_store {
    const struct store_ops *ops;
    const struct tasklog_clock *clock;
    struct tasklog_target target; /* a deep copy, owned */
    char *schema;                 /* what stands before the first dot of target.table, or NULL */
    char *table;                  /* the rest of it */
    char name[STORE_NAME_BYTES];
    char message[STORE_MESSAGE_BYTES];
    const struct tasklog_store
        *leader;     /* of a second session: whose interrupt ends it, too; or NULL */
    int patience_ms; /* with one row's statement; 0 = half of the call's time */
    atomic_bool interrupted;
    atomic_int
        wake_fd; /* an eventfd that becomes readable at the interrupt; -1 before the first open */
};

/* The drivers' constructors look at the form of `database` only and fill in ops and name; the facade
 * fills in the rest. They return 0, -EINVAL with a text in `error`, or -ENOMEM. */
int pgsql_new(const char *database, char *error, size_t error_bytes,
              struct tasklog_store **ret_store);
int sqlite_new(const char *database, char *error, size_t error_bytes,
               struct tasklog_store **ret_store);

int64_t store_now_ms(const struct tasklog_store *store);

/* Milliseconds until `deadline_ms`, at least 0 and at most an hour. */
int store_left_ms(const struct tasklog_store *store, int64_t deadline_ms);

/* How long a row's statement may take in a call that ends at `deadline_ms`; at least 1. */
int store_patience_ms(const struct tasklog_store *store, int64_t deadline_ms);

/*
 * Waits until `fd` is ready for `events` of poll(). With fd -1 it only waits. Returns the events, or
 * -EAGAIN at the deadline, or -ECANCELED after an interrupt; the last two with a message.
 */
int store_wait(struct tasklog_store *store, int fd, short events, int64_t deadline_ms);

bool store_is_interrupted(const struct tasklog_store *store);

/* Keeps the text as the store's message, as one clean line, and returns `r`. A front says which store
 * it is about when it tries again; what somebody has to mend (-EINVAL) names all that it needs. */
int store_fail(struct tasklog_store *store, int r, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* `sqlstate` may be NULL. */
void outcome_set(struct tasklog_outcome *outcome, enum tasklog_verdict verdict,
                 const char *sqlstate, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* No row has the keys of `row`: a refusal that names them. */
void outcome_set_no_row(struct tasklog_outcome *outcome, const struct tasklog_store *store,
                        const struct tasklog_row *row);

/* The row was not tried because the call's time is used up, or because row_is_behind. */
void outcome_set_no_time(struct tasklog_outcome *outcome);
void outcome_set_behind(struct tasklog_outcome *outcome);

/* Its statement took too long: that is known, and it is not tried again in this call. */
static inline bool outcome_is_slow(const struct tasklog_outcome *outcome)
{
    return outcome->verdict == TASKLOG_LATER && outcome->cause == TASKLOG_SLOW;
}

/* Must row i wait because an earlier one with its keys has to? */
bool row_is_behind(const struct tasklog_store *store, const struct tasklog_row *rows, size_t i,
                   const struct tasklog_outcome *outcomes);

/* The length of all texts of a row. */
size_t row_text_bytes(const struct tasklog_store *store, const struct tasklog_row *row);

/* A row whose texts no statement of this database can carry is refused before they are copied. */
bool row_is_too_large(const struct tasklog_store *store, const struct tasklog_row *row,
                      size_t bytes_max, struct tasklog_outcome *outcome);

#endif
