/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares a target with PostgreSQL's catalog and says in words what does not fit: table, columns,
 * types, privileges, and what an insert would lack. It changes nothing. From the columns' types it
 * learns in which form each value is to be written.
 *
 * Types: liberal where the server itself converts from the text form, strict where that can never
 * work. At the end the server is given the statements themselves, unexecuted, and has the last word.
 */
#include "pgsql.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

enum { LIST_BYTES = 400 };

/* What a type can be, as bits. */
enum {
    KIND_STRING = 1 << 0,
    KIND_ENUM = 1 << 1,
    KIND_INTEGER = 1 << 2,
    KIND_FRACTION = 1 << 3,
    KIND_BOOLEAN = 1 << 4,
    KIND_TIMESTAMP = 1 << 5,
    KIND_DATE = 1 << 6,
    KIND_INTERVAL = 1 << 7,
    KIND_UUID = 1 << 8,
    KIND_JSON = 1 << 9,
    KIND_INET = 1 << 10,
    KIND_FOREIGN = 1 << 11, /* not one of PostgreSQL's own, so it may well read a text */
    KIND_OTHER = 1 << 12,
};

struct kind_name {
    const char *type; /* pg_type.typname */
    int kind;
};

static const struct kind_name kind_names[] = {
    {"text", KIND_STRING},     {"varchar", KIND_STRING},      {"bpchar", KIND_STRING},
    {"name", KIND_STRING},     {"int2", KIND_INTEGER},        {"int4", KIND_INTEGER},
    {"int8", KIND_INTEGER},    {"numeric", KIND_FRACTION},    {"float4", KIND_FRACTION},
    {"float8", KIND_FRACTION}, {"bool", KIND_BOOLEAN},        {"timestamptz", KIND_TIMESTAMP},
    {"date", KIND_DATE},       {"timestamp", KIND_TIMESTAMP}, {"interval", KIND_INTERVAL},
    {"uuid", KIND_UUID},       {"json", KIND_JSON},           {"jsonb", KIND_JSON},
    {"inet", KIND_INET},       {"cidr", KIND_INET},
};

struct rule {
    int kinds; /* that take the type */
    const char *what;
    const char *accepted;
};

static const struct rule rules[] = {
    [TASKLOG_TEXT] = {KIND_STRING | KIND_ENUM | KIND_UUID | KIND_INET | KIND_FOREIGN, "text",
                      "text, character varying, character, an enum, uuid, inet"},
    [TASKLOG_INTEGER] = {KIND_INTEGER | KIND_FRACTION | KIND_STRING, "a whole number",
                         "smallint, integer, bigint, numeric, real, double precision, text"},
    [TASKLOG_TIME] = {KIND_TIMESTAMP | KIND_DATE | KIND_STRING, "a time",
                      "timestamp with time zone, timestamp without time zone (in UTC), date, text"},
    [TASKLOG_SECONDS] = {KIND_INTEGER | KIND_FRACTION | KIND_INTERVAL | KIND_STRING,
                         "a number of seconds",
                         "numeric, double precision, real, interval, integer, bigint, text"},
    [TASKLOG_BOOLEAN] = {KIND_BOOLEAN | KIND_INTEGER | KIND_FRACTION | KIND_STRING, "true or false",
                         "boolean, integer, text"},
    [TASKLOG_JSON] = {KIND_JSON | KIND_STRING | KIND_FOREIGN, "JSON", "jsonb, json, text"},
};

/* A key only has to be compared, and a task id may be a number. */
static const struct rule key_text_rule = {
    KIND_STRING | KIND_ENUM | KIND_UUID | KIND_INET | KIND_FOREIGN | KIND_INTEGER | KIND_FRACTION,
    "text", "text, character varying, character, an enum, uuid, inet, integer, bigint, numeric"};

static const char *const table_query =
    "SELECT c.oid, c.relkind, current_user, current_database(),"
    "       c.relkind IN ('r', 'p', 'v', 'f'),"
    "       pg_relation_is_updatable(c.oid, true) & 4 <> 0,"
    "       pg_relation_is_updatable(c.oid, true) & 8 <> 0,"
    "       CASE c.relkind WHEN 'm' THEN 'a materialized view' WHEN 'S' THEN 'a sequence'"
    "            WHEN 'i' THEN 'an index' WHEN 'I' THEN 'an index' WHEN 'c' THEN 'a type'"
    "            WHEN 'v' THEN 'a view' ELSE 'a table' END"
    " FROM pg_class c WHERE c.oid = to_regclass($1)";

enum {
    TABLE_OID,
    TABLE_KIND,
    TABLE_ROLE,
    TABLE_DATABASE,
    TABLE_IS_RELATION,
    TABLE_TAKES_UPDATE,
    TABLE_TAKES_INSERT,
    TABLE_WHAT,
};

static const char *const columns_query =
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod), b.typname, b.typcategory,"
    "       b.typnamespace = 'pg_catalog'::regnamespace,"
    "       (a.attnotnull OR t.typnotnull) AND NOT (a.atthasdef OR t.typdefault IS NOT NULL"
    "                                               OR a.attidentity <> ''),"
    "       a.attgenerated <> '' OR a.attidentity = 'a',"
    "       has_column_privilege(a.attrelid, a.attnum, 'SELECT'),"
    "       has_column_privilege(a.attrelid, a.attnum, 'UPDATE'),"
    "       has_column_privilege(a.attrelid, a.attnum, 'INSERT'),"
    "       (SELECT s.oid::regclass FROM pg_attrdef f JOIN pg_depend d ON d.objid = f.oid"
    "         AND d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass"
    "        JOIN pg_class s ON s.oid = d.refobjid"
    "        WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum AND CASE WHEN s.relkind = 'S'"
    "         THEN NOT has_sequence_privilege(s.oid, 'USAGE, UPDATE') END LIMIT 1)"
    " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
    " CROSS JOIN LATERAL (WITH RECURSIVE d (oid, typbasetype) AS ("
    "      SELECT t.oid, t.typbasetype UNION ALL"
    "      SELECT p.oid, p.typbasetype FROM d JOIN pg_type p ON p.oid = d.typbasetype)"
    "   SELECT d.oid FROM d WHERE d.typbasetype = 0) AS base"
    " JOIN pg_type b ON b.oid = base.oid"
    " WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

enum {
    COLUMN_NAME,
    COLUMN_TYPE,
    COLUMN_BASE,
    COLUMN_CATEGORY,
    COLUMN_IS_BUILTIN,
    COLUMN_MUST_HAVE,
    COLUMN_IS_GENERATED,
    COLUMN_CAN_SELECT,
    COLUMN_CAN_UPDATE,
    COLUMN_CAN_INSERT,
    COLUMN_SEQUENCE, /* that its default needs and the role may not use */
};

static const char *const tables_query =
    "SELECT CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE n.nspname || '.' END || c.relname"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname <> 'information_schema'"
    " AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1 LIMIT 2000";

struct check {
    struct pgsql *pg;
    int64_t deadline_ms;
    PGresult *table;   /* one row */
    PGresult *columns; /* a row for each column of the table */
};

static bool is_true(const PGresult *result, int row, int field)
{
    return PQgetvalue(result, row, field)[0] == 't';
}

/* Lists the first field of all rows, the name most like `wanted` first. */
static void list_names(const PGresult *result, const char *wanted, char *list)
{
    size_t count = (size_t)PQntuples(result);
    const char **names = calloc(count + 1, sizeof *names);

    list[0] = '\0';
    if (names == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        names[i] = PQgetvalue(result, (int)i, 0);
    message_names(list, LIST_BYTES, wanted, names, count);
    free(names);
}

/* --- The table --------------------------------------------------------------------------------- */

static int refuse_absent_table(struct check *check)
{
    struct tasklog_store *store = &check->pg->base;
    PGresult *tables = NULL;
    char list[LIST_BYTES];
    int r = pgsql_query(check->pg, tables_query, 0, NULL, check->deadline_ms, &tables);

    if (r < 0)
        return r;
    list_names(tables, store->target.table, list);
    PQclear(tables);
    return store_fail(store, -EINVAL, "%s has no table \"%s\"; it has: %s; " STORE_MEND_TABLE,
                      store->name, store->target.table, list);
}

static int print_name(void *context, FILE *out, const char *name)
{
    char *quoted = PQescapeIdentifier(context, name, strlen(name));

    if (quoted == NULL)
        return -ENOMEM;
    fputs(quoted, out);
    PQfreemem(quoted);
    return 0;
}

static struct sql_dialect dialect_of(struct pgsql *pg)
{
    return (struct sql_dialect){.mark = "$",
                                .head_open = "left(coalesce(",
                                .head_middle = ", ''), ",
                                .print_name = print_name,
                                .context = pg->conn};
}

static int quote_table(struct pgsql *pg, char **ret_name)
{
    struct sql_dialect dialect = dialect_of(pg);
    size_t bytes = 0;
    FILE *out = open_memstream(ret_name, &bytes);
    int r;

    if (out == NULL)
        return -ENOMEM;
    r = sql_print_table(&dialect, &pg->base, out);
    if (fclose(out) != 0 || r < 0)
        return -ENOMEM;
    return 0;
}

static int check_table(struct check *check, const char *quoted)
{
    struct pgsql *pg = check->pg;
    const char *table = pg->base.target.table;
    const char *parameters[] = {quoted};
    int r = pgsql_query(pg, table_query, 1, parameters, check->deadline_ms, &check->table);

    if (r < 0)
        return r;
    if (PQntuples(check->table) == 0)
        return refuse_absent_table(check);
    if (!is_true(check->table, 0, TABLE_IS_RELATION))
        return store_fail(&pg->base, -EINVAL,
                          "\"%s\" is %s, not a table that can be written; " STORE_MEND_OTHER_TABLE,
                          table, PQgetvalue(check->table, 0, TABLE_WHAT));
    if (!is_true(check->table, 0, TABLE_TAKES_UPDATE) ||
        (pg->base.target.mode == TASKLOG_UPSERT && !is_true(check->table, 0, TABLE_TAKES_INSERT)))
        return store_fail(&pg->base, -EINVAL,
                          "\"%s\" is %s that cannot be written; " STORE_MEND_OTHER_TABLE, table,
                          PQgetvalue(check->table, 0, TABLE_WHAT));
    return 0;
}

/* --- Its columns ------------------------------------------------------------------------------- */

static int kind_of(const PGresult *columns, int row)
{
    const char *type = PQgetvalue(columns, row, COLUMN_BASE);
    char category = PQgetvalue(columns, row, COLUMN_CATEGORY)[0];

    if (category == 'E')
        return KIND_ENUM;
    if (!is_true(columns, row, COLUMN_IS_BUILTIN)) {
        if (category == 'S') /* citext */
            return KIND_STRING;
        return category == 'U' ? KIND_FOREIGN : KIND_OTHER;
    }
    for (size_t i = 0; i < sizeof kind_names / sizeof *kind_names; i++) {
        if (strcmp(kind_names[i].type, type) == 0)
            return kind_names[i].kind;
    }
    return KIND_OTHER;
}

static enum value_form form_of(enum tasklog_type type, int kind)
{
    switch (type) {
    case TASKLOG_TEXT:
    case TASKLOG_JSON:
        break;
    case TASKLOG_INTEGER:
        return VALUE_NUMBER;
    case TASKLOG_TIME:
        return VALUE_TIME_ZONE;
    case TASKLOG_SECONDS:
        return kind == KIND_INTEGER    ? VALUE_WHOLE_SECONDS
               : kind == KIND_INTERVAL ? VALUE_INTERVAL
                                       : VALUE_SECONDS;
    case TASKLOG_BOOLEAN:
        return kind == KIND_STRING ? VALUE_WORD : VALUE_FLAG;
    }
    return VALUE_TEXT;
}

static int check_type(struct check *check, const struct tasklog_column *column, bool is_key,
                      int row, enum value_form *ret_form)
{
    struct tasklog_store *store = &check->pg->base;
    const struct rule *rule =
        is_key && column->type == TASKLOG_TEXT ? &key_text_rule : &rules[column->type];
    const char *type = PQgetvalue(check->columns, row, COLUMN_TYPE);
    int kind = kind_of(check->columns, row);

    if ((kind & rule->kinds) == 0)
        return store_fail(store, -EINVAL,
                          "column \"%s\" of table \"%s\" is of type %s, which cannot take %s; "
                          "accepted are: %s; " STORE_MEND_TYPE,
                          column->name, store->target.table, type, rule->what, rule->accepted);
    if (column->appends && kind != KIND_STRING)
        return store_fail(store, -EINVAL,
                          "column \"%s\" of table \"%s\" is of type %s, to which nothing can be "
                          "appended; accepted are: text, character varying; " STORE_MEND_TYPE,
                          column->name, store->target.table, type);
    if (column->guards && strcmp(PQgetvalue(check->columns, row, COLUMN_BASE), "int8") != 0)
        return store_fail(
            store, -EINVAL,
            "column \"%s\" of table \"%s\" is of type %s, which cannot take a position; "
            "accepted is: bigint; " STORE_MEND_TYPE,
            column->name, store->target.table, type);
    *ret_form = form_of(column->type, kind);
    return 0;
}

static int refuse_sequence(struct check *check, const char *column, const char *sequence)
{
    struct tasklog_store *store = &check->pg->base;
    const char *role = PQgetvalue(check->table, 0, TABLE_ROLE);
    char *quoted = PQescapeIdentifier(check->pg->conn, role, strlen(role));
    int r;

    if (quoted == NULL)
        return store_fail(store, -EAGAIN, "out of memory");
    r = store_fail(
        store, -EINVAL,
        "role \"%s\" lacks the privilege to use sequence %s, which numbers column \"%s\" "
        "of table \"%s\" (mode \"upsert\"); as its owner: GRANT USAGE ON SEQUENCE %s TO "
        "%s;",
        role, sequence, column, store->target.table, sequence, quoted);
    PQfreemem(quoted);
    return r;
}

static int refuse_privilege(struct check *check, const char *privilege, const char *column)
{
    struct tasklog_store *store = &check->pg->base;
    const char *role = PQgetvalue(check->table, 0, TABLE_ROLE);
    char *table = NULL;
    char *quoted = PQescapeIdentifier(check->pg->conn, role, strlen(role));
    int r = quote_table(check->pg, &table);

    if (r == 0 && quoted != NULL)
        r = store_fail(store, -EINVAL,
                       "role \"%s\" lacks the privilege to %s column \"%s\" of table \"%s\"; as "
                       "the table's owner: GRANT %s ON %s TO %s;",
                       role, privilege, column, store->target.table, privilege, table, quoted);
    else
        r = store_fail(store, -EAGAIN, "out of memory");
    PQfreemem(quoted);
    free(table);
    return r;
}

static bool is_guarded(const struct tasklog_target *target)
{
    bool found = false;

    for (size_t i = 0; i < target->column_count; i++)
        found = found || target->columns[i].guards;
    return found;
}

static int check_privileges(struct check *check, const struct tasklog_column *column, bool is_key,
                            int row)
{
    bool upsert = check->pg->base.target.mode == TASKLOG_UPSERT;

    if ((is_key || column->appends || is_guarded(&check->pg->base.target)) &&
        !is_true(check->columns, row, COLUMN_CAN_SELECT))
        return refuse_privilege(check, "SELECT", column->name);
    if (!is_key && !is_true(check->columns, row, COLUMN_CAN_UPDATE))
        return refuse_privilege(check, "UPDATE", column->name);
    if (upsert && !is_true(check->columns, row, COLUMN_CAN_INSERT))
        return refuse_privilege(check, "INSERT", column->name);
    return 0;
}

static int find_column(const PGresult *columns, const char *name)
{
    for (int i = 0; i < PQntuples(columns); i++) {
        if (strcmp(PQgetvalue(columns, i, COLUMN_NAME), name) == 0)
            return i;
    }
    return -1;
}

static int check_column(struct check *check, const struct tasklog_column *column, bool is_key,
                        enum value_form *ret_form)
{
    struct tasklog_store *store = &check->pg->base;
    int row = find_column(check->columns, column->name);
    bool is_written = !is_key || store->target.mode == TASKLOG_UPSERT;
    char list[LIST_BYTES];
    int r;

    if (row < 0) {
        list_names(check->columns, column->name, list);
        return store_fail(store, -EINVAL,
                          "table \"%s\" has no column \"%s\"; it has: %s; " STORE_MEND_COLUMN,
                          store->target.table, column->name, list, is_key ? "key" : "columns");
    }
    if (is_written && is_true(check->columns, row, COLUMN_IS_GENERATED))
        return store_fail(store, -EINVAL,
                          "column \"%s\" of table \"%s\" is generated and cannot be "
                          "written; " STORE_MEND_OTHER_COLUMN,
                          column->name, store->target.table);
    r = check_type(check, column, is_key, row, ret_form);
    return r < 0 ? r : check_privileges(check, column, is_key, row);
}

static bool is_written(const struct tasklog_target *target, const char *name)
{
    for (size_t i = 0; i < target->column_count; i++) {
        if (strcmp(target->columns[i].name, name) == 0)
            return true;
    }
    for (size_t i = 0; i < target->key_count; i++) {
        if (strcmp(target->keys[i].name, name) == 0)
            return true;
    }
    return false;
}

/* Would an insert lack something? */
static int check_missing(struct check *check)
{
    struct tasklog_store *store = &check->pg->base;

    for (int i = 0; i < PQntuples(check->columns); i++) {
        const char *name = PQgetvalue(check->columns, i, COLUMN_NAME);

        if (is_written(&store->target, name))
            continue;
        if (!PQgetisnull(check->columns, i, COLUMN_SEQUENCE))
            return refuse_sequence(check, name, PQgetvalue(check->columns, i, COLUMN_SEQUENCE));
        if (is_true(check->columns, i, COLUMN_MUST_HAVE))
            return store_fail(
                store, -EINVAL,
                "column \"%s\" of table \"%s\" is NOT NULL without a default and is "
                "not written: no row can be inserted (mode \"upsert\"); " STORE_MEND_DEFAULT,
                name, store->target.table);
    }
    return 0;
}

static const char *const unique_query =
    "SELECT array_agg(a.attname::text) FROM pg_index i"
    " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])"
    " WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND "
    "i.indexprs IS NULL"
    " GROUP BY i.indexrelid HAVING array_agg(a.attname::text) <@ $2::text[]";

/* Two that write the same row for the first time at once must not make two of it. */
static int check_unique(struct check *check)
{
    struct tasklog_store *store = &check->pg->base;
    char *keys = NULL;
    size_t bytes = 0;
    PGresult *result = NULL;
    FILE *out = open_memstream(&keys, &bytes);

    for (size_t i = 0; out != NULL && i < store->target.key_count; i++) {
        fputs(i == 0 ? "{\"" : "\",\"", out);
        for (const char *at = store->target.keys[i].name; *at != '\0'; at++)
            fprintf(out, *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
    }
    if (out == NULL || fputs("\"}", out) < 0 || fclose(out) != 0) {
        free(keys);
        return store_fail(store, -EAGAIN, "out of memory");
    }
    const char *parameters[] = {PQgetvalue(check->table, 0, TABLE_OID), keys};
    int r = pgsql_query(check->pg, unique_query, 2, parameters, check->deadline_ms, &result);
    free(keys);
    if (r == 0 && PQntuples(result) == 0)
        r = store_fail(
            store, -EINVAL,
            "table \"%s\" has no unique index on its key columns, without which two "
            "processes could insert a row twice (mode \"upsert\"); create it, or use mode "
            "\"update\"",
            store->target.table);
    PQclear(result);
    return r;
}

static int check_columns(struct check *check)
{
    struct pgsql *pg = check->pg;
    const struct tasklog_target *target = &pg->base.target;
    const char *parameters[] = {PQgetvalue(check->table, 0, TABLE_OID)};
    int r = pgsql_query(pg, columns_query, 1, parameters, check->deadline_ms, &check->columns);

    for (size_t i = 0; r == 0 && i < target->key_count; i++)
        r = check_column(check, &target->keys[i], true, &pg->forms[target->column_count + i]);
    for (size_t i = 0; r == 0 && i < target->column_count; i++)
        r = check_column(check, &target->columns[i], false, &pg->forms[i]);
    if (r == 0 && target->mode == TASKLOG_UPSERT)
        r = check_missing(check);
    if (r == 0 && target->mode == TASKLOG_UPSERT && is_guarded(target))
        r = check_unique(check);
    return r;
}

/* --- The statements ---------------------------------------------------------------------------- */

static int check_statement(struct pgsql *pg, const char *sql, int64_t deadline_ms)
{
    PGresult *result = NULL;
    int r = 0;

    if (PQsendPrepare(pg->conn, "", sql, 0, NULL) == 0)
        return pgsql_lost(pg);
    r = pgsql_settle(pg, 1, deadline_ms, &result);
    if (r == 0 && !pgsql_is_good(result))
        r = pgsql_refused(pg, result);
    PQclear(result);
    return r;
}

static int make_statements(struct pgsql *pg, int64_t deadline_ms)
{
    struct sql_dialect dialect = dialect_of(pg);
    bool upsert = pg->base.target.mode == TASKLOG_UPSERT;
    const enum sql_kind kinds[2] = {upsert ? SQL_UPSERT_UPDATE : SQL_UPDATE,
                                    upsert ? SQL_UPSERT_APPEND : SQL_APPEND};
    int r = 0;

    for (int i = 0; i < 2; i++) {
        free(pg->sql[i]);
        pg->sql[i] = NULL;
    }
    for (int i = 0; r == 0 && i < (pg->appends ? 2 : 1); i++) {
        if (sql_build(&dialect, &pg->base, kinds[i], &pg->sql[i]) < 0)
            return store_fail(&pg->base, -EAGAIN, "out of memory");
        r = check_statement(pg, pg->sql[i], deadline_ms);
    }
    return r;
}

int pgsql_check(struct pgsql *pg, int64_t deadline_ms)
{
    struct check check = {.pg = pg, .deadline_ms = deadline_ms};
    char *quoted = NULL;
    int r;

    if (quote_table(pg, &quoted) < 0)
        return store_fail(&pg->base, -EAGAIN, "out of memory");
    r = check_table(&check, quoted);
    if (r == 0)
        r = check_columns(&check);
    if (r == 0)
        r = make_statements(pg, deadline_ms);
    if (r == 0)
        r = pgsql_hold(pg, quoted, deadline_ms);
    free(quoted);
    PQclear(check.table);
    PQclear(check.columns);
    return r;
}
