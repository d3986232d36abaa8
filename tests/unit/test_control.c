/* SPDX-License-Identifier: Apache-2.0 */
/* Control lines: which lines are, what they say, and what is not understood of them. */
#include "task/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/tasks.h"

static void print_number(FILE *out, const char *name, int64_t number)
{
    if (number != TASKLOG_ABSENT)
        fprintf(out, " %s=%lld", name, (long long)number);
}

/* What was read, as one line; "-" for an ordinary line. */
static char *read_with(const char *marker, const char *line, size_t bytes)
{
    static const char *const verbs[] = {"start", "progress", "end"};
    struct text_buffer buffer = {0};
    struct control control;
    char *exact = malloc(bytes > 0 ? bytes : 1), *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(exact);
    assert_non_null(out);
    memcpy(exact, line, bytes);
    int r = control_parse(marker, exact, bytes, &buffer, &control);
    if (r == 0) {
        fputc('-', out);
    } else {
        assert_int_equal(r, 1);
        fputs(verbs[control.verb], out);
        if (*control.status)
            fprintf(out, " status=%s", control.status);
        print_number(out, "processed", control.processed);
        print_number(out, "failed", control.failed);
        print_number(out, "total", control.total);
        print_number(out, "pid", control.pid);
        if (control.pid_self)
            fputs(" pid=self", out);
        for (size_t i = 0; i < control.counter_count; i++)
            fprintf(out, " %.*s:%lld", (int)control.counters[i].name_bytes,
                    control.counters[i].name, (long long)control.counters[i].value);
        if (control.text)
            fprintf(out, " <%.*s>", (int)control.text_bytes, control.text);
        if (control.unreadable)
            fputs(" UNREADABLE", out);
    }
    assert_int_equal(fclose(out), 0);
    text_buffer_done(&buffer);
    free(exact);
    return text;
}

struct control_case {
    const char *line, *expected;
};

static void check(const char *marker, const struct control_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *got = read_with(marker, cases[i].line, strlen(cases[i].line));
        expect_text(cases[i].line, got, cases[i].expected);
        free(got);
    }
}

#define CHECK(marker, cases) check(marker, cases, sizeof(cases) / sizeof((cases)[0]))

static void the_grammar_of_the_contract_is_read(void **state)
{
    static const struct control_case cases[] = {
        {"@task start", "start"},
        {"@task start total=13", "start total=13"},
        {"@task start pid=4711", "start pid=4711"},
        {"@task start total=13 pid=self", "start total=13 pid=self"},
        {"@task progress", "progress"},
        {"@task progress processed=5", "progress processed=5"},
        {"@task progress processed=5 failed=1 total=13", "progress processed=5 failed=1 total=13"},
        {"@task end", "end"},
        {"@task end status=ABORTED", "end status=ABORTED"},
        {"@task end processed=12 failed=1 total=13 tables=12 columns=140",
         "end processed=12 failed=1 total=13 tables:12 columns:140"},
        {"@task end text=\"All done, good night\" status=COMPLETED",
         "end status=COMPLETED <All done, good night>"},
        {"@task progress tables=3 views=0", "progress tables:3 views:0"},
        {"@task start tables=3", "start tables:3"},
    };

    (void)state;
    CHECK("@task", cases);
}

static void blanks_may_be_many_and_tabs(void **state)
{
    static const struct control_case cases[] = {
        {"@task\tend\tfailed=1", "end failed=1"},
        {"@task   end   failed=1   ", "end failed=1"},
        {"@task end ", "end"},
        {"@task end\n", "end"},
        {"@task end\r\n", "end"},
        {"@task end\nfailed=1", "end failed=1"},
    };

    (void)state;
    CHECK("@task", cases);
}

static void anything_else_is_an_ordinary_line(void **state)
{
    static const struct control_case cases[] = {
        {"", "-"},
        {"@", "-"},
        {"@task", "-"},
        {"@task ", "-"},
        {"@task\n", "-"},
        {"@taskend", "-"},
        {"@tasks end", "-"},
        {"@TASK end", "-"},
        {" @task end", "-"},
        {"the @task end", "-"},
        {"@task stop", "-"},
        {"@task End", "-"},
        {"@task ending", "-"},
        {"@task end=1", "-"},
        {"@task end: all is well", "-"},
        {"@task \"end\"", "-"},
        {"@task en", "-"},
    };

    (void)state;
    CHECK("@task", cases);
}

static void the_marker_is_configurable(void **state)
{
    static const struct control_case hash[] = {{"#! end failed=2", "end failed=2"},
                                               {"@task end", "-"},
                                               {"#!end", "-"},
                                               {"#!", "-"}};
    static const struct control_case word[] = {{"gr\xC3\xBC\xC3\x9F end", "end"},
                                               {"gr\xC3\xBC\xC3\x9F", "-"},
                                               {"gr\xC3\xBC end", "-"}};

    (void)state;
    CHECK("#!", hash);
    CHECK("gr\xC3\xBC\xC3\x9F", word);
}

static void values_in_quotes_may_hold_blanks_and_escapes(void **state)
{
    static const struct control_case cases[] = {
        {"@task end text=\"\"", "end <>"},
        {"@task end text=", "end <>"},
        {"@task end text=done", "end <done>"},
        {"@task end text=\"a b\" failed=1", "end failed=1 <a b>"},
        {"@task end text=\"he said \\\"no\\\"\"", "end <he said \"no\">"},
        {"@task end text=\"C:\\\\temp\\\\\"", "end <C:\\temp\\>"},
        {"@task end text=\"\\\\\\\"\"", "end <\\\">"},
        {"@task end text=\"a\\nb\"", "end <a\\nb>"}, /* only these two are escapes */
        {"@task end text=\"a=b failed=3\"", "end <a=b failed=3>"},
        {"@task end text=\"two\nlines\"", "end <two\nlines>"},
        {"@task end text=gr\xC3\xBC\xC3\x9F", "end <gr\xC3\xBC\xC3\x9F>"},
        {"@task end text=a\"b", "end <a\"b>"},
        {"@task end text=a\\\"b", "end <a\\\"b>"}, /* no quotes, no escapes */
        {"@task end text=\"a\" text=\"b\"", "end <b>"},
        {"@task end failed=\"3\"", "end failed=3"},
        {"@task end status=\"ABORTED\"", "end status=ABORTED"},
        {"@task end tables=\"12\"", "end tables:12"},
    };

    (void)state;
    CHECK("@task", cases);
}

static void what_cannot_be_read_is_ignored_and_the_rest_is_not(void **state)
{
    static const struct control_case cases[] = {
        {"@task end failed=x processed=2", "end processed=2 UNREADABLE"},
        {"@task end failed= processed=2", "end processed=2 UNREADABLE"},
        {"@task end failed=1.5", "end UNREADABLE"},
        {"@task end failed=1x", "end UNREADABLE"},
        {"@task end failed=0x10", "end UNREADABLE"},
        {"@task end failed=-1", "end UNREADABLE"},
        {"@task end failed=\" 1\"", "end UNREADABLE"},
        {"@task end failed", "end UNREADABLE"},
        {"@task end =1", "end UNREADABLE"},
        {"@task end = 1", "end UNREADABLE"},
        {"@task end 12", "end UNREADABLE"},
        {"@task end done!", "end UNREADABLE"},
        {"@task end tables=many views=2", "end views:2 UNREADABLE"},
        {"@task end ta/bles=1 views=2", "end views:2 UNREADABLE"},
        {"@task end 1st=1 views=2", "end views:2 UNREADABLE"},
        {"@task end \"x\"=1 views=2", "end views:2 UNREADABLE"},
        {"@task end status=", "end UNREADABLE"},
        {"@task end status=\"two words\"", "end UNREADABLE"},
        {"@task end status=<b>", "end UNREADABLE"},
        {"@task end status=x'y", "end UNREADABLE"},
        {"@task end status=abcdefghijklmnopqrstuvwxyz0123456", "end UNREADABLE"},
        {"@task end text=\"open", "end UNREADABLE"},
        {"@task end text=\"", "end UNREADABLE"},
        {"@task end text=\"open\\", "end UNREADABLE"},
        {"@task end text=\"open\\\"", "end UNREADABLE"},
        {"@task end text=\"a\"b failed=1", "end failed=1 UNREADABLE"},
        {"@task end text=\"a\"failed=1", "end UNREADABLE"},
        {"@task end text=\"a b failed=1", "end UNREADABLE"}, /* it may belong to the text */
        {"@task start pid=0", "start UNREADABLE"},
        {"@task start pid=-5", "start UNREADABLE"},
        {"@task start pid=me", "start UNREADABLE"},
        {"@task start pid=99999999999", "start UNREADABLE"},
        {"@task start pid=", "start UNREADABLE"},
        /* What belongs to another verb. */
        {"@task end pid=12", "end UNREADABLE"},
        {"@task progress pid=self", "progress UNREADABLE"},
        {"@task progress status=DONE processed=1", "progress processed=1 UNREADABLE"},
        {"@task start status=DONE", "start UNREADABLE"},
        {"@task start text=hello", "start UNREADABLE"},
        {"@task progress text=\"half way\" processed=1", "progress processed=1 UNREADABLE"},
        /* A good value is not undone by a bad one. */
        {"@task end failed=1 failed=x", "end failed=1 UNREADABLE"},
        {"@task end failed=1 failed=2", "end failed=2"},
    };

    (void)state;
    CHECK("@task", cases);
}

static void numbers_have_64_bits(void **state)
{
    static const struct control_case cases[] = {
        {"@task end processed=0", "end processed=0"},
        {"@task end processed=007", "end processed=7"},
        {"@task end processed=9223372036854775807", "end processed=9223372036854775807"},
        {"@task end processed=9223372036854775808", "end UNREADABLE"},
        {"@task end processed=18446744073709551616", "end UNREADABLE"},
        {"@task end processed=99999999999999999999999999", "end UNREADABLE"},
        {"@task end n=-3", "end n:-3"},
        {"@task end n=+3", "end n:3"},
        {"@task end n=-0", "end n:0"},
        {"@task end n=-", "end UNREADABLE"},
        {"@task end n=--3", "end UNREADABLE"},
        {"@task end n=-9223372036854775807", "end n:-9223372036854775807"},
        {"@task end n=-9223372036854775808", "end UNREADABLE"}, /* it means "not reported" */
        {"@task end n=-9223372036854775809", "end UNREADABLE"},
        {"@task start pid=2147483647", "start pid=2147483647"},
        {"@task start pid=2147483648", "start UNREADABLE"},
    };

    (void)state;
    CHECK("@task", cases);
}

static void names_of_counters_are_plain_words(void **state)
{
    static const struct control_case cases[] = {
        {"@task end a=1 _b=2 C3=3 d.e-f_g=4", "end a:1 _b:2 C3:3 d.e-f_g:4"},
        {"@task end a=1 a=2", "end a:1 a:2"},
        {"@task end Failed=3", "end Failed:3"}, /* names are told apart by case */
        {"@task end "
         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl=1",
         "end abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl:1"},
        {"@task end "
         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm=1",
         "end UNREADABLE"},
        {"@task end gr\xC3\xB6\xC3\x9F"
         "e=3",
         "end UNREADABLE"},
        {"@task end \xEF\xBF\xBD=3", "end UNREADABLE"},
    };

    (void)state;
    CHECK("@task", cases);
}

static void there_is_an_end_to_the_counters_of_one_line(void **state)
{
    char line[4096] = "@task end", *got;

    (void)state;
    for (int i = 0; i < CONTROL_COUNTERS_MAX; i++)
        sprintf(line + strlen(line), " c%d=%d", i, i);
    got = read_with("@task", line, strlen(line));
    assert_null(strstr(got, "UNREADABLE"));
    assert_non_null(strstr(got, " c63:63"));
    free(got);
    strcat(line, " c64=64 failed=1");
    got = read_with("@task", line, strlen(line));
    assert_non_null(strstr(got, " failed=1"));
    assert_null(strstr(got, "c64"));
    assert_non_null(strstr(got, "UNREADABLE"));
    free(got);
}

static void a_line_that_breaks_off_anywhere_is_no_harm(void **state)
{
    static const char line[] = "@task end status=X text=\"a \\\" \\\\ b\" processed=12 a=-3 b= = c";

    (void)state;
    for (size_t bytes = 0; bytes < sizeof(line); bytes++) {
        char *got = read_with("@task", line, bytes);
        bool whole = bytes >= strlen("@task end");
        assert_int_equal(strncmp(got, "end", 3) == 0, whole);
        free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_grammar_of_the_contract_is_read),
        cmocka_unit_test(blanks_may_be_many_and_tabs),
        cmocka_unit_test(anything_else_is_an_ordinary_line),
        cmocka_unit_test(the_marker_is_configurable),
        cmocka_unit_test(values_in_quotes_may_hold_blanks_and_escapes),
        cmocka_unit_test(what_cannot_be_read_is_ignored_and_the_rest_is_not),
        cmocka_unit_test(numbers_have_64_bits),
        cmocka_unit_test(names_of_counters_are_plain_words),
        cmocka_unit_test(there_is_an_end_to_the_counters_of_one_line),
        cmocka_unit_test(a_line_that_breaks_off_anywhere_is_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
