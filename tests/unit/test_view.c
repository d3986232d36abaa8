/* SPDX-License-Identifier: Apache-2.0 */
/* One task as a spool tells of it, with a collector's entries in a real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/entry.h"
#include "tasklog/follow.h"
#include "tasklog/spool.h"
#include "tasklog/table.h"
#include "tasklog/view.h"

enum { SHOWN_BYTES = 1 << 16 };

/* What a collector does with lines, and beside it who looks on. */
struct scene {
    char path[64];
    struct tasklog_spool *spool;
    struct tasklog_spool_reader *reader;
    struct tasklog_spill spill;
    struct tasklog_table *table;
    struct tasklog_follow *follow;
    struct tasklog_view *view;
    struct tasklog_now now;
    char shown[SHOWN_BYTES]; /* texts, and what happened in <> */
};

static void show(struct scene *scene, const char *text, size_t bytes)
{
    size_t used = strlen(scene->shown);

    assert_true(used + bytes < SHOWN_BYTES);
    memcpy(scene->shown + used, text, bytes);
    scene->shown[used + bytes] = '\0';
}

static void on_begin(void *context)
{
    show(context, "<begin>", 7);
}

static void on_text(void *context, const char *text, size_t bytes, bool more)
{
    static const char stamp[] = "[2026-";
    struct scene *scene = context;

    if (bytes >= 22 && memcmp(text, stamp, strlen(stamp)) == 0) { /* of no matter here */
        text += 22;
        bytes -= 22;
    }
    show(scene, text, bytes);
    if (!more)
        show(scene, "|", 1);
}

static void on_end(void *context, const struct tasklog_report *report)
{
    struct scene *scene = context;
    char text[128];

    snprintf(text, sizeof(text), "<%s %s>", report ? report->status : "unknown",
             report ? report->end_reason : "end");
    show(scene, text, strlen(text));
}

static int on_read(void *context, uint64_t position, size_t offset, char *buffer, size_t bytes)
{
    const struct scene *scene = context;

    return tasklog_follow_read(scene->follow, position, offset, buffer, bytes);
}

static int write_text(void *context, const char *text, size_t bytes, uint64_t *ret_position)
{
    const struct scene *scene = context;

    return entry_write_text(scene->spool, text, bytes, ret_position);
}

static int read_text(void *context, uint64_t position, size_t offset, char *buffer, size_t bytes)
{
    const struct scene *scene = context;

    return tasklog_spool_reader_read(scene->reader, position, offset, buffer, bytes);
}

static int ignore(void *context, tasklog_position position, uint32_t type, const void *data,
                  size_t bytes)
{
    (void)context;
    (void)position;
    (void)type;
    (void)data;
    (void)bytes;
    return 0;
}

static const struct tasklog_rules rules = {.marker = "@task",
                                           .level = 6,
                                           .show_level = true,
                                           .escape_prefix = '#',
                                           .idle_ms = 60000,
                                           .late_window_ms = 10000,
                                           .task_max_bytes = 1 << 20};

static void look_from_now_on(struct scene *scene)
{
    const struct tasklog_view_hooks hooks = {
        .begin = on_begin, .text = on_text, .end = on_end, .read = on_read, .context = scene};

    tasklog_view_free(scene->view);
    tasklog_follow_free(scene->follow);
    assert_int_equal(tasklog_follow_new(scene->path, &scene->follow), 0);
    assert_int_equal(tasklog_view_new("kind", 4, "id", 2, &hooks, &scene->view), 0);
}

static int set_up(void **state)
{
    static const uint8_t seed[16];
    struct scene *scene = calloc(1, sizeof(*scene));
    struct tasklog_spool_damage damage;
    char error[TASKLOG_SPOOL_ERROR_BYTES];

    strcpy(scene->path, "/tmp/test-view-XXXXXX");
    assert_non_null(mkdtemp(scene->path));
    const struct tasklog_spool_options options = {.path = scene->path, .segment_bytes = 4096};
    assert_int_equal(tasklog_spool_open(&options, error, &scene->spool), 0);
    assert_int_equal(tasklog_spool_replay(scene->spool, ignore, NULL, &damage), 0);
    assert_int_equal(tasklog_spool_reader_new(scene->path, &scene->reader), 0);
    assert_int_equal(tasklog_table_new(&rules, seed, &scene->table), 0);
    scene->spill = (struct tasklog_spill){write_text, read_text, scene};
    tasklog_table_set_spill(scene->table, &scene->spill);
    scene->now = (struct tasklog_now){.mono_ms = 1000, .wall_us = INT64_C(1795000000000000)};
    assert_int_equal(entry_write_start(scene->spool, scene->now), 0);
    assert_int_equal(entry_write_rules(scene->spool, &rules), 0);
    look_from_now_on(scene);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    char command[128];

    tasklog_view_free(scene->view);
    tasklog_follow_free(scene->follow);
    tasklog_table_free(scene->table);
    tasklog_spool_reader_free(scene->reader);
    tasklog_spool_close(scene->spool);
    snprintf(command, sizeof(command), "rm -r %s", scene->path);
    assert_int_equal(system(command), 0);
    free(scene);
    return 0;
}

static void keep_closed(struct scene *scene, struct tasklog_results *results, bool by_clock)
{
    struct tasklog_result *result;

    while ((result = tasklog_results_pop(results)) != NULL) {
        struct tasklog_report report;
        tasklog_result_view(result, &report);
        if (by_clock && report.type == TASKLOG_RESULT_FINAL)
            assert_int_equal(entry_write_close(scene->spool, &report, scene->now), 0);
        tasklog_result_free(result);
    }
}

static struct tasklog_line line_of(const struct scene *scene, const char *id, int severity,
                                   const char *text)
{
    return (struct tasklog_line){.kind = "kind",
                                 .kind_bytes = 4,
                                 .id = id,
                                 .id_bytes = strlen(id),
                                 .text = text,
                                 .text_bytes = strlen(text),
                                 .time_us = scene->now.wall_us,
                                 .severity = severity};
}

static void log_as(struct scene *scene, const char *id, int severity, const char *text)
{
    struct tasklog_line line = line_of(scene, id, severity, text);
    struct tasklog_results results = {0};

    assert_int_equal(tasklog_spool_reserve(scene->spool, entry_line_bytes(&line), &line.position),
                     0);
    if (tasklog_table_accept(scene->table, &line, scene->now, false, &results) == 1)
        entry_write_line(scene->spool, &line, scene->now, false,
                         tasklog_table_last_run(scene->table));
    keep_closed(scene, &results, false);
}

static void say(struct scene *scene, const char *text)
{
    log_as(scene, "id", 6, text);
}

static void pass(struct scene *scene, int64_t ms)
{
    struct tasklog_results results = {0};

    scene->now.mono_ms += ms;
    scene->now.wall_us += ms * 1000;
    tasklog_table_tick(scene->table, scene->now, &results);
    keep_closed(scene, &results, true);
}

static int keep(void *context, const char *data, size_t bytes, uint64_t *ret_position)
{
    const struct scene *scene = context;

    return entry_write_task(scene->spool, data, bytes, ret_position);
}

/* As the collector does when a task holds up the spool. */
static void move_forward(struct scene *scene)
{
    assert_int_equal(tasklog_table_forward(scene->table, keep, scene), 1);
    tasklog_spool_release(scene->spool, tasklog_table_oldest(scene->table));
}

static void expect(struct scene *scene, const char *shown)
{
    struct tasklog_follow_record record;

    while (tasklog_follow_next(scene->follow, &record) == 1) {
        if (tasklog_follow_has_missed(scene->follow))
            tasklog_view_miss(scene->view);
        assert_int_equal(tasklog_view_take(scene->view, record.position, record.type, record.data,
                                           record.bytes),
                         0);
    }
    assert_string_equal(scene->shown, shown);
    scene->shown[0] = '\0';
}

static void lines_are_shown_as_the_row_has_them(void **state)
{
    struct scene *scene = *state;

    expect(scene, "");
    say(scene, "one");
    expect(scene, "<begin>one|");
    log_as(scene, "other", 6, "not this");
    log_as(scene, "id", 4, "two#012lines");
    log_as(scene, "id", 7, "debug");
    say(scene, "@task progress processed=2");
    say(scene, "@task progress processed=two");
    expect(scene, "WARNING: two\nlines|@task progress processed=two|");
    say(scene, "@task end text=\"well done\"");
    expect(scene, "well done|Completed: 2 successful, 0 failed, Total time: 0s|<COMPLETED marker>");
}

static void the_clock_ends_a_task(void **state)
{
    struct scene *scene = *state;

    say(scene, "one");
    pass(scene, 60000);
    expect(scene, "<begin>one|Closed by tasklog: no line for 1m 0s|"
                  "Failed: 1 line, 0 warnings, 0 errors, Total time: 1m 0s|<FAILED idle>");
}

static void a_start_ends_one_run_and_begins_the_next(void **state)
{
    struct scene *scene = *state;

    say(scene, "one");
    say(scene, "@task start");
    say(scene, "two");
    expect(scene, "<begin>one|Closed by tasklog: started again under the same task id|"
                  "Failed: 1 line, 0 warnings, 0 errors, Total time: 0s|<FAILED restarted>"
                  "<begin>two|");
}

static void an_id_is_new_after_the_late_window(void **state)
{
    struct scene *scene = *state;

    say(scene, "@task end");
    expect(scene, "<begin>Completed: 0 lines, 0 warnings, 0 errors, Total time: 0s|"
                  "<COMPLETED marker>");
    pass(scene, 9000);
    say(scene, "late");
    expect(scene, "late|");
    pass(scene, 20000);
    say(scene, "new");
    expect(scene, "<begin>new|");
}

static void a_word_is_put_in_for_lines_that_may_be_missing(void **state)
{
    struct scene *scene = *state;
    const struct entry note = {.type = ENTRY_NOTE,
                               .line = {.origin = "", .cursor = ""},
                               .detail = "some are gone",
                               .now = scene->now};
    tasklog_position position;

    say(scene, "one");
    assert_int_equal(entry_write_news(scene->spool, &note, &position), 0);
    expect(scene, "<begin>one|some are gone|");
}

static void fill(struct scene *scene, char *shown)
{
    for (int i = 0; i < 100; i++) {
        char text[80];
        snprintf(text, sizeof(text), "line %d of so many that they take some segments", i);
        say(scene, text);
        strcat(strcat(shown, text), "|");
    }
}

static void who_comes_late_sees_a_moved_task_from_its_beginning(void **state)
{
    struct scene *scene = *state;
    char shown[SHOWN_BYTES] = "<begin>";

    fill(scene, shown);
    move_forward(scene);
    say(scene, "more");
    strcat(shown, "more|");
    look_from_now_on(scene);
    expect(scene, shown);
    say(scene, "@task end");
    expect(scene, "Completed: 101 lines, 0 warnings, 0 errors, Total time: 0s|<COMPLETED marker>");
}

static void who_was_there_sees_nothing_of_the_move(void **state)
{
    struct scene *scene = *state;
    char shown[SHOWN_BYTES] = "<begin>";

    fill(scene, shown);
    expect(scene, shown);
    move_forward(scene);
    say(scene, "more");
    expect(scene, "more|");
    log_as(scene, "other", 6, "not this");
    move_forward(scene);
    say(scene, "@task end");
    expect(scene, "Completed: 101 lines, 0 warnings, 0 errors, Total time: 0s|<COMPLETED marker>");
}

static void who_was_overtaken_gets_the_rest(void **state)
{
    struct scene *scene = *state;
    char shown[SHOWN_BYTES] = "";

    say(scene, "first");
    expect(scene, "<begin>first|");
    fill(scene, shown);
    fill(scene, shown);
    move_forward(scene); /* the segments between have gone unread */
    say(scene, "more");
    strcat(shown, "more|");
    expect(scene, shown);
}

/* As the collector does when the spool was full for a while. */
static void say_in_a_gap(struct scene *scene, const char *text)
{
    const struct tasklog_line line = line_of(scene, "id", 6, text);
    struct tasklog_results results = {0};
    int64_t since_ms = scene->now.mono_ms;

    assert_int_equal(entry_write_gap(scene->spool, scene->now), 0);
    assert_int_equal(tasklog_table_accept(scene->table, &line, scene->now, false, &results), 1);
    assert_int_equal(tasklog_table_keep_since(scene->table, &since_ms, 0, SIZE_MAX, keep, scene),
                     0);
    assert_int_equal(entry_write_whole(scene->spool, scene->now), 0);
}

static void lines_of_a_gap_are_shown_when_it_ends(void **state)
{
    struct scene *scene = *state;

    say(scene, "first");
    expect(scene, "<begin>first|");
    say_in_a_gap(scene, "second");
    say(scene, "third");
    expect(scene, "second|third|");
    say_in_a_gap(scene, "fourth");
    look_from_now_on(scene);
    expect(scene, "<begin>first|second|third|fourth|");
}

static void an_end_that_was_missed_is_told_by_what_follows_it(void **state)
{
    struct scene *scene = *state;
    char shown[SHOWN_BYTES] = "";
    struct tasklog_report report = {.type = TASKLOG_RESULT_FINAL};

    say(scene, "first");
    report.run = tasklog_table_last_run(scene->table);
    expect(scene, "<begin>first|");
    fill(scene, shown);
    say(scene, "@task end");
    struct tasklog_follow_record record;
    while (tasklog_follow_next(scene->follow, &record) == 1)
        ; /* nobody looks */
    assert_int_equal(entry_write_done(scene->spool, &report, scene->now), 0);
    expect(scene, "<unknown end>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_are_shown_as_the_row_has_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_clock_ends_a_task, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_start_ends_one_run_and_begins_the_next, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_id_is_new_after_the_late_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_word_is_put_in_for_lines_that_may_be_missing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_comes_late_sees_a_moved_task_from_its_beginning, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_was_there_sees_nothing_of_the_move, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_was_overtaken_gets_the_rest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_of_a_gap_are_shown_when_it_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_end_that_was_missed_is_told_by_what_follows_it, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
