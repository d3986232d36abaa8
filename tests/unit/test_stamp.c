/* SPDX-License-Identifier: Apache-2.0 */
/* Times as people read them. The expected ones are those of date(1). */
#include "task/stamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "support/tasks.h"

static void set_zone(const char *zone)
{
    setenv("TZ", zone, 1);
    tzset();
}

static void a_stamp_is_local_time_in_brackets(void **state)
{
    static const struct {
        const char *zone;
        int64_t time_us;
        const char *expected;
    } cases[] = {
        {"UTC", 1795516267 * INT64_C(1000000), "[2026-11-24 10:31:07] "},
        {"Europe/Rome", 1795516267 * INT64_C(1000000), "[2026-11-24 11:31:07] "},
        {"Asia/Kolkata", 1795516267 * INT64_C(1000000), "[2026-11-24 16:01:07] "},
        {"UTC", 0, "[1970-01-01 00:00:00] "},
        {"UTC", 999999, "[1970-01-01 00:00:00] "},
        {"UTC", 1000000, "[1970-01-01 00:00:01] "},
        {"UTC", -1, "[1969-12-31 23:59:59] "},
        {"UTC", -1000000, "[1969-12-31 23:59:59] "},
        {"UTC", -1000001, "[1969-12-31 23:59:58] "},
        {"UTC", 951782400 * INT64_C(1000000), "[2000-02-29 00:00:00] "},
        {"UTC", 4102444799 * INT64_C(1000000), "[2099-12-31 23:59:59] "},
        /* The hour that is there twice when summer time ends, and the one that is not. */
        {"Europe/Rome", 1792889999 * INT64_C(1000000), "[2026-10-25 02:59:59] "},
        {"Europe/Rome", 1792890000 * INT64_C(1000000), "[2026-10-25 02:00:00] "},
        {"Europe/Rome", 1774745999 * INT64_C(1000000), "[2026-03-29 01:59:59] "},
        {"Europe/Rome", 1774746000 * INT64_C(1000000), "[2026-03-29 03:00:00] "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stamp stamp = {0};
        set_zone(cases[i].zone);
        stamp_set(&stamp, cases[i].time_us);
        expect_text(cases[i].zone, stamp.text, cases[i].expected);
        assert_int_equal(stamp.bytes, strlen(stamp.text));
    }
}

static void a_stamp_follows_the_time_both_ways(void **state)
{
    static const struct {
        int64_t time_us;
        const char *expected;
    } steps[] = {
        {1795514400 * INT64_C(1000000), "[2026-11-24 10:00:00] "},
        {1795514400 * INT64_C(1000000) + 999999, "[2026-11-24 10:00:00] "},
        {1795514401 * INT64_C(1000000), "[2026-11-24 10:00:01] "},
        {1795514399 * INT64_C(1000000), "[2026-11-24 09:59:59] "},
        {0, "[1970-01-01 00:00:00] "},
        {-1, "[1969-12-31 23:59:59] "},
        {1, "[1970-01-01 00:00:00] "},
    };
    struct stamp stamp = {0};

    (void)state;
    set_zone("UTC");
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        stamp_set(&stamp, steps[i].time_us);
        expect_text("step", stamp.text, steps[i].expected);
    }
}

static void a_time_beyond_reason_still_gives_a_stamp_that_fits(void **state)
{
    static const int64_t times_us[] = {INT64_MAX, INT64_MAX - 1, INT64_MIN, INT64_MIN + 2,
                                       253402300800 * INT64_C(1000000)};

    (void)state;
    set_zone("UTC");
    for (size_t i = 0; i < sizeof(times_us) / sizeof(times_us[0]); i++) {
        struct stamp stamp = {0};
        stamp_set(&stamp, times_us[i]);
        assert_int_equal(stamp.bytes, strlen(stamp.text));
        assert_true(stamp.bytes < STAMP_BYTES_MAX);
        assert_int_equal(stamp.text[0], '[');
        assert_memory_equal(stamp.text + stamp.bytes - 2, "] ", 2);
    }
}

static void a_duration_is_in_seconds_minutes_and_hours(void **state)
{
    static const struct {
        int64_t duration_us;
        const char *expected;
    } cases[] = {
        {0, "0s"},
        {999999, "0s"},
        {1000000, "1s"},
        {3000000, "3s"},
        {59 * INT64_C(1000000), "59s"},
        {60 * INT64_C(1000000), "1m 0s"},
        {65 * INT64_C(1000000), "1m 5s"},
        {3599 * INT64_C(1000000), "59m 59s"},
        {3600 * INT64_C(1000000), "1h 0m 0s"},
        {7384 * INT64_C(1000000), "2h 3m 4s"},
        {360000 * INT64_C(1000000), "100h 0m 0s"},
        {INT64_MAX, "2562047788h 0m 54s"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[DURATION_BYTES_MAX];
        size_t bytes = stamp_duration(cases[i].duration_us, text);
        expect_text("duration", text, cases[i].expected);
        assert_int_equal(bytes, strlen(text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stamp_is_local_time_in_brackets),
        cmocka_unit_test(a_stamp_follows_the_time_both_ways),
        cmocka_unit_test(a_time_beyond_reason_still_gives_a_stamp_that_fits),
        cmocka_unit_test(a_duration_is_in_seconds_minutes_and_hours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
