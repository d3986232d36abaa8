/* SPDX-License-Identifier: Apache-2.0 */
/* Which structured data numbers a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tasklog/number.h"

#define NAME64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static bool parse(const char *data, uint64_t *stream, uint32_t *number)
{
    return tasklog_number_parse(data, strlen(data), stream, number);
}

static void the_first_element_numbers_a_line(void **state)
{
    static const struct {
        const char *data;
        uint32_t number;
    } cases[] = {
        {"[tasklog@32473 stream=\"a\" number=\"0\"]", 0},
        {"[tasklog@32473 stream=\"a\" number=\"42\"]", 42},
        {"[tasklog@32473 stream=\"a\" number=\"007\"]", 7},
        {"[tasklog@32473 stream=\"a\" number=\"2147483646\"]", 2147483646},
        {"[tasklog@32473 stream=\"" NAME64 "\" number=\"1\"]", 1},
        {"[tasklog@32473 stream=\"a\" number=\"1\"][meta sequenceId=\"9\"]", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t stream = 0;
        uint32_t number = 77;
        if (!parse(cases[i].data, &stream, &number))
            fail_msg("%s", cases[i].data);
        assert_true(stream != 0);
        assert_int_equal(number, cases[i].number);
    }
}

static void anything_else_does_not(void **state)
{
    static const char *const cases[] = {
        "",
        "-",
        "[",
        "[meta sequenceId=\"9\"]",
        "[meta sequenceId=\"9\"][tasklog@32473 stream=\"a\" number=\"1\"]",
        "[tasklog@32473 stream=\"",
        "[tasklog@32473 stream=\"a",
        "[tasklog@32473 stream=\"a\"]",
        "[tasklog@32473 stream=\"\" number=\"1\"]",
        "[tasklog@32473 stream=\"" NAME64 "0\" number=\"1\"]",
        "[tasklog@32473 number=\"1\" stream=\"a\"]",
        "[tasklog@32473 stream=\"a\" number=\"\"]",
        "[tasklog@32473 stream=\"a\" number=\"-1\"]",
        "[tasklog@32473 stream=\"a\" number=\"1",
        "[tasklog@32473 stream=\"a\" number=\"1\"",
        "[tasklog@32473 stream=\"a\" number=\"1x\"]",
        "[tasklog@32473 stream=\"a\" number=\"2147483647\"]",
        "[tasklog@32473 stream=\"a\" number=\"99999999999999999999999999\"]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t stream = 5;
        uint32_t number = 77;
        if (parse(cases[i], &stream, &number))
            fail_msg("%s", cases[i]);
        assert_int_equal(stream, 5);
        assert_int_equal(number, 77);
    }
}

static void streams_are_told_apart_by_their_names(void **state)
{
    uint64_t one, same, other;
    uint32_t number;

    (void)state;
    assert_true(parse("[tasklog@32473 stream=\"a\" number=\"1\"]", &one, &number));
    assert_true(parse("[tasklog@32473 stream=\"a\" number=\"2\"]", &same, &number));
    assert_true(parse("[tasklog@32473 stream=\"b\" number=\"1\"]", &other, &number));
    assert_true(one == same);
    assert_true(one != other);
}

/* No byte behind the end is looked at: valgrind and the address sanitizer would tell. */
static void each_beginning_of_it_is_not_it(void **state)
{
    static const char whole[] = "[tasklog@32473 stream=\"a\" number=\"12\"]";
    uint64_t stream;
    uint32_t number;

    (void)state;
    for (size_t bytes = 0; bytes < sizeof(whole) - 1; bytes++) {
        char part[sizeof(whole)];
        memcpy(part, whole, bytes);
        assert_false(tasklog_number_parse(part, bytes, &stream, &number));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_element_numbers_a_line),
        cmocka_unit_test(anything_else_does_not),
        cmocka_unit_test(streams_are_told_apart_by_their_names),
        cmocka_unit_test(each_beginning_of_it_is_not_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
