/* SPDX-License-Identifier: Apache-2.0 */
/* What tasklog run says at the end, and what it makes of a job's own control lines. */
#include "cli/ending.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/fields.h"
#include "task/control.h"

static void check_end(const struct ending *ending, const char *expected)
{
    char *line = ending_write("@task", ending);
    struct text_buffer buffer = {0};
    static struct control control;

    assert_non_null(line);
    assert_string_equal(line, expected);
    /* It is one that the other end can read, all of it. */
    assert_int_equal(control_parse("@task", line, strlen(line), &buffer, &control), 1);
    assert_int_equal(control.verb, CONTROL_END);
    assert_false(control.unreadable);
    if (!ending_is_good(ending))
        assert_string_equal(control.status, "FAILED");
    text_buffer_done(&buffer);
    free(line);
}

static void the_end_says_how_the_job_ended(void **state)
{
    (void)state;
    check_end(&(struct ending){.exit_code = 0, .duration_ms = 1549},
              "@task end status=COMPLETED text=\"exited with status 0 after 1.5 s\" exit_code=0");
    check_end(
        &(struct ending){.exit_code = 3, .duration_ms = 61000, .unsent = 1},
        "@task end status=FAILED text=\"exited with status 3 after 1m 1s, 1 line of its output"
        " was not sent\" exit_code=3 unsent=1");
    check_end(
        &(struct ending){
            .exit_code = -1, .signal = 11, .dumped = true, .duration_ms = 7384000, .unsent = 12},
        "@task end status=FAILED text=\"killed by SIGSEGV (core dumped) after 2h 3m 4s, 12 lines"
        " of its output were not sent\" signal=11 unsent=12");
    check_end(&(struct ending){.exit_code = 127, .start_error = ENOENT},
              "@task end status=FAILED text=\"cannot be run: No such file or directory\""
              " exit_code=127");
}

static void what_the_jobs_own_end_said_stands_in_ours(void **state)
{
    (void)state;
    check_end(&(struct ending){.exit_code = 0,
                               .duration_ms = 100,
                               .fields = "processed=12 failed=1 text=\"all \\\"done\\\"\""},
              "@task end text=\"exited with status 0 after 0.1 s\" processed=12 failed=1"
              " text=\"all \\\"done\\\"\" exit_code=0");
    check_end(&(struct ending){.exit_code = 0, .duration_ms = 100, .fields = ""},
              "@task end text=\"exited with status 0 after 0.1 s\" exit_code=0");
    /* It cannot claim that it did well. */
    check_end(&(struct ending){.exit_code = 1, .fields = "status=COMPLETED text=fine rows=7"},
              "@task end status=COMPLETED text=fine rows=7 status=FAILED"
              " text=\"exited with status 1 after 0.0 s\" exit_code=1");
}

static void starts_and_ends_are_told_from_other_lines(void **state)
{
    static const struct {
        const char *line;
        enum ending_line kind;
        const char *fields;
    } cases[] = {
        {"@task end", ENDING_END, ""},
        {"@task end processed=1", ENDING_END, "processed=1"},
        {"@task \t end  a=1 ", ENDING_END, "a=1 "},
        {"@task start total=3", ENDING_START, "total=3"},
        {"@task progress processed=3", ENDING_OTHER, NULL},
        {"@task ending", ENDING_OTHER, NULL},
        {"@task", ENDING_OTHER, NULL},
        {"@tasks end", ENDING_OTHER, NULL},
        {" @task end", ENDING_OTHER, NULL},
        {"", ENDING_OTHER, NULL},
    };
    const char *fields;
    size_t bytes;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *line = cases[i].line;
        assert_int_equal(ending_read("@task", line, strlen(line), &fields, &bytes), cases[i].kind);
        if (cases[i].fields) {
            assert_int_equal(bytes, strlen(cases[i].fields));
            assert_memory_equal(fields, cases[i].fields, bytes);
        }
    }
}

static void an_open_quote_would_swallow_what_follows(void **state)
{
    static const struct {
        const char *fields;
        bool whole;
    } cases[] = {
        {"", true},
        {"a=1 b", true},
        {"text=\"x y\" a=1", true},
        {"text=\"x \\\" y\"", true},
        {"text=\"x", false},
        {"text=\"x\\\"", false},
        {"text=\"", false},
        {"a=1 text=\"x\" b=\"", false},
        {"don\"t", true}, /* a quote that opens nothing */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(ending_fields_are_whole(cases[i].fields, strlen(cases[i].fields)),
                         cases[i].whole);
}

/* As main gets them. */
static char *line_of(enum fields_verb verb, const char *const *arguments, size_t count, char *error,
                     size_t error_bytes)
{
    char *copies[8] = {0};

    for (size_t i = 0; i < count; i++)
        assert_non_null(copies[i] = strdup(arguments[i]));
    char *line = fields_line("@task", verb, copies, count, error, error_bytes);
    for (size_t i = 0; i < count; i++)
        free(copies[i]);
    return line;
}

static void arguments_become_a_line_that_can_be_read(void **state)
{
    const char *const good[] = {"status=PARTIAL", "processed=12", "failed=0",
                                "total=13",       "rows=-3",      "text=say \"x\" \\ y"};
    struct text_buffer buffer = {0};
    static struct control control;
    char error[256] = "";
    char *line = line_of(FIELDS_END, good, 6, error, sizeof(error));

    (void)state;
    assert_non_null(line);
    assert_int_equal(control_parse("@task", line, strlen(line), &buffer, &control), 1);
    assert_false(control.unreadable);
    assert_string_equal(control.status, "PARTIAL");
    assert_int_equal(control.processed, 12);
    assert_int_equal(control.failed, 0);
    assert_int_equal(control.total, 13);
    assert_int_equal(control.counter_count, 1);
    assert_int_equal(control.counters[0].value, -3);
    assert_int_equal(control.text_bytes, strlen("say \"x\" \\ y"));
    assert_memory_equal(control.text, "say \"x\" \\ y", control.text_bytes);
    text_buffer_done(&buffer);
    free(line);
}

/* What the other end could not read is said, and never sent. */
static void arguments_that_could_not_be_read_are_errors(void **state)
{
    static const struct {
        enum fields_verb verb;
        const char *argument;
    } cases[] = {
        {FIELDS_END, "hello"},
        {FIELDS_END, "=1"},
        {FIELDS_END, "1a=1"},
        {FIELDS_END, "a b=1"},
        {FIELDS_END, "a="},
        {FIELDS_END, "a=x"},
        {FIELDS_END, "a=1 "},
        {FIELDS_END, "a= 1"},
        {FIELDS_END, "a=1.5"},
        {FIELDS_END, "a=99999999999999999999"},
        {FIELDS_END, "processed=-1"},
        {FIELDS_END, "processed=+1"},
        {FIELDS_END, "status="},
        {FIELDS_END, "status=two words"},
        {FIELDS_END, "status=012345678901234567890123456789012"},
        {FIELDS_END, "pid=1"},
        {FIELDS_PROGRESS, "status=DONE"},
        {FIELDS_PROGRESS, "text=x"},
    };
    char error[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const arguments[] = {"rows=1", cases[i].argument};
        error[0] = '\0';
        assert_null(line_of(cases[i].verb, arguments, 2, error, sizeof(error)));
        assert_non_null(strstr(error, cases[i].argument));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_says_how_the_job_ended),
        cmocka_unit_test(what_the_jobs_own_end_said_stands_in_ours),
        cmocka_unit_test(starts_and_ends_are_told_from_other_lines),
        cmocka_unit_test(an_open_quote_would_swallow_what_follows),
        cmocka_unit_test(arguments_become_a_line_that_can_be_read),
        cmocka_unit_test(arguments_that_could_not_be_read_are_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
