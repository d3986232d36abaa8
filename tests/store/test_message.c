/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of the stores: foreign text made one printable line, and lists of names that help with a
 * typo. It needs no database.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/message.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void foreign_text_becomes_one_clean_line(void **state)
{
    static const struct {
        const char *text, *line;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"  two\r\n\tlines \n", "two lines"},
        {"\x1b[31mred\x07", "[31mred"},
        {"C1 \xc2\x9b control", "C1 control"},
        {"Größe 😀", "Größe 😀"},
        {"bad \xff\xc3 bytes", "bad ?? bytes"},
        {"overlong \xc0\xaf", "overlong ??"},
        {"surrogate \xed\xa0\x80", "surrogate ???"},
        {"beyond \xf4\x90\x80\x80", "beyond ????"},
        {"cut \xe2\x82", "cut ??"},
        {"line\xe2\x80\xa8separator", "line separator"},
        {"\xe2\x80\xae"
         "turned\xe2\x81\xa9",
         "turned"},
        {"123456789012345678901234567890", "1234567890123456789..."},
        {"1234567890123456789012", "1234567890123456789012"},
        {"123456789012345678😀😀", "123456789012345678..."},
        {"12345678901234567890  xyz", "1234567890123456789..."},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char line[23];

        message_line(line, sizeof line, cases[i].text);
        if (strcmp(line, cases[i].line) != 0)
            fail_msg("\"%s\" became \"%s\", not \"%s\"", cases[i].text, line, cases[i].line);
    }
}

static void the_nearest_name_stands_first(void **state)
{
    static const char *const names[] = {"id",     "task_id", "table_comment_log",
                                        "status", "host",    "kind",
                                        "lines",  "bytes",   "text",
                                        "a",      "b",       "c",
                                        "d",      "e"};
    char list[300];

    (void)state;
    message_names(list, sizeof list, "table_coment_log", names, COUNT(names));
    assert_string_equal(list, "\"table_comment_log\", \"id\", \"task_id\", \"status\", \"host\", "
                              "\"kind\", \"lines\", \"bytes\", \"text\", \"a\", \"b\", \"c\" "
                              "and 2 more");
    message_names(list, sizeof list, "STATUS", names, 4);
    assert_string_equal(list, "\"status\", \"id\", \"task_id\", \"table_comment_log\"");
    message_names(list, sizeof list, "x", names, 0);
    assert_string_equal(list, "nothing");
    /* Never beyond its end. */
    message_names(list, 12, "id", names, COUNT(names));
    assert_string_equal(list, "\"id\", \"task");
}

static void only_a_likely_name_is_meant(void **state)
{
    static const char *const names[] = {"host", "password", "dbname"};

    (void)state;
    assert_string_equal(message_meant("hots", names, 3), "host");
    assert_string_equal(message_meant("Pasword", names, 3), "password");
    assert_null(message_meant("s3cret", names, 3));
    assert_null(message_meant("", names, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_text_becomes_one_clean_line),
        cmocka_unit_test(the_nearest_name_stands_first),
        cmocka_unit_test(only_a_likely_name_is_meant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
