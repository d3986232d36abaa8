/* SPDX-License-Identifier: Apache-2.0 */
/* What is found in a configuration of rsyslog, and what is passed over. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/rainer.h"

enum { SHOWN_BYTES = 1024 };

/* All that was found, one after the other: `2:action type=omtasklog key=[a,b]`. */
static void show(const struct rainer *rainer, char shown[SHOWN_BYTES])
{
    size_t used = 0;

    shown[0] = '\0';
    for (size_t i = 0; i < rainer->count; i++) {
        const struct rainer_statement *statement = &rainer->statements[i];
        used += (size_t)snprintf(shown + used, SHOWN_BYTES - used, "%s%d:%s", i > 0 ? "; " : "",
                                 statement->line, statement->name);
        for (size_t j = 0; j < statement->parameter_count; j++) {
            const struct rainer_parameter *parameter = &statement->parameters[j];
            used += (size_t)snprintf(shown + used, SHOWN_BYTES - used, " %s=", parameter->name);
            for (size_t k = 0; k < parameter->value_count; k++)
                used += (size_t)snprintf(shown + used, SHOWN_BYTES - used, "%s%s", k > 0 ? "," : "",
                                         parameter->values[k]);
        }
    }
}

static const struct {
    const char *text;
    const char *found;
} readable[] = {
    {"", ""},
    {"action(type=\"omfile\")", "1:action type=omfile"},
    {"ACTION ( Type = \"x\" )", "1:action Type=x"},
    {"action\n(\ntype\n=\n\"x\"\n)\naction(a=\"b\")", "1:action type=x; 7:action a=b"},
    {"action()", "1:action"},
    {"action(a=\"1\" b=\"2\", c=\"3\")", "1:action a=1 b=2 c=3"},
    {"action(queue.type=\"Direct\")", "1:action queue.type=Direct"},
    {"action(key=[\"a\", \"b\"\n\"c\"])", "1:action key=a,b,c"},
    {"action(key=[])", "1:action key="},
    {"action(key=[ # \"no\"\n \"a\", /* \"no\" ] */ \"b\"] z=\"1\")", "1:action key=a,b z=1"},
    {"action(a=\"1\" # b=\"2\")\n c=\"3\")", "1:action a=1 c=3"},
    {"action(a=\"#/*)\")", "1:action a=#/*)"},
    {"action(a=\"\\\"\\\\\\$\\'\\x41\\101\\tb\")", "1:action a=\"\\$'AA\tb"},
    {"action(a=\"\\x4\\8\\\\\")", "1:action a=x48\\"},
    {"action(a=\"two\nlines\")\naction()", "1:action a=two\nlines; 3:action"},
    /* Hidden text. */
    {"# action(a=\"1\")\naction(b=\"2\")", "2:action b=2"},
    {"/* action(a=\"1\")\n*/ action(b=\"2\")", "2:action b=2"},
    {"/* no end action()", ""},
    {"if $msg contains \"action(\\\"x\" then action(b=\"2\")", "1:action b=2"},
    {"if $msg == 'action()' then stop", ""},
    {"if $msg == `action()` then stop", ""},
    {"*.* it's ; action(b=\"2\")", "1:action b=2"},
    {"reaction(a=\"1\") my.action(b=\"1\") actions()", ""},
    {"template(name=\"x\" string=\"action()\") input(type=\"imuxsock\")", ""},
    {"action stop", ""},
    {"action", ""},
    {"ruleset(name=\"r\") { if ($a == 1) then { action(b=\"2\") } else action(c=\"3\") }",
     "1:action b=2; 1:action c=3"},
    /* Directives are lines of their own. */
    {"$ControlCharacterEscapePrefix \"\naction(b=\"2\")", "2:action b=2"},
    {"$template x,\"action(a=\\\"1\\\")\"", ""},
    {"$Something action(a=\"1\")", ""},
    {"  $IncludeConfig /etc/rsyslog.d/*.conf  # all\n$includeconfig a",
     "1:include file=/etc/rsyslog.d/*.conf; 2:include file=a"},
    {"$IncludeConfigs x\n$IncludeConfig", ""},
    {"$WorkDirectory /var/spool/rsyslog", "1:global workDirectory=/var/spool/rsyslog"},
    {"if\n$programname == \"a\" then action(b=\"2\")", "2:action b=2"},
    {"include(file=\"/x/*.conf\" mode=\"optional\")", "1:include file=/x/*.conf mode=optional"},
    {"global(workDirectory=\"/w\")", "1:global workDirectory=/w"},
};

static void statements_are_found_and_all_else_is_passed_over(void **state)
{
    char shown[SHOWN_BYTES], error[RAINER_ERROR_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++) {
        struct rainer *rainer;
        int line;
        if (rainer_read(readable[i].text, strlen(readable[i].text), error, &line, &rainer) < 0)
            fail_msg("%s: %d: %s", readable[i].text, line, error);
        show(rainer, shown);
        if (strcmp(shown, readable[i].found) != 0)
            fail_msg("%s: %s", readable[i].text, shown);
        rainer_free(rainer);
    }
}

static const struct {
    const char *text;
    int line;
    const char *error;
} unreadable[] = {
    {"\naction(", 2, "\")\" is missing"},
    {"action(a=\"1\"\n", 2, "\")\" is missing"},
    {"action(a", 1, "\"=\" must stand"},
    {"action(a \"b\")", 1, "\"=\" must stand"},
    {"action(a=b)", 1, "double quotes"},
    {"action(a=", 1, "double quotes"},
    {"action(a='b')", 1, "double quotes"},
    {"action(a=`echo $X`)", 1, "backticks"},
    {"action(\na=\"b)", 2, "a string has no end"},
    {"action(a=\"b\\\")", 1, "a string has no end"},
    {"action(a=[\"b\")", 1, "double quotes"},
    {"action(a=[\"b\",\n", 2, "\"]\" is missing"},
    {"action(=\"b\")", 1, "the name of a parameter"},
    {"action(type=\"x\" }", 1, "the name of a parameter"},
};

static void what_is_not_well_formed_is_named_with_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(unreadable) / sizeof(unreadable[0]); i++) {
        char error[RAINER_ERROR_BYTES] = "";
        struct rainer *rainer = NULL;
        int line = 0;
        int r = rainer_read(unreadable[i].text, strlen(unreadable[i].text), error, &line, &rainer);
        if (r != -EINVAL || line != unreadable[i].line || !strstr(error, unreadable[i].error))
            fail_msg("%s: %d in line %d: %s", unreadable[i].text, r, line, error);
    }
}

static void a_text_that_ends_anywhere_is_no_danger(void **state)
{
    static const char text[] = "/* a */ $IncludeConfig x\naction(a=\"\\x41\\1\" b=[\"c\", \"d\"])";
    char copy[sizeof(text)];

    (void)state;
    for (size_t bytes = 0; bytes < sizeof(text); bytes++) {
        char error[RAINER_ERROR_BYTES];
        struct rainer *rainer = NULL;
        int line;
        memcpy(copy + sizeof(text) - bytes, text, bytes); /* up to the end of what may be read */
        if (rainer_read(copy + sizeof(text) - bytes, bytes, error, &line, &rainer) == 0)
            rainer_free(rainer);
    }
}

static void the_last_of_two_values_counts(void **state)
{
    static const char text[] = "action(a=\"1\" A=\"2\" b=[\"1\", \"2\"])";
    char error[RAINER_ERROR_BYTES];
    struct rainer *rainer;
    int line;

    (void)state;
    assert_int_equal(rainer_read(text, strlen(text), error, &line, &rainer), 0);
    assert_string_equal(rainer_value(&rainer->statements[0], "a"), "2");
    assert_null(rainer_value(&rainer->statements[0], "b"));
    assert_int_equal(rainer_find(&rainer->statements[0], "B")->value_count, 2);
    assert_null(rainer_find(&rainer->statements[0], "c"));
    rainer_free(rainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_are_found_and_all_else_is_passed_over),
        cmocka_unit_test(what_is_not_well_formed_is_named_with_its_line),
        cmocka_unit_test(a_text_that_ends_anywhere_is_no_danger),
        cmocka_unit_test(the_last_of_two_values_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
