/* SPDX-License-Identifier: Apache-2.0 */
/* Moments as RFC 3339 writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tasklog/moment.h"

static int64_t parse(const char *text)
{
    return tasklog_moment_parse(text, strlen(text));
}

static void a_moment_is_read(void **state)
{
    (void)state;
    assert_int_equal(parse("1970-01-01T00:00:00.000001Z"), 1);
    assert_int_equal(parse("2026-11-24T10:31:07.123456Z"), INT64_C(1795516267123456));
    assert_int_equal(parse("2026-11-24T11:31:07.123456+01:00"), INT64_C(1795516267123456));
    assert_int_equal(parse("2026-11-24T01:01:07.123456-09:30"), INT64_C(1795516267123456));
}

static void each_day_of_many_years_is_the_c_librarys(void **state)
{
    char text[40];

    (void)state;
    for (time_t second = 1; second < (time_t)150 * 366 * 86400; second += 86399) {
        struct tm tm;
        assert_non_null(gmtime_r(&second, &tm));
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
        assert_int_equal(parse(text), (int64_t)second * 1000000);
    }
}

static void what_is_none_is_0(void **state)
{
    static const char *const texts[] = {"",
                                        "2026",
                                        "2026-11-24T10:31:07.123456",
                                        "2026-11-24T10:31:07Z",
                                        "2026-11-24T10:31:07.123Z",
                                        "2026-11-24T10:31:07.123456+1:00",
                                        "2026-11-24T10:31:07.123456*01:00",
                                        "2026-11-24T10:31:07.123456Zulu",
                                        "2026-1x-24T10:31:07.123456Z",
                                        "2026-11-24 10:31:07.123456Z"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(parse(texts[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moment_is_read),
        cmocka_unit_test(each_day_of_many_years_is_the_c_librarys),
        cmocka_unit_test(what_is_none_is_0),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
