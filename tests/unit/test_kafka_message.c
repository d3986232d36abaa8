/* SPDX-License-Identifier: Apache-2.0 */
/* What a message of the topic is as a line, and what is said of one that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/kafka/message.h"

#define BEGIN_US INT64_C(1795516267000000) /* 2026-11-24 10:31:07 UTC */
#define HEAD "<14>1 2026-11-24T10:31:07Z web1 "

/* From memory that ends where the message does. */
static const char *read(const char *text, size_t bytes, struct tasklog_line *line)
{
    static char *copy;

    free(copy);
    copy = malloc(bytes > 0 ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, text, bytes);
    return message_read(copy, bytes, 77, line);
}

static void lines_have_kind_id_and_text(void **state)
{
    static const struct {
        const char *message;
        const char *line; /* kind[id] text */
    } all[] = {
        {HEAD "import run-42 - - Step 1", "import[run-42] Step 1"},
        {HEAD "import run-42 - -", "import[run-42] "},
        {HEAD "import run-42 - - ", "import[run-42] "},
        {HEAD "import run-42 - -   two\nlines\n", "import[run-42]   two\nlines\n"},
        {HEAD "import 4711 ID47 [a@1 b=\"]\\\"]\"][c] \xEF\xBB\xBFtext", "import[4711] text"},
        {HEAD "- - 0 - import[run-42]: Step 1", "import[run-42] Step 1"},
        {HEAD "- - 0 - import[run-42]:  indented", "import[run-42]  indented"},
        {HEAD "- - 0 - import[run-42]:glued", "import[run-42] glued"},
        {HEAD "- - 0 - import[a b:c]: text", "import[a b:c] text"},
        {HEAD "- - 0 - import[run-42]:", "import[run-42] "},
        {HEAD "- - 1 - import[run-42] indented", "import[run-42]  indented"},
        {HEAD "- - 1 - import[run-42]\xEF\xBB\xBFtext", "import[run-42] text"},
        {HEAD "- - 0 - import[x]: @task end", "import[x] @task end"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct tasklog_line line;
        char got[256];
        const char *why = read(all[i].message, strlen(all[i].message), &line);
        if (why)
            fail_msg("%s: %s", all[i].message, why);
        snprintf(got, sizeof(got), "%.*s[%.*s] %.*s", (int)line.kind_bytes, line.kind,
                 (int)line.id_bytes, line.id, (int)line.text_bytes, line.text);
        assert_string_equal(got, all[i].line);
        assert_int_equal(line.severity, 6);
        assert_int_equal(line.time_us, BEGIN_US);
        assert_int_equal(line.host_bytes, 4);
        assert_memory_equal(line.host, "web1", 4);
    }
}

static void any_bytes_may_be_the_text(void **state)
{
    static const char message[] = HEAD "k i - - a\0b\xFF\r\n";
    struct tasklog_line line;

    (void)state;
    assert_null(read(message, sizeof(message) - 1, &line));
    assert_int_equal(line.text_bytes, 6);
    assert_memory_equal(line.text, "a\0b\xFF\r\n", 6);
}

static void times_are_those_of_rfc_3339(void **state)
{
    static const struct {
        const char *time;
        int64_t us;
    } all[] = {
        {"2026-11-24T10:31:07.123456Z", BEGIN_US + 123456},
        {"2026-11-24T10:31:07.5Z", BEGIN_US + 500000},
        {"2026-11-24T10:31:07.123456789Z", BEGIN_US + 123456},
        {"2026-11-24T11:31:07+01:00", BEGIN_US},
        {"2026-11-24T05:01:07.000001-05:30", BEGIN_US + 1},
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000000)},
        {"2024-12-31T23:59:60Z", INT64_C(1735689600000000)},
        {"-", 77},
    };
    char message[100];

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct tasklog_line line;
        snprintf(message, sizeof(message), "<0>1 %s - k i - - x", all[i].time);
        assert_null(read(message, strlen(message), &line));
        assert_int_equal(line.time_us, all[i].us);
        assert_int_equal(line.host_bytes, 0);
        assert_int_equal(line.severity, 0);
    }
}

static void what_is_no_line_is_told(void **state)
{
    static const struct {
        const char *message;
        const char *part;
    } all[] = {
        {"", "empty"},
        {"hello", "RFC 5424"},
        {"<>1 - h k i - - x", "RFC 5424"},
        {"<192>1 - h k i - - x", "RFC 5424"},
        {"<1234>1 - h k i - - x", "RFC 5424"},
        {"<14>2 - h k i - - x", "RFC 5424"},
        {"<14>1 yesterday h k i - - x", "RFC 3339"},
        {"<14>1 2026-13-24T10:31:07Z h k i - - x", "RFC 3339"},
        {"<14>1 2026-11-24T10:31:07 h k i - - x", "RFC 3339"},
        {"<14>1 2026-11-24T10:31:07Zx h k i - - x", "RFC 3339"},
        {"<14>1 - h k i", "HOSTNAME APP-NAME"},
        {"<14>1 - h k i - [a b=\"]\"", "STRUCTURED-DATA"},
        {"<14>1 - h k i - -x", "blank behind"},
        {"<14>1 - h kind/1 i - - x", "APP-NAME is not a kind"},
        {"<14>1 - h k - - - x", "PROCID is not a task id"},
        {"<14>1 - h k a]b - - x", "PROCID is not a task id"},
        {"<14>1 - h - - 0 - sshd: hello", "no task id in brackets"},
        {"<14>1 - h - - 0 -", "no task id in brackets"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct tasklog_line line;
        const char *why = read(all[i].message, strlen(all[i].message), &line);
        if (!why || !strstr(why, all[i].part))
            fail_msg("\"%s\": %s", all[i].message, why ? why : "is a line");
    }
}

static void no_cut_of_a_message_is_read_beyond_its_end(void **state)
{
    static const char message[] =
        "<14>1 2026-11-24T10:31:07.123456+01:00 web1 import run-42 - [a b=\"c\"] Step 1";

    (void)state;
    for (size_t bytes = 0; bytes < sizeof(message); bytes++) {
        struct tasklog_line line;
        (void)!read(message, bytes, &line);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_kind_id_and_text),
        cmocka_unit_test(any_bytes_may_be_the_text),
        cmocka_unit_test(times_are_those_of_rfc_3339),
        cmocka_unit_test(what_is_no_line_is_told),
        cmocka_unit_test(no_cut_of_a_message_is_read_beyond_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
