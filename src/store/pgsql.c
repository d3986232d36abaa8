/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PostgreSQL driver as the facade sees it: new, open, write, free. How it talks, checks and
 * writes stands in the pgsql_*.c beside it. Any failure of a call as a whole ends the session; the
 * next call begins with a new one, so there is no half-known state to mend.
 */
#include "pgsql.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "pgsql_twin.h"

static void pgsql_free(struct tasklog_store *store)
{
    struct pgsql *pg = (struct pgsql *)store;

    if (pg->twin != NULL)
        pgsql_free(&pg->twin->base);
    pgsql_drop(pg);
    free(pg->forms);
    free(pg->sql[0]);
    free(pg->sql[1]);
    free(pg->look);
    free(pg->parameters);
    free(pg->scratch);
    free(pg);
}

static int make_room(struct pgsql *pg)
{
    const struct tasklog_target *target = &pg->base.target;

    if (pg->forms != NULL && pg->parameters != NULL && pg->scratch != NULL)
        return 0;
    pg->parameter_count = target->column_count + target->key_count + 1;
    for (size_t i = 0; i < target->column_count; i++)
        pg->appends = pg->appends || target->columns[i].appends;
    if (pg->forms == NULL)
        pg->forms = calloc(pg->parameter_count, sizeof *pg->forms);
    if (pg->parameters == NULL)
        pg->parameters = calloc(pg->parameter_count, sizeof *pg->parameters);
    if (pg->scratch == NULL)
        pg->scratch = calloc(pg->parameter_count, sizeof *pg->scratch);
    if (pg->forms == NULL || pg->parameters == NULL || pg->scratch == NULL)
        return store_fail(&pg->base, -EAGAIN, "out of memory");
    return 0;
}

static int pgsql_open(struct tasklog_store *store, int64_t deadline_ms)
{
    struct pgsql *pg = (struct pgsql *)store;
    int r = make_room(pg);

    if (r < 0)
        return r;
    if (pg->conn != NULL && pgsql_is_dead(pg))
        pgsql_drop(pg);
    if (pg->conn == NULL)
        r = pgsql_connect(pg, deadline_ms);
    if (r == 0 && !pg->checked)
        r = pgsql_check(pg, deadline_ms);
    pg->checked = r == 0;
    if (r < 0)
        pgsql_drop(pg);
    return r;
}

static int pgsql_write(struct tasklog_store *store, const struct tasklog_row *rows, size_t count,
                       int64_t deadline_ms, struct tasklog_outcome *outcomes)
{
    struct pgsql *pg = (struct pgsql *)store;
    int r = twin_settle(pg, deadline_ms);

    if (r == 0 && pg->base.leader == NULL && twin_is_worth_it(pg, rows, count))
        r = twin_write(pg, rows, count, deadline_ms, outcomes);
    else if (r == 0)
        r = pgsql_write_batch(pg, rows, count, deadline_ms, outcomes);
    if (r < 0)
        pgsql_drop(pg);
    return r;
}

/* --- The connection string --------------------------------------------------------------------- */

static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (strcmp(o->keyword, keyword) == 0 && o->val != NULL && *o->val != '\0')
            return o->val;
    }
    return NULL;
}

/* As long as there is no connection, what the string and the environment say has to do. */
static void name_target(struct pgsql *pg, const PQconninfoOption *options)
{
    const char *database = option_value(options, "dbname");
    const char *host = option_value(options, "host");
    char name[STORE_NAME_BYTES] = "PostgreSQL";
    size_t used = strlen(name);

    database = database != NULL ? database : getenv("PGDATABASE");
    host = host != NULL ? host : option_value(options, "hostaddr");
    host = host != NULL ? host : getenv("PGHOST");
    if (database != NULL)
        used += (size_t)snprintf(name + used, sizeof name - used, " database \"%s\"", database);
    if (host != NULL && used < sizeof name)
        snprintf(name + used, sizeof name - used, " on host \"%s\"", host);
    message_line(pg->base.name, sizeof pg->base.name, name);
}

/*
 * libpq's complaint without what it quotes of the string, which may be a piece of a password: it ends
 * at the first quoted piece that is more than a punctuation mark. Only a word that is nearly the name
 * of an option is repeated.
 */
static void describe_complaint(const char *complaint, char *text, size_t bytes)
{
    const char *open = strchr(complaint, '"');
    const char *meant = NULL;
    PQconninfoOption *options = PQconninfoParse("", NULL);
    char word[32] = "";

    while (open != NULL && open[1] != '\0' && ispunct((unsigned char)open[1]) && open[2] == '"')
        open = strchr(open + 3, '"');
    if (open == NULL) {
        message_line(text, bytes, complaint);
        PQconninfoFree(options);
        return;
    }
    if (strcspn(open + 1, "\"") < sizeof word)
        snprintf(word, sizeof word, "%.*s", (int)strcspn(open + 1, "\""), open + 1);
    for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL && meant == NULL; o++)
        meant = message_meant(word, (const char *const[]){o->keyword}, 1);
    if (meant != NULL)
        snprintf(text, bytes, "%.*s\"%s\", did you mean \"%s\"?", (int)(open - complaint),
                 complaint, word, meant);
    else
        snprintf(text, bytes, "%.*s...", (int)(open - complaint), complaint);
    PQconninfoFree(options);
}

static int refuse_string(char *complaint, char *error, size_t error_bytes)
{
    char text[200];

    describe_complaint(complaint != NULL ? complaint : "out of memory", text, sizeof text);
    snprintf(error, error_bytes,
             "the database's connection string cannot be read: %s; accepted are "
             "\"postgresql://user@host/dbname\", \"host=... dbname=... user=...\" and "
             "\"sqlite:/absolute/path\"",
             text);
    return -EINVAL;
}

int pgsql_new(const char *database, char *error, size_t error_bytes,
              struct tasklog_store **ret_store)
{
    static const struct store_ops ops = {.open = pgsql_open,
                                         .write = pgsql_write,
                                         .free = pgsql_free};
    char *complaint = NULL;
    PQconninfoOption *options = PQconninfoParse(database, &complaint);
    struct pgsql *pg = NULL;

    if (options == NULL) {
        int r = refuse_string(complaint, error, error_bytes);

        PQfreemem(complaint);
        return r;
    }
    pg = calloc(1, sizeof *pg);
    if (pg == NULL) {
        PQconninfoFree(options);
        return -ENOMEM;
    }
    pg->base.ops = &ops;
    name_target(pg, options);
    PQconninfoFree(options);
    *ret_store = &pg->base;
    return 0;
}
