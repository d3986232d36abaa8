/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What PostgreSQL takes by itself: the rows of a load, whose texts lie ready, by a prepared INSERT of so many rows a
 * transaction, over libpq and nothing else. Prints seconds.
 *
 *     store_limit CONNINFO TABLE TASKS LINES TEXT_BYTES BATCH
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "words.h"

enum { COLUMNS = 8, LOGS = 64 };

static PGconn *conn;

static void check(PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fprintf(stderr, "store_limit: %s", PQresultErrorMessage(result));
        exit(1);
    }
    PQclear(result);
}

static void prepare(const char *table, size_t rows)
{
    char *sql = malloc(256 + rows * COLUMNS * 8);
    int at = sprintf(
        sql,
        "INSERT INTO %s (task_id, kind, status, log, summary, start_time, end_time, lines) VALUES ",
        table);

    for (size_t row = 0; row < rows; row++) {
        at += sprintf(sql + at, row ? ", (" : "(");
        for (size_t column = 0; column < COLUMNS; column++)
            at += sprintf(sql + at, "%s$%zu", column ? ", " : "", row * COLUMNS + column + 1);
        at += sprintf(sql + at, ")");
    }
    check(PQprepare(conn, "rows", sql, 0, NULL));
    free(sql);
}

static char *make_log(unsigned long task, unsigned long lines, size_t text_bytes)
{
    char *log = malloc(lines * (text_bytes + 64) + 128), *at = log;

    for (unsigned long line = 0; line < lines; line++) {
        at += sprintf(at, "[2026-11-24 10:31:07] ");
        at += words_line(task, line, text_bytes, at);
        *at++ = '\n';
    }
    strcpy(at, "[2026-11-24 10:31:07] Completed: 500 lines, 0 warnings, 0 errors, Total time: 0s");
    return log;
}

int main(int count, char **arguments)
{
    if (count != 7) {
        fprintf(stderr, "store_limit: CONNINFO TABLE TASKS LINES TEXT_BYTES BATCH\n");
        return 2;
    }
    unsigned long tasks = strtoul(arguments[3], NULL, 10), lines = strtoul(arguments[4], NULL, 10);
    size_t batch = strtoul(arguments[6], NULL, 10);
    const char **values = calloc(batch * COLUMNS, sizeof(*values));
    char(*ids)[32] = calloc(batch, sizeof(*ids));
    char *logs[LOGS], line_count[32];
    struct timespec began, ended;

    conn = PQconnectdb(arguments[1]);
    if (PQstatus(conn) != CONNECTION_OK) {
        fprintf(stderr, "store_limit: %s", PQerrorMessage(conn));
        return 1;
    }
    words_make();
    for (unsigned long i = 0; i < LOGS; i++)
        logs[i] = make_log(i, lines, strtoul(arguments[5], NULL, 10));
    prepare(arguments[2], batch);
    sprintf(line_count, "%lu", lines);
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (unsigned long task = 0; task + batch <= tasks; task += batch) {
        for (size_t row = 0; row < batch; row++) {
            const char **value = values + row * COLUMNS;
            sprintf(ids[row], "limit-%lu", task + row);
            value[0] = ids[row];
            value[1] = "import";
            value[2] = "COMPLETED";
            value[3] = logs[(task + row) % LOGS];
            value[4] = "Completed: 500 lines, 0 warnings, 0 errors, Total time: 0s";
            value[5] = value[6] = "2026-11-24 10:31:07+00";
            value[7] = line_count;
        }
        check(PQexecPrepared(conn, "rows", (int)(batch * COLUMNS), values, NULL, NULL, 0));
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%.6f\n",
           (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
    PQfinish(conn);
    free(values);
    free(ids);
    for (unsigned long i = 0; i < LOGS; i++)
        free(logs[i]);
    return 0;
}
