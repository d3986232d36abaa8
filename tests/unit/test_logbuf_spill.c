/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log whose text is moved out of memory, against one that is left alone: whatever is appended, spilled,
 * moved or taken up from its places again, both must read the same.
 *
 * Linked with the functions of support/short_memory.h wrapped.
 */
#include "task/logbuf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/short_memory.h"

/* ---- where text goes: a position is an offset in here, and one ---- */

static struct {
    char data[1 << 24];
    size_t used;
    bool refuses;
} outside;

static int write_outside(void *context, const char *data, size_t bytes, uint64_t *ret_position)
{
    (void)context;
    if (outside.refuses)
        return -ENOSPC;
    assert_true(outside.used + bytes <= sizeof(outside.data));
    memcpy(outside.data + outside.used, data, bytes);
    *ret_position = outside.used + 1;
    outside.used += bytes;
    return 0;
}

static int read_outside(void *context, uint64_t position, size_t offset, char *buffer, size_t bytes)
{
    (void)context;
    assert_true(position > 0 && position - 1 + offset + bytes <= outside.used);
    memcpy(buffer, outside.data + position - 1 + offset, bytes);
    return 0;
}

static const struct tasklog_spill spill = {write_outside, read_outside, NULL};

static int set_up(void **state)
{
    (void)state;
    outside.used = 0;
    outside.refuses = false;
    return 0;
}

/* ---- logs ---- */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static void append(struct logbuf *log, size_t cap_bytes, const char *data, size_t bytes)
{
    const struct logbuf_piece piece = {data, bytes};
    const struct logbuf_limits limits = {.cap_bytes = cap_bytes};

    assert_int_equal(logbuf_append(log, limits, &piece, 1), 0);
}

static void expect_same(const struct logbuf *spilled, const struct logbuf *whole)
{
    size_t bytes = logbuf_bytes(whole);
    char *expected = malloc(bytes + 1), *got = malloc(bytes + 1);

    assert_non_null(expected);
    assert_non_null(got);
    assert_int_equal(logbuf_bytes(spilled), bytes);
    assert_int_equal(logbuf_char_count(spilled), logbuf_char_count(whole));
    assert_int_equal(logbuf_copy(whole, NULL, expected), 0);
    assert_int_equal(logbuf_copy(spilled, &spill, got), 0);
    assert_memory_equal(got, expected, bytes);
    for (size_t room = 0; room < bytes; room += bytes / 7 + 1) {
        size_t end = logbuf_copy_end(whole, NULL, room, expected);
        assert_int_equal(logbuf_copy_end(spilled, &spill, room, got), end);
        assert_memory_equal(got, expected, end);
    }
    free(expected);
    free(got);
}

/* As a snapshot does it: the log again, of its places and sums. */
static void take_up(struct logbuf *log)
{
    const struct logbuf_sums sums = logbuf_sums(log);
    const struct logbuf_chunk *chunk = NULL;
    struct logbuf again = {0};
    struct logbuf_place place;
    size_t head, tail, count = 0;

    logbuf_count_chunks(log, &head, &tail);
    while ((chunk = logbuf_next_place(log, chunk, &place)) != NULL) {
        assert_true(logbuf_place_is_valid(&place));
        assert_int_equal(logbuf_add_place(&again, &place, count++ >= head), 0);
    }
    assert_int_equal(count, head + tail);
    assert_int_equal(logbuf_restore(&again, &sums), 0);
    const struct logbuf_sums got = logbuf_sums(&again);
    assert_int_equal(got.head_bytes, sums.head_bytes);
    assert_int_equal(got.tail_bytes, sums.tail_bytes);
    assert_int_equal(got.spilled_bytes, sums.spilled_bytes);
    assert_int_equal(got.started, sums.started);
    assert_int_equal(got.has_tail, sums.has_tail);
    assert_true(logbuf_is_spilled(&again));
    logbuf_done(log);
    *log = again;
}

static void a_log_reads_the_same_wherever_its_text_is(void **state)
{
    static const size_t sizes[] = {1, 10, 200, 3000};
    static char message[4096];
    uint64_t random = 1;

    memset(message, 'x', sizeof(message));
    /* Without a cap: what is dropped beyond one depends on the chunks, which may differ. */
    for (int round = 0; round < 16; round++) {
        struct logbuf spilled = {0}, whole = {0};
        set_up(state);
        for (int step = 0; step < 400; step++) {
            size_t bytes = next_random(&random) % (sizes[round % 4] + 1);
            uint32_t choice = next_random(&random) % 32;
            message[bytes / 2] = (char)('a' + step % 26);
            append(&spilled, SIZE_MAX, message, bytes);
            append(&whole, SIZE_MAX, message, bytes);
            if (choice < 6) {
                size_t before = logbuf_sums(&spilled).memory_bytes;
                size_t freed = logbuf_spill(&spilled, &spill, next_random(&random) % 3000 + 1);
                assert_int_equal(before - freed, logbuf_sums(&spilled).memory_bytes);
            } else if (choice == 6) {
                uint64_t position;
                assert_int_equal(logbuf_move(&spilled, &spill, &position), 0);
                take_up(&spilled);
            }
        }
        expect_same(&spilled, &whole);
        logbuf_done(&spilled);
        logbuf_done(&whole);
    }
}

static void a_log_with_head_and_tail_can_be_taken_up_again(void **state)
{
    struct logbuf spilled = {0}, whole = {0};
    uint64_t position;
    char message[64];

    (void)state;
    for (int i = 0; i < 500; i++) {
        int bytes = snprintf(message, sizeof(message), "line %d of gr\xC3\xBC\xC3\x9F", i);
        append(&spilled, 4000, message, (size_t)bytes);
        append(&whole, 4000, message, (size_t)bytes);
    }
    assert_true(logbuf_sums(&whole).missing_messages > 100);
    assert_int_equal(logbuf_move(&spilled, &spill, &position), 0);
    assert_true(position > 1); /* it is spilled first, then moved */
    assert_int_equal(position, outside.used / 2 + 1);
    take_up(&spilled);
    expect_same(&spilled, &whole);
    logbuf_done(&spilled);
    logbuf_done(&whole);
}

static void a_log_of_an_empty_line_is_taken_up_as_one_that_has_begun(void **state)
{
    struct logbuf log = {0};
    char text[8];
    uint64_t position = 7;

    (void)state;
    append(&log, 1000, "", 0);
    assert_int_equal(logbuf_move(&log, &spill, &position), 0);
    assert_int_equal(position, 0);
    take_up(&log);
    append(&log, 1000, "x", 1);
    assert_int_equal(logbuf_bytes(&log), 2);
    assert_int_equal(logbuf_copy(&log, NULL, text), 0);
    assert_memory_equal(text, "\nx", 2);
    logbuf_done(&log);
}

static void a_spilled_log_of_one_chunk_holds_no_memory_of_its_own(void **state)
{
    static const char *const texts[] = {"", "1", "1234567", "12345678", "a line of usual length"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct logbuf log = {0}, whole = {0};
        append(&log, 1000, texts[i], strlen(texts[i]));
        append(&whole, 1000, texts[i], strlen(texts[i]));
        size_t memory = logbuf_sums(&log).memory_bytes, freed = logbuf_spill(&log, &spill, 1);
        assert_true(logbuf_is_spilled(&log));
        assert_int_equal(freed, *texts[i] ? memory : 0);
        assert_int_equal(logbuf_sums(&log).memory_bytes, memory - freed);
        assert_int_equal(logbuf_spill(&log, &spill, 1), 0);
        expect_same(&log, &whole);
        logbuf_done(&log);
        logbuf_done(&whole);
    }
}

static void what_cannot_be_written_or_has_no_memory_stays_as_it_is(void **state)
{
    struct logbuf spilled = {0}, whole = {0};
    uint64_t position;

    (void)state;
    for (int i = 0; i < 100; i++) {
        append(&spilled, 1 << 20, "the same line again and again, a hundred times, so it is long",
               61);
        append(&whole, 1 << 20, "the same line again and again, a hundred times, so it is long",
               61);
    }
    outside.refuses = true;
    assert_int_equal(logbuf_spill(&spilled, &spill, SIZE_MAX), 0);
    assert_int_equal(logbuf_move(&spilled, &spill, &position), -EAGAIN);
    expect_same(&spilled, &whole);
    outside.refuses = false;
    bool failed = true;
    for (long granted = 0; failed; granted++) {
        short_memory_fail_after(granted);
        (void)logbuf_spill(&spilled, &spill, SIZE_MAX);
        failed = short_memory_end();
        expect_same(&spilled, &whole);
    }
    assert_true(logbuf_is_spilled(&spilled));
    logbuf_done(&spilled);
    logbuf_done(&whole);
}

static void places_that_no_log_can_have_are_not_valid(void **state)
{
    static const struct {
        struct logbuf_place place;
        bool valid;
    } cases[] = {
        {{.position = 1, .bytes = 10, .message_count = 2, .char_count = 10}, true},
        {{.position = 1, .bytes = 10, .message_count = 11, .char_count = 0}, true},
        {{.position = 0, .bytes = 10, .message_count = 2, .char_count = 10}, false},
        {{.position = 1, .bytes = 0, .message_count = 0, .char_count = 0}, false},
        {{.position = 1, .bytes = 10, .message_count = 12, .char_count = 10}, false},
        {{.position = 1, .bytes = 10, .message_count = 2, .char_count = 11}, false},
        {{.position = 1, .bytes = UINT64_C(1) << 31, .message_count = 2, .char_count = 2}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(logbuf_place_is_valid(&cases[i].place), cases[i].valid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_log_reads_the_same_wherever_its_text_is, set_up),
        cmocka_unit_test_setup(a_log_with_head_and_tail_can_be_taken_up_again, set_up),
        cmocka_unit_test_setup(a_log_of_an_empty_line_is_taken_up_as_one_that_has_begun, set_up),
        cmocka_unit_test_setup(a_spilled_log_of_one_chunk_holds_no_memory_of_its_own, set_up),
        cmocka_unit_test_setup(what_cannot_be_written_or_has_no_memory_stays_as_it_is, set_up),
        cmocka_unit_test_setup(places_that_no_log_can_have_are_not_valid, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
