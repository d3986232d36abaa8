/* SPDX-License-Identifier: Apache-2.0 */
/* From where on a partition is needed: never from too high an offset, and not from a much lower one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/kafka/track.h"

static int tear_down(void **state)
{
    track_done(*state);
    return 0;
}

static int set_up(void **state)
{
    static struct track track;

    *state = &track;
    return 0;
}

static void note(struct track *track, uint64_t given, int64_t offset)
{
    assert_int_equal(track_note(track, given, offset), 0);
}

static void a_partition_without_lines_is_needed_from_where_it_was_read_to(void **state)
{
    assert_int_equal(track_needed(*state, UINT64_MAX, 5), 5);
    assert_int_equal(track_needed(*state, 100, 5), 5);
}

static void a_line_is_needed_from_the_last_note_before_it(void **state)
{
    note(*state, 0, 10);
    note(*state, 100, 20);
    note(*state, 200, 30);
    assert_int_equal(track_needed(*state, 1, 40), 10);
    assert_int_equal(track_needed(*state, 100, 40), 10);
    assert_int_equal(track_needed(*state, 101, 40), 20);
    assert_int_equal(track_needed(*state, 250, 40), 30);
    assert_int_equal(track_needed(*state, UINT64_MAX, 40), 40);
    note(*state, 300, 40);
    assert_int_equal(track_needed(*state, 301, 50), 40);
}

static void another_partitions_line_holds_no_more_than_what_came_with_it(void **state)
{
    note(*state, 100, 20);
    assert_int_equal(track_needed(*state, 50, 40), 20);
}

static void where_no_line_was_given_the_later_note_counts(void **state)
{
    note(*state, 100, 20);
    note(*state, 100, 30);
    assert_int_equal(track_needed(*state, 101, 40), 30);
}

static void many_notes_become_coarse_and_stay_right(void **state)
{
    enum { NOTES = 100000, BETWEEN = 64 };

    for (int64_t i = 0; i < NOTES; i++)
        note(*state, (uint64_t)(10 * i), i);
    assert_true(((struct track *)*state)->size <= 4096);
    for (int64_t i = 0; i < NOTES; i += 7) {
        int64_t offset = track_needed(*state, (uint64_t)(10 * i) + 1, NOTES);
        assert_in_range(offset, i > BETWEEN ? i - BETWEEN : 0, i);
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(a_partition_without_lines_is_needed_from_where_it_was_read_to),
        TEST(a_line_is_needed_from_the_last_note_before_it),
        TEST(another_partitions_line_holds_no_more_than_what_came_with_it),
        TEST(where_no_line_was_given_the_later_note_counts),
        TEST(many_notes_become_coarse_and_stay_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
