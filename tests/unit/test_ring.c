/* SPDX-License-Identifier: Apache-2.0 */
/* The last lines of many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/ring.h"

static void add_numbers(struct ring *ring, int from, int to)
{
    char text[16];

    for (int i = from; i < to; i++) {
        ring_add(ring, "line ", 5, true);
        ring_add(ring, text, (size_t)snprintf(text, sizeof(text), "%d", i), false);
    }
}

/* The ring has the lines from..to, and no more. */
static void check_numbers(const struct ring *ring, int from, int to)
{
    char wanted[32];
    const char *text;
    size_t bytes, count = 0;

    for (; ring_get(ring, count, &text, &bytes); count++) {
        snprintf(wanted, sizeof(wanted), "line %d", from + (int)count);
        assert_int_equal(bytes, strlen(wanted));
        assert_memory_equal(text, wanted, bytes);
    }
    assert_int_equal(count, to - from);
}

static void as_many_as_were_asked_for_are_kept(void **state)
{
    const int sizes[] = {0, 1, 2, 63, 64, 65, 100, 128, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct ring ring;
        assert_int_equal(ring_init(&ring, (size_t)sizes[i]), 0);
        for (int count = 0; count < 300; count++) {
            check_numbers(&ring, count > sizes[i] ? count - sizes[i] : 0, count);
            add_numbers(&ring, count, count + 1);
        }
        ring_clear(&ring);
        check_numbers(&ring, 0, 0);
        add_numbers(&ring, 0, 3);
        check_numbers(&ring, sizes[i] < 3 ? 3 - sizes[i] : 0, 3);
        ring_done(&ring);
    }
}

static void a_line_without_an_end_is_not_one_yet(void **state)
{
    struct ring ring;
    const char *text;
    size_t bytes;

    (void)state;
    assert_int_equal(ring_init(&ring, 5), 0);
    ring_add(&ring, "half", 4, true);
    assert_false(ring_get(&ring, 0, &text, &bytes));
    ring_add(&ring, "", 0, false);
    ring_add(&ring, "", 0, false);
    assert_true(ring_get(&ring, 1, &text, &bytes));
    assert_int_equal(bytes, 0);
    ring_add(&ring, "half", 4, true);
    ring_done(&ring);
}

static void long_lines_are_fewer_but_the_last_is_kept(void **state)
{
    const size_t bytes = RING_BYTES_MAX / 4;
    char *text = malloc(2 * RING_BYTES_MAX);
    const char *found;
    struct ring ring;
    size_t found_bytes;

    (void)state;
    memset(text, 'x', 2 * RING_BYTES_MAX);
    assert_int_equal(ring_init(&ring, 100), 0);
    for (int i = 0; i < 10; i++)
        ring_add(&ring, text, bytes, false);
    assert_int_equal(ring.count, 4);
    ring_add(&ring, text, 2 * RING_BYTES_MAX, false);
    assert_int_equal(ring.count, 1);
    assert_true(ring_get(&ring, 0, &found, &found_bytes));
    assert_int_equal(found_bytes, 2 * RING_BYTES_MAX);
    ring_done(&ring);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_were_asked_for_are_kept),
        cmocka_unit_test(a_line_without_an_end_is_not_one_yet),
        cmocka_unit_test(long_lines_are_fewer_but_the_last_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
