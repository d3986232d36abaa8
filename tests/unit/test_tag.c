/* SPDX-License-Identifier: Apache-2.0 */
/* The tag `kind[task-id]:`: what is one, and what is wrong with the others. */
#include "tasklog/tag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/tasks.h"

#define TEN "0123456789"
#define FORTY_EIGHT TEN TEN TEN TEN "01234567"
#define FIFTY TEN TEN TEN TEN TEN
#define TWO_HUNDRED_FIFTY_FIVE FIFTY FIFTY FIFTY FIFTY FIFTY "01234"

/* A copy without a byte behind it, so that whatever reads too far is caught. */
static char *exact_copy(const char *text, size_t bytes)
{
    char *copy = malloc(bytes > 0 ? bytes : 1);

    assert_non_null(copy);
    memcpy(copy, text, bytes);
    return copy;
}

static void a_good_tag_gives_kind_and_id(void **state)
{
    static const struct {
        const char *text, *kind, *id;
        size_t used_bytes;
    } cases[] = {
        {"db_elements[run-42]:", "db_elements", "run-42", 20},
        {"db_elements[run-42]", "db_elements", "run-42", 19},
        {"a[1]: text", "a", "1", 5},
        {"a[1] text", "a", "1", 4},
        {"a[1]::", "a", "1", 5},
        {"a[1]x:", "a", "1", 4},
        {"a[1]]:", "a", "1", 4},
        {"CRON[12345]:", "CRON", "12345", 12},
        {"A-Z.a_z-0.9[.]:", "A-Z.a_z-0.9", ".", 15},
        {"-[-]:", "-", "-", 5},
        {"0[ ]:", "0", " ", 5},
        {"a[[[]:", "a", "[[", 6},
        {"a[b[c]:", "a", "b[c", 7},
        {"a[:]:", "a", ":", 5},
        {"a[x y; DROP TABLE z; <b> \" ' \\]:", "a", "x y; DROP TABLE z; <b> \" ' \\", 32},
        {"a[gr\xC3\xB6\xC3\x9F"
         "e]:",
         "a",
         "gr\xC3\xB6\xC3\x9F"
         "e",
         11},
        {"a[\xF0\x9F\x90\x98]:", "a", "\xF0\x9F\x90\x98", 8},
        {"a[\xC2\xA0]:", "a", "\xC2\xA0", 6},         /* the first one beyond C1 */
        {"a[\xE2\x80\x8B]:", "a", "\xE2\x80\x8B", 7}, /* a format character is no control */
        {"a[\xC3\x82\xC2\xA9]:", "a", "\xC3\x82\xC2\xA9", 8},
        {FORTY_EIGHT "[1]:", FORTY_EIGHT, "1", 52},
        {"a[" TWO_HUNDRED_FIFTY_FIVE "]:", "a", TWO_HUNDRED_FIFTY_FIVE, 259},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t bytes = strlen(cases[i].text);
        char *text = exact_copy(cases[i].text, bytes);
        struct tasklog_tag tag;
        char kind[64], id[300];
        const char *fault = tasklog_tag_parse(text, bytes, &tag);
        if (fault)
            fail_msg("\"%s\": %s", cases[i].text, fault);
        snprintf(kind, sizeof(kind), "%.*s", (int)tag.kind_bytes, tag.kind);
        snprintf(id, sizeof(id), "%.*s", (int)tag.id_bytes, tag.id);
        expect_text(cases[i].text, kind, cases[i].kind);
        expect_text(cases[i].text, id, cases[i].id);
        assert_int_equal(tag.used_bytes, cases[i].used_bytes);
        assert_true(tag.kind == text);
        free(text);
    }
}

static void a_bad_tag_says_what_is_wrong(void **state)
{
    static const char kind[] = "the kind before \"[\" is not 1 to 48 characters of "
                               "A-Z a-z 0-9 _ . -";
    static const char control[] = "the task id has control characters or is not UTF-8";
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {"", "no task id in brackets"},
        {"job", "no task id in brackets"},
        {"job:", "no task id in brackets"},
        {"job: text", "no task id in brackets"},
        {"job]", "no task id in brackets"},
        {"[1]:", kind},
        {"[", kind},
        {"a b[1]:", kind},
        {" a[1]:", kind},
        {"a/b[1]:", kind},
        {"gr\xC3\xB6\xC3\x9F[1]:", kind},
        {"a@b[1]:", kind},
        {FORTY_EIGHT "x[1]:", kind},
        {"a[1", "no \"]\" after the task id"},
        {"a[", "no \"]\" after the task id"},
        {"a[1:", "no \"]\" after the task id"},
        {"a[]:", "the task id in the brackets is empty"},
        {"a[" TWO_HUNDRED_FIFTY_FIVE "x]:", "the task id is longer than 255 bytes"},
        {"a[x\ny]:", control},
        {"a[\x01]:", control},
        {"a[\t]:", control},
        {"a[\x1B[31mred]:", control},
        {"a[\x7F]:", control},
        {"a[\xC2\x80]:", control}, /* C1 */
        {"a[\xC2\x9B"
         "31m]:",
         control},
        {"a[\xC2\x9F]:", control},
        {"a[\xFF]:", control},
        {"a[\xC3]:", control},
        {"a[\x80]:", control},
        {"a[\xC0\x80]:", control},
        {"a[\xED\xA0\x80]:", control},     /* a surrogate */
        {"a[\xF4\x90\x80\x80]:", control}, /* beyond Unicode */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t bytes = strlen(cases[i].text);
        char *text = exact_copy(cases[i].text, bytes);
        struct tasklog_tag tag = {.used_bytes = 4711};
        const char *fault = tasklog_tag_parse(text, bytes, &tag);
        expect_text(cases[i].text, fault ? fault : "nothing", cases[i].fault);
        assert_int_equal(tag.used_bytes, 4711);
        free(text);
    }
}

static void a_nul_is_a_control_character(void **state)
{
    struct tasklog_tag tag;

    (void)state;
    assert_non_null(tasklog_tag_parse("a[x\0y]:", 7, &tag));
    assert_non_null(tasklog_tag_parse("a\0[x]:", 6, &tag));
    assert_false(tasklog_id_is_valid("\0", 1));
    assert_false(tasklog_kind_is_valid("a\0", 2));
}

static void kinds_and_ids_alone_follow_the_same_rules(void **state)
{
    static const struct {
        const char *text;
        bool kind, id;
    } cases[] = {
        {"", false, false},
        {"a", true, true},
        {"table_comments", true, true},
        {"42", true, true},
        {"run 42", false, true},
        {"a:b", false, true},
        {"a[b", false, true},
        {"a]b", false, false},
        {"gr\xC3\xBCn", false, true},
        {"a\rb", false, false},
        {"\xE2\x82", false, false},
        {FORTY_EIGHT, true, true},
        {FORTY_EIGHT "9", false, true},
        {TWO_HUNDRED_FIFTY_FIVE, false, true},
        {TWO_HUNDRED_FIFTY_FIVE "9", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t bytes = strlen(cases[i].text);
        char *text = exact_copy(cases[i].text, bytes);
        if (tasklog_kind_is_valid(text, bytes) != cases[i].kind)
            fail_msg("\"%s\" as a kind", cases[i].text);
        if (tasklog_id_is_valid(text, bytes) != cases[i].id)
            fail_msg("\"%s\" as a task id", cases[i].text);
        free(text);
    }
}

static void a_kind_has_these_characters_and_no_others(void **state)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'b'};
        bool valid = c != 0 && strchr(good, c) != NULL;
        assert_int_equal(tasklog_kind_is_valid(text, 3), valid);
        assert_int_equal(tasklog_kind_span(text, 3), valid ? 3 : 1);
    }
    assert_int_equal(tasklog_kind_span("", 0), 0);
    assert_int_equal(tasklog_kind_span(FIFTY "!", 51), 50);
}

/* ---- messages, whose tag the syslog parser may have cut in two ---- */

static void a_message_gives_tag_and_text_however_it_was_cut(void **state)
{
    static const struct {
        const char *tag, *text;
        bool is_rfc5424, split;
        const char *id, *expected; /* no id: no task's line, the text alone */
    } cases[] = {
        {"job[1]:", " text", false, false, "1", "text"},
        {"job[1]:", "  two blanks", false, false, "1", " two blanks"},
        {"job[1]:", "text", false, false, "1", "text"},
        {"job[1]:", "", false, false, "1", ""},
        {"job[1]", " text", false, false, "1", "text"},
        {"job[1]", "text", true, false, "1", "text"},
        {"job[1]", " text", true, false, "1", " text"},
        {"job[1]", "\xEF\xBB\xBFtext", true, false, "1", "text"},
        {"job[1]", "\xEF\xBB\xBF", true, false, "1", ""},
        {"job[1]", "\xEF\xBB", true, false, "1", "\xEF\xBB"},
        {"job[1]:", " \xEF\xBB\xBFtext", false, false, "1", "\xEF\xBB\xBFtext"},
        /* Ended at the first blank or colon of the task id. */
        {"job[run", " 42]: text", false, true, "run 42", "text"},
        {"job[a:", "b]: text", false, true, "a:b", "text"},
        {"job[a:", " b c]: text", false, true, "a: b c", "text"},
        {"job[", " ]: text", false, true, " ", "text"},
        {"job[a", " b]", false, true, "a b", ""},
        {"job[a", " b] text: more", false, true, "a b", "text: more"},
        {"job[gr\xC3\xBC\xC3\x9F", " gott]: text", false, true, "gr\xC3\xBC\xC3\x9F gott", "text"},
        /* Ended too late: text without a blank. */
        {"job[1]text:", " more", false, true, "1", "text: more"},
        {"job[1]:text", " more", false, true, "1", "text more"},
        /* No task's line. */
        {"job:", " text", false, false, NULL, "text"},
        {"job:", " text [1] more", false, false, NULL, "text [1] more"},
        {"job[1:", " never closed", false, true, NULL, "never closed"},
        {"job[]:", " text", false, true, NULL, "text"},
        {"job[a", " \n]: text", false, true, NULL, "\n]: text"},
        {"", "text", false, false, NULL, "text"},
        {"", "", false, false, NULL, ""},
        {"job", "\xEF\xBB\xBFtext", true, false, NULL, "text"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t tag_bytes = strlen(cases[i].tag), bytes = strlen(cases[i].text);
        char *tag_copy = exact_copy(cases[i].tag, tag_bytes), got[64];
        char *text_copy = exact_copy(cases[i].text, bytes);
        char *joined = cases[i].split ? malloc(tag_bytes + bytes) : NULL;
        struct tasklog_message message = {tag_copy, tag_bytes, text_copy, bytes,
                                          cases[i].is_rfc5424};
        struct tasklog_known_tag known = {0};
        struct tasklog_tag tag;
        const char *text;
        size_t text_bytes;
        const char *fault = tasklog_message_parse(&message, &known, NULL, &tag, &text, &text_bytes);
        if ((fault == tasklog_tag_is_split) != cases[i].split)
            fail_msg("\"%s\" \"%s\": is it split?", cases[i].tag, cases[i].text);
        if (!cases[i].split) /* once more, as one that is known */
            memset(&tag, 0, sizeof(tag));
        fault = tasklog_message_parse(&message, &known, joined, &tag, &text, &text_bytes);
        if (!fault != (cases[i].id != NULL))
            fail_msg("\"%s\" \"%s\": %s", cases[i].tag, cases[i].text, fault ? fault : "taken");
        if (fault) {
            tasklog_message_text(&message, &text, &text_bytes);
        } else {
            snprintf(got, sizeof(got), "%.*s", (int)tag.id_bytes, tag.id);
            expect_text(cases[i].tag, got, cases[i].id);
            snprintf(got, sizeof(got), "%.*s", (int)tag.kind_bytes, tag.kind);
            expect_text(cases[i].tag, got, "job");
        }
        snprintf(got, sizeof(got), "%.*s", (int)text_bytes, text);
        expect_text(cases[i].text, got, cases[i].expected);
        free(joined);
        free(text_copy);
        free(tag_copy);
    }
}

static void a_known_tag_is_not_taken_for_another(void **state)
{
    static const char *const tags[] = {"job[1]:", "job[2]:", "job[2]:", "jo[b2]:", "job[2]",
                                       "job[2",   "job[2]:", "job[22]", "job[]::", "job[1]:"};
    struct tasklog_known_tag known = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        struct tasklog_message message = {tags[i], strlen(tags[i]), "text", 4, true};
        struct tasklog_tag wanted = {0}, got = {0};
        const char *text = "";
        size_t text_bytes = 0;
        const char *fault = tasklog_tag_parse(tags[i], strlen(tags[i]), &wanted);
        assert_true(!fault ==
                    !tasklog_message_parse(&message, &known, NULL, &got, &text, &text_bytes));
        assert_memory_equal(&got, &wanted, sizeof(got));
        assert_int_equal(text_bytes, fault ? 0 : 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_tag_gives_kind_and_id),
        cmocka_unit_test(a_known_tag_is_not_taken_for_another),
        cmocka_unit_test(a_bad_tag_says_what_is_wrong),
        cmocka_unit_test(a_nul_is_a_control_character),
        cmocka_unit_test(kinds_and_ids_alone_follow_the_same_rules),
        cmocka_unit_test(a_kind_has_these_characters_and_no_others),
        cmocka_unit_test(a_message_gives_tag_and_text_however_it_was_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
