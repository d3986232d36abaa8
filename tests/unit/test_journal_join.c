/* SPDX-License-Identifier: Apache-2.0 */
/* Positions in a journal, frames, and lines that came in pieces. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/journald/frame.h"
#include "../../src/journald/join.h"
#include "../../src/journald/position.h"

#define ID "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"

static void a_position_is_read_as_it_was_printed(void **state)
{
    static const struct position positions[] = {{"s=1;i=2", "s=1;i=2"},
                                                {"s=1;i=9", "s=1;i=5"},
                                                {"head", "head"},
                                                {"s=1;i=2", "head"}};
    static const char *const wrong[] = {"", "\n", "a\n", "\nb", "a\nb\nc"};
    char text[2 * CURSOR_BYTES];
    struct position read;

    (void)state;
    for (size_t i = 0; i < sizeof(positions) / sizeof(positions[0]); i++) {
        size_t bytes = position_print(&positions[i], text);
        assert_true(position_parse(text, bytes, &read));
        assert_string_equal(read.settled, positions[i].settled);
        assert_string_equal(read.from, positions[i].from);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(position_parse(wrong[i], strlen(wrong[i]), &read));
}

static void cursors_are_compared_by_number_or_by_time(void **state)
{
    struct cursor a, b;

    (void)state;
    assert_true(cursor_parse("s=" ID ";i=1f;b=" OTHER ";m=1;t=10;x=3", &a));
    assert_string_equal(a.sequence, ID);
    assert_int_equal(a.number, 0x1f);
    assert_string_equal(a.boot, OTHER);
    assert_int_equal(a.realtime_us, 0x10);
    assert_true(cursor_parse("s=" ID ";i=20;b=" OTHER ";m=1;t=5;x=3", &b));
    assert_true(cursor_is_after(&b, &a));
    assert_false(cursor_is_after(&a, &b));
    assert_false(cursor_is_after(&a, &a));
    assert_true(cursor_parse("s=" OTHER ";i=1;b=" OTHER ";m=1;t=5;x=3", &b));
    assert_true(cursor_is_after(&a, &b));
    assert_false(cursor_parse("", &b));
    assert_false(cursor_parse("s=" ID ";i=1;m=1;t=5", &b));
    assert_false(cursor_parse("s=short;i=1;b=" ID ";t=5", &b));
    assert_false(cursor_parse("s=" ID ";i=;b=" ID ";t=5", &b));
}

static struct frame frame_of(const char *text)
{
    struct frame frame = {.type = FRAME_LINE, .severity = 6, .pid = 42, .time_us = 7};

    frame.texts[FRAME_KIND] = (struct frame_text){"kind", 4};
    frame.texts[FRAME_ID] = (struct frame_text){"id", 2};
    frame.texts[FRAME_TEXT] = (struct frame_text){text, strlen(text)};
    return frame;
}

static void frames_go_through_a_pipe(void **state)
{
    struct frame_writer writer;
    struct frame frame = frame_of("text"), read_back;
    char buffer[4096];
    size_t need = 0;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    writer = (struct frame_writer){.fd = ends[1]};
    for (int i = 0; i < 2; i++)
        assert_int_equal(frame_write(&writer, &frame), 0);
    assert_int_equal(frame_flush(&writer), 0);
    ssize_t bytes = read(ends[0], buffer, sizeof(buffer));
    assert_true(bytes > 0);
    int64_t first = frame_read(buffer, (size_t)bytes, &read_back, &need);
    assert_int_equal(first * 2, bytes);
    assert_int_equal(read_back.type, FRAME_LINE);
    assert_int_equal(read_back.pid, 42);
    assert_memory_equal(read_back.texts[FRAME_TEXT].data, "text", 4);
    assert_int_equal(read_back.texts[FRAME_HOST].bytes, 0);
    for (size_t part = 0; part < (size_t)first; part++) {
        assert_int_equal(frame_read(buffer, part, &read_back, &need), 0);
        assert_true(need > part && need <= (size_t)first);
    }
    buffer[0] ^= 1; /* its length */
    assert_int_equal(frame_read(buffer, (size_t)bytes, &read_back, &need), -EBADMSG);
    frame_writer_done(&writer);
    close(ends[0]);
    close(ends[1]);
}

static const struct frame_text STREAM = {"stream", 6}, ANOTHER = {"another", 7};

static void pieces_become_one_line(void **state)
{
    struct join *join;
    struct frame frame = frame_of("one "), other = frame_of("whole");

    (void)state;
    assert_int_equal(join_new(&join), 0);
    assert_null(join_from(join));
    assert_int_equal(join_add(join, STREAM, true, "i=4", 0, &frame), 0);
    assert_int_equal(join_add(join, ANOTHER, false, "i=5", 0, &other), 1);
    assert_memory_equal(other.texts[FRAME_TEXT].data, "whole", 5);
    assert_string_equal(join_from(join), "i=4");
    frame = frame_of("two ");
    assert_int_equal(join_add(join, STREAM, true, "i=6", 0, &frame), 0);
    frame = frame_of("three");
    assert_int_equal(join_add(join, STREAM, false, "i=7", 0, &frame), 1);
    assert_int_equal(frame.texts[FRAME_TEXT].bytes, 13);
    assert_memory_equal(frame.texts[FRAME_TEXT].data, "one two three", 13);
    assert_memory_equal(frame.texts[FRAME_KIND].data, "kind", 4);
    assert_null(join_from(join));
    join_free(join);
}

static void the_oldest_piece_tells_where_to_begin(void **state)
{
    struct join *join;
    struct frame frame = frame_of("a"), other = frame_of("b");

    (void)state;
    assert_int_equal(join_new(&join), 0);
    assert_int_equal(join_add(join, STREAM, true, "i=1", 0, &frame), 0);
    assert_int_equal(join_add(join, ANOTHER, true, "i=2", 0, &other), 0);
    assert_string_equal(join_from(join), "i=1");
    frame = frame_of("c");
    assert_int_equal(join_add(join, STREAM, false, "i=3", 0, &frame), 1);
    assert_string_equal(join_from(join), "i=2");
    join_free(join);
}

static void a_line_without_its_rest_is_given_after_a_while(void **state)
{
    struct join *join;
    struct frame frame = frame_of("begun");

    (void)state;
    assert_int_equal(join_new(&join), 0);
    assert_int_equal(join_add(join, STREAM, true, "i=1", 1000, &frame), 0);
    assert_int_equal(join_flush(join, 999, &frame), 0);
    assert_int_equal(join_flush(join, 1000, &frame), 1);
    assert_memory_equal(frame.texts[FRAME_TEXT].data, "begun", 5);
    assert_int_equal(join_flush(join, 1000, &frame), 0);
    join_free(join);
}

static void an_endless_line_is_given_in_pieces(void **state)
{
    struct join *join;
    size_t bytes = 1 << 20;
    char *text = malloc(bytes + 1);
    size_t given = 0;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', bytes);
    text[bytes] = '\0';
    assert_int_equal(join_new(&join), 0);
    for (int i = 0; i < 40; i++) {
        struct frame frame = frame_of(text);
        int r = join_add(join, STREAM, true, "i=1", 0, &frame);
        assert_true(r >= 0);
        if (r > 0)
            given += frame.texts[FRAME_TEXT].bytes;
    }
    assert_int_equal(given, 2 * JOIN_BYTES_MAX);
    join_free(join);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_position_is_read_as_it_was_printed),
        cmocka_unit_test(cursors_are_compared_by_number_or_by_time),
        cmocka_unit_test(frames_go_through_a_pipe),
        cmocka_unit_test(pieces_become_one_line),
        cmocka_unit_test(the_oldest_piece_tells_where_to_begin),
        cmocka_unit_test(a_line_without_its_rest_is_given_after_a_while),
        cmocka_unit_test(an_endless_line_is_given_in_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
