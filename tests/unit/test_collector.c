/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector with its real threads, and with the real store on an SQLite file: from lines to rows.
 * What a store can do to it by answering badly is in test_writer.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <syslog.h>

#include <cmocka.h>

#include "support/collecting.h"
#include "support/database.h"
#include "support/short_memory.h"
#include "support/steady_clock.h"
#include "tasklog/table.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WAIT(condition) COLLECTING_WAIT(collecting, condition)

enum { STOP_MS = 60000, PARAMETERS_MAX = 48 };

static struct database *database;
static struct collecting *collecting;

/* ---- what fails on demand ---- */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *argument), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *argument), void *argument);
int __real_pthread_join(pthread_t thread, void **ret_value);
int __wrap_pthread_join(pthread_t thread, void **ret_value);
ssize_t __real_getrandom(void *buffer, size_t bytes, unsigned flags);
ssize_t __wrap_getrandom(void *buffer, size_t bytes, unsigned flags);
void __real_tasklog_table_tick(struct tasklog_table *table, struct tasklog_now now,
                               struct tasklog_results *results);
void __wrap_tasklog_table_tick(struct tasklog_table *table, struct tasklog_now now,
                               struct tasklog_results *results);

static int threads_left = INT_MAX;
static int threads_running; /* those that were made and not joined */
static int random_error;
static atomic_bool tick_fails; /* as if there were no memory: what is due stays due */
static atomic_int tick_count;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *argument), void *argument)
{
    int r = threads_left-- <= 0 ? EAGAIN : __real_pthread_create(thread, attributes, run, argument);

    threads_running += r == 0;
    return r;
}

int __wrap_pthread_join(pthread_t thread, void **ret_value)
{
    threads_running--;
    return __real_pthread_join(thread, ret_value);
}

ssize_t __wrap_getrandom(void *buffer, size_t bytes, unsigned flags)
{
    if (random_error == 0)
        return __real_getrandom(buffer, bytes, flags);
    errno = random_error;
    return -1;
}

void __wrap_tasklog_table_tick(struct tasklog_table *table, struct tasklog_now now,
                               struct tasklog_results *results)
{
    tick_count++;
    if (!tick_fails)
        __real_tasklog_table_tick(table, now, results);
}

/* ---- life ---- */

static int set_up(void **state)
{
    (void)state;
    database = database_new(DATABASE_SQLITE);
    database_run(database,
                 "CREATE TABLE tasks (id integer PRIMARY KEY, task_id varchar(255) UNIQUE,"
                 " kind varchar(48), host varchar(64), status varchar(20), log text, summary text,"
                 " start_time datetime, end_time datetime, duration real, processed integer,"
                 " failed integer, total integer, lines integer, bytes integer, warnings integer,"
                 " errors integer, first_error text, counters text, end_reason varchar(20),"
                 " complete bool, updated_at datetime, CHECK (status <> 'FORBIDDEN'))");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    database_release(database);
    collecting_free(collecting);
    collecting = NULL;
    assert_int_equal(threads_running, 0);
    database_free(database);
    threads_left = INT_MAX;
    random_error = 0;
    tick_fails = false;
    return 0;
}

/* A collector that inserts rows, each field in the column of its name; with more parameters. */
static void make(const char *const *more)
{
    static const char *const basics[] = {"table=tasks",
                                         "mode=upsert",
                                         "columns=kind=kind",
                                         "columns=host=host",
                                         "columns=status=status",
                                         "columns=log=log",
                                         "columns=summary=summary",
                                         "columns=start_time=start_time",
                                         "columns=end_time=end_time",
                                         "columns=duration=duration",
                                         "columns=processed=processed",
                                         "columns=failed=failed",
                                         "columns=total=total",
                                         "columns=lines=lines",
                                         "columns=bytes=bytes",
                                         "columns=warnings=warnings",
                                         "columns=errors=errors",
                                         "columns=first_error=first_error",
                                         "columns=counters=counters",
                                         "columns=end_reason=end_reason",
                                         "columns=complete=complete",
                                         "columns=updated_at=updated_at"};
    const char *parameters[PARAMETERS_MAX] = {0};
    char url[256];
    size_t count = 0;

    snprintf(url, sizeof(url), "database=%s", database_url(database));
    parameters[count++] = url;
    for (size_t i = 0; i < COUNT(basics); i++)
        parameters[count++] = basics[i];
    for (; *more; more++)
        parameters[count++] = *more;
    collecting = collecting_new(parameters, &steady_clock);
}

#define MAKE(...) make((const char *const[]){__VA_ARGS__, NULL})
#define BEGIN(...)                    \
    do {                              \
        MAKE(__VA_ARGS__);            \
        collecting_start(collecting); \
    } while (0)

static int64_t stop(int timeout_ms)
{
    int64_t began_ms = steady_now_ms();

    tasklog_collector_stop(collecting_collector(collecting), timeout_ms);
    return steady_now_ms() - began_ms;
}

static struct tasklog_counters counters(void)
{
    return collecting_counters(collecting);
}

static void expect(const char *sql, const char *value)
{
    const char *found = database_value(database, sql);

    if (strcmp(found, value) != 0)
        fail_msg("%s\n--- expected:\n%s\n--- found:\n%s", sql, value, found);
}

/* ---- lines to rows ---- */

static void lines_become_a_row(void **state)
{
    struct tasklog_line error;

    (void)state;
    BEGIN("showLevel=on");
    collecting_give(collecting, "job[run-42]", "@task start total=13");
    collecting_give(collecting, "job[run-42]", "Step 1: \"Creating\" tables");
    error = collecting_line("job[run-42]", "permission denied\nTraceback:\n  it's here");
    error.severity = 3;
    error.time_us += 65500000;
    assert_int_equal(tasklog_collector_accept(collecting_collector(collecting), &error, 1), 1);
    error.text = "@task end processed=12 failed=1 tables=12";
    error.text_bytes = strlen(error.text);
    error.severity = 6;
    assert_int_equal(tasklog_collector_accept(collecting_collector(collecting), &error, 1), 1);
    WAIT(counters().rows_stored == 1);

    expect("SELECT count(*) FROM tasks", "1");
    expect("SELECT task_id FROM tasks", "run-42");
    expect("SELECT kind || ' on ' || host FROM tasks", "job on web1");
    expect("SELECT status FROM tasks", "FAILED");
    expect("SELECT log FROM tasks",
           "[2026-11-24 10:00:00] Step 1: \"Creating\" tables\n"
           "[2026-11-24 10:01:05] ERROR: permission denied\nTraceback:\n  it's here\n"
           "[2026-11-24 10:01:05] Completed: 12 successful, 1 failed, tables: 12, Total time: 1m "
           "5s");
    expect("SELECT start_time || ' to ' || end_time FROM tasks",
           "2026-11-24 10:00:00 to 2026-11-24 10:01:05.500000");
    expect("SELECT duration FROM tasks", "65.5");
    expect("SELECT processed || ' ' || failed || ' ' || total FROM tasks", "12 1 13");
    expect("SELECT lines || ' ' || warnings || ' ' || errors FROM tasks", "2 0 1");
    expect("SELECT first_error FROM tasks", "permission denied");
    expect("SELECT counters FROM tasks", "{\"tables\": 12}");
    expect("SELECT end_reason || ' ' || complete FROM tasks", "marker 1");
    expect("SELECT updated_at LIKE '20__-__-__ __:__:__%' FROM tasks", "1");
}

static void a_refused_result_harms_no_other(void **state)
{
    (void)state;
    BEGIN("liveInterval=0");
    collecting_give(collecting, "job[1]", "@task end");
    collecting_give(collecting, "job[2]", "@task end status=FORBIDDEN");
    collecting_give(collecting, "job[3]", "@task end");
    WAIT(counters().rows_stored == 2 && counters().rows_refused == 1);
    expect("SELECT group_concat(task_id) FROM (SELECT task_id FROM tasks ORDER BY task_id)", "1,3");
    WAIT(collecting_said(collecting, "the result of task \"2\" of kind \"job\" is refused") == 1);
}

static void late_lines_come_by_themselves_and_once(void **state)
{
    (void)state;
    BEGIN("liveInterval=0");
    collecting_give(collecting, "job[1]", "on time");
    collecting_give(collecting, "job[1]", "@task end");
    WAIT(counters().rows_stored == 1);
    collecting_give(collecting, "job[1]", "late 1");
    collecting_give(collecting, "job[1]", "late 2");
    WAIT(counters().rows_stored == 2);
    collecting_give(collecting, "job[1]", "late 3");
    WAIT(counters().rows_stored == 3);
    expect("SELECT log FROM tasks",
           "[2026-11-24 10:00:00] on time\n[2026-11-24 10:00:00] Completed: 1 line, 0 warnings, "
           "0 errors, Total time: 0s\n[2026-11-24 10:00:00] late 1\n[2026-11-24 10:00:00] late 2\n"
           "[2026-11-24 10:00:00] late 3");
    expect("SELECT lines FROM tasks", "4");
    assert_int_equal(counters().late, 3);
}

static void running_tasks_are_shown_by_themselves(void **state)
{
    (void)state;
    BEGIN("liveInterval=1");
    collecting_give(collecting, "job[1]", "one");
    WAIT(counters().rows_live == 1);
    expect("SELECT status || ': ' || log FROM tasks", "RUNNING: [2026-11-24 10:00:00] one");
    collecting_give(collecting, "job[1]", "two");
    WAIT(counters().rows_live == 2);
    expect("SELECT lines FROM tasks", "2");
    assert_int_equal(counters().open_tasks, 1);
}

static void idle_tasks_are_closed_without_a_further_line(void **state)
{
    (void)state;
    BEGIN("idleTimeout=1", "liveInterval=0");
    collecting_give(collecting, "job[1]", "one");
    WAIT(counters().ended_idle == 1 && counters().rows_stored == 1);
    expect("SELECT status || ' ' || end_reason || ' ' || complete FROM tasks", "FAILED idle 0");
    expect("SELECT log LIKE '%one%Closed by tasklog: no line for 1s%Failed: 1 line, %' FROM tasks",
           "1");
    assert_int_equal(counters().open_tasks, 0);
}

static void tasks_that_run_too_long_are_closed_in_spite_of_lines(void **state)
{
    (void)state;
    BEGIN("maxRuntime=1", "liveInterval=0");
    int64_t until_ms = collecting_deadline_ms();
    while (counters().ended_max_runtime == 0) {
        collecting_give(collecting, "job[1]", "again");
        collecting_pause(collecting, until_ms, "the end of the task", __FILE__, __LINE__);
    }
    WAIT(counters().rows_stored >= 1);
    expect("SELECT status || ' ' || end_reason FROM tasks", "FAILED max_runtime");
}

static void every_line_is_in_one_counter(void **state)
{
    struct tasklog_line line;
    struct tasklog_counters is;

    (void)state;
    BEGIN("level=notice", "liveInterval=0");
    collecting_give(collecting, "job[1]", "@task start total=x"); /* kept as a line, too */
    collecting_give(collecting, "job[1]", "less severe than notice");
    line = collecting_line("job[1]", "kept");
    line.severity = 5;
    assert_int_equal(tasklog_collector_accept(collecting_collector(collecting), &line, 1), 1);
    line.text = "not \xff text";
    line.text_bytes = strlen(line.text);
    assert_int_equal(tasklog_collector_accept(collecting_collector(collecting), &line, 1), 1);
    collecting_give(collecting, "job[1]", "@task end");
    assert_int_equal(tasklog_collector_accept(collecting_collector(collecting), &line, 1), 1);
    tasklog_collector_reject(collecting_collector(collecting), "x", 1, "why");
    is = counters();
    assert_int_equal(is.lines, 1);
    assert_int_equal(is.altered, 1);
    assert_int_equal(is.late, 1);
    assert_int_equal(is.below_level, 1);
    assert_int_equal(is.control, 2);
    assert_int_equal(is.control_unreadable, 1);
    assert_int_equal(is.not_task, 1);
    assert_int_equal(is.missing, 0);
    assert_int_equal(is.tasks_started, 1);
    assert_int_equal(is.ended_marker, 1);
    assert_int_equal(is.open_tasks, 0);
}

/* ---- many threads ---- */

enum { THREADS = 4, TASKS_EACH = 10, LINES_EACH = 60, OFFERED_AT_ONCE = 7 };

struct sender {
    pthread_t thread;
    int number;
};

/* Offers lines until all are taken, as a front does. */
static void send_all(const struct tasklog_line *lines, size_t count)
{
    while (count > 0) {
        size_t taken = tasklog_collector_accept(collecting_collector(collecting), lines, count);
        lines += taken;
        count -= taken;
        if (count > 0)
            steady_sleep_ms(1);
    }
}

static void send_line(const char *tag, const char *text)
{
    struct tasklog_line line = collecting_line(tag, text);

    send_all(&line, 1);
}

/* A thread's lines: a line for each of its tasks in turn, and after each round one for all threads'. */
static void *send_lines(void *argument)
{
    const struct sender *sender = argument;
    struct tasklog_line lines[OFFERED_AT_ONCE];
    char tags[OFFERED_AT_ONCE][32], texts[OFFERED_AT_ONCE][32];
    size_t filled = 0;

    for (int i = 0; i <= LINES_EACH; i++) {
        for (int task = 0; task <= TASKS_EACH; task++) {
            if (task == TASKS_EACH && i == LINES_EACH)
                break; /* the last thread alone ends the common task */
            if (task < TASKS_EACH)
                snprintf(tags[filled], sizeof(tags[0]), "job[%d-%d]", sender->number, task);
            else
                snprintf(tags[filled], sizeof(tags[0]), "job[common]");
            if (i < LINES_EACH)
                snprintf(texts[filled], sizeof(texts[0]), "%d:%d", sender->number, i);
            else
                snprintf(texts[filled], sizeof(texts[0]), "@task end");
            lines[filled] = collecting_line(tags[filled], texts[filled]);
            if (++filled == OFFERED_AT_ONCE) {
                send_all(lines, filled);
                filled = 0;
            }
        }
    }
    send_all(lines, filled);
    return NULL;
}

static void expect_lines_of(int thread, int task)
{
    char sql[64], expected[LINES_EACH * 40];
    size_t used = 0;

    for (int i = 0; i < LINES_EACH; i++)
        used += (size_t)snprintf(expected + used, sizeof(expected) - used,
                                 "[2026-11-24 10:00:00] %d:%d\n", thread, i);
    snprintf(expected + used, sizeof(expected) - used,
             "[2026-11-24 10:00:00] Completed: %d lines, 0 warnings, 0 errors, Total time: 0s",
             LINES_EACH);
    snprintf(sql, sizeof(sql), "SELECT log FROM tasks WHERE task_id = '%d-%d'", thread, task);
    expect(sql, expected);
}

/* All threads' lines are in it, each thread's in its order. */
static void expect_common_lines(void)
{
    const char *log = database_value(database, "SELECT log FROM tasks WHERE task_id = 'common'");
    int next[THREADS] = {0};
    int thread, line;

    while (sscanf(log, "[2026-11-24 10:00:00] %d:%d", &thread, &line) == 2) {
        assert_in_range(thread, 0, THREADS - 1);
        assert_int_equal(line, next[thread]++);
        log = strchr(log, '\n') + 1;
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], LINES_EACH);
    assert_non_null(strstr(log, "Completed: 240 lines"));
}

static void several_threads_give_lines_at_once(void **state)
{
    struct sender senders[THREADS];

    (void)state;
    BEGIN("liveInterval=1", "memoryBudget=20k");
    for (int i = 0; i < THREADS; i++) {
        senders[i].number = i;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_lines, &senders[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
    send_line("job[common]", "@task end");
    WAIT(counters().rows_stored == THREADS * TASKS_EACH + 1);
    assert_int_equal(stop(STOP_MS) < 10000, 1);
    for (int i = 0; i < THREADS; i++)
        for (int task = 0; task < TASKS_EACH; task++)
            expect_lines_of(i, task);
    expect_common_lines();
    expect("SELECT count(*) FROM tasks", "41");
    assert_int_equal(counters().lines, THREADS * (TASKS_EACH + 1) * LINES_EACH);
}

/* ---- memory ---- */

static void give_blocks(int from, int to, const char *text)
{
    char tag[32];

    for (int i = from; i < to; i++) {
        snprintf(tag, sizeof(tag), "job[%d]", i);
        send_line(tag, text);
        send_line(tag, "@task end");
    }
}

static void lines_are_refused_while_results_use_up_the_memory_and_taken_after(void **state)
{
    char text[10001], tag[32];
    int tasks = 0;

    (void)state;
    memset(text, 'x', 10000);
    text[10000] = '\0';
    BEGIN("liveInterval=0", "memoryBudget=200k");
    WAIT(collecting_said(collecting, "writing to table") == 1);
    database_hold(database, "UPDATE tasks SET status = status");
    while (collecting_try(collecting, "job[a]", text)) {
        collecting_give(collecting, "job[a]", "@task start"); /* each makes a result */
        snprintf(tag, sizeof(tag), "job[%d]", tasks++);
        if (!collecting_try(collecting, tag, "@task end"))
            break;
        assert_in_range(tasks, 1, 30);
    }
    assert_in_range(counters().memory_bytes, 200 << 10, (200 << 10) + 30000);
    assert_false(collecting_try(collecting, "job[b]", "not now"));
    assert_int_equal(counters().rows_stored, 0);

    database_release(database);
    WAIT(collecting_try(collecting, "job[b]", "now"));
    give_blocks(100, 120, text);
    stop(STOP_MS);
    expect("SELECT count(*) FROM tasks WHERE task_id BETWEEN '100' AND '119'", "20");
    expect("SELECT log FROM tasks WHERE task_id = 'b'", "[2026-11-24 10:00:00] now");
    assert_int_equal(counters().rows_lost, 0);
    assert_int_equal(counters().missing, 0);
}

/* Reads the numbered lines of a log from `log` on; returns where they end. */
static const char *read_numbers(const char *log, int *ret_first, int *ret_next)
{
    int number;

    *ret_first = -1;
    while (sscanf(log, "[2026-11-24 10:00:00] line %d ", &number) == 1) {
        if (*ret_first < 0)
            *ret_first = *ret_next = number;
        assert_int_equal(number, (*ret_next)++);
        log = strchr(log, '\n') + 1;
    }
    return log;
}

/* A log of numbered lines that lost its middle: the note tells exactly what is missing. */
static void expect_gap(const char *log, int lines, size_t line_bytes)
{
    int first, head_end = 0, tail_start = 0, tail_end, said_lines;
    size_t said_bytes;

    log = read_numbers(log, &first, &head_end);
    assert_int_equal(first, 0);
    if (sscanf(log, "[... %d lines (%zu bytes) missing here ...]", &said_lines, &said_bytes) != 2)
        fail_msg("there is no note of what is missing: %.100s", log);
    log = read_numbers(strchr(log, '\n') + 1, &tail_start, &tail_end);
    assert_int_equal(tail_end, lines);
    assert_int_equal(said_lines, tail_start - head_end);
    assert_int_equal(said_bytes,
                     (size_t)said_lines * (line_bytes + strlen("[2026-11-24 10:00:00] \n")));
    assert_int_equal(counters().missing, said_lines);
    assert_int_equal(strncmp(log, "[2026-11-24 10:00:00] Completed: ", 33), 0);
    assert_true(head_end > 0 && tail_start < lines);
}

static void grow_until_it_does_not_fit(size_t line_bytes)
{
    enum { BUDGET = 256 << 10, TWO_CHUNKS = 2 * (64 << 10) };
    int lines = (int)((4 << 20) / line_bytes);
    char *text = malloc(line_bytes + 1), sql[32];

    BEGIN("liveInterval=0", "memoryBudget=256k");
    for (int i = 0; i < lines; i++) {
        int used = snprintf(text, line_bytes + 1, "line %d ", i);
        memset(text + used, 'x', line_bytes - (size_t)used);
        text[line_bytes] = '\0';
        collecting_give(collecting, "job[1]", text);
        if (counters().memory_bytes > BUDGET + TWO_CHUNKS + 2 * line_bytes)
            fail_msg("lines of %zu bytes: %" PRIu64 " bytes of memory after line %d", line_bytes,
                     counters().memory_bytes, i);
    }
    free(text);
    assert_true(counters().memory_bytes > BUDGET / 2);
    collecting_give(collecting, "job[1]", "@task end");
    WAIT(counters().rows_stored == 1);
    expect_gap(database_value(database, "SELECT log FROM tasks"), lines, line_bytes);
    snprintf(sql, sizeof(sql), "%d 0", lines);
    expect("SELECT lines || ' ' || complete FROM tasks", sql);
    assert_int_equal(counters().lines, lines);
    collecting_free(collecting);
    collecting = NULL;
    database_run(database, "DELETE FROM tasks");
}

static void a_task_that_does_not_fit_keeps_head_and_tail(void **state)
{
    static const size_t line_bytes[] = {40, 400, 5000, 20000};

    (void)state;
    for (size_t i = 0; i < COUNT(line_bytes); i++)
        grow_until_it_does_not_fit(line_bytes[i]);
}

static void many_tasks_that_do_not_fit_share_the_memory(void **state)
{
    enum { TASKS = 20, BUDGET = 1 << 20, AT_LEAST_EACH = 16 << 10, LINE_BYTES = 1000 };
    char text[LINE_BYTES + 1], tag[32];

    (void)state;
    memset(text, 'x', LINE_BYTES);
    text[LINE_BYTES] = '\0';
    BEGIN("liveInterval=0", "memoryBudget=1m");
    for (int i = 0; i < 400; i++) {
        for (int task = 0; task < TASKS; task++) {
            snprintf(tag, sizeof(tag), "job[%d]", task);
            collecting_give(collecting, tag, text);
        }
        assert_in_range(counters().memory_bytes, 0, BUDGET + TASKS * (AT_LEAST_EACH + 4096));
    }
    for (int task = 0; task < TASKS; task++) {
        snprintf(tag, sizeof(tag), "job[%d]", task);
        send_line(tag, "@task end");
    }
    WAIT(counters().rows_stored == TASKS);
    expect("SELECT min(lines) || ' ' || max(lines) FROM tasks", "400 400");
    expect("SELECT sum(complete) FROM tasks", "0");
}

/* Beside a megabyte of memory. */
static void grow_a_running_task(int lines)
{
    char text[1001];

    memset(text, 'x', 1000);
    text[1000] = '\0';
    for (int i = 0; i < lines; i++)
        collecting_give(collecting, "job[large]", text);
    assert_in_range(counters().memory_bytes, 900 << 10, (1 << 20) + (200 << 10));
}

static void tasks_come_and_go_beside_one_that_uses_up_the_memory(void **state)
{
    char tag[32];

    (void)state;
    BEGIN("liveInterval=0", "memoryBudget=1m");
    grow_a_running_task(2000);
    for (int i = 0; i < 30; i++) { /* the results of these are little: none has to wait */
        grow_a_running_task(50);
        snprintf(tag, sizeof(tag), "job[%d]", i);
        collecting_give(collecting, tag, "one");
        collecting_give(collecting, tag, "@task end");
    }
    WAIT(counters().rows_stored == 30);
    stop(STOP_MS);
    expect("SELECT group_concat(DISTINCT lines) FROM tasks WHERE status = 'COMPLETED'", "1");
}

static void a_small_result_that_is_put_off_does_not_stop_all_lines(void **state)
{
    (void)state;
    BEGIN("liveInterval=0", "memoryBudget=1m");
    WAIT(collecting_said(collecting, "writing to table") == 1);
    database_hold(database, "UPDATE tasks SET status = status");
    collecting_give(collecting, "job[1]", "@task end");
    grow_a_running_task(2000);
    assert_int_equal(counters().rows_stored, 0);
    database_release(database);
    WAIT(counters().rows_stored == 1);
}

static void without_memory_a_line_is_not_taken_and_can_be_given_again(void **state)
{
    (void)state;
    MAKE("liveInterval=0");
    for (long granted = 0;; granted++) {
        short_memory_fail_after(granted);
        bool taken = collecting_try(collecting, "job[1]", "one");
        if (!short_memory_end())
            break;
        assert_false(taken);
        assert_int_equal(counters().open_tasks, 0);
        assert_int_equal(counters().lines, 0);
    }
    assert_int_equal(counters().lines, 1);
    collecting_start(collecting);
    stop(STOP_MS);
    expect("SELECT log FROM tasks", "[2026-11-24 10:00:00] one");
}

static void the_timer_does_not_run_hot_when_memory_is_short(void **state)
{
    (void)state;
    tick_fails = true;
    BEGIN("idleTimeout=1", "liveInterval=0");
    collecting_give(collecting, "job[1]", "one");
    int64_t due_ms = steady_now_ms() + 1000;
    WAIT(steady_now_ms() > due_ms);
    int before = tick_count;
    WAIT(steady_now_ms() > due_ms + 500);
    assert_in_range(tick_count - before, 1, 50);
    tick_fails = false;
    WAIT(counters().ended_idle == 1);
}

/* ---- a database that is held by others ---- */

static void rows_catch_up_when_a_lock_is_released(void **state)
{
    char tag[32];

    (void)state;
    BEGIN("liveInterval=0");
    WAIT(collecting_said(collecting, "writing to table") == 1);
    database_hold(database, "UPDATE tasks SET status = status");
    for (int i = 0; i < 500; i++) {
        snprintf(tag, sizeof(tag), "job[%d]", i);
        collecting_give(collecting, tag, "@task end");
    }
    assert_int_equal(counters().waiting_rows, 500);
    database_release(database);
    WAIT(counters().rows_stored == 500);
    expect("SELECT count(*) FROM tasks", "500");
}

static void a_stop_does_not_wait_for_a_lock_longer_than_it_may(void **state)
{
    (void)state;
    BEGIN("liveInterval=0");
    WAIT(collecting_said(collecting, "writing to table") == 1);
    database_hold(database, "UPDATE tasks SET status = status");
    collecting_give(collecting, "job[1]", "@task end");
    collecting_give(collecting, "job[2]", "still running");
    assert_in_range(stop(400), 350, 4000);
    assert_int_equal(counters().rows_lost, 2);
    assert_int_equal(collecting_said(collecting, "stopped with 2 results"), 1);
    database_release(database);
    expect("SELECT count(*) FROM tasks", "0");
}

static void a_target_that_is_mended_before_the_stop_gets_its_rows(void **state)
{
    (void)state;
    database_run(database, "ALTER TABLE tasks RENAME TO elsewhere");
    BEGIN("liveInterval=0");
    collecting_give(collecting, "job[1]", "@task end");
    WAIT(collecting_said(collecting, "the results wait until this is mended") == 1);
    assert_non_null(strstr(collecting_message(collecting, "mended"), "tasks"));
    database_run(database, "ALTER TABLE elsewhere RENAME TO tasks");
    stop(STOP_MS);
    expect("SELECT task_id FROM tasks", "1");
}

/* ---- messages that are no task's lines ---- */

static void a_message_that_is_no_tasks_line_is_told_once_a_minute(void **state)
{
    (void)state;
    MAKE("liveInterval=0");
    tasklog_collector_reject(collecting_collector(collecting), "cron:", 5,
                             "no task id in brackets");
    for (int i = 0; i < 100; i++)
        tasklog_collector_reject(collecting_collector(collecting), "other:", 6, "another reason");
    assert_int_equal(counters().not_task, 101);
    assert_int_equal(collecting_said(collecting, ""), 1);
    assert_string_equal(collecting_message(collecting, ""),
                        "the message with tag \"cron:\" is not a task's line: no task id in "
                        "brackets (a tag must be \"kind[task-id]:\"); dropped");
    assert_int_equal(collecting_severity(collecting, ""), LOG_WARNING);
}

static void a_foreign_tag_is_shown_without_codes_and_not_whole(void **state)
{
    char tag[5000];

    (void)state;
    MAKE("liveInterval=0");
    memset(tag, 'x', sizeof(tag));
    memcpy(tag, "\x1b]0;title\a\n\x9b", 12);
    tasklog_collector_reject(collecting_collector(collecting), tag, sizeof(tag), "why");
    const char *said = collecting_message(collecting, "the message with tag \"?]0;title???xxx");
    assert_non_null(strstr(said, "xxx...\" is not a task's line: why"));
    assert_true(strlen(said) < 250);
    for (const char *c = said; *c; c++)
        assert_true(isprint((unsigned char)*c));
}

/* ---- starts and ends ---- */

/* How many entries a folder of /proc has. */
static int count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void nothing_happens_before_the_start(void **state)
{
    int threads = count_entries("/proc/self/task"), files = count_entries("/proc/self/fd");

    (void)state;
    MAKE("liveInterval=0");
    assert_int_equal(count_entries("/proc/self/task"), threads);
    assert_int_equal(count_entries("/proc/self/fd"), files);
    collecting_start(collecting);
    assert_int_equal(count_entries("/proc/self/task"), threads + 2);
    WAIT(collecting_said(collecting, "writing to table") == 1);
    stop(STOP_MS);
    WAIT(count_entries("/proc/self/task") == threads);
    collecting_free(collecting);
    collecting = NULL;
    assert_int_equal(count_entries("/proc/self/fd"), files);
}

static void signals_are_left_to_the_threads_of_the_front(void **state)
{
    char path[300], line[128];
    uint64_t blocked;
    int seen = 0;
    sigset_t none, before, after;

    (void)state;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, &before);
    BEGIN("liveInterval=0");
    pthread_sigmask(SIG_SETMASK, &before, &after);
    for (int signal = 1; signal < 32; signal++)
        assert_int_equal(sigismember(&after, signal), 0); /* the caller's are as they were */
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (file && fgets(line, sizeof(line), file))
            if (sscanf(line, "SigBlk: %" SCNx64, &blocked) == 1)
                seen += (blocked >> (SIGTERM - 1) & 1) && (blocked >> (SIGHUP - 1) & 1);
        if (file)
            fclose(file);
    }
    closedir(dir);
    assert_true(seen >= 2);
}

static void a_thread_that_cannot_be_made_is_an_error_and_leaves_none(void **state)
{
    int threads = count_entries("/proc/self/task");
    char error[TASKLOG_ERROR_BYTES];

    (void)state;
    for (int can = 0; can < 2; can++) {
        MAKE("liveInterval=0");
        threads_left = can;
        assert_int_equal(tasklog_collector_start(collecting_collector(collecting), error), -EAGAIN);
        threads_left = INT_MAX;
        assert_int_equal(threads_running, 0);
        WAIT(count_entries("/proc/self/task") == threads);
        stop(0);
        collecting_free(collecting);
        collecting = NULL;
    }
}

static void nobody_says(void *context, int severity, const char *text)
{
    (void)context, (void)severity, (void)text;
    abort();
}

static int new_collector(struct tasklog_config *config, char *error,
                         struct tasklog_collector **ret_collector)
{
    const struct tasklog_hooks hooks = {.clock = steady_clock, .say = nobody_says};

    return tasklog_collector_new(config, &hooks, error, ret_collector);
}

static void a_collector_that_cannot_be_made_leaves_the_config_to_the_caller(void **state)
{
    static const char *const parameters[] = {"database=sqlite:/nowhere/db.sqlite3", "table=tasks",
                                             "columns=log=log", NULL};
    struct tasklog_config *config = collecting_config(parameters);
    struct tasklog_collector *collector;
    char error[TASKLOG_ERROR_BYTES] = "";

    (void)state;
    random_error = ENOSYS;
    assert_int_equal(new_collector(config, error, &collector), -ENOSYS);
    assert_string_equal(error, "Function not implemented");
    random_error = 0;
    for (long granted = 0;; granted++) {
        short_memory_fail_after(granted);
        int r = new_collector(config, error, &collector);
        if (!short_memory_end()) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_string_equal(error, "Cannot allocate memory");
        assert_in_range(granted, 0, 100);
    }
    tasklog_collector_free(collector); /* and the config with it */
}

static void a_collector_may_be_freed_without_a_start(void **state)
{
    (void)state;
    MAKE("liveInterval=0");
    collecting_give(collecting, "job[1]", "one");
    collecting_give(collecting, "job[2]", "@task end");
    tasklog_collector_free(NULL);
}

static void stopping_twice_is_stopping_once(void **state)
{
    (void)state;
    MAKE("liveInterval=0");
    stop(STOP_MS); /* it was not started: nothing happens */
    collecting_start(collecting);
    collecting_give(collecting, "job[1]", "one");
    stop(STOP_MS);
    stop(STOP_MS);
    assert_int_equal(threads_running, 0);
    expect("SELECT status FROM tasks", "RUNNING");
    assert_int_equal(counters().rows_stored, 1);
    assert_int_equal(counters().waiting_rows, 0);
}

static void starting_and_stopping_is_quick(void **state)
{
    int64_t began_ms = steady_now_ms();

    (void)state;
    for (int i = 0; i < 50; i++) {
        BEGIN("liveInterval=0");
        if (i % 2 == 0)
            stop(STOP_MS);
        collecting_free(collecting);
        collecting = NULL;
    }
    assert_in_range(steady_now_ms() - began_ms, 0, 5000);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(lines_become_a_row),
        TEST(a_refused_result_harms_no_other),
        TEST(late_lines_come_by_themselves_and_once),
        TEST(running_tasks_are_shown_by_themselves),
        TEST(idle_tasks_are_closed_without_a_further_line),
        TEST(tasks_that_run_too_long_are_closed_in_spite_of_lines),
        TEST(every_line_is_in_one_counter),
        TEST(several_threads_give_lines_at_once),
        TEST(lines_are_refused_while_results_use_up_the_memory_and_taken_after),
        TEST(a_task_that_does_not_fit_keeps_head_and_tail),
        TEST(many_tasks_that_do_not_fit_share_the_memory),
        TEST(tasks_come_and_go_beside_one_that_uses_up_the_memory),
        TEST(a_small_result_that_is_put_off_does_not_stop_all_lines),
        TEST(without_memory_a_line_is_not_taken_and_can_be_given_again),
        TEST(the_timer_does_not_run_hot_when_memory_is_short),
        TEST(rows_catch_up_when_a_lock_is_released),
        TEST(a_stop_does_not_wait_for_a_lock_longer_than_it_may),
        TEST(a_target_that_is_mended_before_the_stop_gets_its_rows),
        TEST(a_message_that_is_no_tasks_line_is_told_once_a_minute),
        TEST(a_foreign_tag_is_shown_without_codes_and_not_whole),
        TEST(nothing_happens_before_the_start),
        TEST(signals_are_left_to_the_threads_of_the_front),
        TEST(a_thread_that_cannot_be_made_is_an_error_and_leaves_none),
        TEST(a_collector_that_cannot_be_made_leaves_the_config_to_the_caller),
        TEST(a_collector_may_be_freed_without_a_start),
        TEST(stopping_twice_is_stopping_once),
        TEST(starting_and_stopping_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
