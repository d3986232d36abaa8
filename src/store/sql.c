/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the text of statements. Every name passes through the quoting of the database's own library
 * and no value ever comes near: this file sees only the target.
 *
 * In PostgreSQL no parameter is cast. The server infers each one's type from the column, and what
 * does not fit is then refused; a cast to varchar(n) would cut it silently.
 */
#include "sql.h"

#include <errno.h>
#include <stdlib.h>

struct builder {
    const struct sql_dialect *dialect;
    const struct tasklog_target *target;
    const struct tasklog_store *store;
    FILE *out;
    int r; /* the first failure */
};

static void print_name(struct builder *b, const char *name)
{
    int r = b->dialect->print_name(b->dialect->context, b->out, name);

    if (b->r == 0)
        b->r = r;
}

static void print_parameter(struct builder *b, size_t index)
{
    fprintf(b->out, "%s%zu", b->dialect->mark, index + 1);
}

/* The written columns and then the keys, as they are numbered. */
static const struct tasklog_column *column_at(const struct builder *b, size_t index)
{
    const struct tasklog_target *target = b->target;

    return index < target->column_count ? &target->columns[index]
                                        : &target->keys[index - target->column_count];
}

/* "c" OP $i, of a column and its parameter. */
static void print_test(struct builder *b, size_t index, const char *comparison)
{
    print_name(b, column_at(b, index)->name);
    fputs(comparison, b->out);
    print_parameter(b, index);
}

/* left(coalesce("c", ''), $3) || coalesce($1, '') : at a fixed place, so that doing it twice changes nothing. */
static void print_appended(struct builder *b, size_t index)
{
    size_t head_index = b->target->column_count + b->target->key_count;

    fputs(b->dialect->head_open, b->out);
    print_name(b, column_at(b, index)->name);
    fputs(b->dialect->head_middle, b->out);
    print_parameter(b, head_index);
    fputs(") || coalesce(", b->out);
    print_parameter(b, index);
    fputs(", '')", b->out);
}

/* The number of the guarding column's parameter, or column_count if there is none. */
static size_t guard_of(const struct tasklog_target *target)
{
    size_t i = 0;

    while (i < target->column_count && !target->columns[i].guards)
        i++;
    return i;
}

/* Is what the row has not of the same log, or before the new place? */
static void print_is_before(struct builder *b, size_t guard)
{
    print_name(b, column_at(b, guard)->name);
    fputs(" IS NULL OR ", b->out);
    print_test(b, guard, " < ");
    fputs(" OR ", b->out);
    print_test(b, guard, " >> 48 <> ");
    fputs(" >> 48", b->out);
}

static void print_value(struct builder *b, size_t index, bool append)
{
    if (append && column_at(b, index)->appends)
        print_appended(b, index);
    else
        print_parameter(b, index);
}

static void print_update(struct builder *b, bool append)
{
    size_t guard = guard_of(b->target);
    size_t all = b->target->column_count + b->target->key_count;

    fputs("UPDATE ", b->out);
    b->r = b->r != 0 ? b->r : sql_print_table(b->dialect, b->store, b->out);
    fputs(" SET ", b->out);
    for (size_t i = 0; i < b->target->column_count; i++) {
        fputs(i == 0 ? "" : ", ", b->out);
        print_name(b, column_at(b, i)->name);
        fputs(" = ", b->out);
        if (guard < b->target->column_count) {
            fputs("CASE WHEN ", b->out);
            print_is_before(b, guard);
            fputs(" THEN ", b->out);
            print_value(b, i, append);
            fputs(" ELSE ", b->out);
            print_name(b, column_at(b, i)->name);
            fputs(" END", b->out);
        } else {
            print_value(b, i, append);
        }
    }
    for (size_t i = b->target->column_count; i < all; i++) {
        fputs(i == b->target->column_count ? " WHERE " : " AND ", b->out);
        print_test(b, i, " = ");
    }
}

/* EXISTS (SELECT 1 FROM t WHERE "id" = $3 AND "at" >> 48 = $2 >> 48 AND ("at" = $2 OR "at" > $2 AND "start" < $4)) */
static void print_is_known(struct builder *b, size_t guard)
{
    size_t all = b->target->column_count + b->target->key_count;

    fputs("EXISTS (SELECT 1 FROM ", b->out);
    b->r = b->r != 0 ? b->r : sql_print_table(b->dialect, b->store, b->out);
    fputs(" WHERE ", b->out);
    for (size_t i = b->target->column_count; i < all; i++) {
        if (column_at(b, i)->type == TASKLOG_TIME)
            continue;
        print_test(b, i, " = ");
        fputs(" AND ", b->out);
    }
    print_test(b, guard, " >> 48 = ");
    fputs(" >> 48 AND (", b->out);
    print_test(b, guard, " = ");
    fputs(" OR ", b->out);
    print_test(b, guard, " > ");
    for (size_t i = b->target->column_count; i < all; i++) {
        if (column_at(b, i)->type != TASKLOG_TIME)
            continue;
        fputs(" AND ", b->out);
        print_test(b, i, " < ");
    }
    fputs("))", b->out);
}

/* May a row be there that has another time among its keys, and is the same thing? */
static bool has_twins(const struct tasklog_target *target)
{
    bool found = false;

    for (size_t i = 0; i < target->key_count; i++)
        found = found || target->keys[i].type == TASKLOG_TIME;
    return found && target->key_count > 1 && guard_of(target) < target->column_count;
}

static void print_insert(struct builder *b, const char *where)
{
    size_t all = b->target->column_count + b->target->key_count;

    fputs("INSERT INTO ", b->out);
    b->r = b->r != 0 ? b->r : sql_print_table(b->dialect, b->store, b->out);
    fputs(" (", b->out);
    for (size_t i = 0; i < all; i++) {
        fputs(i == 0 ? "" : ", ", b->out);
        print_name(b, column_at(b, i)->name);
    }
    fputs(") SELECT ", b->out);
    for (size_t i = 0; i < all; i++) {
        fputs(i == 0 ? "" : ", ", b->out);
        print_parameter(b, i);
    }
    fprintf(b->out, " WHERE %s", where);
    if (has_twins(b->target)) {
        fputs(" AND NOT ", b->out);
        print_is_known(b, guard_of(b->target));
    }
}

static void print_upsert(struct builder *b, bool append)
{
    fputs("WITH u AS (", b->out);
    print_update(b, append);
    fputs(" RETURNING 1) ", b->out);
    print_insert(b, "NOT EXISTS (SELECT 1 FROM u)");
}

int sql_print_table(const struct sql_dialect *dialect, const struct tasklog_store *store, FILE *out)
{
    int r = 0;

    if (store->schema != NULL) {
        r = dialect->print_name(dialect->context, out, store->schema);
        fputc('.', out);
    }
    return r != 0 ? r : dialect->print_name(dialect->context, out, store->table);
}

int sql_build(const struct sql_dialect *dialect, const struct tasklog_store *store,
              enum sql_kind kind, char **ret_sql)
{
    struct builder b = {.dialect = dialect, .target = &store->target, .store = store};
    char *text = NULL;
    size_t bytes = 0;
    bool complete;

    b.out = open_memstream(&text, &bytes);
    if (b.out == NULL)
        return -ENOMEM;
    switch (kind) {
    case SQL_UPDATE:
    case SQL_APPEND:
        print_update(&b, kind == SQL_APPEND);
        break;
    case SQL_INSERT:
        print_insert(&b, "1");
        break;
    case SQL_UPSERT_UPDATE:
    case SQL_UPSERT_APPEND:
        print_upsert(&b, kind == SQL_UPSERT_APPEND);
        break;
    }
    complete = !ferror(b.out);
    if (fclose(b.out) != 0 || !complete)
        b.r = -ENOMEM;
    if (b.r != 0) {
        free(text);
        return b.r;
    }
    *ret_sql = text;
    return 0;
}
