/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the rows of the soak's tasks as they end, compares each byte of them with what plan.h says must be
 * there, and deletes them. It keeps no book but a bit a task, so that its memory stays as it is however
 * long the soak is. A row that comes once more (it was being written when rsyslogd was killed) is compared
 * like the others, and counted.
 *
 *     verify SEED TARGET sqlite:PATH | CONNECTION-STRING TABLE EVIDENCE-FOLDER
 *
 * A JSON object a quarter second on standard output says how far it is. At the first row that is not as it
 * must be it writes that row and what was expected into the folder, says so, and exits with 1. A line on
 * standard input ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "plan.h"

enum {
    ROWS = 64, /* that are read at a time */
    TASKS_MAX = 1 << 25,
    PAUSE_MS = 20,
    REPORT_US = 250000,
    EXPECTED_BYTES = 64 << 20,
};

enum column {
    COLUMN_ID,
    COLUMN_TASK_ID,
    COLUMN_KIND,
    COLUMN_HOST,
    COLUMN_STATUS,
    COLUMN_LOG,
    COLUMN_SUMMARY,
    COLUMN_START,
    COLUMN_END,
    COLUMN_UPDATED,
    COLUMN_LINES,
    COLUMN_BYTES,
    COLUMN_WARNINGS,
    COLUMN_ERRORS,
    COLUMN_FIRST_ERROR,
    COLUMN_COUNTERS,
    COLUMN_END_REASON,
    COLUMN_COMPLETE,
    COLUMN_PROCESSED,
    COLUMN_FAILED,
    COLUMN_TOTAL,
    COLUMN_DURATION,
    COLUMNS
};
#define COLUMN_NAMES                                                                            \
    "id, task_id, kind, host, status, log, summary, start_time, end_time, updated_at, lines, "  \
    "bytes, warnings, errors, first_error, counters, end_reason, complete, processed, failed, " \
    "total, duration"

struct value {
    const char *text; /* NULL for NULL */
    size_t bytes;
};

struct row {
    struct value values[COLUMNS];
};

/* What a row has to be. */
struct expected {
    struct plan plan;
    int64_t start_us, end_us;
    char *log;
    size_t log_bytes;
    size_t whole_at; /* the log without its late lines */
    unsigned lines, warnings, errors;
    unsigned late_lines; /* of these */
    uint64_t bytes;
    char first_error[256], summary[256], counters[64];
};

struct verifier {
    uint64_t seed;
    unsigned target;
    const char *database, *table, *folder;
    sqlite3 *sqlite;
    sqlite3_stmt *select, *delete;
    PGconn *pgsql;
    struct expected expected;
    uint8_t *verified[SENDERS_MAX]; /* a bit a task */
    uint64_t low[SENDERS_MAX];      /* all of this target before it are */
    uint64_t tasks, messages, lines, bytes, again, incomplete;
    uint64_t worst_us; /* from the end to the row, since the last report */
    int64_t next_report_us;
};

static struct verifier self;
static char query_select[1024], query_delete[256];

static int64_t now_us(void)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at);
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

static void die(const char *what)
{
    fprintf(stderr, "verify: %s\n", what);
    exit(2);
}

/* ---- what is expected ---- */

static void append(struct expected *expected, const char *text, size_t bytes)
{
    if (expected->log_bytes + bytes > EXPECTED_BYTES)
        die("a log is larger than any should be");
    memcpy(expected->log + expected->log_bytes, text, bytes);
    expected->log_bytes += bytes;
}

static void append_line(struct expected *expected, int64_t time_us, const char *text, size_t bytes)
{
    static time_t known = -1;
    static char stamp[32];
    static size_t stamp_bytes;
    time_t second = (time_t)(time_us / 1000000);

    if (second != known) {
        struct tm parts;
        stamp_bytes = strftime(stamp, sizeof(stamp), "[%F %T] ", localtime_r(&second, &parts));
        known = second;
    }
    if (expected->log_bytes > 0)
        append(expected, "\n", 1);
    append(expected, stamp, stamp_bytes);
    append(expected, text, bytes);
}

static void count_line(struct expected *expected, const struct plan_line *line)
{
    expected->lines++;
    expected->bytes += line->kept_bytes;
    expected->warnings += line->severity == SEVERITY_WARNING;
    expected->errors += line->severity <= SEVERITY_ERR;
    if (line->severity <= SEVERITY_ERR && !expected->first_error[0]) {
        const char *end = memchr(line->kept, '\n', line->kept_bytes);
        size_t bytes = end ? (size_t)(end - line->kept) : line->kept_bytes;
        snprintf(expected->first_error, sizeof(expected->first_error), "%.*s", (int)bytes,
                 line->kept);
    }
}

static void print_duration(int64_t us, char text[64])
{
    int64_t seconds = us / 1000000;

    if (seconds >= 3600)
        sprintf(text, "%dh %dm %ds", (int)(seconds / 3600), (int)(seconds / 60 % 60),
                (int)(seconds % 60));
    else if (seconds >= 60)
        sprintf(text, "%dm %ds", (int)(seconds / 60), (int)(seconds % 60));
    else
        sprintf(text, "%ds", (int)seconds);
}

static int print_count(char *text, unsigned count, const char *what)
{
    return sprintf(text, "%u %s%s, ", count, what, count == 1 ? "" : "s");
}

static void print_summary(struct expected *expected)
{
    const struct plan *plan = &expected->plan;
    char duration[64], *at = expected->summary;
    int64_t us = expected->end_us - expected->start_us;

    print_duration(us > 0 ? us : 0, duration);
    at += sprintf(at, "%s: ", plan->end == END_STATUS ? "Partial" : "Completed");
    if (plan_has_counts(plan)) {
        at +=
            sprintf(at, "%u successful, %d failed, ", plan->lines, plan->end == END_FAILED ? 3 : 0);
    } else {
        at += print_count(at, expected->lines, "line");
        at += print_count(at, expected->warnings, "warning");
        at += print_count(at, expected->errors, "error");
    }
    bool has_rows = plan->end == END_COUNTS || plan->end == END_STATUS;
    if (has_rows)
        at += sprintf(at, "rows: 7, ");
    sprintf(at, "Total time: %s", duration);
    strcpy(expected->counters, has_rows ? "{\"rows\": 7}" : "{}");
}

static void expect_line(struct expected *expected, unsigned index)
{
    static char text[PLAN_TEXT_BYTES];
    const struct plan *plan = &expected->plan;
    int64_t time_us = plan_time_us(plan, index, expected->end_us);
    struct plan_line line;

    plan_line(plan, index, &line, text);
    if (line.is_dropped)
        return;
    if (expected->start_us == 0)
        expected->start_us = time_us;
    if (index == plan->lines) {
        if (line.kept_bytes > 0) {
            append_line(expected, time_us, line.kept, line.kept_bytes);
            count_line(expected, &line);
        }
        print_summary(expected);
        append_line(expected, time_us, expected->summary, strlen(expected->summary));
        expected->whole_at = expected->log_bytes;
    } else if (!line.is_control) {
        append_line(expected, time_us, line.kept, line.kept_bytes);
        count_line(expected, &line);
    }
}

static void expect(struct expected *expected, const struct plan *plan, int64_t end_us)
{
    char *log = expected->log;

    *expected = (struct expected){.plan = *plan, .end_us = end_us, .log = log};
    for (unsigned index = 0; index <= plan->lines + plan->late; index++)
        expect_line(expected, index);
}

/* ---- comparison ---- */

/* "2026-11-24 10:31:07.123456" of UTC, the fraction as long as it likes; PostgreSQL puts "+00" behind. */
static int64_t read_time(const struct value *value)
{
    struct tm parts = {0};
    char fraction[7] = "000000";

    if (!value->text)
        return 0;
    const char *end = strptime(value->text, "%Y-%m-%d %H:%M:%S", &parts);
    if (!end)
        return 0;
    if (*end == '.')
        for (int i = 0; i < 6 && end[i + 1] >= '0' && end[i + 1] <= '9'; i++)
            fraction[i] = end[i + 1];
    return (int64_t)timegm(&parts) * 1000000 + atol(fraction);
}

static const char *text_of(const struct row *row, enum column column)
{
    return row->values[column].text ? row->values[column].text : "(NULL)";
}

static char problem[512];

static bool same_text(const struct row *row, enum column column, const char *name,
                      const char *expected)
{
    if (strcmp(text_of(row, column), expected) == 0)
        return true;
    snprintf(problem, sizeof(problem), "%s is \"%.150s\", should be \"%.150s\"", name,
             text_of(row, column), expected);
    return false;
}

static bool same_number(const struct row *row, enum column column, const char *name,
                        uint64_t expected)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu64, expected);
    return same_text(row, column, name, text);
}

/* A row may be seen before its late lines are written. */
enum seen { SEEN_WRONG, SEEN_EARLY, SEEN_RIGHT };

static enum seen compare(const struct row *row, const struct expected *expected)
{
    const struct plan *plan = &expected->plan;
    const struct value *log = &row->values[COLUMN_LOG];
    bool counts = plan_has_counts(plan);
    static const char *const statuses[] = {"COMPLETED", "COMPLETED", "COMPLETED", "FAILED",
                                           "PARTIAL"};
    const char *complete = text_of(row, COLUMN_COMPLETE);

    if (!log->text || log->bytes > expected->log_bytes || log->bytes < expected->whole_at ||
        memcmp(log->text, expected->log, log->bytes) != 0) {
        size_t at = 0;
        while (log->text && at < log->bytes && at < expected->log_bytes &&
               log->text[at] == expected->log[at])
            at++;
        snprintf(problem, sizeof(problem),
                 "the log of %zu bytes (should be %zu) differs at byte %zu", log->bytes,
                 expected->log_bytes, at);
        return SEEN_WRONG;
    }
    if (!same_text(row, COLUMN_SUMMARY, "summary", expected->summary) ||
        !same_text(row, COLUMN_STATUS, "status", statuses[plan->end]) ||
        !same_text(row, COLUMN_END_REASON, "end_reason", "marker") ||
        !same_text(row, COLUMN_KIND, "kind", plan_kind(self.target)) ||
        !same_text(row, COLUMN_COUNTERS, "counters", expected->counters))
        return SEEN_WRONG;
    if (complete[0] != 't' && complete[0] != '1') {
        strcpy(problem, "complete is false");
        return SEEN_WRONG;
    }
    if (read_time(&row->values[COLUMN_START]) != expected->start_us) {
        snprintf(problem, sizeof(problem), "start_time is %s", text_of(row, COLUMN_START));
        return SEEN_WRONG;
    }
    if (counts ? !same_number(row, COLUMN_PROCESSED, "processed", plan->lines) ||
                     !same_number(row, COLUMN_TOTAL, "total", plan->lines) ||
                     !same_number(row, COLUMN_FAILED, "failed", plan->end == END_FAILED ? 3 : 0)
               : row->values[COLUMN_PROCESSED].text || row->values[COLUMN_TOTAL].text) {
        if (!counts)
            strcpy(problem, "there are counts where none were reported");
        return SEEN_WRONG;
    }
    if (log->bytes < expected->log_bytes)
        return SEEN_EARLY;
    if (!same_number(row, COLUMN_LINES, "lines", expected->lines) ||
        !same_number(row, COLUMN_BYTES, "bytes", expected->bytes) ||
        !same_number(row, COLUMN_WARNINGS, "warnings", expected->warnings) ||
        !same_number(row, COLUMN_ERRORS, "errors", expected->errors) ||
        !same_text(row, COLUMN_FIRST_ERROR, "first_error", expected->first_error))
        return SEEN_WRONG;
    return SEEN_RIGHT;
}

static void write_file(const char *name, const char *text, size_t bytes)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/wrong.%s", self.folder, name);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(text, 1, bytes, file) != bytes)
        perror(path);
    if (file)
        fclose(file);
}

static void keep_evidence(const struct row *row, const struct expected *expected)
{
    static const char names[] = COLUMN_NAMES;
    const char *name = names;
    char columns[16384];
    size_t used = 0;

    for (int i = 0; i < COLUMNS; i++) {
        size_t bytes = strcspn(name, ",");
        if (i != COLUMN_LOG)
            used += (size_t)snprintf(columns + used, 1024, "%.*s: %.900s\n", (int)bytes, name,
                                     text_of(row, (enum column)i));
        name += bytes + 2;
    }
    write_file("columns", columns, used);
    write_file("log", text_of(row, COLUMN_LOG), strlen(text_of(row, COLUMN_LOG)));
    if (expected)
        write_file("expected", expected->log, expected->log_bytes);
}

static void __attribute__((noreturn))
report_wrong(const struct row *row, const struct expected *expected)
{
    keep_evidence(row, expected);
    printf("{\"wrong\": \"task %s of %s: see wrong.problem\"}\n", text_of(row, COLUMN_TASK_ID),
           plan_kind(self.target));
    fflush(stdout);
    write_file("problem", problem, strlen(problem));
    fprintf(stderr, "verify: task %s: %s\n", text_of(row, COLUMN_TASK_ID), problem);
    exit(1);
}

static bool note_verified(const struct plan *plan)
{
    if (plan->number >= (uint64_t)TASKS_MAX)
        die("more tasks than there are bits for");
    uint8_t *byte = &self.verified[plan->sender][plan->number / 8],
            bit = (uint8_t)(1U << plan->number % 8);
    bool first = !(*byte & bit);
    *byte |= bit;
    uint64_t *low = &self.low[plan->sender];
    while (*low < TASKS_MAX &&
           (self.verified[plan->sender][*low / 8] >> *low % 8 & 1 ||
            plan_target(plan_random(self.seed, plan->sender, *low)) != self.target))
        ++*low;
    return first;
}

static bool is_verified(const struct plan *plan)
{
    return plan->number < (uint64_t)TASKS_MAX &&
           self.verified[plan->sender][plan->number / 8] >> plan->number % 8 & 1;
}

/* Late lines that were stored, and of which a kill came before the spool knew that, are appended once more. If
 * their row was verified and deleted meanwhile, they make one of their own. */
static bool is_late_text(const struct row *row, const struct expected *expected)
{
    const struct value *log = &row->values[COLUMN_LOG];
    size_t most = expected->log_bytes - expected->whole_at;

    return log->text && log->bytes > 0 && log->bytes <= most &&
           memcmp(log->text, expected->log + expected->log_bytes - log->bytes, log->bytes) == 0;
}

/* True if the row may be deleted. */
static bool verify_row(const struct row *row)
{
    struct plan plan;
    unsigned sender;
    uint64_t number;
    int64_t start_us;

    if (!plan_read_id(text_of(row, COLUMN_TASK_ID), &sender, &number, &start_us)) {
        strcpy(problem, "nobody has logged such a task");
        report_wrong(row, NULL);
    }
    plan_task(self.seed, sender, number, start_us, &plan);
    int64_t end_us = read_time(&row->values[COLUMN_END]);
    expect(&self.expected, &plan, end_us);
    if (is_verified(&plan) && is_late_text(row, &self.expected)) {
        self.again++;
        return true;
    }
    enum seen seen = compare(row, &self.expected);
    if (seen == SEEN_WRONG)
        report_wrong(row, &self.expected);
    if (seen == SEEN_EARLY) {
        self.incomplete++;
        return false;
    }
    if (!note_verified(&plan)) {
        self.again++;
        return true;
    }
    self.tasks++;
    self.messages += plan.lines + 1 + plan.late;
    self.lines += self.expected.lines;
    self.bytes += self.expected.log_bytes;
    int64_t delay = read_time(&row->values[COLUMN_UPDATED]) - end_us;
    if (plan.late == 0 && delay > 0 && (uint64_t)delay > self.worst_us)
        self.worst_us = (uint64_t)delay;
    return true;
}

/* ---- databases: each reads up to ROWS rows behind `after`, and returns the last one's id, or 0 ---- */

static bool sqlite_ready(void)
{
    if (self.sqlite)
        return true;
    if (sqlite3_open(self.database + strlen("sqlite:"), &self.sqlite) != SQLITE_OK)
        die(sqlite3_errmsg(self.sqlite));
    sqlite3_busy_timeout(self.sqlite, 60000);
    sqlite3_exec(self.sqlite, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    if (sqlite3_prepare_v2(self.sqlite, query_select, -1, &self.select, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(self.sqlite, query_delete, -1, &self.delete, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(self.sqlite));
    return true;
}

static int64_t sqlite_rows(int64_t after)
{
    int64_t done[ROWS], last = 0;
    unsigned done_count = 0;
    int r;

    sqlite3_bind_int64(self.select, 1, after);
    while ((r = sqlite3_step(self.select)) == SQLITE_ROW) {
        struct row row;
        for (int i = 0; i < COLUMNS; i++)
            row.values[i] = (struct value){(const char *)sqlite3_column_text(self.select, i),
                                           (size_t)sqlite3_column_bytes(self.select, i)};
        last = sqlite3_column_int64(self.select, COLUMN_ID);
        if (verify_row(&row))
            done[done_count++] = last;
    }
    sqlite3_reset(self.select);
    if (r != SQLITE_DONE && r != SQLITE_BUSY)
        die(sqlite3_errmsg(self.sqlite));
    if (done_count == 0)
        return last;
    while ((r = sqlite3_exec(self.sqlite, "BEGIN IMMEDIATE", NULL, NULL, NULL)) == SQLITE_BUSY)
        ;
    for (unsigned i = 0; i < done_count && r == SQLITE_OK; i++) {
        sqlite3_bind_int64(self.delete, 1, done[i]);
        r = sqlite3_step(self.delete) == SQLITE_DONE ? SQLITE_OK : SQLITE_ERROR;
        sqlite3_reset(self.delete);
    }
    if (r != SQLITE_OK || sqlite3_exec(self.sqlite, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(self.sqlite));
    return last;
}

/* The server may be away: that is what is tried here. */
static bool pgsql_ready(void)
{
    if (self.pgsql && PQstatus(self.pgsql) == CONNECTION_OK)
        return true;
    PQfinish(self.pgsql);
    self.pgsql = PQconnectdb(self.database);
    if (PQstatus(self.pgsql) != CONNECTION_OK)
        return false;
    PQclear(PQexec(self.pgsql, "SET timezone = 'UTC'"));
    return true;
}

static PGresult *pgsql_run(const char *query, const char *value, ExecStatusType wanted)
{
    PGresult *result = PQexecParams(self.pgsql, query, 1, NULL, &value, NULL, NULL, 0);

    if (PQresultStatus(result) == wanted)
        return result;
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    /* Its own class of errors: the server goes, or has gone. */
    if (state && strncmp(state, "57", 2) != 0 && strncmp(state, "08", 2) != 0)
        die(PQresultErrorMessage(result));
    PQclear(result);
    PQreset(self.pgsql);
    return NULL;
}

static int64_t pgsql_rows(int64_t after)
{
    char number[32], done[ROWS * 24] = "{";
    int64_t last = 0;
    size_t used = 1;

    sprintf(number, "%" PRId64, after);
    PGresult *result = pgsql_run(query_select, number, PGRES_TUPLES_OK);
    if (!result)
        return 0;
    for (int r = 0; r < PQntuples(result); r++) {
        struct row row;
        for (int i = 0; i < COLUMNS; i++)
            row.values[i] =
                (struct value){PQgetisnull(result, r, i) ? NULL : PQgetvalue(result, r, i),
                               (size_t)PQgetlength(result, r, i)};
        last = atoll(row.values[COLUMN_ID].text);
        if (verify_row(&row))
            used += (size_t)sprintf(done + used, "%s%" PRId64, used > 1 ? "," : "", last);
    }
    PQclear(result);
    if (used > 1) {
        strcpy(done + used, "}");
        PQclear(pgsql_run(query_delete, done, PGRES_COMMAND_OK)); /* else they are read again */
    }
    return last;
}

/* ---- life ---- */

static void report(void)
{
    int64_t at_us = now_us();

    if (at_us < self.next_report_us)
        return;
    self.next_report_us = at_us + REPORT_US;
    printf("{\"tasks\": %" PRIu64 ", \"messages\": %" PRIu64 ", \"lines\": %" PRIu64
           ", \"bytes\": %" PRIu64 ", \"again\": %" PRIu64 ", \"early\": %" PRIu64
           ", \"worst_us\": %" PRIu64 ", \"low\": [",
           self.tasks, self.messages, self.lines, self.bytes, self.again, self.incomplete,
           self.worst_us);
    for (int i = 0; i < SENDERS_MAX; i++)
        printf("%s%" PRIu64, i > 0 ? ", " : "", self.low[i]);
    printf("]}\n");
    fflush(stdout);
    self.worst_us = 0;
}

static bool is_told_to_end(int ms)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&input, 1, ms) > 0;
}

int main(int count, char **arguments)
{
    if (count != 6) {
        fprintf(stderr, "verify: give SEED TARGET DATABASE TABLE FOLDER\n");
        return 2;
    }
    self.seed = strtoull(arguments[1], NULL, 10);
    self.target = (unsigned)atoi(arguments[2]);
    self.database = arguments[3];
    self.table = arguments[4];
    self.folder = arguments[5];
    bool is_sqlite = strncmp(self.database, "sqlite:", 7) == 0;
    snprintf(query_select, sizeof(query_select),
             "SELECT " COLUMN_NAMES
             " FROM %s WHERE status <> 'RUNNING' AND id > %s ORDER BY id LIMIT %d",
             self.table, is_sqlite ? "?" : "$1", ROWS);
    snprintf(query_delete, sizeof(query_delete),
             is_sqlite ? "DELETE FROM %s WHERE id = ?" : "DELETE FROM %s WHERE id = ANY($1)",
             self.table);
    for (int i = 0; i < SENDERS_MAX; i++)
        self.verified[i] = calloc(TASKS_MAX / 8, 1);
    self.expected.log = malloc(EXPECTED_BYTES);
    words_make();
    int64_t after = 0;
    for (int pause = 0; !is_told_to_end(pause);) {
        report();
        pause = PAUSE_MS;
        if (!(is_sqlite ? sqlite_ready() : pgsql_ready()))
            continue;
        after = is_sqlite ? sqlite_rows(after) : pgsql_rows(after);
        if (after > 0)
            pause = 0;
    }
    return 0;
}
