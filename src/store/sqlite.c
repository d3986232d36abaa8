/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQLite driver: opens a file that is there and writes batches into it. It never creates a file,
 * and leaves journal mode and synchronous as they are: the file is Django's.
 *
 * SQLite has one lock for all rows. It is waited for patiently and held briefly, because others (a
 * web server, usually) wait for it with a patience of their own, 5 seconds by Django's default. They
 * do not queue for it but look every now and then whether it is free, so between two batches it is
 * left free for a share of the time: a backlog that is worked off without a pause would starve them.
 *
 * A statement's error undoes that statement alone, but some errors undo the whole transaction
 * (a constraint or a trigger may ask for that, too; a statement that is stopped because it takes too long
 * does). Then the row that did it is set aside and the batch is written again without it. A commit that is refused (a deferred foreign key) does not tell
 * which row it was: then each row is written by itself.
 */
#include "sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "refusal.h"

enum {
    PROGRESS_STEPS = 4000, /* of SQLite's machine, between looks at the clock */
    LONGEST_NAP_MS = 5,
    LOCK_HELD_MS = 2000,
    REST_SHARE = 4, /* of the time that the lock was held it is then left free */
};

enum { REDO = 1, COMMIT_REFUSED = 2 };

struct batch {
    struct sqlite *lite;
    const struct tasklog_row *rows;
    struct tasklog_outcome *outcomes;
    int64_t stop_ms;                       /* no row is begun after this, for the lock's sake */
    int64_t half_ms;                       /* nor after this, for the call's; 0 = not known yet */
    struct tasklog_outcome commit_outcome; /* why a commit was refused */
};

/* --- Opening and closing ----------------------------------------------------------------------- */

static void close_file(struct sqlite *lite)
{
    sqlite3_finalize(lite->update);
    sqlite3_finalize(lite->append);
    sqlite3_finalize(lite->insert);
    lite->update = lite->append = lite->insert = NULL;
    sqlite3_close(lite->db);
    lite->db = NULL;
}

/* Closes a handle whose files belong to somebody else by now: nothing of it must reach them. */
static void close_replaced(struct sqlite *lite)
{
    sqlite3_db_config(lite->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    close_file(lite);
}

static void sqlite_free(struct tasklog_store *store)
{
    struct sqlite *lite = (struct sqlite *)store;

    if (lite->db != NULL && sqlite_is_replaced(lite))
        close_replaced(lite);
    close_file(lite);
    free(lite->forms);
    free(lite);
}

int sqlite_refused(struct sqlite *lite, int code)
{
    const char *text = lite->db != NULL ? sqlite3_errmsg(lite->db) : sqlite3_errstr(code);
    enum refusal refusal = refusal_of_sqlite(code);

    if (store_is_interrupted(&lite->base))
        return store_fail(&lite->base, -ECANCELED, "interrupted");
    if (refusal == REFUSAL_LATER || refusal == REFUSAL_SESSION)
        return store_fail(&lite->base, -EAGAIN, "%s", text);
    return store_fail(&lite->base, -EINVAL, "%s: %s%s", lite->base.name, text,
                      (code & 0xff) == SQLITE_NOTADB ? "; correct parameter \"database\"" : "");
}

/* Called by SQLite when another connection holds the lock: wait on, or give up with SQLITE_BUSY? */
static int on_busy(void *context, int count)
{
    struct sqlite *lite = context;
    int64_t now_ms = store_now_ms(&lite->base);
    int nap_ms = count < LONGEST_NAP_MS ? count + 1 : LONGEST_NAP_MS;

    if (now_ms >= lite->patience_ms)
        return 0;
    return store_wait(&lite->base, -1, 0, now_ms + nap_ms) != -ECANCELED;
}

/* Called by SQLite within long statements: stop it? */
static int on_progress(void *context)
{
    struct sqlite *lite = context;

    int64_t now_ms = store_now_ms(&lite->base);

    return store_is_interrupted(&lite->base) || now_ms >= lite->deadline_ms ||
           now_ms >= lite->statement_ms;
}

static int open_file(struct sqlite *lite)
{
    int code =
        sqlite3_open_v2(lite->path, &lite->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (code != SQLITE_OK)
        return sqlite_refused(lite, code);
    sqlite3_extended_result_codes(lite->db, 1);
    sqlite3_busy_handler(lite->db, on_busy, lite);
    sqlite3_progress_handler(lite->db, PROGRESS_STEPS, on_progress, lite);
    /* A name in double quotes is a name and never a string; foreign keys hold, as in Django. */
    sqlite3_db_config(lite->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(lite->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    if (sqlite3_db_readonly(lite->db, "main") != 0)
        return store_fail(&lite->base, -EINVAL,
                          "%s can be read but not written; let this user write it",
                          lite->base.name);
    return 0;
}

static int sqlite_open(struct tasklog_store *store, int64_t deadline_ms)
{
    struct sqlite *lite = (struct sqlite *)store;
    int r;

    lite->path = store->target.database + strlen("sqlite:");
    lite->deadline_ms = lite->patience_ms = lite->statement_ms = deadline_ms;
    if (lite->forms == NULL)
        lite->forms =
            calloc(store->target.column_count + store->target.key_count, sizeof *lite->forms);
    if (lite->forms == NULL)
        return store_fail(store, -EAGAIN, "out of memory");
    if (lite->db != NULL && sqlite_is_replaced(lite))
        close_replaced(lite);
    if (lite->db != NULL)
        return 0;
    r = sqlite_check_file(lite);
    if (r == 0)
        r = open_file(lite);
    if (r == 0)
        r = sqlite_check(lite);
    if (r == 0)
        r = sqlite_identify(lite);
    if (r < 0)
        close_file(lite);
    return r;
}

/* --- One row ----------------------------------------------------------------------------------- */

static int bind_value(sqlite3_stmt *statement, int index, const struct sqlite_form *form,
                      const struct tasklog_value *value)
{
    char scratch[VALUE_SCRATCH_BYTES];
    const char *text;

    if (value->is_null)
        return sqlite3_bind_null(statement, index);
    if (form->binding == SQLITE_BIND_NUMBER)
        return sqlite3_bind_int64(statement, index, value->number);
    if (form->binding == SQLITE_BIND_REAL)
        return sqlite3_bind_double(statement, index, (double)value->number / 1e6);
    if (form->text == VALUE_TEXT)
        return sqlite3_bind_text64(statement, index, value->text, value->text_bytes, SQLITE_STATIC,
                                   SQLITE_UTF8);
    text = value_text(value, form->text, scratch);
    return sqlite3_bind_text(statement, index, text, -1, SQLITE_TRANSIENT);
}

/* Returns SQLITE_DONE or an error; the values are borrowed until then. */
static int execute(struct batch *b, sqlite3_stmt *statement, const struct tasklog_row *row)
{
    const struct tasklog_target *target = &b->lite->base.target;
    int code = SQLITE_OK;
    int n = 0;

    for (size_t i = 0; code == SQLITE_OK && i < target->column_count; i++, n++)
        code = bind_value(statement, n + 1, &b->lite->forms[n], &row->columns[i]);
    for (size_t i = 0; code == SQLITE_OK && i < target->key_count; i++, n++)
        code = bind_value(statement, n + 1, &b->lite->forms[n], &row->keys[i]);
    if (code == SQLITE_OK && sqlite3_bind_parameter_count(statement) > n)
        code = sqlite3_bind_int64(statement, n + 1, row->append_at);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return code;
}

static int write_row(struct batch *b, size_t i)
{
    struct sqlite *lite = b->lite;
    const struct tasklog_row *row = &b->rows[i];
    bool appends = lite->append != NULL && row->append_at >= 0;
    int code;

    lite->statement_ms =
        store_now_ms(&lite->base) + store_patience_ms(&lite->base, lite->deadline_ms);
    code = execute(b, appends ? lite->append : lite->update, row);
    if (code != SQLITE_DONE)
        return code;
    if (sqlite3_changes(lite->db) == 0 && lite->insert != NULL)
        code = execute(b, lite->insert, row);
    else if (sqlite3_changes(lite->db) == 0) {
        outcome_set_no_row(&b->outcomes[i], &lite->base, row);
        return code;
    }
    if (code == SQLITE_DONE)
        outcome_set(&b->outcomes[i], TASKLOG_KEPT, NULL, "%s", "");
    return code;
}

/* --- Transactions ------------------------------------------------------------------------------ */

static int run(struct sqlite *lite, const char *sql)
{
    return sqlite3_exec(lite->db, sql, NULL, NULL, NULL);
}

static void rollback(struct sqlite *lite)
{
    if (lite->db != NULL && sqlite3_get_autocommit(lite->db) == 0)
        (void)run(lite, "ROLLBACK");
}

/* The lock has been let go. */
static void rest(struct sqlite *lite)
{
    lite->rest_until_ms = store_now_ms(&lite->base);
    lite->rest_until_ms += (lite->rest_until_ms - lite->locked_ms) / REST_SHARE + 1;
}

/* The whole batch failed: nothing of it stays. */
static int give_up(struct sqlite *lite, int code)
{
    int r = sqlite_refused(lite, code);

    rollback(lite);
    if (refusal_of_sqlite(code) != REFUSAL_LATER)
        close_file(lite);
    return r;
}

/* SQLite says "error", of which an absent table or column is one kind. If the target turns out right,
 * it was the row, or rather something that it set off. */
static int judge_target(struct batch *b, size_t i)
{
    char why[TASKLOG_REASON_BYTES];
    int r;

    message_line(why, sizeof why, sqlite3_errmsg(b->lite->db));
    rollback(b->lite);
    close_file(b->lite);
    r = sqlite_open(&b->lite->base, b->lite->deadline_ms);
    if (r < 0)
        return r;
    outcome_set(&b->outcomes[i], TASKLOG_NEVER, NULL, "%s", why);
    return REDO;
}

/* Returns 0 when only this row is affected, REDO when its neighbours have been undone, or an error. */
static int judge_bad(struct batch *b, size_t i, int code)
{
    if (store_is_interrupted(&b->lite->base))
        return give_up(b->lite, code);
    if ((code & 0xff) == SQLITE_ERROR)
        return judge_target(b, i);
    if (code == SQLITE_INTERRUPT) {
        outcome_set(&b->outcomes[i], TASKLOG_LATER, NULL, "its statement takes too long");
        b->outcomes[i].cause = TASKLOG_SLOW;
        rollback(b->lite);
        rest(b->lite);
        return REDO;
    }
    if (refusal_of_sqlite(code) != REFUSAL_NEVER)
        return give_up(b->lite, code);
    outcome_set(&b->outcomes[i], TASKLOG_NEVER, NULL, "%s", sqlite3_errmsg(b->lite->db));
    return sqlite3_get_autocommit(b->lite->db) != 0 ? REDO : 0;
}

static int begin(struct batch *b)
{
    struct sqlite *lite = b->lite;
    int left_ms = store_left_ms(&lite->base, lite->deadline_ms);
    int code;

    if (store_now_ms(&lite->base) < lite->rest_until_ms &&
        store_wait(&lite->base, -1, 0, lite->rest_until_ms) == -ECANCELED)
        return -ECANCELED;
    lite->patience_ms = lite->deadline_ms - left_ms / 4;
    code = run(lite, "BEGIN IMMEDIATE");
    if (code != SQLITE_OK)
        return give_up(lite, code);
    lite->locked_ms = store_now_ms(&lite->base);
    if (sqlite_is_replaced(lite)) {
        rollback(lite);
        close_replaced(lite);
        return store_fail(&lite->base, -EAGAIN, "the file was replaced by another one");
    }
    if (b->half_ms == 0)
        b->half_ms = lite->locked_ms + store_left_ms(&lite->base, lite->deadline_ms) / 2;
    b->stop_ms = lite->locked_ms + LOCK_HELD_MS;
    if (b->stop_ms > b->half_ms)
        b->stop_ms = b->half_ms;
    return 0;
}

/* While readers are in the way of a commit, new ones are kept out: that, too, must not last. */
static int commit(struct batch *b)
{
    struct sqlite *lite = b->lite;
    int64_t patience_ms = store_now_ms(&lite->base) + LOCK_HELD_MS;
    int code;

    lite->patience_ms = patience_ms < lite->deadline_ms ? patience_ms : lite->deadline_ms;
    lite->statement_ms = lite->deadline_ms;
    code = run(lite, "COMMIT");
    rest(lite);
    if (code == SQLITE_OK)
        return 0;
    if (refusal_of_sqlite(code) != REFUSAL_NEVER)
        return give_up(lite, code);
    outcome_set(&b->commit_outcome, TASKLOG_NEVER, NULL, "%s", sqlite3_errmsg(lite->db));
    rollback(lite);
    return COMMIT_REFUSED;
}

/* Rows from `from` up to `to` in one transaction. */
static int write_rows(struct batch *b, size_t from, size_t to)
{
    int r = begin(b);

    for (size_t i = from; r == 0 && i < to; i++) {
        int code;

        if (b->outcomes[i].verdict == TASKLOG_NEVER || outcome_is_slow(&b->outcomes[i]))
            continue;
        if (store_now_ms(&b->lite->base) >= b->stop_ms) {
            outcome_set_no_time(&b->outcomes[i]);
            continue;
        }
        if (row_is_behind(&b->lite->base, b->rows, i, b->outcomes)) {
            outcome_set_behind(&b->outcomes[i]);
            continue;
        }
        code = write_row(b, i);
        if (code != SQLITE_DONE)
            r = judge_bad(b, i, code);
    }
    return r != 0 ? r : commit(b);
}

/* Writes a transaction, and again without the rows that undid it; each time there is one less. */
static int write_without_spoilers(struct batch *b, size_t from, size_t to)
{
    int r = write_rows(b, from, to);

    while (r == REDO)
        r = write_rows(b, from, to);
    return r;
}

static int write_one_by_one(struct batch *b, size_t count)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++) {
        if (b->outcomes[i].verdict == TASKLOG_NEVER)
            continue;
        r = write_without_spoilers(b, i, i + 1);
        if (r == COMMIT_REFUSED) {
            b->outcomes[i] = b->commit_outcome;
            r = 0;
        }
    }
    return r;
}

static int sqlite_write(struct tasklog_store *store, const struct tasklog_row *rows, size_t count,
                        int64_t deadline_ms, struct tasklog_outcome *outcomes)
{
    struct batch b = {.lite = (struct sqlite *)store, .rows = rows, .outcomes = outcomes};
    int r;

    b.lite->deadline_ms = deadline_ms;
    r = write_without_spoilers(&b, 0, count);
    if (r == COMMIT_REFUSED) {
        b.half_ms = 0;
        r = write_one_by_one(&b, count);
    }
    return r;
}

int sqlite_new(const char *database, char *error, size_t error_bytes,
               struct tasklog_store **ret_store)
{
    static const struct store_ops ops = {.open = sqlite_open,
                                         .write = sqlite_write,
                                         .free = sqlite_free};
    const char *path = database + strlen("sqlite:");
    char name[STORE_NAME_BYTES];
    struct sqlite *lite;

    if (path[0] != '/') {
        snprintf(error, error_bytes,
                 "database \"%s\": the path of an SQLite database must be absolute, as in "
                 "\"sqlite:/srv/app/db.sqlite3\"",
                 database);
        return -EINVAL;
    }
    lite = calloc(1, sizeof *lite);
    if (lite == NULL)
        return -ENOMEM;
    snprintf(name, sizeof name, "SQLite database \"%s\"", path);
    message_line(lite->base.name, sizeof lite->base.name, name);
    lite->base.ops = &ops;
    *ret_store = &lite->base;
    return 0;
}
