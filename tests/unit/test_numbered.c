/* SPDX-License-Identifier: Apache-2.0 */
/* Which numbered lines are recognised when they come again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/numbered.h"
#include "support/collecting.h"
#include "tasklog/number.h"

static struct numbered *numbered;
static int64_t now_us;

static int set_up(void **state)
{
    (void)state;
    numbered = numbered_new();
    now_us = INT64_C(1000000000);
    assert_non_null(numbered);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    numbered_free(numbered);
    return 0;
}

static struct tasklog_line line_of(uint64_t stream, uint32_t number, const char *text)
{
    struct tasklog_line line = collecting_line("job[1]", text);

    line.stream = stream;
    line.number = number;
    return line;
}

/* As the collector does with each line: is it dropped? */
static bool drops(uint64_t stream, uint32_t number, const char *text)
{
    const struct tasklog_line line = line_of(stream, number, text);

    if (numbered_has(numbered, &line))
        return true;
    numbered_note(numbered, &line, now_us);
    return false;
}

static void a_line_that_comes_again_is_dropped_each_time(void **state)
{
    (void)state;
    assert_false(drops(1, 0, "one"));
    assert_false(drops(1, 1, "two"));
    for (int i = 0; i < 3; i++) {
        assert_true(drops(1, 0, "one"));
        assert_true(drops(1, 1, "two"));
    }
    assert_false(drops(1, 2, "three"));
}

static void equal_lines_are_as_many_as_were_logged(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        assert_false(drops(1, i, "the same"));
    for (uint32_t i = 0; i < 3; i++)
        assert_true(drops(1, i, "the same"));
    assert_false(drops(1, 3, "the same"));
}

static void streams_have_nothing_to_do_with_each_other(void **state)
{
    (void)state;
    for (uint64_t stream = 1; stream < 100; stream++)
        assert_false(drops(stream, 5, "the same"));
    for (uint64_t stream = 1; stream < 100; stream++)
        assert_true(drops(stream, 5, "the same"));
}

/* Two senders with one name for their streams, or a counter that two threads got the same number of. */
static void another_line_under_the_same_number_is_kept(void **state)
{
    struct tasklog_line line = line_of(1, 0, "one");

    (void)state;
    assert_false(drops(1, 0, "one"));
    assert_false(drops(1, 0, "another"));
    assert_false(numbered_has(numbered, &line)); /* the last one is remembered */
    numbered_note(numbered, &line, now_us);
    const struct tasklog_line same = line;
    line.time_us++;
    assert_false(numbered_has(numbered, &line));
    line = same;
    line.host = "web2";
    assert_false(numbered_has(numbered, &line));
    line = same;
    line.id = "2";
    assert_false(numbered_has(numbered, &line));
    line = same;
    line.severity = 3;
    assert_false(numbered_has(numbered, &line));
    assert_true(numbered_has(numbered, &same));
}

/* A window and a batch, sent again from their beginning, as often as the connection breaks. */
static void what_is_sent_again_in_any_order_is_dropped(void **state)
{
    enum { AGAIN = 256, LINES = 5000 };
    int kept = 0, dropped = 0;

    (void)state;
    srand(1);
    for (uint32_t sent = 0; sent < LINES; sent += (uint32_t)(rand() % 100)) {
        uint32_t from = sent > AGAIN ? sent - AGAIN : 0;
        for (int times = 0; times < 2; times++)
            for (uint32_t i = from; i < sent + 100; i++)
                if (drops(1, i, "x"))
                    dropped++;
                else
                    kept++;
    }
    assert_in_range(kept, LINES, LINES + 200);
    assert_true(dropped > 10000);
    assert_true(drops(1, LINES - 1, "x"));
}

/* Lines that other targets got leave gaps. */
static void numbers_between_that_did_not_come_are_not_known(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3000; i += 3)
        assert_false(drops(1, i, "x"));
    for (uint32_t i = 2700; i < 3000; i++)
        assert_int_equal(drops(1, i, "x"), i % 3 == 0);
    assert_false(drops(1, 2997 + NUMBERED_WINDOW - 1, "x"));
    assert_true(drops(1, 2999, "x"));
    assert_false(drops(1, 2999 + NUMBERED_WINDOW, "x"));
    assert_false(drops(1, 2999, "x")); /* forgotten */
}

static void a_counter_that_begins_again_is_followed(void **state)
{
    (void)state;
    for (uint32_t i = TASKLOG_NUMBERS - 200; i < TASKLOG_NUMBERS; i++)
        assert_false(drops(1, i, "x"));
    for (uint32_t i = 0; i < 100; i++)
        assert_false(drops(1, i, "x"));
    for (uint32_t i = TASKLOG_NUMBERS - 200; i < TASKLOG_NUMBERS; i++)
        assert_true(drops(1, i, "x"));
    for (uint32_t i = 0; i < 100; i++)
        assert_true(drops(1, i, "x"));
}

static void what_is_older_than_the_window_is_kept(void **state)
{
    (void)state;
    assert_false(drops(1, 0, "x"));
    assert_false(drops(1, 1, "x"));
    assert_false(drops(1, NUMBERED_WINDOW, "x"));
    assert_true(drops(1, 1, "x"));
    assert_false(drops(1, NUMBERED_WINDOW + 1, "x"));
    assert_false(drops(1, 1, "x"));
    assert_false(drops(1, 1000000, "x")); /* a leap */
    assert_false(drops(1, NUMBERED_WINDOW + 1, "x"));
    assert_true(drops(1, 1000000, "x"));
}

/* It is sent in its turn and behind all that came while the other side was away. */
static void the_first_line_after_a_silence_is_known_for_longer(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        if (i % 10000 == 0)
            now_us += NUMBERED_SILENCE_MS * 1000;
        assert_false(drops(1, i, "x"));
    }
    for (uint32_t i = 0; i < 100000; i += 10000) {
        assert_true(drops(1, i, "x"));
        assert_false(drops(1, i, "another"));
        assert_false(drops(1, i + 1, "x"));
    }
}

static void the_stream_that_was_silent_longest_goes(void **state)
{
    (void)state;
    for (uint64_t stream = 1; stream <= NUMBERED_STREAMS; stream++)
        assert_false(drops(stream, 0, "x"));
    assert_false(drops(1, 1, "x"));
    assert_false(drops(NUMBERED_STREAMS + 1, 0, "x")); /* in place of 2 */
    assert_true(drops(1, 0, "x"));
    for (uint64_t stream = 3; stream <= NUMBERED_STREAMS + 1; stream++)
        assert_true(drops(stream, 0, "x"));
    assert_false(drops(2, 0, "x"));
}

static void what_was_saved_is_known_again(void **state)
{
    void *data;
    size_t bytes;

    (void)state;
    for (uint64_t stream = 1; stream <= NUMBERED_STREAMS; stream++)
        for (uint32_t i = 0; i < 10; i++)
            assert_false(drops(stream, i + 700, "x"));
    assert_false(drops(1, 710, "x"));
    assert_int_equal(numbered_save(numbered, &data, &bytes), 0);
    numbered_free(numbered);
    numbered = numbered_new();
    assert_int_equal(numbered_restore(numbered, data, bytes), 0);
    assert_int_equal(numbered_restore(numbered, data, bytes), 0); /* of the next segment */
    for (uint64_t stream = 1; stream <= NUMBERED_STREAMS; stream++)
        for (uint32_t i = 0; i < 10; i++)
            assert_true(drops(stream, i + 700, "x"));
    assert_false(drops(5000, 1, "x"));
    assert_false(drops(2, 700, "x")); /* who was silent longest is known again, too */
    free(data);
}

static void what_was_not_saved_is_refused(void **state)
{
    void *data;
    size_t bytes;

    (void)state;
    assert_false(drops(1, 1, "x"));
    assert_int_equal(numbered_save(numbered, &data, &bytes), 0);
    assert_int_equal(numbered_restore(numbered, data, bytes - 1), -EBADMSG);
    memset(data, 0xff, bytes);
    assert_int_equal(numbered_restore(numbered, data, bytes), -EBADMSG);
    memset(data, 0, bytes);
    assert_int_equal(numbered_restore(numbered, data, bytes), -EBADMSG);
    assert_int_equal(numbered_restore(numbered, data, 0), 0);
    assert_true(drops(1, 1, "x"));
    free(data);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_line_that_comes_again_is_dropped_each_time),
        TEST(equal_lines_are_as_many_as_were_logged),
        TEST(streams_have_nothing_to_do_with_each_other),
        TEST(another_line_under_the_same_number_is_kept),
        TEST(what_is_sent_again_in_any_order_is_dropped),
        TEST(numbers_between_that_did_not_come_are_not_known),
        TEST(a_counter_that_begins_again_is_followed),
        TEST(what_is_older_than_the_window_is_kept),
        TEST(the_first_line_after_a_silence_is_known_for_longer),
        TEST(the_stream_that_was_silent_longest_goes),
        TEST(what_was_saved_is_known_again),
        TEST(what_was_not_saved_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
