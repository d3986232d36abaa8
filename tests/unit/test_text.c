/* SPDX-License-Identifier: Apache-2.0 */
/* Text repair. The oracle for broken UTF-8 is Python; see text_repair.py. */
#include "task/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/paths.h"
#include "support/tasks.h"

#define BAD "\xEF\xBF\xBD"

/* Repairs a copy that has no byte behind it; returns the text as a string, to be freed. */
static char *repaired(const char *data, size_t bytes, int escape_prefix, bool *ret_altered)
{
    struct text_buffer buffer = {0};
    struct text text;
    char *copy = malloc(bytes > 0 ? bytes : 1);

    assert_non_null(copy);
    memcpy(copy, data, bytes);
    assert_int_equal(text_repair(copy, bytes, escape_prefix, &buffer, &text), 0);
    assert_true(text_is_valid(text.data, text.bytes));
    char *string = malloc(text.bytes + 1);
    assert_non_null(string);
    memcpy(string, text.data, text.bytes);
    string[text.bytes] = '\0';
    assert_int_equal(strlen(string), text.bytes);
    *ret_altered = text.altered;
    text_buffer_done(&buffer);
    free(copy);
    return string;
}

static size_t read_hex(const char *hex, char *ret_bytes)
{
    size_t count = strlen(hex) / 2;
    unsigned value;

    for (size_t i = 0; i < count; i++) {
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
        ret_bytes[i] = (char)value;
    }
    ret_bytes[count] = '\0';
    return count;
}

static void broken_utf8_becomes_what_python_makes_of_it(void **state)
{
    char path[256], line[512], in_hex[256], out_hex[256], in[128], out[128];
    size_t count = 0;
    FILE *file = fopen(beside(path, __FILE__, "text_repair.txt"), "r");

    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%255s %255s", in_hex, out_hex), 2);
        size_t in_bytes = read_hex(in_hex, in), out_bytes = read_hex(out_hex, out);
        bool altered, same = in_bytes == out_bytes && memcmp(in, out, in_bytes) == 0;
        char *got = repaired(in, in_bytes, -1, &altered);
        expect_text(line, got, out);
        assert_int_equal(altered, !same);
        assert_int_equal(text_is_valid(in, in_bytes), same);
        free(got);
        count++;
    }
    fclose(file);
    assert_true(count > 1000);
}

static void what_is_broken_is_found_at_any_place(void **state)
{
    static const char *const broken[] = {"\xFF", "\x80", "\xC3", "\xE2\x82", "\xF0\x9F\x98"};

    (void)state;
    /* Around the words of eight bytes in which ASCII is skipped. */
    for (size_t before = 0; before < 20; before++) {
        for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
            char in[64], expected[64];
            bool altered;
            snprintf(in, sizeof(in), "%.*s%s%s", (int)before, "abcdefghijklmnopqrstuvwxyz",
                     broken[i], "tail");
            snprintf(expected, sizeof(expected), "%.*s%s%s", (int)before,
                     "abcdefghijklmnopqrstuvwxyz", BAD, "tail");
            char *got = repaired(in, strlen(in), -1, &altered);
            expect_text("in the middle", got, expected);
            assert_true(altered);
            free(got);
            got = repaired(in, strlen(in) - 4, -1, &altered);
            expected[strlen(expected) - 4] = '\0';
            expect_text("at the end", got, expected);
            free(got);
        }
    }
}

static void escapes_of_control_characters_are_turned_back(void **state)
{
    static const struct {
        const char *in;
        int prefix;
        const char *expected;
        bool altered;
    } cases[] = {
        {"Traceback:#012  File \"x\"#012#011line 1", '#', "Traceback:\n  File \"x\"\n\tline 1",
         false},
        {"#012", '#', "\n", false},
        {"##012", '#', "#\n", false},
        {"#01#012", '#', "#01\n", false},
        {"#001#037", '#', "\x01\x1F", false},
        {"#033[31mred", '#', "\x1B[31mred", false},
        {"a#000b", '#', "a" BAD "b", true},
        {"#000#000", '#', BAD BAD, true},
        /* What rsyslog never makes stays as it is. */
        {"#040 #101 #177 #200 #377", '#', "#040 #101 #177 #200 #377", false},
        {"#008 #018 #0 #01 # #", '#', "#008 #018 #0 #01 # #", false},
        {"#12", '#', "#12", false},
        {"issue #0123", '#', "issue \n3", false},
        {"#", '#', "#", false},
        {"#0", '#', "#0", false},
        {"#01", '#', "#01", false},
        {"", '#', "", false},
        /* Another prefix, and none. */
        {"a\\012b#012", '\\', "a\nb#012", false},
        {"a%012b", '%', "a\nb", false},
        {"a#012b", -1, "a#012b", false},
        {"#000", -1, "#000", false},
        /* Broken UTF-8 beside them, and made by them. */
        {"\xFF#012\xFF", '#', BAD "\n" BAD, true},
        {"\xC3#012\xA9", '#', BAD "\n" BAD, true},
        {"\xC3\xA9#012\xC3\xA9", '#', "\xC3\xA9\n\xC3\xA9", false},
        {"\xE2\x82#000", '#', BAD BAD, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool altered;
        char *got = repaired(cases[i].in, strlen(cases[i].in), cases[i].prefix, &altered);
        expect_text(cases[i].in, got, cases[i].expected);
        assert_int_equal(altered, cases[i].altered);
        free(got);
    }
}

static void every_escape_is_its_character(void **state)
{
    (void)state;
    for (int c = 1; c < 0x20; c++) {
        char in[16], expected[4] = {'<', (char)c, '>', '\0'};
        bool altered;
        snprintf(in, sizeof(in), "<#%03o>", (unsigned)c);
        char *got = repaired(in, strlen(in), '#', &altered);
        expect_text(in, got, expected);
        assert_false(altered);
        free(got);
    }
}

static void a_raw_nul_is_replaced(void **state)
{
    bool altered;

    (void)state;
    for (size_t at = 0; at < 20; at++) {
        char in[20], expected[64];
        memset(in, 'x', sizeof(in));
        in[at] = '\0';
        snprintf(expected, sizeof(expected), "%.*s" BAD "%.*s", (int)at, "xxxxxxxxxxxxxxxxxxxx",
                 (int)(19 - at), "xxxxxxxxxxxxxxxxxxxx");
        char *got = repaired(in, sizeof(in), '#', &altered);
        expect_text("NUL", got, expected);
        assert_true(altered);
        free(got);
    }
}

static void good_text_is_not_copied(void **state)
{
    static const char good[] = "Zeile 1: gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x90\x98 "
                               "\x1B[31m \xE2\x80\xAE #12";
    struct text_buffer buffer = {0};
    struct text text;

    (void)state;
    assert_int_equal(text_repair(good, strlen(good), '#', &buffer, &text), 0);
    assert_true(text.data == good);
    assert_int_equal(text.bytes, strlen(good));
    assert_false(text.altered);
    assert_null(buffer.data);
}

static void a_buffer_serves_one_text_after_the_other(void **state)
{
    struct text_buffer buffer = {0};
    struct text text;

    (void)state;
    for (size_t bytes = 1; bytes < 5000; bytes += 37) {
        char *in = malloc(bytes);
        assert_non_null(in);
        memset(in, 0xFF, bytes);
        assert_int_equal(text_repair(in, bytes, '#', &buffer, &text), 0);
        assert_int_equal(text.bytes, 3 * bytes);
        for (size_t i = 0; i < bytes; i++)
            assert_memory_equal(text.data + 3 * i, BAD, 3);
        free(in);
    }
    text_buffer_done(&buffer);
    assert_null(buffer.data);
    text_buffer_done(&buffer);
}

static void characters_are_counted_not_bytes(void **state)
{
    static const struct {
        const char *text;
        size_t count;
    } cases[] = {
        {"", 0},
        {"abc", 3},
        {"gr\xC3\xBC\xC3\x9F", 4},
        {"\xE2\x82\xAC", 1},
        {"\xF0\x9F\x90\x98\xF0\x9F\x90\x98", 2},
        {"a\n" BAD, 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(text_char_count(cases[i].text, strlen(cases[i].text)), cases[i].count);
}

static void a_cut_never_splits_a_character(void **state)
{
    static const struct {
        const char *text;
        size_t max_bytes, expected;
    } cases[] = {
        {"", 0, 0},
        {"abc", 0, 0},
        {"abc", 2, 2},
        {"abc", 3, 3},
        {"abc", 4, 3},
        {"\xC3\xBC", 0, 0},
        {"\xC3\xBC", 1, 0},
        {"\xC3\xBC", 2, 2},
        {"a\xE2\x82\xAC", 2, 1},
        {"a\xE2\x82\xAC", 3, 1},
        {"a\xE2\x82\xAC", 4, 4},
        {"\xF0\x9F\x90\x98x", 1, 0},
        {"\xF0\x9F\x90\x98x", 3, 0},
        {"\xF0\x9F\x90\x98x", 4, 4},
        {"\xF0\x9F\x90\x98x", 5, 5},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(text_cut(cases[i].text, strlen(cases[i].text), cases[i].max_bytes),
                         cases[i].expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_utf8_becomes_what_python_makes_of_it),
        cmocka_unit_test(what_is_broken_is_found_at_any_place),
        cmocka_unit_test(escapes_of_control_characters_are_turned_back),
        cmocka_unit_test(every_escape_is_its_character),
        cmocka_unit_test(a_raw_nul_is_replaced),
        cmocka_unit_test(good_text_is_not_copied),
        cmocka_unit_test(a_buffer_serves_one_text_after_the_other),
        cmocka_unit_test(characters_are_counted_not_bytes),
        cmocka_unit_test(a_cut_never_splits_a_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
