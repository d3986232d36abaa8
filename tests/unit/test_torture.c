/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task table without memory: the n-th allocation fails, for n = 0, 1, 2, … A line that was refused
 * must have left no trace: given again, everything is as if nothing had failed; not given again, as if
 * it had never come.
 *
 * Linked with the functions of support/short_memory.h wrapped.
 */
#include "tasklog/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/short_memory.h"
#include "support/tasks.h"

/* ---- memory ---- */

enum { PLENTY = 1000000 };
static long granted; /* how many requests of the table are granted before one is refused */

/* Only what the table asks for is counted. */
static void arm(void)
{
    atomic_store(&short_memory_left, granted);
}

static void disarm(void)
{
    granted = atomic_load(&short_memory_left);
    (void)short_memory_end();
}

/* ---- what is played: never two kinds of things due at once, for their order is free ---- */

struct step {
    const char *tag; /* NULL: only time passes */
    const char *text;
    const char *formatted;
    int severity;
    int64_t ms; /* time that passes before */
};

#define FORTY "0123456789012345678901234567890123456789"
#define FOUR_HUNDRED FORTY FORTY FORTY FORTY FORTY FORTY FORTY FORTY FORTY FORTY

static const struct step steps[] = {
    {"a[1]", "@task start total=3 tables=1", NULL, INFO, 0},
    {"a[1]", "first line", NULL, INFO, 10},
    {"a[1]", "bad \xFF bytes", NULL, WARNING, 10},
    {"a[1]", "an error#012of two lines", NULL, ERR, 10},
    {"a[1]", "another error", NULL, ERR, 10},
    {"a[1]", "text", "a template's \xFF#011 line\n", INFO, 10},
    {"a[1]", "@task progress processed=1 tables=2 views=3 rows=4", NULL, INFO, 10},
    {"a[1]", "@task progress processed=one more=5 tables=1", NULL, ERR, 10},
    {NULL, NULL, NULL, 0, 1500}, /* live */
    {"e[1]", "@task progress good=1", NULL, ERR, 10},
    {"e[1]", "@task progress bad=x other=1", NULL, ERR, 10},
    {"e[1]", "@task start bad=x", NULL, ERR, 10},
    {"e[1]", "@task end", NULL, ERR, 10},
    {"b[1]", "the first line of b is an error", NULL, CRIT, 10},
    {"b[1]", FOUR_HUNDRED, NULL, INFO, 10},
    {"b[1]", FOUR_HUNDRED FOUR_HUNDRED, NULL, INFO, 10},
    {"b[1]", FOUR_HUNDRED "\xC3", NULL, INFO, 10},
    {"b[1]", FOUR_HUNDRED, FOUR_HUNDRED FOUR_HUNDRED FOUR_HUNDRED "#012\n", INFO, 10},
    {"b[1]", "@task progress nonsense", NULL, INFO, 10},
    {"b[1]", "debugging", NULL, DEBUG, 10},
    {"a[1]", "@task end failed=x tables=7 new=1 text=\"the \\\"end\\\"\"", NULL, ERR, 10},
    {"a[1]", "late", NULL, INFO, 10},
    {"a[1]", "late error", NULL, ERR, 10},
    {NULL, NULL, NULL, 0, 500}, /* late */
    {"a[1]", "@task end status=FAILED", NULL, INFO, 10},
    {"a[1]", "@task start total=9", NULL, INFO, 10}, /* with late text to show */
    {"a[1]", "second run", NULL, INFO, 10},
    {"a[1]", "@task start total=many rows=5", NULL, INFO, 10},
    {"c[1]", "@task end", NULL, INFO, 10},
    {"c[1]", "@task start", NULL, INFO, 10}, /* without */
    {"c[1]", "@task end processed=1 failed=2 x=1 y=2", NULL, INFO, 10},
    {"c[1]", "late for c", NULL, INFO, 10},
    {NULL, NULL, NULL, 0, 250}, /* late */
    {NULL, NULL, NULL, 0, 200}, /* live */
    {"c[1]", "late for c again", NULL, INFO, 10},
    {NULL, NULL, NULL, 0, 250},  /* late */
    {NULL, NULL, NULL, 0, 2700}, /* live; c is forgotten */
    {NULL, NULL, NULL, 0, 5600}, /* a and b are idle */
    {"c[1]", "c is new", NULL, INFO, 0},
    {"b[1]", "after the time-out", NULL, ERR, 10},
    {"b[1]", "@task end processed=7 text=\"late\" late=1 z=?", NULL, INFO, 10},
    {"b[1]", "after that", NULL, INFO, 10},
    {"a[1]", "@task progress late=x", NULL, ERR, 10},
    {NULL, NULL, NULL, 0, 500},  /* late */
    {NULL, NULL, NULL, 0, 2500}, /* live; the late windows are over */
    {"a[1]", "a third run", NULL, INFO, 0},
    {NULL, NULL, NULL, 0, 4500}, /* live */
    {"a[1]", "still running", NULL, INFO, 10},
    {"c[1]", "still running", NULL, INFO, 10},
    {NULL, NULL, NULL, 0, 1500}, /* live */
    {NULL, NULL, NULL, 0, 3000}, /* c runs too long */
    {NULL, NULL, NULL, 0, 3000}, /* a, too */
    {"d[1]", "open at the stop", NULL, ERR, 10},
    {"f[1]", "@task end bad=x text=\"first error\"", NULL, ERR, 10},
    {"c[1]", "late at the stop", NULL, INFO, 10},
};

enum { STEP_COUNT = sizeof(steps) / sizeof(steps[0]), MANY = 80, NO_STEP = -1 };

static void init(struct tasks *tasks)
{
    tasks_init(tasks);
    tasks->rules.idle_ms = 8000;
    tasks->rules.max_runtime_ms = 12000;
    tasks->rules.live_interval_ms = 1000;
    tasks->rules.late_window_ms = 3000;
    tasks->rules.task_max_bytes = 1500;
    tasks->rules.live_bytes = 500;
    tasks->rules.show_level = true;
}

/* Whether something failed and the table was right to say so. */
static int accept(struct tasks *tasks, const struct tasklog_line *line)
{
    size_t results = tasks->results.count;

    arm();
    int r = tasklog_table_accept(tasks->table, line, tasks->now, tasks->tight, &tasks->results);
    disarm();
    if (r < 0) {
        assert_int_equal(r, -ENOMEM);
        /* At most the late lines of an earlier run were handed out. */
        assert_in_range(tasks->results.count, results, results + 1);
    }
    return r;
}

static void tick(struct tasks *tasks)
{
    arm();
    tasks_tick(tasks);
    disarm();
}

static struct tasklog_line line_of(const struct tasks *tasks, const struct step *step)
{
    struct tasklog_line line = tasks_line(tasks, step->tag, step->severity, step->text);

    line.formatted = step->formatted;
    line.formatted_bytes = step->formatted ? strlen(step->formatted) : 0;
    return line;
}

/* What the counters are must not depend on failures either. */
static char *end(struct tasks *tasks)
{
    struct tasklog_table_counters counters = *tasklog_table_counters(tasks->table);
    char *results, *all;

    arm();
    tasklog_table_drain(tasks->table, tasks->now, &tasks->results);
    disarm();
    results = tasks_pop_text(tasks);
    tasks_close(tasks);
    assert_true(
        asprintf(&all,
                 "%s%llu lines, %llu altered, %llu late, %llu missing, %llu below, "
                 "%llu control, %llu unreadable, %llu started, %llu + %llu + %llu + %llu "
                 "ended\n",
                 results, (unsigned long long)counters.lines, (unsigned long long)counters.altered,
                 (unsigned long long)counters.late, (unsigned long long)counters.missing,
                 (unsigned long long)counters.below_level, (unsigned long long)counters.control,
                 (unsigned long long)counters.control_unreadable,
                 (unsigned long long)counters.tasks_started,
                 (unsigned long long)counters.ended_marker, (unsigned long long)counters.ended_idle,
                 (unsigned long long)counters.ended_max_runtime,
                 (unsigned long long)counters.ended_restarted) > 0);
    free(results);
    return all;
}

/*
 * Plays all steps but `skipped`, with `requests` of memory granted before one is refused. A refused
 * line is given again, unless `give_up`: then the number of its step is in `ret_refused`.
 */
static char *play(long requests, int skipped, bool give_up, int *ret_refused)
{
    struct tasks tasks;

    *ret_refused = NO_STEP;
    init(&tasks);
    tasks_open(&tasks);
    granted = requests;
    for (int i = 0; i < STEP_COUNT; i++) {
        tasks_pass_ms(&tasks, steps[i].ms);
        tick(&tasks);
        tick(&tasks); /* what failed is due again */
        if (i == skipped || !steps[i].tag)
            continue;
        struct tasklog_line line = line_of(&tasks, &steps[i]);
        while (accept(&tasks, &line) < 0) {
            *ret_refused = i;
            if (give_up)
                break;
        }
    }
    return end(&tasks);
}

static void a_refused_line_that_is_given_again_makes_no_difference(void **state)
{
    int refused;

    (void)state;
    char *expected = play(PLENTY, NO_STEP, false, &refused);
    long count = PLENTY - granted;
    assert_int_equal(refused, NO_STEP);
    assert_true(count > 100);
    for (long requests = 0; requests < count; requests++) {
        char what[64], *got = play(requests, NO_STEP, false, &refused);
        snprintf(what, sizeof(what), "after %ld requests, in step %d", requests, refused);
        expect_text(what, got, expected);
        assert_int_equal(granted, -1); /* there was one more, and it was refused */
        free(got);
    }
    free(expected);
}

static void a_refused_line_that_is_not_given_again_never_was(void **state)
{
    char *without[STEP_COUNT];
    int refused;

    (void)state;
    for (int i = 0; i < STEP_COUNT; i++)
        without[i] = play(PLENTY, i, false, &refused);
    char *expected = play(PLENTY, NO_STEP, false, &refused);
    long count = PLENTY - granted;
    for (long requests = 0; requests < count; requests++) {
        char what[64], *got = play(requests, NO_STEP, true, &refused);
        snprintf(what, sizeof(what), "after %ld requests, in step %d", requests, refused);
        expect_text(what, got, refused == NO_STEP ? expected : without[refused]);
        free(got);
    }
    for (int i = 0; i < STEP_COUNT; i++)
        free(without[i]);
    free(expected);
}

static void a_stop_needs_no_memory(void **state)
{
    struct tasks tasks;

    (void)state;
    init(&tasks);
    tasks_open(&tasks);
    tasks_accept(&tasks, "a[1]", INFO, "open");
    tasks_accept(&tasks, "b[1]", INFO, "@task end");
    tasks_accept(&tasks, "b[1]", INFO, "late");
    tasklog_result_free(tasks_pop(&tasks));
    granted = 0;
    arm();
    tasklog_table_drain(tasks.table, tasks.now, &tasks.results);
    disarm();
    assert_int_equal(granted, 0);
    assert_int_equal(tasks.results.count, 2);
    assert_int_equal(tasklog_table_memory(tasks.table), 0);
    tasks_close(&tasks);
}

static void an_index_that_cannot_grow_still_finds_every_task(void **state)
{
    (void)state;
    for (long requests = 0; requests < 5 * MANY; requests += 3) {
        struct tasks tasks;
        char tag[16];
        init(&tasks);
        tasks_open(&tasks);
        granted = requests;
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < MANY; i++) {
                snprintf(tag, sizeof(tag), "a[%d]", i);
                struct tasklog_line line =
                    tasks_line(&tasks, tag, INFO, round ? "@task end" : "text");
                while (accept(&tasks, &line) < 0)
                    continue;
            }
        }
        assert_int_equal(tasks.results.count, MANY);
        assert_int_equal(tasklog_table_counters(tasks.table)->tasks_started, MANY);
        tasks_close(&tasks);
    }
}

static void a_table_that_cannot_be_made_leaves_nothing(void **state)
{
    static const uint8_t seed[16];
    struct tasklog_table *table = NULL;
    struct tasks tasks;
    long requests = 0;
    int r = -ENOMEM;

    (void)state;
    init(&tasks);
    for (; r < 0; requests++) {
        granted = requests;
        arm();
        r = tasklog_table_new(&tasks.rules, seed, &table);
        disarm();
        if (r < 0) {
            assert_int_equal(r, -ENOMEM);
            assert_null(table);
        }
    }
    assert_in_range(requests, 2, 20);
    tasklog_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_line_that_is_given_again_makes_no_difference),
        cmocka_unit_test(a_refused_line_that_is_not_given_again_never_was),
        cmocka_unit_test(a_stop_needs_no_memory),
        cmocka_unit_test(an_index_that_cannot_grow_still_finds_every_task),
        cmocka_unit_test(a_table_that_cannot_be_made_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
