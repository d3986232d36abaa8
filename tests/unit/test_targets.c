/* SPDX-License-Identifier: Apache-2.0 */
/* Files of targets: what they mean, and what is said when they mean nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tasklog/targets.h"

static char path[] = "/tmp/tasklog-targets-XXXXXX";
static char error[TASKLOG_ERROR_BYTES];
static struct tasklog_targets *targets;

static int read_text(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    tasklog_targets_free(targets);
    targets = NULL;
    error[0] = '\0';
    return tasklog_targets_read(path, "/var/lib/tasklog", error, &targets);
}

#define TARGET "[a]\nkinds=x\ndatabase=sqlite:/db\ntable=t\ncolumns=log=log\n"

static void a_file_names_targets_with_their_kinds(void **state)
{
    (void)state;
    assert_int_equal(read_text("; read from here\n"
                               "[journal]\n"
                               "namespace = tasks\n"
                               "since = all\n"
                               "\n"
                               "[comments]\n"
                               "kinds = table_comments, column_comments\n"
                               "  db_comments\n"
                               "Database = dbname=thoth\n"
                               "    host=/run/postgresql\n"
                               "table = t\n"
                               "key = task_id=id\n"
                               "columns = log=log status=status,\n"
                               "\tend_time=ended\n"
                               "idleTimeout = 60\n"
                               "[other]\n"
                               "kinds = other\n"
                               "database = sqlite:/db\n"
                               "table = u\n"
                               "columns = log=log ; the rest is not needed\n"),
                     0);
    assert_string_equal(error, "");
    assert_string_equal(targets->journal.namespace_name, "tasks");
    assert_null(targets->journal.directory);
    assert_int_equal(targets->journal.since, TASKLOG_SINCE_ALL);
    assert_int_equal(targets->count, 2);
    assert_string_equal(targets->targets[0].name, "comments");
    assert_int_equal(targets->targets[0].kind_count, 3);
    assert_string_equal(targets->targets[0].kinds[2], "db_comments");
    assert_ptr_equal(tasklog_targets_find(targets, "other", 5), &targets->targets[1]);
    assert_ptr_equal(tasklog_targets_find(targets, "column_comments", 15), &targets->targets[0]);
    assert_null(tasklog_targets_find(targets, "oth", 3));
    assert_true(tasklog_config_has_spool(targets->targets[0].config));
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
    static const struct {
        const char *text, *line, *error;
    } wrong[] = {
        {"", ":0: ", "there is no target"},
        {"[journal]\nsince=now\n", ":2: ", "there is no target"},
        {"kinds=x\n", ":1: ", "must stand in a section"},
        {"[a]\nwhat\n", ":2: ", "neither \"[section]\" nor \"name = value\""},
        {"[a\nkinds=x\n", ":1: ", "neither \"[section]\""},
        {TARGET "colour=red\n", ":6: ", "[a]: unknown parameter \"colour\""},
        {TARGET "level=loud\n", ":6: ", "\"level\": \"loud\" is not one of emerg"},
        {TARGET "template=x\n", ":6: ", "templates are rsyslog's"},
        {TARGET "kinds=a/b\n", ":6: ", "\"a/b\" is not a kind"},
        {TARGET "[b]\nkinds=y x\n", ":7: ", "\"x\" is taken by [a] already"},
        {TARGET "spool=off\n", ":6: ", "\"spool\" cannot be \"off\""},
        {TARGET "kinds=\n", ":6: ", "\"\" is not a kind"},
        {"[a]\nkinds=x\n", ":2: ", "parameter \"database\" is required"},
        {"[a]\ndatabase=sqlite:/db\ntable=t\ncolumns=log=log\n", ":4: ", "\"kinds\" is required"},
        {"[a]\nkinds=x\ndatabase=sqlite:/db\ntable=t\ncolumns=lg=log\n",
         ":5: ", "unknown field \"lg\""},
        {"[a b]\nkinds=x\n", ":2: ", "a target's name may have letters"},
        {"[../a]\nkinds=x\n", ":2: ", "a target's name may have letters"},
        {"[journal]\nnamespace=a/b\n" TARGET, ":2: ", "\"namespace\" takes the name"},
        {"[journal]\ndirectory=x\n" TARGET, ":2: ", "\"directory\" takes an absolute path"},
        {"[journal]\nsince=never\n" TARGET, ":2: ", "\"since\" takes \"now\", \"boot\" or \"all\""},
        {"[journal]\ncolour=red\n" TARGET, ":2: ", "this section takes \"namespace\""},
        {"[journal]\nnamespace=a\ndirectory=/b\n" TARGET, ":8: ", "not both"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(read_text(wrong[i].text), -EINVAL);
        if (!strstr(error, wrong[i].line) || !strstr(error, wrong[i].error) || !strstr(error, path))
            fail_msg("%zu: \"%s\" has not \"%s\" and \"%s\"", i, error, wrong[i].line,
                     wrong[i].error);
    }
}

static void a_long_line_is_told_and_may_go_on_in_the_next(void **state)
{
    char text[1024];

    (void)state;
    snprintf(text, sizeof(text), "%stable=%0300d\n", TARGET, 7);
    assert_int_equal(read_text(text), -EINVAL);
    assert_non_null(strstr(error, ":6: the line is too long"));
    /* Not the half word at its end. */
    snprintf(text, sizeof(text), "%scolumns=status=%0178d warnings=w\n", TARGET, 7);
    assert_int_equal(read_text(text), -EINVAL);
    assert_non_null(strstr(error, ":6: the line is too long"));
    snprintf(text, sizeof(text),
             "[a]\nkinds=x\ndatabase=dbname=%0100d\n  host=%0100d\n port=%0100d\ntable=t\n"
             "columns=log=log\n",
             1, 2, 3);
    assert_int_equal(read_text(text), 0);
}

static void a_file_that_is_not_there_is_named(void **state)
{
    struct tasklog_targets *none = NULL;

    (void)state;
    assert_int_equal(tasklog_targets_read("/nowhere/x.conf", "/tmp", error, &none), -ENOENT);
    assert_non_null(strstr(error, "/nowhere/x.conf cannot be read: No such file"));
    assert_null(none);
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    tasklog_targets_free(targets);
    return unlink(path);
}

#define KAFKA "[kafka]\nbrokers=b:9092\ntopic=t\ngroup=g\n"

static void a_topic_takes_the_place_of_the_journal(void **state)
{
    (void)state;
    assert_int_equal(read_text(KAFKA "security.protocol = ssl\nssl.ca.location = /ca\n" TARGET
                                     "  position=p\n"),
                     0);
    const struct tasklog_kafka *kafka = &targets->kafka;
    assert_string_equal(kafka->brokers, "b:9092");
    assert_string_equal(kafka->topic, "t");
    assert_string_equal(kafka->group, "g");
    assert_int_equal(kafka->property_count, 2);
    assert_string_equal(kafka->properties[0].name, "security.protocol");
    assert_string_equal(kafka->properties[1].value, "/ca");
}

static void what_is_wrong_with_a_topic_is_named(void **state)
{
    static const struct {
        const char *text;
        const char *part;
    } files[] = {
        {KAFKA TARGET, "[a]: parameter \"columns\": \"position=COLUMN\" is required"},
        {TARGET "  position=p\n", "the field \"position\" is for tasklog-kafka only"},
        {KAFKA TARGET "  position=p\nspool=off\n", "\"spool\" cannot be \"off\": what memory"},
        {"[kafka]\nbrokers=b\ntopic=t\n" TARGET, "\"brokers\" (host:port, ...), \"topic\" and "
                                                 "\"group\" are required"},
        {KAFKA "group =\n" TARGET, "and \"group\" are required"},
        {"[kafka]\ntopic=^t.*\n" TARGET, ":2: [kafka]: parameter \"topic\" takes the name of one"},
        {KAFKA "partition=1\n" TARGET, ":5: [kafka]: unknown parameter; this section takes"},
        {KAFKA "enable.auto.commit=true\n" TARGET,
         ":5: [kafka]: this property of librdkafka cannot"},
        {KAFKA "Group.Id=x\n" TARGET, ":5: [kafka]: this property of librdkafka cannot"},
        {KAFKA "[journal]\nnamespace=n\n" TARGET, "either [journal] or [kafka], not both"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        assert_int_equal(read_text(files[i].text), -EINVAL);
        if (!strstr(error, files[i].part))
            fail_msg("no \"%s\" in \"%s\"", files[i].part, error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_names_targets_with_their_kinds),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(a_long_line_is_told_and_may_go_on_in_the_next),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(a_topic_takes_the_place_of_the_journal),
        cmocka_unit_test(what_is_wrong_with_a_topic_is_named),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
