/* SPDX-License-Identifier: Apache-2.0 */
/* What an entry of the journal is, by its fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/journald/entry.h"

enum { FIELDS_MAX = 8 };

/* A string with its length, for those with a NUL in them. */
#define FIELD(text)            \
    {                          \
        text, sizeof(text) - 1 \
    }

struct field {
    const char *data;
    size_t bytes;
};

static struct entry entry;

static void fill(const struct field fields[FIELDS_MAX])
{
    entry_clear(&entry);
    for (size_t i = 0; i < FIELDS_MAX && fields[i].data; i++)
        assert_int_equal(entry_add(&entry, fields[i].data, fields[i].bytes), 0);
}

static void assert_text(size_t at, struct entry_text text, const char *expected)
{
    if (text.bytes != strlen(expected) || memcmp(text.data, expected, text.bytes) != 0)
        fail_msg("%zu: \"%.*s\" is not \"%s\"", at, (int)text.bytes, text.data, expected);
}

static void lines_have_kind_id_and_text(void **state)
{
    static const struct {
        struct field fields[FIELDS_MAX];
        const char *kind, *id, *text;
        int severity;
    } lines[] = {
        {{FIELD("SYSLOG_IDENTIFIER=k"), FIELD("SYSLOG_PID=7"), FIELD("MESSAGE=x"),
          FIELD("PRIORITY=3")},
         "k",
         "7",
         "x",
         3},
        {{FIELD("TASK_KIND=k"), FIELD("TASK_ID=a b"), FIELD("SYSLOG_IDENTIFIER=o"),
          FIELD("SYSLOG_PID=7"), FIELD("MESSAGE=one\ntwo")},
         "k",
         "a b",
         "one\ntwo",
         6},
        {{FIELD("SYSLOG_IDENTIFIER=k"), FIELD("_PID=42"), FIELD("MESSAGE=x"), FIELD("PRIORITY=9")},
         "k",
         "42",
         "x",
         6},
        {{FIELD("SYSLOG_IDENTIFIER=k[run-1]"), FIELD("_PID=42"), FIELD("MESSAGE=x")},
         "k",
         "run-1",
         "x",
         6},
        {{FIELD("SYSLOG_IDENTIFIER=k"), FIELD("SYSLOG_PID=7")}, "k", "7", "", 6},
        /* What journald took off a datagram is there again; what ends it is not. */
        {{FIELD("SYSLOG_IDENTIFIER=k"), FIELD("SYSLOG_PID=7"), FIELD("_TRANSPORT=syslog"),
          FIELD("MESSAGE=x"), FIELD("SYSLOG_RAW=<14>Nov 24 10:00:00 k[7]:   x  ")},
         "k",
         "7",
         "  x  ",
         6},
        {{FIELD("SYSLOG_IDENTIFIER=k"), FIELD("SYSLOG_PID=7"), FIELD("_TRANSPORT=syslog"),
          FIELD("MESSAGE=x"), FIELD("SYSLOG_RAW=<14>k[7]: x\n\0")},
         "k",
         "7",
         "x",
         6},
        {{FIELD("SYSLOG_IDENTIFIER=k"), FIELD("SYSLOG_PID=7"), FIELD("_TRANSPORT=syslog"),
          FIELD("MESSAGE="), FIELD("SYSLOG_RAW=<14>k[7]:")},
         "k",
         "7",
         "",
         6},
        {{FIELD("_TRANSPORT=syslog"), FIELD("MESSAGE=k[a b]: x"),
          FIELD("SYSLOG_RAW=<14>k[a b]: x ")},
         "k",
         "a b",
         "x ",
         6},
        /* A field twice: the first one counts. */
        {{FIELD("TASK_KIND=k"), FIELD("TASK_KIND=l"), FIELD("TASK_ID=1"), FIELD("MESSAGE=x")},
         "k",
         "1",
         "x",
         6},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct entry_line line = {0};
        fill(lines[i].fields);
        const char *wrong = entry_read_line(&entry, &line);
        if (wrong)
            fail_msg("%zu: %s", i, wrong);
        assert_text(i, line.kind, lines[i].kind);
        assert_text(i, line.id, lines[i].id);
        assert_text(i, line.text, lines[i].text);
        assert_int_equal(line.severity, lines[i].severity);
    }
}

static void a_line_that_was_cut_goes_on(void **state)
{
    static const struct {
        struct field fields[FIELDS_MAX];
        bool goes_on;
    } cases[] = {
        {{FIELD("TASK_KIND=k"), FIELD("TASK_ID=1"), FIELD("_LINE_BREAK=line-max")}, true},
        {{FIELD("TASK_KIND=k"), FIELD("TASK_ID=1"), FIELD("_LINE_BREAK=eof")}, false},
        {{FIELD("TASK_KIND=k"), FIELD("TASK_ID=1")}, false},
        {{FIELD("TASK_KIND=k"), FIELD("TASK_ID=1"), FIELD("_LINE_BREAK=pid-change")}, true},
        {{FIELD("TASK_KIND=k"), FIELD("TASK_ID=1"), FIELD("_LINE_BREAK=pid-change"),
          FIELD("_PID=42")},
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct entry_line line = {0};
        fill(cases[i].fields);
        assert_null(entry_read_line(&entry, &line));
        assert_true(line.goes_on == cases[i].goes_on);
    }
}

static void what_is_no_line_is_told_or_passed_over(void **state)
{
    static const struct {
        struct field fields[FIELDS_MAX];
        const char *wrong;
    } cases[] = {
        {{FIELD("MESSAGE=x")}, ""},
        {{{NULL, 0}}, ""},
        {{FIELD("no equals sign"), FIELD("=x")}, ""},
        {{FIELD("_TRANSPORT=syslog"), FIELD("MESSAGE=k[a b] x")}, ""},
        {{FIELD("SYSLOG_IDENTIFIER=k"), FIELD("MESSAGE=x")}, "no task id"},
        {{FIELD("SYSLOG_IDENTIFIER=a/b"), FIELD("SYSLOG_PID=1")}, "a kind is"},
        {{FIELD("TASK_KIND=k"), FIELD("TASK_ID=a]")}, "a task id is"},
        {{FIELD("TASK_KIND=k"), FIELD("TASK_ID=")}, "a task id is"},
        {{FIELD("TASK_KIND=k"), FIELD("TASK_ID=a\0b")}, "a task id is"},
        {{FIELD("SYSLOG_IDENTIFIER=k[]")}, "is empty"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct entry_line line = {0};
        fill(cases[i].fields);
        const char *wrong = entry_read_line(&entry, &line);
        if (!wrong || !strstr(wrong, cases[i].wrong) || (!*cases[i].wrong && *wrong))
            fail_msg("%zu: \"%s\" is not \"%s\"", i, wrong ? wrong : "nothing", cases[i].wrong);
    }
}

#define SUPPRESSED FIELD("MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e")
#define FAILED FIELD("MESSAGE_ID=d9b373ed55a64feb8242e02dbe79a49c")
#define COREDUMP FIELD("MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1")

static void news_come_from_those_who_may_bring_them(void **state)
{
    static const struct {
        struct field fields[FIELDS_MAX];
        enum entry_news news;
        const char *origin, *text;
    } cases[] = {
        {{FIELD("MESSAGE=x")}, ENTRY_NO_NEWS, "", ""},
        {{FAILED, FIELD("_UID=0"), FIELD("UNIT=a.service"), FIELD("UNIT_RESULT=signal")},
         ENTRY_DIED,
         "a.service",
         "unit a.service failed with result signal"},
        {{FAILED, FIELD("_UID=0"), FIELD("UNIT=a.service"), FIELD("UNIT_RESULT=oom-kill")},
         ENTRY_DIED,
         "a.service",
         "unit a.service was killed for memory"},
        {{FAILED, FIELD("_UID=1000"), FIELD("USER_UNIT=a.service")},
         ENTRY_DIED,
         "1000/a.service",
         "unit a.service failed"},
        /* Anybody may claim that another's unit has failed. */
        {{FAILED, FIELD("_UID=1000"), FIELD("UNIT=a.service"), FIELD("UNIT_RESULT=signal")},
         ENTRY_NO_NEWS,
         "",
         ""},
        {{COREDUMP, FIELD("_UID=0"), FIELD("COREDUMP_UNIT=a.service"), FIELD("COREDUMP_PID=42"),
          FIELD("COREDUMP_SIGNAL_NAME=SIGSEGV")},
         ENTRY_DIED,
         "a.service:42",
         "process 42 dumped core after SIGSEGV"},
        {{COREDUMP, FIELD("_UID=998"), FIELD("_SYSTEMD_UNIT=systemd-coredump@1-2.service"),
          FIELD("COREDUMP_USER_UNIT=a.service"), FIELD("COREDUMP_UID=1000"),
          FIELD("COREDUMP_PID=42")},
         ENTRY_DIED,
         "1000/a.service:42",
         "process 42 dumped core"},
        {{COREDUMP, FIELD("_UID=1000"), FIELD("COREDUMP_UNIT=a.service"), FIELD("COREDUMP_PID=42")},
         ENTRY_NO_NEWS,
         "",
         ""},
        {{SUPPRESSED, FIELD("_TRANSPORT=driver"), FIELD("OBJECT_SYSTEMD_UNIT=a.service"),
          FIELD("N_DROPPED=30")},
         ENTRY_SUPPRESSED,
         "a.service",
         NULL},
        {{SUPPRESSED, FIELD("_TRANSPORT=journal"), FIELD("OBJECT_SYSTEMD_UNIT=a.service")},
         ENTRY_NO_NEWS,
         "",
         ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct entry_news_report report = {.text = ""};
        fill(cases[i].fields);
        assert_int_equal(entry_read_news(&entry, &report), cases[i].news);
        if (cases[i].news == ENTRY_NO_NEWS)
            continue;
        assert_string_equal(report.origin, cases[i].origin);
        if (cases[i].text)
            assert_string_equal(report.text, cases[i].text);
        else
            assert_int_equal(report.count, 30);
    }
}

static void an_origin_names_unit_and_process(void **state)
{
    char buffer[ENTRY_ORIGIN_BYTES];
    static const struct field system[FIELDS_MAX] = {FIELD("_SYSTEMD_UNIT=a.service"),
                                                    FIELD("_PID=42")};
    static const struct field user[FIELDS_MAX] = {FIELD("_SYSTEMD_UNIT=user@1000.service"),
                                                  FIELD("_SYSTEMD_USER_UNIT=a.service"),
                                                  FIELD("_UID=1000"), FIELD("_PID=42")};
    static const struct field nobody[FIELDS_MAX] = {FIELD("_PID=42")};

    (void)state;
    fill(system);
    assert_text(0, entry_origin(&entry, buffer), "a.service:42");
    fill(user);
    assert_text(1, entry_origin(&entry, buffer), "1000/a.service:42");
    fill(nobody);
    assert_text(2, entry_origin(&entry, buffer), "");
}

static void a_large_field_is_kept_whole(void **state)
{
    size_t bytes = (1 << 20) + 8;
    char *data = malloc(bytes);
    struct entry_line line = {0};

    (void)state;
    assert_non_null(data);
    memset(data, 'x', bytes);
    memcpy(data, "MESSAGE=", 8);
    fill((const struct field[FIELDS_MAX]){FIELD("TASK_KIND=k"), FIELD("TASK_ID=1"), {data, bytes}});
    assert_null(entry_read_line(&entry, &line));
    assert_int_equal(line.text.bytes, 1 << 20);
    assert_memory_equal(line.text.data, data + 8, 1 << 20);
    free(data);
}

static int done(void **state)
{
    (void)state;
    entry_done(&entry);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_kind_id_and_text),
        cmocka_unit_test(a_line_that_was_cut_goes_on),
        cmocka_unit_test(what_is_no_line_is_told_or_passed_over),
        cmocka_unit_test(news_come_from_those_who_may_bring_them),
        cmocka_unit_test(an_origin_names_unit_and_process),
        cmocka_unit_test(a_large_field_is_kept_whole),
    };

    return cmocka_run_group_tests(tests, NULL, done);
}
