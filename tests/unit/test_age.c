/* SPDX-License-Identifier: Apache-2.0 */
/* How long results have waited. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/age.h"

static void a_result_has_the_time_it_came_at(void **state)
{
    struct age age = {0};

    (void)state;
    assert_true(age_since_ms(&age, 0) == INT64_MAX);
    age_note(&age, 0, 5);
    age_note(&age, 3, 10);
    age_note(&age, 4, 20);
    age_note(&age, 6, 20);
    age_note(&age, 6, 25);
    age_note(&age, 7, 30);
    static const int64_t expected[] = {10, 10, 10, 20, 20, 20, 30};
    for (uint64_t i = 0; i < 7; i++)
        assert_int_equal(age_since_ms(&age, i), expected[i]);
    age_forget(&age, 4);
    for (uint64_t i = 4; i < 7; i++)
        assert_int_equal(age_since_ms(&age, i), expected[i]);
}

/* A million results, one a millisecond, of which the last thousand still wait. */
static void with_many_marks_none_looks_younger_and_none_much_older(void **state)
{
    struct age age = {0};

    (void)state;
    for (uint64_t i = 0; i < 1000000; i++) {
        age_note(&age, i + 1, (int64_t)i);
        if (i < 1000)
            continue;
        age_forget(&age, i - 1000);
        int64_t since_ms = age_since_ms(&age, i - 1000);
        assert_true(since_ms <= (int64_t)i - 1000);
        assert_true(since_ms >= (int64_t)i - 1100);
        assert_in_range(age_since_ms(&age, i), i - 100, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_has_the_time_it_came_at),
        cmocka_unit_test(with_many_marks_none_looks_younger_and_none_much_older),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
