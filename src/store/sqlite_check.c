/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares a target with an SQLite schema and says in words what does not fit. It changes nothing.
 *
 * SQLite itself takes any value in any column, so the declared type is taken at its word here: text
 * does not belong into an integer column, where Django would stumble over it.
 */
#include "sqlite.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "message.h"
#include "sql.h"

enum { LIST_BYTES = 400, MOST_COLUMNS = 2000, TYPE_BYTES = 64 };

/* What a declared type can be, as bits. */
enum {
    KIND_TEXT = 1 << 0,
    KIND_INTEGER = 1 << 1,
    KIND_FRACTION = 1 << 2,
    KIND_BOOLEAN = 1 << 3,
    KIND_TIMESTAMP = 1 << 4,
    KIND_DATE = 1 << 5,
    KIND_JSON = 1 << 6,
    KIND_ANY = 1 << 7, /* no type at all */
    KIND_BLOB = 1 << 8,
    KIND_OTHER = 1 << 9,
};

struct rule {
    int kinds;
    const char *what;
    const char *accepted;
};

static const struct rule rules[] = {
    [TASKLOG_TEXT] = {KIND_TEXT | KIND_ANY, "text", "text, varchar"},
    [TASKLOG_INTEGER] = {KIND_INTEGER | KIND_FRACTION | KIND_TEXT | KIND_ANY, "a whole number",
                         "integer, bigint, real, decimal, text"},
    [TASKLOG_TIME] = {KIND_TIMESTAMP | KIND_DATE | KIND_TEXT | KIND_ANY, "a time",
                      "datetime, timestamp, date, text"},
    [TASKLOG_SECONDS] = {KIND_INTEGER | KIND_FRACTION | KIND_TEXT | KIND_ANY, "a number of seconds",
                         "real, decimal, integer, bigint, text"},
    [TASKLOG_BOOLEAN] = {KIND_BOOLEAN | KIND_INTEGER | KIND_FRACTION | KIND_TEXT | KIND_ANY,
                         "true or false", "bool, integer, text"},
    [TASKLOG_JSON] = {KIND_JSON | KIND_TEXT | KIND_ANY, "JSON", "text, json"},
};

static const struct rule key_text_rule = {KIND_TEXT | KIND_INTEGER | KIND_FRACTION | KIND_ANY |
                                              KIND_OTHER,
                                          "text", "text, varchar, integer, uuid"};

struct column {
    char *name;
    char *type;
    bool must_have; /* NOT NULL, without a default, and not given by SQLite */
    bool is_generated;
};

struct check {
    struct sqlite *lite;
    struct column *columns;
    size_t count;
};

static void list_columns(const struct check *check, const char *wanted, char *list)
{
    const char **names = calloc(check->count + 1, sizeof *names);

    list[0] = '\0';
    if (names == NULL)
        return;
    for (size_t i = 0; i < check->count; i++)
        names[i] = check->columns[i].name;
    message_names(list, LIST_BYTES, wanted, names, check->count);
    free(names);
}

/* --- Reading the schema ------------------------------------------------------------------------ */

static const char *column_text(sqlite3_stmt *statement, int index)
{
    const char *text = (const char *)sqlite3_column_text(statement, index);

    return text != NULL ? text : "";
}

/* An INTEGER PRIMARY KEY is the row's number, which SQLite gives itself. */
static int read_column(struct check *check, sqlite3_stmt *statement)
{
    struct column *column = &check->columns[check->count];
    int hidden = sqlite3_column_int(statement, 6);
    bool is_key = sqlite3_column_int(statement, 5) != 0;

    column->name = strdup(column_text(statement, 1));
    column->type = strdup(column_text(statement, 2));
    check->count++;
    if (column->name == NULL || column->type == NULL)
        return SQLITE_NOMEM;
    column->is_generated = hidden == 2 || hidden == 3;
    column->must_have = sqlite3_column_int(statement, 3) != 0 &&
                        sqlite3_column_type(statement, 4) == SQLITE_NULL && !column->is_generated &&
                        !(is_key && strcasecmp(column->type, "integer") == 0);
    return SQLITE_OK;
}

/* Rows in the shape of pragma_table_xinfo. */
static int read_columns(struct check *check, const char *sql)
{
    struct sqlite *lite = check->lite;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(lite->db, sql, -1, &statement, NULL);

    check->columns = calloc(MOST_COLUMNS, sizeof *check->columns);
    if (check->columns == NULL)
        code = SQLITE_NOMEM;
    if (code == SQLITE_OK && sqlite3_bind_parameter_count(statement) > 0)
        code = sqlite3_bind_text(statement, 1, lite->base.table, -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    while (code == SQLITE_ROW && check->count < MOST_COLUMNS) {
        code = read_column(check, statement);
        if (code == SQLITE_OK)
            code = sqlite3_step(statement);
    }
    sqlite3_finalize(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW ? 0 : sqlite_refused(lite, code);
}

static void free_columns(struct check *check)
{
    for (size_t i = 0; i < check->count; i++) {
        free(check->columns[i].name);
        free(check->columns[i].type);
    }
    free(check->columns);
}

/* --- The table --------------------------------------------------------------------------------- */

static int refuse_absent_table(struct sqlite *lite)
{
    struct check tables = {.lite = lite};
    char list[LIST_BYTES];
    int r = read_columns(&tables, "SELECT 0, name, '', 0, NULL, 0, 0 FROM main.sqlite_master"
                                  " WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
                                  " ORDER BY name");

    if (r == 0) {
        list_columns(&tables, lite->base.table, list);
        r = store_fail(&lite->base, -EINVAL,
                       "%s has no table \"%s\"; it has: %s; " STORE_MEND_TABLE, lite->base.name,
                       lite->base.table, list);
    }
    free_columns(&tables);
    return r;
}

/* What SQLite counts after a write to a view is always 0, so nobody could tell whether it did
 * anything. */
static int refuse_view(struct sqlite *lite)
{
    sqlite3_stmt *statement = NULL;
    bool is_view;
    int code = sqlite3_prepare_v2(lite->db,
                                  "SELECT 1 FROM main.sqlite_master"
                                  " WHERE type = 'view' AND name = ?1 COLLATE NOCASE",
                                  -1, &statement, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_bind_text(statement, 1, lite->base.table, -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    is_view = code == SQLITE_ROW;
    sqlite3_finalize(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return sqlite_refused(lite, code);
    if (is_view)
        return store_fail(
            &lite->base, -EINVAL,
            "\"%s\" is a view; in SQLite only a table can be written; " STORE_MEND_OTHER_TABLE,
            lite->base.table);
    return 0;
}

/* --- Its columns ------------------------------------------------------------------------------- */

static bool holds(const char *type, const char *word)
{
    return strstr(type, word) != NULL;
}

/* In the order of SQLite's own rules of affinity, after the names that these would call numeric. */
static int kind_of(const char *declared)
{
    char type[TYPE_BYTES];
    size_t bytes = 0;

    for (; declared[bytes] != '\0' && bytes + 1 < sizeof type; bytes++)
        type[bytes] = (char)tolower((unsigned char)declared[bytes]);
    type[bytes] = '\0';
    if (bytes == 0 || strcmp(type, "any") == 0)
        return KIND_ANY;
    if (holds(type, "datetime") || holds(type, "timestamp"))
        return KIND_TIMESTAMP;
    if (strcmp(type, "date") == 0)
        return KIND_DATE;
    if (holds(type, "bool"))
        return KIND_BOOLEAN;
    if (holds(type, "json"))
        return KIND_JSON;
    if (holds(type, "int"))
        return KIND_INTEGER;
    if (holds(type, "char") || holds(type, "clob") || holds(type, "text"))
        return KIND_TEXT;
    if (holds(type, "blob"))
        return KIND_BLOB;
    if (holds(type, "real") || holds(type, "floa") || holds(type, "doub") ||
        holds(type, "numeric") || holds(type, "decimal"))
        return KIND_FRACTION;
    return KIND_OTHER;
}

static struct sqlite_form form_of(enum tasklog_type type, int kind)
{
    struct sqlite_form form = {SQLITE_BIND_TEXT, VALUE_TEXT};

    switch (type) {
    case TASKLOG_TEXT:
    case TASKLOG_JSON:
        break;
    case TASKLOG_INTEGER:
        form.binding = SQLITE_BIND_NUMBER;
        break;
    case TASKLOG_TIME:
        form.text = kind == KIND_DATE ? VALUE_DATE : VALUE_TIME;
        break;
    case TASKLOG_SECONDS:
        form.text = kind == KIND_INTEGER ? VALUE_WHOLE_SECONDS : VALUE_SECONDS;
        if (kind == KIND_FRACTION || kind == KIND_ANY)
            form.binding = SQLITE_BIND_REAL;
        break;
    case TASKLOG_BOOLEAN:
        form.text = kind == KIND_TEXT ? VALUE_WORD : VALUE_FLAG;
        form.binding = kind == KIND_TEXT ? SQLITE_BIND_TEXT : SQLITE_BIND_NUMBER;
        break;
    }
    return form;
}

static const struct column *find_column(const struct check *check, const char *name)
{
    for (size_t i = 0; i < check->count; i++) {
        if (strcasecmp(check->columns[i].name, name) == 0)
            return &check->columns[i];
    }
    return NULL;
}

static int check_column(struct check *check, const struct tasklog_column *column, bool is_key,
                        struct sqlite_form *ret_form)
{
    struct tasklog_store *store = &check->lite->base;
    const struct rule *rule =
        is_key && column->type == TASKLOG_TEXT ? &key_text_rule : &rules[column->type];
    const struct column *found = find_column(check, column->name);
    char list[LIST_BYTES];
    int kind;

    if (found == NULL) {
        list_columns(check, column->name, list);
        return store_fail(store, -EINVAL,
                          "table \"%s\" has no column \"%s\"; it has: %s; " STORE_MEND_COLUMN,
                          store->table, column->name, list, is_key ? "key" : "columns");
    }
    if (found->is_generated && (!is_key || store->target.mode == TASKLOG_UPSERT))
        return store_fail(store, -EINVAL,
                          "column \"%s\" of table \"%s\" is generated and cannot be "
                          "written; " STORE_MEND_OTHER_COLUMN,
                          column->name, store->table);
    kind = kind_of(found->type);
    if ((kind & rule->kinds) == 0)
        return store_fail(store, -EINVAL,
                          "column \"%s\" of table \"%s\" is of type %s, which cannot take %s; "
                          "accepted are: %s; " STORE_MEND_TYPE,
                          column->name, store->table, found->type, rule->what, rule->accepted);
    if (column->appends && (kind & (KIND_TEXT | KIND_ANY)) == 0)
        return store_fail(store, -EINVAL,
                          "column \"%s\" of table \"%s\" is of type %s, to which nothing can be "
                          "appended; accepted are: text, varchar; " STORE_MEND_TYPE,
                          column->name, store->table, found->type);
    if (column->guards && (kind & KIND_INTEGER) == 0)
        return store_fail(
            store, -EINVAL,
            "column \"%s\" of table \"%s\" is of type %s, which cannot take a position; "
            "accepted is: integer; " STORE_MEND_TYPE,
            column->name, store->table, found->type);
    *ret_form = form_of(column->type, kind);
    return 0;
}

static bool is_written(const struct tasklog_target *target, const char *name)
{
    for (size_t i = 0; i < target->column_count; i++) {
        if (strcasecmp(target->columns[i].name, name) == 0)
            return true;
    }
    for (size_t i = 0; i < target->key_count; i++) {
        if (strcasecmp(target->keys[i].name, name) == 0)
            return true;
    }
    return false;
}

static int check_missing(const struct check *check)
{
    struct tasklog_store *store = &check->lite->base;

    for (size_t i = 0; i < check->count; i++) {
        const struct column *column = &check->columns[i];

        if (column->must_have && !is_written(&store->target, column->name))
            return store_fail(
                store, -EINVAL,
                "column \"%s\" of table \"%s\" is NOT NULL without a default and is "
                "not written: no row can be inserted (mode \"upsert\"); " STORE_MEND_DEFAULT,
                column->name, store->table);
    }
    return 0;
}

static int check_columns(struct check *check)
{
    struct sqlite *lite = check->lite;
    const struct tasklog_target *target = &lite->base.target;
    int r = read_columns(check, "SELECT * FROM pragma_table_xinfo(?1, 'main')");

    if (r == 0 && check->count == 0)
        return refuse_absent_table(lite);
    if (r == 0)
        r = refuse_view(lite);
    for (size_t i = 0; r == 0 && i < target->key_count; i++)
        r = check_column(check, &target->keys[i], true, &lite->forms[target->column_count + i]);
    for (size_t i = 0; r == 0 && i < target->column_count; i++)
        r = check_column(check, &target->columns[i], false, &lite->forms[i]);
    if (r == 0 && target->mode == TASKLOG_UPSERT)
        r = check_missing(check);
    return r;
}

/* --- The statements ---------------------------------------------------------------------------- */

static int print_name(void *context, FILE *out, const char *name)
{
    char *quoted = sqlite3_mprintf("\"%w\"", name);

    (void)context;
    if (quoted == NULL)
        return -ENOMEM;
    fputs(quoted, out);
    sqlite3_free(quoted);
    return 0;
}

static int prepare(struct sqlite *lite, enum sql_kind kind, sqlite3_stmt **ret_statement)
{
    const struct sql_dialect dialect = {.mark = "?",
                                        .head_open = "substr(coalesce(",
                                        .head_middle = ", ''), 1, ",
                                        .print_name = print_name};
    char *sql = NULL;
    int code;

    if (sql_build(&dialect, &lite->base, kind, &sql) < 0)
        return store_fail(&lite->base, -EAGAIN, "out of memory");
    code = sqlite3_prepare_v3(lite->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);
    free(sql);
    return code == SQLITE_OK ? 0 : sqlite_refused(lite, code);
}

static int prepare_all(struct sqlite *lite)
{
    const struct tasklog_target *target = &lite->base.target;
    bool appends = false;
    int r = prepare(lite, SQL_UPDATE, &lite->update);

    for (size_t i = 0; i < target->column_count; i++)
        appends = appends || target->columns[i].appends;
    if (r == 0 && appends)
        r = prepare(lite, SQL_APPEND, &lite->append);
    if (r == 0 && target->mode == TASKLOG_UPSERT)
        r = prepare(lite, SQL_INSERT, &lite->insert);
    return r;
}

int sqlite_check(struct sqlite *lite)
{
    struct check check = {.lite = lite};
    int r = check_columns(&check);

    if (r == 0)
        r = prepare_all(lite);
    free_columns(&check);
    return r;
}
