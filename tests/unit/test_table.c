/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task table as a whole: many tasks, long logs, little memory, and that every line is counted
 * once. What single lines and times do is in scenarios/.
 */
#include "tasklog/table.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "support/tasks.h"

enum { MANY = 100000, ONE_LINERS = 200000, LARGEST_CHUNK = 65536 };

static int begin(void **state)
{
    static struct tasks tasks;

    tasks_init(&tasks);
    tasks.rules.live_interval_ms = 0;
    *state = &tasks;
    return 0;
}

static double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static void accept_numbered(struct tasks *tasks, int task, const char *format, int number)
{
    char tag[32], text[64];

    snprintf(tag, sizeof(tag), "job[%d]", task);
    snprintf(text, sizeof(text), format, number);
    tasks_accept(tasks, tag, INFO, text);
}

static void a_hundred_thousand_tasks_keep_to_themselves(void **state)
{
    struct tasks *tasks = *state;
    char expected[300];

    tasks_open(tasks);
    for (int line = 0; line < 3; line++)
        for (int task = 0; task < MANY; task++)
            accept_numbered(tasks, task, "line %d", line * MANY + task);
    assert_int_equal(tasklog_table_open_count(tasks->table), MANY);
    for (int task = MANY - 1; task >= 0; task--) {
        accept_numbered(tasks, task, "@task end processed=%d", task);
        struct tasklog_result *result = tasks_pop(tasks);
        struct tasklog_report report;
        tasklog_result_view(result, &report);
        assert_int_equal(atoi(report.task_id), task);
        char *log = tasks_log(result);
        snprintf(expected, sizeof(expected),
                 "[2026-11-24 10:00:00] line %d\n[2026-11-24 10:00:00] line %d\n"
                 "[2026-11-24 10:00:00] line %d\n"
                 "[2026-11-24 10:00:00] Completed: %d successful, 0 failed, Total time: 0s",
                 task, MANY + task, 2 * MANY + task, task);
        expect_text("log", log, expected);
        free(log);
        tasklog_result_free(result);
    }
    assert_int_equal(tasklog_table_open_count(tasks->table), 0);
    assert_int_equal(tasklog_table_memory(tasks->table), 0);
    tasks_close(tasks);
}

static void time_per_line_does_not_grow_with_the_number_of_tasks(void **state)
{
    struct tasks *tasks = *state;
    double first = 0, last = 0;

    tasks_open(tasks);
    for (int tenth = 0; tenth < 10; tenth++) {
        double start = cpu_seconds();
        for (int task = tenth * (MANY / 10); task < (tenth + 1) * (MANY / 10); task++) {
            accept_numbered(tasks, task, "line %d", 1);
            accept_numbered(tasks, task / 2, "line %d", 2);
        }
        last = cpu_seconds() - start;
        if (tenth == 0)
            first = last;
    }
    if (last > 20 * (first + 0.05))
        fail_msg("the first tenth took %f s, the last %f s", first, last);
    tasks_close(tasks);
}

static void all_of_them_may_fall_silent_at_once(void **state)
{
    struct tasks *tasks = *state;

    tasks->rules.idle_ms = 10000;
    tasks_open(tasks);
    /* Lines in both halves of a second, in another order each time. */
    for (int task = 0; task < MANY; task++)
        accept_numbered(tasks, task, "line %d", 1);
    tasks_pass_ms(tasks, 900);
    for (int task = MANY - 1; task >= 0; task--)
        accept_numbered(tasks, task, "line %d", 2);
    tasks_pass_ms(tasks, 9999);
    double start = cpu_seconds();
    tasks_tick(tasks);
    assert_int_equal(tasks->results.count, 0);
    tasks_pass_ms(tasks, 1);
    tasks_tick(tasks);
    assert_int_equal(tasks->results.count, MANY);
    assert_int_equal(tasklog_table_counters(tasks->table)->ended_idle, MANY);
    if (cpu_seconds() - start > 60)
        fail_msg("it took %f s", cpu_seconds() - start);
    tasks_close(tasks);
}

/* ---- long logs ---- */

static void a_million_lines_without_an_end_keep_head_and_tail_and_exact_counts(void **state)
{
    enum { LINES = 1000000, CAP = 1 << 20 };
    static const char note[] = "\n[... %llu lines (%llu bytes) missing here ...]\n";
    struct tasks *tasks = *state;
    unsigned long long missing, missing_bytes;
    struct tasklog_report report;

    tasks->rules.task_max_bytes = CAP;
    tasks_open(tasks);
    for (int i = 0; i < LINES; i++) {
        accept_numbered(tasks, 1, "line %07d", i);
        if (i % 1000 == 0)
            assert_true(tasklog_table_memory(tasks->table) < CAP * 5 / 4);
    }
    tasks_pass_ms(tasks, 7200 * 1000);
    tasks_tick(tasks);
    struct tasklog_result *result = tasks_pop(tasks);
    tasklog_result_view(result, &report);
    assert_int_equal(report.lines, LINES);
    assert_int_equal(report.bytes, 12 * LINES);
    assert_false(report.complete);
    expect_text("summary", report.summary,
                "Failed: 1000000 lines, 0 warnings, 0 errors, Total time: 2h 0m 0s");

    /* Lines are 35 bytes with stamp and newline. */
    char *log = tasks_log(result), *gap = strstr(log, "\n[...");
    assert_non_null(gap);
    assert_int_equal(sscanf(gap, note, &missing, &missing_bytes), 2);
    assert_int_equal(missing_bytes, 35 * missing);
    assert_int_equal(tasklog_table_counters(tasks->table)->missing, missing);
    assert_int_equal(tasklog_table_counters(tasks->table)->lines, LINES);
    unsigned long long head = (unsigned long long)(gap - log + 1) / 35, next;
    assert_int_equal(sscanf(strchr(gap + 1, '\n'), "\n[2026-11-24 10:00:00] line %llu", &next), 1);
    assert_int_equal(next, head + missing);
    assert_non_null(strstr(log, "line 0999999\n[2026-11-24 12:00:00] Closed by tasklog"));
    assert_in_range(head, CAP / 35 / 3, CAP / 35 / 2);
    free(log);
    tasklog_result_free(result);
    tasks_close(tasks);
}

static void a_log_with_a_gap_is_not_complete(void **state)
{
    struct tasks *tasks = *state;
    struct tasklog_report report;

    tasks->rules.task_max_bytes = 5000;
    tasks_open(tasks);
    for (int i = 0; i < 1000; i++)
        accept_numbered(tasks, 1, "line %d", i);
    tasks_accept(tasks, "job[1]", INFO, "@task end");
    struct tasklog_result *result = tasks_pop(tasks);
    tasklog_result_view(result, &report);
    expect_text("end_reason", report.end_reason, "marker");
    expect_text("status", report.status, "COMPLETED");
    assert_false(report.complete);
    assert_int_equal(report.lines, 1000);
    tasklog_result_free(result);
    tasks_close(tasks);
}

static void lines_that_are_longer_than_the_cap_do_not_lose_the_first_or_the_last(void **state)
{
    struct tasks *tasks = *state;
    char text[1000];

    tasks->rules.task_max_bytes = 100;
    tasks_open(tasks);
    tasks_accept(tasks, "job[1]", INFO, "@task start");
    tasks_accept(tasks, "job[1]", INFO, "@task progress processed=1");
    for (int i = 0; i < 5; i++) {
        memset(text, 'a' + i, sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        tasks_accept(tasks, "job[1]", INFO, text);
        tasks_accept(tasks, "job[1]", INFO, "@task progress processed=2");
    }
    tasks_accept(tasks, "job[1]", INFO, "@task end");
    struct tasklog_result *result = tasks_pop(tasks);
    char *log = tasks_log(result);
    assert_memory_equal(log, "[2026-11-24 10:00:00] aaaa", 26);
    assert_non_null(strstr(log, "a\n[... 3 lines (3066 bytes) missing here ...]\n[2026"));
    assert_non_null(strstr(log, "eeee\n[2026-11-24 10:00:00] Completed: 2 successful"));
    free(log);
    tasklog_result_free(result);
    tasks_close(tasks);
}

static void control_lines_that_cannot_be_read_are_under_the_cap_too(void **state)
{
    struct tasks *tasks = *state;

    tasks->rules.task_max_bytes = 100000;
    tasks_open(tasks);
    for (int i = 0; i < 20000; i++)
        accept_numbered(tasks, 1, "@task progress processed=x%d", i);
    assert_true(tasklog_table_memory(tasks->table) < 125000);
    assert_true(tasklog_table_counters(tasks->table)->missing > 15000);
    tasks_close(tasks);
}

/* ---- little memory ---- */

static void when_memory_is_short_a_log_stays_as_large_as_it_is(void **state)
{
    static const int before[] = {0, 1, 100, 1000, 30000};

    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        struct tasks *tasks = *state;
        begin(state);
        tasks_open(tasks);
        for (int line = 0; line < before[i]; line++)
            accept_numbered(tasks, 1, "line %d", line);
        size_t had = tasklog_table_memory(tasks->table);
        size_t most = (had < 16384 ? 16384 : had) * 5 / 4 + 4096;
        tasks->tight = true;
        for (int line = 0; line < 100000; line++) {
            accept_numbered(tasks, 1, "line %d", line);
            assert_in_range(tasklog_table_memory(tasks->table), had / 2, most);
        }
        /* With memory again it may grow again. */
        tasks->tight = false;
        for (int line = 0; line < 100000; line++)
            accept_numbered(tasks, 1, "line %d", line);
        assert_true(tasklog_table_memory(tasks->table) > 2000000);
        tasks->tight = false;
        tasks_close(tasks);
    }
}

static void memory_that_comes_and_goes_is_no_way_round_it(void **state)
{
    struct tasks *tasks = *state;

    tasks_open(tasks);
    for (int line = 0; line < 5000; line++)
        accept_numbered(tasks, 1, "line %d", line);
    size_t had = tasklog_table_memory(tasks->table);
    for (int line = 0; line < 100000; line++) {
        /* As the collector does it: short of memory means beyond a budget. */
        tasks->tight = tasklog_table_memory(tasks->table) > had;
        accept_numbered(tasks, 1, "line %d", line);
        assert_in_range(tasklog_table_memory(tasks->table), had / 2, had + 2 * LARGEST_CHUNK);
    }
    tasks_close(tasks);
}

static void what_little_memory_there_is_goes_to_the_tail_as_well(void **state)
{
    struct tasks *tasks = *state;

    tasks_open(tasks);
    for (int line = 0; line < 30000; line++)
        accept_numbered(tasks, 1, "line %d", line);
    tasks->tight = true;
    for (int line = 0; line < 100000; line++)
        accept_numbered(tasks, 1, "line %d", line);
    tasks_accept(tasks, "job[1]", INFO, "@task end");
    struct tasklog_result *result = tasks_pop(tasks);
    char *log = tasks_log(result), *gap = strstr(log, "\n[... ");
    assert_non_null(gap);
    assert_true(strlen(gap) > strlen(log) / 3);
    assert_true((size_t)(gap - log) > strlen(log) / 3);
    free(log);
    tasklog_result_free(result);
    tasks_close(tasks);
}

static void a_new_run_does_not_inherit_the_room_of_the_old_one(void **state)
{
    struct tasks *tasks = *state;

    tasks_open(tasks);
    for (int line = 0; line < 5000; line++)
        accept_numbered(tasks, 1, "line %d", line);
    tasks->tight = true;
    accept_numbered(tasks, 1, "line %d", 0);
    tasks_accept(tasks, "job[1]", INFO, "@task start");
    for (int line = 0; line < 5000; line++)
        accept_numbered(tasks, 1, "line %d", line);
    assert_in_range(tasklog_table_memory(tasks->table), 8192, 32768);
    tasks_close(tasks);
}

static void running_tasks_can_be_shown_one_at_a_time(void **state)
{
    struct tasks *tasks = *state;
    struct tasklog_report report;

    tasks->rules.live_interval_ms = 5000;
    tasks_open(tasks);
    accept_numbered(tasks, 1, "line %d", 1);
    tasks_pass_ms(tasks, 1000);
    accept_numbered(tasks, 2, "line %d", 1);
    tasks_pass_ms(tasks, 3999);
    assert_false(tasklog_table_show(tasks->table, tasks->now, &tasks->results));
    tasks_pass_ms(tasks, 10000);
    tasklog_table_tick(tasks->table, tasks->now, &tasks->results);
    assert_int_equal(tasks->results.count, 0);
    for (int task = 1; task <= 2; task++) {
        assert_true(tasklog_table_show(tasks->table, tasks->now, &tasks->results));
        assert_int_equal(tasks->results.count, 1);
        struct tasklog_result *result = tasks_pop(tasks);
        tasklog_result_view(result, &report);
        assert_int_equal(report.type, TASKLOG_RESULT_LIVE);
        assert_int_equal(atoi(report.task_id), task);
        tasklog_result_free(result);
    }
    assert_false(tasklog_table_show(tasks->table, tasks->now, &tasks->results));
    tasks_close(tasks);
}

/* ---- what a task takes ---- */

/* What this program holds of the heap. Another malloc (a sanitizer's) is not seen. */
static size_t heap_bytes(void)
{
    const struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static int write_nowhere(void *context, const char *data, size_t bytes, uint64_t *ret_position)
{
    uint64_t *position = context;

    (void)data;
    *ret_position = *position;
    *position += bytes;
    return 0;
}

/* A line of 90 bytes from a task with names of usual length. */
static void accept_usual(struct tasks *tasks, int task, const char *text)
{
    struct tasklog_line line = tasks_line(tasks, "job[1]", INFO, text);
    char id[16];

    line.kind = "import_order";
    line.kind_bytes = 12;
    line.id = id;
    line.id_bytes = (size_t)snprintf(id, sizeof(id), "run-%08d", task);
    line.host = "web1.lan";
    line.host_bytes = 8;
    assert_true(tasklog_table_accept(tasks->table, &line, tasks->now, false, &tasks->results) >= 0);
}

static void expect_each(const char *what, size_t bytes, size_t most_each)
{
    if (bytes > most_each * ONE_LINERS)
        fail_msg("%s takes %zu bytes", what, bytes / ONE_LINERS);
}

static void a_task_of_one_line_takes_little_beside_its_text(void **state)
{
    static const char text[] = "ninety bytes of text: ninety bytes of text: ninety bytes of text: "
                               "ninety bytes of text: 90";
    struct tasks *tasks = *state;
    uint64_t position = 1;
    const struct tasklog_spill spill = {.write = write_nowhere, .context = &position};

    assert_int_equal(strlen(text), 90);
    tasks->rules.live_interval_ms = 5000;
    tasks->rules.memory_bytes = 32 << 20;
    size_t before = heap_bytes();
    tasks_open(tasks);
    tasklog_table_set_spill(tasks->table, &spill);
    for (int task = 0; task < ONE_LINERS; task++)
        accept_usual(tasks, task, text);
    size_t text_bytes = tasklog_table_text(tasks->table);
    assert_int_equal(text_bytes, ONE_LINERS * (90 + 22)); /* with its stamp */
    size_t open = heap_bytes() - before;
    if (open < text_bytes) {
        tasks_close(tasks);
        skip();
    }
    expect_each("an open task, beside its text,", open - text_bytes, 300);
    while (tasklog_table_spill(tasks->table, SIZE_MAX) > 0)
        ;
    assert_int_equal(tasklog_table_memory(tasks->table), 0);
    expect_each("an open task whose text is out of memory", heap_bytes() - before, 300);
    for (int task = 0; task < ONE_LINERS; task++) {
        accept_usual(tasks, task, "@task end");
        tasklog_result_free(tasklog_results_pop(&tasks->results));
    }
    expect_each("an ended task", heap_bytes() - before, 400);
    tasks_close(tasks);
}

/* ---- accounts ---- */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static void free_results(struct tasks *tasks, unsigned *finals)
{
    while (tasks->results.first) {
        struct tasklog_result *result = tasks_pop(tasks);
        struct tasklog_report report;
        tasklog_result_view(result, &report);
        *finals += report.type == TASKLOG_RESULT_FINAL;
        tasklog_result_free(result);
    }
}

static void every_line_is_in_exactly_one_counter(void **state)
{
    static const char *const texts[] = {"text",
                                        "bad \xFF",
                                        "#000",
                                        "@task start",
                                        "@task start total=x",
                                        "@task",
                                        "@task end",
                                        "@task end a=b",
                                        "@task progress",
                                        "@task progress x=1",
                                        "@task end y=2",
                                        "two#012lines",
                                        "",
                                        "@task progress z"};
    struct tasks *tasks = *state;
    uint64_t random = 5, given = 0;
    unsigned finals = 0;

    tasks->rules.idle_ms = 3000;
    tasks->rules.max_runtime_ms = 20000;
    tasks->rules.late_window_ms = 2000;
    tasks->rules.live_interval_ms = 1000;
    tasks->rules.task_max_bytes = 300;
    tasks_open(tasks);
    for (int i = 0; i < 50000; i++) {
        char tag[16];
        const char *text = texts[next_random(&random) % (i % 100 < 50 ? 14 : 3)];
        snprintf(tag, sizeof(tag), "job[%u]", next_random(&random) % 8);
        tasks_accept(tasks, tag, (int)(next_random(&random) % 8), text);
        given++;
        tasks_pass_ms(tasks, next_random(&random) % (i % 1000 < 30 ? 2000 : 40));
        if (next_random(&random) % 4 == 0)
            tasks_tick(tasks);
        free_results(tasks, &finals);
    }
    const struct tasklog_table_counters *c = tasklog_table_counters(tasks->table);
    assert_int_equal(c->lines + c->altered + c->late + c->below_level + c->control, given);
    assert_true(c->control_unreadable <= c->control);
    uint64_t ended = c->ended_marker + c->ended_idle + c->ended_max_runtime + c->ended_restarted;
    assert_int_equal(ended, finals);
    assert_int_equal(c->tasks_started, ended + tasklog_table_open_count(tasks->table));
    /* All of it has happened. */
    assert_true(c->lines > 0 && c->altered > 0 && c->late > 0 && c->below_level > 0);
    assert_true(c->control_unreadable > 0 && c->missing > 0);
    assert_true(c->ended_marker > 0 && c->ended_idle > 0 && c->ended_max_runtime > 0 &&
                c->ended_restarted > 0);
    tasks_close(tasks);
}

static void what_is_due_is_told_and_nothing_else(void **state)
{
    struct tasks *tasks = *state;

    tasks->rules.live_interval_ms = 5000;
    tasks->rules.idle_ms = 10000;
    tasks->rules.max_runtime_ms = 30000;
    tasks->rules.late_window_ms = 60000;
    tasks_open(tasks);
    assert_true(tasklog_table_due_ms(tasks->table, true) == INT64_MAX);
    tasks_accept(tasks, "job[1]", INFO, "text");
    assert_int_equal(tasklog_table_due_ms(tasks->table, true), TASKS_BEGIN_MS + 5000);
    assert_int_equal(tasklog_table_due_ms(tasks->table, false), TASKS_BEGIN_MS + 10000);
    tasks_pass_ms(tasks, 9000);
    tasks_accept(tasks, "job[1]", DEBUG, "a sign of life");
    assert_int_equal(tasklog_table_due_ms(tasks->table, false), TASKS_BEGIN_MS + 19000);
    tasks_pass_ms(tasks, 9000);
    tasks_accept(tasks, "job[1]", INFO, "text");
    tasks_pass_ms(tasks, 9000);
    tasks_accept(tasks, "job[1]", INFO, "text");
    assert_int_equal(tasklog_table_due_ms(tasks->table, false), TASKS_BEGIN_MS + 30000);
    tasks_accept(tasks, "job[1]", INFO, "@task end");
    assert_int_equal(tasklog_table_due_ms(tasks->table, true), TASKS_BEGIN_MS + 27000 + 60000);
    tasks_pass_ms(tasks, 1000);
    tasks_accept(tasks, "job[1]", INFO, "late");
    assert_int_equal(tasklog_table_due_ms(tasks->table, true), TASKS_BEGIN_MS + 28000 + 200);
    tasks_close(tasks);
}

static void a_table_that_is_dropped_with_all_its_tasks_leaks_nothing(void **state)
{
    struct tasks *tasks = *state;

    tasks_open(tasks);
    tasks_accept(tasks, "job[1]", ERR, "open");
    tasks_accept(tasks, "job[2]", INFO, "@task end tables=1");
    tasks_accept(tasks, "job[2]", INFO, "late");
    tasklog_table_free(tasks->table);
    tasklog_table_free(NULL);
    tasklog_results_clear(&tasks->results);
}

static void rules_are_copied(void **state)
{
    struct tasks *tasks = *state;
    char marker[] = "@job";

    tasks->rules.marker = marker;
    tasks_open(tasks);
    marker[1] = 'x';
    tasks->rules.marker = NULL;
    tasks_accept(tasks, "job[1]", INFO, "@job end");
    tasklog_result_free(tasks_pop(tasks));
    tasks_close(tasks);
}

/* ---- a source that others may read, too ---- */

static void accept_at(struct tasks *tasks, const char *text, int64_t position)
{
    struct tasklog_line line = tasks_line(tasks, "job[1]", INFO, text);

    line.source_position = position;
    assert_int_equal(tasklog_table_accept(tasks->table, &line, tasks->now, false, &tasks->results),
                     1);
}

static void expect_next(struct tasks *tasks, int64_t position, const char *reason, int64_t end_us,
                        int64_t lines)
{
    struct tasklog_result *result = tasks_pop(tasks);
    struct tasklog_report report;

    tasklog_result_view(result, &report);
    assert_int_equal(report.position, position);
    assert_string_equal(report.end_reason, reason);
    assert_int_equal(report.lines, lines);
    if (end_us != 0)
        assert_int_equal(report.end_us, TASKS_BEGIN_US + end_us);
    tasklog_result_free(result);
}

static void a_result_tells_where_its_last_line_was(void **state)
{
    struct tasks *tasks = *state;

    tasks->rules.live_interval_ms = 1000;
    tasks_open(tasks);
    accept_at(tasks, "one", 10);
    accept_at(tasks, "two", 12);
    tasks_pass_ms(tasks, 1000);
    assert_true(tasklog_table_show(tasks->table, tasks->now, &tasks->results));
    expect_next(tasks, 12, "", 0, 2);
    accept_at(tasks, "@task start", 20);
    expect_next(tasks, 13, "restarted", 0, 2);
    accept_at(tasks, "@task end", 22);
    expect_next(tasks, 23, "marker", 0, 0);
    accept_at(tasks, "late", 24);
    assert_int_equal(tasklog_table_show_late(tasks->table, &tasks->results), 0);
    expect_next(tasks, 25, "marker", 0, 1);
    tasks_close(tasks);
}

/* However fast it is read again: what the clock did then, the lines' times do now. */
static void time_passes_for_a_task_as_its_lines_say(void **state)
{
    struct tasks *tasks = *state;

    tasks->rules.idle_ms = 10000;
    tasks->rules.max_runtime_ms = 25000;
    tasks->rules.late_window_ms = 5000;
    tasks_open(tasks);
    accept_at(tasks, "one", 10);
    tasks_pass_ms(tasks, 12000); /* idle for 10 s, and late since 2 */
    accept_at(tasks, "two", 12);
    expect_next(tasks, 11, "idle", 10000000, 1);
    tasks_pass_ms(tasks, 4000); /* the window is over: another run */
    accept_at(tasks, "three", 14);
    assert_int_equal(tasks->results.count, 1);
    expect_next(tasks, 13, "idle", 10000000, 2);
    for (int i = 1; i <= 3; i++) { /* at 9, 18 and 27 s of its own */
        tasks_pass_ms(tasks, 9000);
        accept_at(tasks, "more", 14 + 2 * i);
    }
    expect_next(tasks, 19, "max_runtime", 41000000, 3);
    tasks_close(tasks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_hundred_thousand_tasks_keep_to_themselves, begin),
        cmocka_unit_test_setup(time_per_line_does_not_grow_with_the_number_of_tasks, begin),
        cmocka_unit_test_setup(all_of_them_may_fall_silent_at_once, begin),
        cmocka_unit_test_setup(a_million_lines_without_an_end_keep_head_and_tail_and_exact_counts,
                               begin),
        cmocka_unit_test_setup(a_log_with_a_gap_is_not_complete, begin),
        cmocka_unit_test_setup(lines_that_are_longer_than_the_cap_do_not_lose_the_first_or_the_last,
                               begin),
        cmocka_unit_test_setup(control_lines_that_cannot_be_read_are_under_the_cap_too, begin),
        cmocka_unit_test_setup(when_memory_is_short_a_log_stays_as_large_as_it_is, begin),
        cmocka_unit_test_setup(memory_that_comes_and_goes_is_no_way_round_it, begin),
        cmocka_unit_test_setup(what_little_memory_there_is_goes_to_the_tail_as_well, begin),
        cmocka_unit_test_setup(a_new_run_does_not_inherit_the_room_of_the_old_one, begin),
        cmocka_unit_test_setup(a_task_of_one_line_takes_little_beside_its_text, begin),
        cmocka_unit_test_setup(every_line_is_in_exactly_one_counter, begin),
        cmocka_unit_test_setup(what_is_due_is_told_and_nothing_else, begin),
        cmocka_unit_test_setup(running_tasks_can_be_shown_one_at_a_time, begin),
        cmocka_unit_test_setup(a_table_that_is_dropped_with_all_its_tasks_leaks_nothing, begin),
        cmocka_unit_test_setup(rules_are_copied, begin),
        cmocka_unit_test_setup(a_result_tells_where_its_last_line_was, begin),
        cmocka_unit_test_setup(time_passes_for_a_task_as_its_lines_say, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
