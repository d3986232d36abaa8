/* SPDX-License-Identifier: Apache-2.0 */
/* The limit of messages a minute, with a clock that is told by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/rate.h"

enum { BEGIN_MS = 5000000 };

static void the_first_few_are_said(void **state)
{
    struct rate rate = {0};
    uint64_t held = 99;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(rate_allows(&rate, 3, BEGIN_MS, &held));
        assert_int_equal(held, 0);
    }
    assert_false(rate_allows(&rate, 3, BEGIN_MS, &held));
}

static void a_clock_that_begins_at_zero_is_no_exception(void **state)
{
    struct rate rate = {0};
    uint64_t held;

    (void)state;
    assert_true(rate_allows(&rate, 1, 0, &held));
    assert_false(rate_allows(&rate, 1, 1, &held));
}

static void what_was_held_back_is_told_once_after_a_minute(void **state)
{
    struct rate rate = {0};
    uint64_t held = 0;

    (void)state;
    assert_true(rate_allows(&rate, 1, BEGIN_MS, &held));
    for (int i = 0; i < 7; i++)
        assert_false(rate_allows(&rate, 1, BEGIN_MS + i, &held));
    assert_false(rate_allows(&rate, 1, BEGIN_MS + 59999, &held));
    assert_true(rate_allows(&rate, 1, BEGIN_MS + 60000, &held));
    assert_int_equal(held, 8);
    assert_true(rate_allows(&rate, 1, BEGIN_MS + 120000, &held));
    assert_int_equal(held, 0);
}

static void the_count_is_untouched_when_nothing_may_be_said(void **state)
{
    struct rate rate = {0};
    uint64_t held = 0;

    (void)state;
    assert_true(rate_allows(&rate, 1, BEGIN_MS, &held));
    held = 42;
    assert_false(rate_allows(&rate, 1, BEGIN_MS, &held));
    assert_int_equal(held, 42);
}

static void the_minute_begins_with_what_is_said_first(void **state)
{
    struct rate rate = {0};
    uint64_t held;

    (void)state;
    assert_true(rate_allows(&rate, 2, BEGIN_MS, &held));
    assert_true(rate_allows(&rate, 2, BEGIN_MS + 50000, &held));
    assert_false(rate_allows(&rate, 2, BEGIN_MS + 59000, &held));
    assert_true(rate_allows(&rate, 2, BEGIN_MS + 61000, &held));
    assert_true(rate_allows(&rate, 2, BEGIN_MS + 62000, &held));
    assert_false(rate_allows(&rate, 2, BEGIN_MS + 120999, &held));
    assert_true(rate_allows(&rate, 2, BEGIN_MS + 121000, &held));
}

static void a_million_in_a_day_are_a_few_a_minute_and_none_is_forgotten(void **state)
{
    struct rate rate = {0};
    uint64_t said = 0, told = 0, held;

    (void)state;
    for (int64_t i = 0; i < 1000000; i++) {
        if (rate_allows(&rate, 10, BEGIN_MS + i * 86, &held)) {
            said++;
            told += held;
        }
    }
    assert_in_range(said, 14000, 14400);
    assert_int_equal(said + told + rate.held, 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_few_are_said),
        cmocka_unit_test(a_clock_that_begins_at_zero_is_no_exception),
        cmocka_unit_test(what_was_held_back_is_told_once_after_a_minute),
        cmocka_unit_test(the_count_is_untouched_when_nothing_may_be_said),
        cmocka_unit_test(the_minute_begins_with_what_is_said_first),
        cmocka_unit_test(a_million_in_a_day_are_a_few_a_minute_and_none_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
