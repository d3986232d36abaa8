/* SPDX-License-Identifier: Apache-2.0 */
/* Foreign text in messages: what stays and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/shown.h"

static void text_stays_and_codes_become_question_marks(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", ""},
        {"job[1]:", "job[1]:"},
        {"größe – 表 🙂", "größe – 表 🙂"},
        {"a\nb\tc\r", "a?b?c?"},
        {"\x1b[31mred\x7f", "?[31mred?"},
        {"\xc2\x9b"
         "31m",
         "??31m"},                          /* the same as ESC [, in one character */
        {"\xc2\xa0\xc2\x85", "\xc2\xa0??"}, /* a blank that is none of them; next line */
        {"\x9b\xff\xfe", "???"},
        {"\xc0\xaf\xe0\x80\xaf", "?????"},                /* longer than need be */
        {"\xed\xa0\x80", "???"},                          /* half a pair */
        {"\xf4\x90\x80\x80\xf5\x80\x80\x80", "????????"}, /* beyond the last */
        {"a\xe2\x80\xae"
         "b\xe2\x81\xa6"
         "c\xd8\x9c",
         "a???b???c??"}, /* turn what follows */
        {"\xe2\x80\xa8\xe2\x80\xa7\xe2\x80\xaf",
         "???\xe2\x80\xa7\xe2\x80\xaf"}, /* a line; a dot, a blank */
        {"\xe2\x82", "??"},              /* cut */
        {"\xe2\x82x", "??x"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(show_string(cases[i].text).text, cases[i].expected);
}

static void nothing_behind_the_end_is_read(void **state)
{
    const char text[] = {'a', 'b', (char)0xe2, (char)0x82};
    char *exact = malloc(sizeof(text));

    (void)state;
    memcpy(exact, text, sizeof(text));
    assert_string_equal(show_text(exact, sizeof(text)).text, "ab??");
    free(exact);
    assert_string_equal(show_text("a\0b", 3).text, "a?b");
}

static void long_text_is_cut_between_characters(void **state)
{
    char text[300], expected[300];

    (void)state;
    for (size_t lead = 0; lead < 4; lead++) {
        memset(text, 'x', sizeof(text));
        for (size_t i = lead; i + 3 < sizeof(text); i += 3)
            memcpy(text + i, "表", 3);
        size_t kept = SHOWN_BYTES_MAX - (SHOWN_BYTES_MAX - lead) % 3;
        memcpy(expected, text, kept);
        strcpy(expected + kept, "...");
        assert_string_equal(show_text(text, 250).text, expected);
    }
}

static void what_just_fits_is_not_cut(void **state)
{
    char text[SHOWN_BYTES_MAX + 2];

    (void)state;
    memset(text, 'x', sizeof(text));
    text[SHOWN_BYTES_MAX] = '\0';
    assert_string_equal(show_string(text).text, text);
    assert_int_equal(strlen(show_text(text, SHOWN_BYTES_MAX + 1).text), SHOWN_BYTES_MAX + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_stays_and_codes_become_question_marks),
        cmocka_unit_test(nothing_behind_the_end_is_read),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(what_just_fits_is_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
