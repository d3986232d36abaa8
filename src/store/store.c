/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The facade over the database drivers: it picks one by the form of `database`, owns the copy of the
 * target, and turns a time-out into a deadline. What it can say without a database it says here: a
 * target that contradicts itself, a row without a key. It knows no SQL.
 */
#include "tasklog/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "driver.h"

static int refuse(char *error, size_t error_bytes, const char *what, const char *name)
{
    snprintf(error, error_bytes, what, name);
    return -EINVAL;
}

static const struct tasklog_column *target_column(const struct tasklog_target *target, size_t index)
{
    return index < target->key_count ? &target->keys[index]
                                     : &target->columns[index - target->key_count];
}

static int check_target(const struct tasklog_target *target, char *error, size_t error_bytes)
{
    size_t all = target->key_count + target->column_count;
    const char *dot;

    if (target->database == NULL || target->table == NULL || target->table[0] == '\0')
        return refuse(error, error_bytes, "database and table must be given%s", "");
    dot = strchr(target->table, '.');
    if (dot == target->table || (dot != NULL && dot[1] == '\0'))
        return refuse(error, error_bytes,
                      "table \"%s\" is neither a table's name nor \"schema.table\"", target->table);
    if (target->key_count == 0)
        return refuse(error, error_bytes, "table \"%s\": no key column is given", target->table);
    if (target->column_count == 0)
        return refuse(error, error_bytes, "table \"%s\": no column is given", target->table);
    for (size_t i = 0; i < all; i++) {
        if (target_column(target, i)->name == NULL || target_column(target, i)->name[0] == '\0')
            return refuse(error, error_bytes, "table \"%s\": a column has no name", target->table);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(target_column(target, i)->name, target_column(target, j)->name) == 0)
                return refuse(error, error_bytes, "column \"%s\" is named twice",
                              target_column(target, i)->name);
        }
    }
    return 0;
}

static int copy_columns(const struct tasklog_column *from, size_t count,
                        const struct tasklog_column **ret_columns)
{
    struct tasklog_column *columns = calloc(count, sizeof *columns);

    /* Handed over at once, so that a half copy is freed with the target. */
    *ret_columns = columns;
    if (columns == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        columns[i] = from[i];
        columns[i].name = strdup(from[i].name);
    }
    for (size_t i = 0; i < count; i++) {
        if (columns[i].name == NULL)
            return -ENOMEM;
    }
    return 0;
}

static int copy_target(struct tasklog_store *store, const struct tasklog_target *from)
{
    struct tasklog_target *target = &store->target;
    const char *dot = strchr(from->table, '.');
    int r;

    target->mode = from->mode;
    target->database = strdup(from->database);
    target->table = strdup(from->table);
    store->schema = dot != NULL ? strndup(from->table, (size_t)(dot - from->table)) : NULL;
    store->table = strdup(dot != NULL ? dot + 1 : from->table);
    if (target->database == NULL || target->table == NULL || store->table == NULL ||
        (dot != NULL && store->schema == NULL))
        return -ENOMEM;
    target->key_count = from->key_count;
    r = copy_columns(from->keys, from->key_count, &target->keys);
    if (r < 0)
        return r;
    target->column_count = from->column_count;
    return copy_columns(from->columns, from->column_count, &target->columns);
}

static void free_columns(const struct tasklog_column *columns, size_t count)
{
    for (size_t i = 0; columns != NULL && i < count; i++)
        free((char *)columns[i].name);
    free((struct tasklog_column *)columns);
}

int tasklog_store_new(const struct tasklog_target *target, const struct tasklog_clock *clock,
                      char *error, size_t error_bytes, struct tasklog_store **ret_store)
{
    struct tasklog_store *store = NULL;
    bool is_sqlite;
    int r;

    r = check_target(target, error, error_bytes);
    if (r < 0)
        return r;
    is_sqlite = strncmp(target->database, "sqlite:", strlen("sqlite:")) == 0;
    if (is_sqlite && strchr(target->table, '.') != NULL &&
        strncasecmp(target->table, "main.", strlen("main.")) != 0)
        return refuse(error, error_bytes,
                      "table \"%s\": an SQLite database has no schema but \"main\"", target->table);
    r = (is_sqlite ? sqlite_new : pgsql_new)(target->database, error, error_bytes, &store);
    if (r < 0)
        return r;
    store->clock = clock;
    atomic_init(&store->interrupted, false);
    atomic_init(&store->wake_fd, -1);
    r = copy_target(store, target);
    if (r < 0) {
        tasklog_store_free(store);
        return r;
    }
    *ret_store = store;
    return 0;
}

void tasklog_store_free(struct tasklog_store *store)
{
    struct tasklog_target target;
    char *schema;
    char *table;
    int wake_fd;

    if (store == NULL)
        return;
    target = store->target;
    schema = store->schema;
    table = store->table;
    wake_fd = atomic_load(&store->wake_fd);
    store->ops->free(store);
    free_columns(target.keys, target.key_count);
    free_columns(target.columns, target.column_count);
    free((char *)target.database);
    free((char *)target.table);
    free(schema);
    free(table);
    if (wake_fd >= 0)
        close(wake_fd);
}

/* Every open and write begins here. */
static int begin(struct tasklog_store *store)
{
    store->message[0] = '\0';
    if (atomic_load(&store->wake_fd) < 0) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

        if (fd < 0)
            return store_fail(store, -EAGAIN, "eventfd: %s", strerror(errno));
        atomic_store(&store->wake_fd, fd);
    }
    if (store_is_interrupted(store))
        return store_fail(store, -ECANCELED, "interrupted");
    return 0;
}

int tasklog_store_open(struct tasklog_store *store, int timeout_ms)
{
    int64_t deadline_ms = store_now_ms(store) + timeout_ms;
    int r = begin(store);

    return r < 0 ? r : store->ops->open(store, deadline_ms);
}

/* A NULL key finds no row, and an upsert would insert it again and again. */
static void refuse_null_keys(const struct tasklog_store *store, const struct tasklog_row *row,
                             struct tasklog_outcome *outcome)
{
    for (size_t i = 0; i < store->target.key_count; i++) {
        if (row->keys[i].is_null) {
            outcome_set(outcome, TASKLOG_NEVER, NULL, "the key column \"%s\" has no value",
                        store->target.keys[i].name);
            return;
        }
    }
}

int tasklog_store_write(struct tasklog_store *store, const struct tasklog_row *rows, size_t count,
                        int timeout_ms, struct tasklog_outcome *ret_outcomes)
{
    int64_t deadline_ms = store_now_ms(store) + timeout_ms;
    int r = begin(store);

    if (r < 0 || count == 0)
        return r;
    for (size_t i = 0; i < count; i++) {
        outcome_set_no_time(&ret_outcomes[i]);
        refuse_null_keys(store, &rows[i], &ret_outcomes[i]);
    }
    r = store->ops->open(store, deadline_ms);
    if (r == 0)
        r = store->ops->write(store, rows, count, deadline_ms, ret_outcomes);
    if (r == 0)
        store->message[0] = '\0';
    return r;
}

void tasklog_store_set_patience(struct tasklog_store *store, int patience_ms)
{
    store->patience_ms = patience_ms;
}

void tasklog_store_interrupt(struct tasklog_store *store)
{
    uint64_t one = 1;
    int fd;

    atomic_store(&store->interrupted, true);
    fd = atomic_load(&store->wake_fd);
    if (fd >= 0 && write(fd, &one, sizeof one) < 0)
        return; /* it is readable already */
}

const char *tasklog_store_message(const struct tasklog_store *store)
{
    return store->message;
}

const char *tasklog_store_name(const struct tasklog_store *store)
{
    return store->name;
}
