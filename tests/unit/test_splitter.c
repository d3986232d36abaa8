/* SPDX-License-Identifier: Apache-2.0 */
/* The splitter of a job's output: whatever the pieces, each line is whole or counted as lost. */
#include "cli/splitter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LIMIT = 16, OUT_BYTES = 4096 };

/* What came out: lines behind "|", the parts of one joined by "+". */
struct out {
    char text[OUT_BYTES];
    unsigned lines;
};

static void take(struct out *out, const struct splitter_part *part)
{
    size_t used = strlen(out->text);

    if (part->is_first)
        out->text[used++] = '|';
    else
        out->text[used++] = '+';
    assert_true(used + part->bytes < OUT_BYTES);
    if (part->bytes > 0)
        memcpy(out->text + used, part->text, part->bytes);
    out->text[used + part->bytes] = '\0';
    out->lines += part->is_last;
}

static void feed(struct splitter *splitter, const char *text, size_t bytes, struct out *out)
{
    /* A copy on the heap, so that a sanitizer sees who reads behind it. */
    char *copy = malloc(bytes + 1);
    struct splitter_part part;

    assert_non_null(copy);
    memcpy(copy, text, bytes);
    splitter_feed(splitter, copy, bytes);
    while (splitter_next(splitter, &part))
        take(out, &part);
    free(copy);
}

static void end(struct splitter *splitter, struct out *out)
{
    struct splitter_part part;

    if (splitter_end(splitter, &part))
        take(out, &part);
}

/* The text in pieces of `piece` bytes. */
static void check(const char *text, size_t piece, const char *expected)
{
    struct splitter splitter;
    struct out out = {.text = ""};

    splitter_init(&splitter, LIMIT);
    for (size_t at = 0, all = strlen(text); at < all; at += piece)
        feed(&splitter, text + at, all - at < piece ? all - at : piece, &out);
    end(&splitter, &out);
    assert_string_equal(out.text, expected);
    assert_int_equal(splitter.lost_lines, 0);
    splitter_done(&splitter);
}

static void lines_are_the_same_in_pieces_of_any_size(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", ""},
        {"\n", "|"},
        {"a", "|a"},
        {"a\n", "|a"},
        {"a\n\nb\n", "|a||b"},
        {"a\r\nb", "|a\r|b"},
        {"sixteen bytes it\nnext\n", "|sixteen bytes it|next"},
        {"seventeen bytes i\nnext\n", "|seventeen bytes +i|next"},
        {"0123456789abcdef0123456789abcdef\n", "|0123456789abcdef+0123456789abcdef"},
        {"0123456789abcdef0123456789abcdef0", "|0123456789abcdef+0123456789abcdef+0"},
        /* Of two bytes each: the limit is no place to cut one. */
        {"a\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\n",
         "|a\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4+\u00e4"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t piece = 1; piece < 40; piece++)
            check(cases[i].text, piece, cases[i].expected);
}

static void bytes_that_are_no_text_are_cut_at_the_limit(void **state)
{
    const char bytes[] = "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80";

    (void)state;
    assert_int_equal(splitter_cut(bytes, sizeof(bytes) - 1, 16), 16);
    assert_int_equal(splitter_cut(bytes, 10, 16), 10);
}

/* Text is left out between any two bytes: whole lines and lost ones are all there were. */
static void each_line_is_whole_or_lost_whatever_is_missing(void **state)
{
    const char text[] = "one\ntwo, which is longer than the limit\n\nthree\nfour without end";
    const size_t all = sizeof(text) - 1;

    (void)state;
    for (size_t from = 0; from <= all; from++) {
        for (size_t to = from + 1; to <= all; to++) {
            struct splitter splitter;
            struct out out = {.text = ""};
            uint64_t missing = 0;

            for (size_t i = from; i < to; i++)
                missing += text[i] == '\n';
            splitter_init(&splitter, LIMIT);
            feed(&splitter, text, from, &out);
            splitter_gap(&splitter, missing, text[to - 1] != '\n');
            feed(&splitter, text + to, all - to, &out);
            end(&splitter, &out);
            /* Five lines; the last has no newline. */
            assert_int_equal(out.lines + splitter.lost_lines, 5);
            splitter_done(&splitter);
        }
    }
}

static void a_line_whose_part_went_nowhere_is_lost_and_the_next_is_not(void **state)
{
    struct splitter splitter;
    struct splitter_part part;

    (void)state;
    splitter_init(&splitter, LIMIT);
    splitter_feed(&splitter, "a line that has several parts\nnext\n", 35);
    assert_true(splitter_next(&splitter, &part));
    assert_false(part.is_last);
    splitter_lose(&splitter);
    assert_true(splitter_next(&splitter, &part));
    assert_true(part.is_first && part.is_last);
    assert_memory_equal(part.text, "next", part.bytes);
    assert_int_equal(splitter.lost_lines, 1);
    splitter_done(&splitter);
}

static void the_limit_may_be_lowered_in_the_middle_of_a_line(void **state)
{
    struct splitter splitter;
    struct out out = {.text = ""};

    (void)state;
    splitter_init(&splitter, LIMIT);
    feed(&splitter, "0123456789", 10, &out);
    splitter.part_bytes = 4;
    feed(&splitter, "abcdef\n", 7, &out);
    assert_string_equal(out.text, "|0123+4567+89ab+cdef");
    assert_int_equal(out.lines, 1);
    splitter_done(&splitter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_the_same_in_pieces_of_any_size),
        cmocka_unit_test(bytes_that_are_no_text_are_cut_at_the_limit),
        cmocka_unit_test(each_line_is_whole_or_lost_whatever_is_missing),
        cmocka_unit_test(a_line_whose_part_went_nowhere_is_lost_and_the_next_is_not),
        cmocka_unit_test(the_limit_may_be_lowered_in_the_middle_of_a_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
