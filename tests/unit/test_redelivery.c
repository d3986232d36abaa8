/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines are recognised when they come again. Lives begin at 100, 200, … seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collector/redelivery.h"
#include "support/collecting.h"

#define SECOND INT64_C(1000000)
enum {
    EARLIER = 150,
    BEFORE = 250,
    NOW = 350
}; /* when a line was received: the last life is the third */

static struct redelivery *redelivery;

static int set_up(void **state)
{
    (void)state;
    redelivery = redelivery_new();
    assert_non_null(redelivery);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    redelivery_free(redelivery);
    return 0;
}

static void begin_lives(int count)
{
    for (int i = 1; i <= count; i++)
        redelivery_begin_life(redelivery, i * 100 * SECOND);
}

static struct tasklog_line line_of(const char *text, int64_t time_us, int received)
{
    static uint64_t position;
    struct tasklog_line line = collecting_line("job[1]", text);

    line.time_us = time_us;
    line.received_us = received * SECOND;
    line.position = ++position;
    return line;
}

static void remember(const char *text, int64_t time_us)
{
    const struct tasklog_line line = line_of(text, time_us, 0);

    redelivery_remember(redelivery, &line);
}

/* As the collector does with each line: is it dropped? */
static bool drops(const char *text, int64_t time_us, int received)
{
    const struct tasklog_line line = line_of(text, time_us, received);

    if (redelivery_is_known(redelivery, &line))
        return true;
    redelivery_note(redelivery, &line);
    return false;
}

static void a_line_in_the_queue_that_is_sent_again_is_dropped(void **state)
{
    (void)state;
    begin_lives(3);
    assert_false(drops("one", 7, BEFORE));
    assert_false(drops("two", 8, BEFORE));
    assert_true(drops("one", 7, NOW));
    assert_true(drops("two", 8, NOW));
    assert_false(drops("two", 9, NOW));
}

static void a_line_that_each_life_was_sent_is_kept_once(void **state)
{
    (void)state;
    begin_lives(3);
    remember("in the spool", 7);
    assert_true(drops("in the spool", 7, EARLIER));
    assert_true(drops("in the spool", 7, BEFORE));
    assert_true(drops("in the spool", 7, NOW));
    assert_false(drops("in the queue", 7, EARLIER));
    assert_true(drops("in the queue", 7, BEFORE));
    assert_true(drops("in the queue", 7, NOW));
}

static void equal_lines_that_one_life_was_sent_are_kept(void **state)
{
    (void)state;
    begin_lives(3);
    for (int i = 0; i < 3; i++) { /* as lines without a time that an input reads at once */
        assert_false(drops("fresh", 7, NOW));
        assert_false(drops("queued", 7, BEFORE));
    }
    assert_false(drops("queued", 7, NOW)); /* which of them is it? */
    remember("spooled", 7);
    assert_true(drops("spooled", 7, NOW));
    assert_false(drops("spooled", 7, NOW));
}

static void a_coarse_time_of_this_life_is_not_trusted(void **state)
{
    (void)state;
    begin_lives(3);
    assert_false(drops("one", 7 * SECOND, BEFORE));
    assert_false(drops("one", 7 * SECOND, NOW));
    remember("two", 7 * SECOND);
    remember("three", 7 * SECOND);
    assert_true(drops("three", 7 * SECOND, NOW));
    assert_false(drops("two", 7 * SECOND, NOW));
}

static void when_it_was_received_may_be_unknown(void **state)
{
    (void)state;
    begin_lives(3);
    remember("one", 7);
    assert_true(drops("one", 7, 0));
    assert_false(drops("one", 7, 0));
    assert_false(drops("two", 7, 0));
    assert_false(drops("two", 7, 0));
}

static void the_last_lives_are_told_apart(void **state)
{
    (void)state;
    begin_lives(1000);
    assert_false(drops("one", 7, 99 * 1000 + 50));
    assert_false(drops("one", 7, 99 * 1000 + 60));
    assert_false(drops("two", 7, 99 * 1000 + 50));
    assert_true(drops("two", 7, 99 * 1000 + 950));
    assert_true(drops("two", 7, 100 * 1000 + 50));
}

static void the_last_lines_are_remembered(void **state)
{
    char text[32];

    (void)state;
    begin_lives(3);
    for (int i = 0; i < 3 * REDELIVERY_LINES; i++) {
        snprintf(text, sizeof(text), "line %d", i);
        assert_false(drops(text, i + 1, BEFORE));
        if (i == 0)
            assert_true(redelivery_oldest(redelivery) != UINT64_MAX);
    }
    const struct tasklog_line next = line_of("", 1, NOW);
    assert_int_equal(redelivery_oldest(redelivery), next.position - REDELIVERY_LINES);
    int first = 2 * REDELIVERY_LINES - 1;
    for (int i = first - 100; i < 3 * REDELIVERY_LINES; i++) {
        snprintf(text, sizeof(text), "line %d", i);
        assert_int_equal(drops(text, i + 1, NOW), i > first);
    }
}

/* This takes minutes if it depends on how many there are. */
static void a_million_equal_lines_are_no_burden(void **state)
{
    (void)state;
    begin_lives(3);
    for (int i = 0; i < 1000000; i++)
        remember("again and again", 7 * SECOND);
    assert_false(drops("again and again", 7 * SECOND, NOW));
    for (int i = 0; i < REDELIVERY_LINES - 1; i++)
        remember("something else", 8 + i);
    assert_false(drops("again and again", 7 * SECOND, NOW));
    assert_true(drops("something else", 8, NOW));
    remember("something else", 1);
    remember("again and again", 7 * SECOND); /* the only one now */
    assert_true(drops("again and again", 7 * SECOND, NOW));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_line_in_the_queue_that_is_sent_again_is_dropped),
        TEST(a_line_that_each_life_was_sent_is_kept_once),
        TEST(equal_lines_that_one_life_was_sent_are_kept),
        TEST(a_coarse_time_of_this_life_is_not_trusted),
        TEST(when_it_was_received_may_be_unknown),
        TEST(the_last_lives_are_told_apart),
        TEST(the_last_lines_are_remembered),
        TEST(a_million_equal_lines_are_no_burden),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
