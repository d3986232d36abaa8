/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every parameter of the contract, section 3: what it takes, what it makes of it, and the words with
 * which it refuses the rest. Nothing is opened here.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/settings.h"
#include "tasklog/config.h"

#define FIELDS                                                                                  \
    "task_id kind host status log summary start_time end_time duration processed failed total " \
    "lines bytes warnings errors first_error counters end_reason complete updated_at position"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char error[TASKLOG_ERROR_BYTES];

static int set_up(void **state)
{
    struct tasklog_config *config;

    memset(error, 0, sizeof(error));
    assert_int_equal(tasklog_config_new(&config), 0);
    *state = config;
    return 0;
}

static int tear_down(void **state)
{
    tasklog_config_free(*state);
    return 0;
}

static void set(struct tasklog_config *config, const char *name, const char *value)
{
    if (tasklog_config_set(config, name, value, error) != 0)
        fail_msg("%s=\"%s\": %s", name, value, error);
}

/* The error must be `words`, whole. */
static void refuse(struct tasklog_config *config, const char *name, const char *value,
                   const char *words)
{
    if (tasklog_config_set(config, name, value, error) != -EINVAL)
        fail_msg("%s=\"%s\" is taken", name, value);
    assert_string_equal(error, words);
}

/* All that is required. */
static void set_required(struct tasklog_config *config)
{
    set(config, "database", "sqlite:/srv/app/db.sqlite3");
    set(config, "table", "tasks");
    set(config, "columns", "log=task_log");
}

static void refuse_all(struct tasklog_config *config, const char *words)
{
    assert_int_equal(tasklog_config_check(config, error), -EINVAL);
    assert_string_equal(error, words);
}

/* ---- defaults ---- */

static void the_defaults_are_those_of_the_contract(void **state)
{
    struct tasklog_config *config = *state;

    set_required(config);
    assert_int_equal(tasklog_config_check(config, error), 0);
    assert_int_equal(config->mode, TASKLOG_UPDATE);
    assert_int_equal(config->rules.level, 6);
    assert_string_equal(config->rules.marker, "@task");
    assert_false(config->rules.show_level);
    assert_int_equal(config->rules.idle_ms, 7200 * 1000);
    assert_int_equal(config->rules.max_runtime_ms, 0);
    assert_int_equal(config->rules.late_window_ms, 60 * 1000);
    assert_int_equal(config->rules.live_interval_ms, 5 * 1000);
    assert_int_equal(config->rules.live_bytes, 64 << 10);
    assert_int_equal(config->rules.task_max_bytes, 64 << 20);
    assert_int_equal(config->rules.escape_prefix, -1);
    assert_false(tasklog_config_has_spool(config)); /* its default is the front's */
    assert_false(config->spool_sync);
    assert_int_equal(config->rules.memory_bytes, 256 << 20);
    assert_int_equal(config->target.key_count, 1);
    assert_string_equal(config->target.keys[0].name, "task_id");
    assert_int_equal(config->target.keys[0].type, TASKLOG_TEXT);
}

static void a_config_that_nobody_wants_is_freed(void **state)
{
    (void)state;
    tasklog_config_free(NULL);
}

/* ---- one parameter ---- */

static void names_of_parameters_are_case_insensitive(void **state)
{
    struct tasklog_config *config = *state;
    static const char *const names[] = {"idletimeout", "IDLETIMEOUT", "idleTimeout", "IdleTimeOut"};

    for (size_t i = 0; i < COUNT(names); i++) {
        char seconds[8];
        snprintf(seconds, sizeof(seconds), "%zu", i + 1);
        set(config, names[i], seconds);
        assert_int_equal(config->rules.idle_ms, (i + 1) * 1000);
    }
}

#define THERE_ARE                                                                                 \
    "; there are: database table key columns mode level marker showLevel idleTimeout maxRuntime " \
    "lateWindow liveInterval liveBytes taskMaxBytes memoryBudget spool spoolSync trustedUids "    \
    "senderMaxTasks senderMaxRate"

static void an_unknown_parameter_is_named(void **state)
{
    refuse(*state, "idleTimeouts", "1", "unknown parameter \"idleTimeouts\"" THERE_ARE);
    refuse(*state, "", "1", "unknown parameter \"\"" THERE_ARE);
    refuse(*state, "a\x1b[31m", "1", "unknown parameter \"a?[31m\"" THERE_ARE);
}

static void every_level_has_its_names_and_its_number(void **state)
{
    static const struct {
        const char *value;
        int level;
    } cases[] = {{"emerg", 0},    {"emergency", 0}, {"panic", 0}, {"alert", 1},   {"crit", 2},
                 {"critical", 2}, {"err", 3},       {"error", 3}, {"warning", 4}, {"warn", 4},
                 {"notice", 5},   {"info", 6},      {"debug", 7}, {"DEBUG", 7},   {"Warning", 4},
                 {"0", 0},        {"3", 3},         {"7", 7}};
    struct tasklog_config *config = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        set(config, "level", cases[i].value);
        assert_int_equal(config->rules.level, cases[i].level);
    }
}

static void a_wrong_level_is_refused_with_the_list(void **state)
{
    static const char *const values[] = {"", "8", "-1", "07", "infos", "inf", " info", "info "};

    for (size_t i = 0; i < COUNT(values); i++) {
        char words[200];
        snprintf(words, sizeof(words),
                 "parameter \"level\": \"%s\" is not one of emerg alert crit err warning notice "
                 "info debug",
                 values[i]);
        refuse(*state, "LEVEL", values[i], words);
    }
}

static void the_mode_is_update_or_upsert(void **state)
{
    struct tasklog_config *config = *state;

    set(config, "mode", "upsert");
    assert_int_equal(config->mode, TASKLOG_UPSERT);
    set(config, "mode", "Update");
    assert_int_equal(config->mode, TASKLOG_UPDATE);
    refuse(config, "mode", "insert",
           "parameter \"mode\": \"insert\" is not \"update\" or \"upsert\"");
    refuse(config, "mode", "", "parameter \"mode\": \"\" is not \"update\" or \"upsert\"");
    assert_int_equal(config->mode, TASKLOG_UPDATE);
}

static void a_switch_is_on_or_off(void **state)
{
    struct tasklog_config *config = *state;

    set(config, "showLevel", "on");
    assert_true(config->rules.show_level);
    set(config, "showLevel", "OFF");
    assert_false(config->rules.show_level);
    refuse(config, "showlevel", "yes", "parameter \"showLevel\": \"yes\" is not \"on\" or \"off\"");
    refuse(config, "showlevel", "1", "parameter \"showLevel\": \"1\" is not \"on\" or \"off\"");
    set(config, "spoolSync", "on");
    assert_true(config->spool_sync);
    set(config, "spoolSync", "off");
    assert_false(config->spool_sync);
    refuse(config, "spoolsync", "always",
           "parameter \"spoolSync\": \"always\" is not \"on\" or \"off\"");
}

#define USERS "the number or the name of a user of this machine"

static void users_are_numbers_or_names(void **state)
{
    struct tasklog_config *config = *state;

    assert_false(tasklog_config_tells_senders(config));
    set(config, "trustedUids", "1000");
    set(config, "trustedUids", "root");
    set(config, "trustedUids", "4294967294");
    assert_int_equal(config->trusted_count, 3);
    assert_int_equal(config->trusted_uids[0], 1000);
    assert_int_equal(config->trusted_uids[1], 0);
    assert_int_equal(config->trusted_uids[2], UINT32_MAX - 1);
    assert_true(tasklog_config_tells_senders(config));
    refuse(config, "trusteduids", "no-such-user",
           "parameter \"trustedUids\": \"no-such-user\" is not " USERS);
    refuse(config, "trusteduids", "", "parameter \"trustedUids\": \"\" is not " USERS);
    refuse(config, "trusteduids", "-1", "parameter \"trustedUids\": \"-1\" is not " USERS);
    refuse(config, "trusteduids", "1000 root",
           "parameter \"trustedUids\": \"1000 root\" is not " USERS);
    refuse(config, "trusteduids", "4294967295", /* it is what calls say for "no uid" */
           "parameter \"trustedUids\": \"4294967295\" is not " USERS);
    refuse(config, "trusteduids", "99999999999999999999",
           "parameter \"trustedUids\": \"99999999999999999999\" is not " USERS);
    for (size_t i = 3; i < UIDS_MAX; i++)
        set(config, "trustedUids", "7");
    refuse(config, "trusteduids", "8",
           "parameter \"trustedUids\": \"8\" is not one of the first 64, and no more are taken");
}

static void limits_are_counts(void **state)
{
    struct tasklog_config *config = *state;

    set(config, "senderMaxTasks", "0");
    set(config, "senderMaxRate", "0");
    assert_false(tasklog_config_tells_senders(config));
    set(config, "senderMaxTasks", "12");
    assert_int_equal(config->sender_max_tasks, 12);
    assert_true(tasklog_config_tells_senders(config));
    set(config, "senderMaxRate", "1000000000");
    assert_int_equal(config->sender_max_rate, 1000000000);
    refuse(config, "sendermaxrate", "1k",
           "parameter \"senderMaxRate\": \"1k\" is not a whole number up to 1000000000, or 0 for "
           "no limit");
    refuse(config, "sendermaxtasks", "1000000001",
           "parameter \"senderMaxTasks\": \"1000000001\" is not a whole number up to 1000000000, "
           "or 0 for no limit");
}

static void those_that_take_several_values_are_known(void **state)
{
    (void)state;
    assert_true(tasklog_config_is_list("KEY"));
    assert_true(tasklog_config_is_list("columns"));
    assert_true(tasklog_config_is_list("trusteduids"));
    assert_false(tasklog_config_is_list("table"));
    assert_false(tasklog_config_is_list("no such"));
}

static void a_spool_is_a_folder_or_off(void **state)
{
    struct tasklog_config *config = *state;

    assert_false(tasklog_config_has_spool(config));
    set(config, "spool", "/var/spool/rsyslog/tasklog/a b");
    assert_true(tasklog_config_has_spool(config));
    assert_string_equal(config->spool, "/var/spool/rsyslog/tasklog/a b");
    set(config, "SPOOL", "OFF");
    assert_true(tasklog_config_has_spool(config)); /* it is said that there shall be none */
    assert_string_equal(config->spool, "");
    refuse(config, "spool", "", "parameter \"spool\": \"\" is not \"off\" or an absolute path");
    refuse(config, "spool", "tasklog",
           "parameter \"spool\": \"tasklog\" is not \"off\" or an absolute path");
}

static void a_marker_is_one_word(void **state)
{
    struct tasklog_config *config = *state;
    char longest[65 + 1];

    memset(longest, 'm', sizeof(longest));
    longest[64] = '\0';
    set(config, "marker", "#job");
    assert_string_equal(config->rules.marker, "#job");
    set(config, "marker", "§aufgabe");
    assert_string_equal(config->rules.marker, "§aufgabe");
    set(config, "marker", longest);
    assert_string_equal(config->rules.marker, longest);
    longest[64] = 'm';
    longest[65] = '\0';
    assert_int_equal(tasklog_config_set(config, "marker", longest, error), -EINVAL);
    refuse(config, "marker", "",
           "parameter \"marker\": \"\" is not a word of 1 to 64 characters without blanks");
    refuse(config, "marker", "@task ",
           "parameter \"marker\": \"@task \" is not a word of 1 to 64 characters without blanks");
    refuse(config, "marker", "a\tb",
           "parameter \"marker\": \"a?b\" is not a word of 1 to 64 characters without blanks");
}

static void seconds_are_whole_numbers(void **state)
{
    static const char *const names[] = {"idleTimeout", "maxRuntime", "lateWindow", "liveInterval"};
    static const char *const wrong[] = {"",    "-1",         "1.5",
                                        "5s",  " 5",         "+5",
                                        "1m",  "3153600001", "99999999999999999999999999",
                                        "0x10"};
    static const struct {
        const char *value;
        int64_t ms;
    } good[] = {{"0", 0}, {"1", 1000}, {"0060", 60000}, {"3153600000", INT64_C(3153600000) * 1000}};
    struct tasklog_config *config = *state;
    const int64_t *const places[] = {&config->rules.idle_ms, &config->rules.max_runtime_ms,
                                     &config->rules.late_window_ms,
                                     &config->rules.live_interval_ms};

    for (size_t i = 0; i < COUNT(names); i++) {
        for (size_t j = 0; j < COUNT(good); j++) {
            set(config, names[i], good[j].value);
            assert_int_equal(*places[i], good[j].ms);
        }
        for (size_t j = 0; j < COUNT(wrong); j++) {
            char words[200];
            snprintf(words, sizeof(words),
                     "parameter \"%s\": \"%s\" is not a whole number of seconds up to 3153600000 "
                     "(100 years), or 0 for never",
                     names[i], wrong[j]);
            refuse(config, names[i], wrong[j], words);
        }
        assert_int_equal(*places[i], INT64_C(3153600000) * 1000);
    }
}

static void sizes_count_in_1024_or_in_1000(void **state)
{
    static const char *const names[] = {"liveBytes", "taskMaxBytes", "memoryBudget"};
    static const struct {
        const char *value;
        size_t bytes;
    } good[] = {{"64k", 64 << 10},
                {"64m", 64 << 20},
                {"2g", (size_t)2 << 30},
                {"1K", 1000},
                {"5M", 5000000},
                {"3G", (size_t)3000000000},
                {"1000", 1000},
                {"00065536", 65536},
                {"1024g", (size_t)1 << 40},
                {"1099511627776", (size_t)1 << 40}};
    static const char *const wrong[] = {"",
                                        "0",
                                        "999",
                                        "0k",
                                        "k",
                                        "-1k",
                                        "64kb",
                                        "64 k",
                                        "1.5m",
                                        "64t",
                                        "1025g",
                                        "1099511627777",
                                        "9223372036854775807g",
                                        "99999999999999999999",
                                        "off"};
    struct tasklog_config *config = *state;
    const size_t *const places[] = {&config->rules.live_bytes, &config->rules.task_max_bytes,
                                    &config->rules.memory_bytes};

    for (size_t i = 0; i < COUNT(names); i++) {
        for (size_t j = 0; j < COUNT(good); j++) {
            set(config, names[i], good[j].value);
            assert_int_equal(*places[i], good[j].bytes);
        }
        for (size_t j = 0; j < COUNT(wrong); j++) {
            char words[200];
            snprintf(words, sizeof(words),
                     "parameter \"%s\": \"%s\" is not a size from 1K to 1024g, such as 64k, 64m or "
                     "2g",
                     names[i], wrong[j]);
            refuse(config, names[i], wrong[j], words);
        }
        assert_int_equal(*places[i], (size_t)1 << 40);
    }
}

static void what_is_set_again_counts(void **state)
{
    struct tasklog_config *config = *state;

    set(config, "table", "one");
    set(config, "table", "two");
    assert_string_equal(config->table, "two");
    set(config, "database", "dbname=one");
    set(config, "database", "dbname=two");
    assert_string_equal(config->database, "dbname=two");
}

static void a_long_value_leaves_room_for_what_is_accepted(void **state)
{
    char value[2000];

    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    assert_int_equal(tasklog_config_set(*state, "columns", value, error), -EINVAL);
    assert_non_null(strstr(error, "...\" is not \"field=column\"; fields are: " FIELDS));
    memcpy(value + 1900, "=c", 2);
    assert_int_equal(tasklog_config_set(*state, "key", value, error), -EINVAL);
    assert_non_null(strstr(error, "...\"; fields are: task_id kind host start_time"));
    assert_int_equal(tasklog_config_set(*state, "level", value, error), -EINVAL);
    assert_non_null(strstr(error, "...\" is not one of emerg alert crit err"));
}

/* ---- fields and columns ---- */

static void every_field_goes_into_a_column_of_its_type(void **state)
{
    struct tasklog_config *config = *state;
    char value[64];

    set(config, "database", "dbname=app");
    set(config, "table", "app.tasks");
    set(config, "key", "task_id=k1");
    set(config, "key", "kind=k2");
    set(config, "key", "host=k3");
    set(config, "key", "start_time=k4");
    for (int i = 0; i < FIELD_COUNT; i++) {
        snprintf(value, sizeof(value), "%s=c_%s", field_infos[i].name, field_infos[i].name);
        set(config, "columns", value);
    }
    set(config, "mode", "upsert");
    tasklog_config_set_shared(config); /* or there is no position */
    assert_int_equal(tasklog_config_check(config, error), 0);

    const struct tasklog_target *target = &config->target;
    assert_string_equal(target->database, "dbname=app");
    assert_string_equal(target->table, "app.tasks");
    assert_int_equal(target->mode, TASKLOG_UPSERT);
    assert_int_equal(target->key_count, 4);
    assert_string_equal(target->keys[3].name, "k4");
    assert_int_equal(target->keys[3].type, TASKLOG_TIME);
    assert_int_equal(target->column_count, FIELD_COUNT);
    for (int i = 0; i < FIELD_COUNT; i++) {
        snprintf(value, sizeof(value), "c_%s", field_infos[i].name);
        assert_string_equal(target->columns[i].name, value);
        assert_int_equal(target->columns[i].type, field_infos[i].type);
        assert_int_equal(target->columns[i].appends, i == FIELD_LOG);
    }
}

static void a_field_may_go_into_two_columns(void **state)
{
    struct tasklog_config *config = *state;

    set_required(config);
    set(config, "columns", "log=copy_of_log");
    set(config, "columns", "task_id=copy_of_id");
    assert_int_equal(tasklog_config_check(config, error), 0);
    assert_true(config->target.columns[1].appends);
}

static void a_column_is_all_that_stands_behind_the_first_equals_sign(void **state)
{
    struct tasklog_config *config = *state;

    set_required(config);
    set(config, "columns", "status=a=b \"c\"");
    assert_int_equal(tasklog_config_check(config, error), 0);
    assert_string_equal(config->target.columns[1].name, "a=b \"c\"");
}

static void wrong_mappings_are_refused_with_the_list_of_fields(void **state)
{
    static const struct {
        const char *name, *value, *words;
    } cases[] = {
        {"columns", "logs=task_log",
         "parameter \"columns\": unknown field \"logs\" in \"logs=task_log\"; fields are: " FIELDS},
        {"columns", "Log=task_log",
         "parameter \"columns\": unknown field \"Log\" in \"Log=task_log\"; fields are: " FIELDS},
        {"columns", "log =task_log",
         "parameter \"columns\": unknown field \"log \" in \"log =task_log\"; fields are: " FIELDS},
        {"columns", "=task_log",
         "parameter \"columns\": unknown field \"\" in \"=task_log\"; fields are: " FIELDS},
        {"columns", "log",
         "parameter \"columns\": \"log\" is not \"field=column\"; fields are: " FIELDS},
        {"columns",
         "log=", "parameter \"columns\": \"log=\" is not \"field=column\"; fields are: " FIELDS},
        {"columns", "", "parameter \"columns\": \"\" is not \"field=column\"; fields are: " FIELDS},
        {"KEY", "id=id",
         "parameter \"key\": unknown field \"id\" in \"id=id\"; fields are: task_id kind host "
         "start_time"},
        {"key", "status=s",
         "parameter \"key\": a row cannot be found by the field \"status\" in \"status=s\"; fields "
         "are: task_id kind host start_time"},
        {"key", "task_id",
         "parameter \"key\": \"task_id\" is not \"field=column\"; fields are: task_id kind host "
         "start_time"},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        refuse(*state, cases[i].name, cases[i].value, cases[i].words);
}

static void only_what_never_changes_may_stand_in_a_key(void **state)
{
    char value[64];

    for (int i = 0; i < FIELD_COUNT; i++) {
        snprintf(value, sizeof(value), "%s=c", field_infos[i].name);
        assert_int_equal(tasklog_config_set(*state, "key", value, error),
                         field_infos[i].finds_rows ? 0 : -EINVAL);
    }
}

static void the_sixty_fifth_column_is_refused(void **state)
{
    struct tasklog_config *config = *state;
    char value[32];

    set(config, "database", "dbname=app");
    set(config, "table", "tasks");
    for (int i = 1; i <= MAPPINGS_MAX; i++) {
        snprintf(value, sizeof(value), "log=c%d", i);
        set(config, "columns", value);
    }
    refuse(config, "columns", "log=c65",
           "parameter \"columns\": \"log=c65\" is not one of the first 64, and no more are taken");
    assert_int_equal(tasklog_config_check(config, error), 0);
    assert_int_equal(config->target.column_count, 64);
}

/* ---- all together ---- */

static void what_is_required_is_missed_by_name(void **state)
{
    struct tasklog_config *config = *state;

    refuse_all(config, "parameter \"database\" is required");
    set(config, "database", "dbname=app");
    refuse_all(config, "parameter \"table\" is required");
    set(config, "table", "tasks");
    refuse_all(config, "parameter \"columns\" is required");
    set(config, "columns", "log=task_log");
    assert_int_equal(tasklog_config_check(config, error), 0);
}

static void refuse_for(struct tasklog_config *config, const char *part)
{
    assert_int_equal(tasklog_config_check(config, error), -EINVAL);
    if (!strstr(error, part))
        fail_msg("no \"%s\" in \"%s\"", part, error);
}

static void what_others_may_read_too_has_a_position_and_no_other_has(void **state)
{
    struct tasklog_config *config = *state;

    set_required(config);
    tasklog_config_set_shared(config);
    refuse_for(config, "\"position=COLUMN\" is required");
    set(config, "columns", "position=p");
    set(config, "spool", "off");
    refuse_for(config, "\"spool\" cannot be \"off\"");
    set(config, "spool", "/s");
    assert_int_equal(tasklog_config_check(config, error), 0);
    set(config, "senderMaxRate", "9");
    refuse_for(config, "\"senderMaxRate\" are not for tasklog-kafka");
    set(config, "senderMaxRate", "0");
    assert_int_equal(tasklog_config_check(config, error), 0);
    assert_true(config->target.columns[config->columns.count - 1].guards);
    set(config, "key", "start_time=begun");
    refuse_for(config, "\"start_time\" takes mode \"upsert\" here");
    set(config, "mode", "upsert");
    assert_int_equal(tasklog_config_check(config, error), 0);
    config->is_shared = false;
    refuse_for(config, "\"position\" is for tasklog-kafka only");
}

static void a_check_may_be_repeated(void **state)
{
    struct tasklog_config *config = *state;

    set_required(config);
    assert_int_equal(tasklog_config_check(config, error), 0);
    assert_int_equal(tasklog_config_check(config, error), 0);
    assert_int_equal(config->target.key_count, 1);
}

static void a_column_is_named_once(void **state)
{
    static const struct {
        const char *key, *columns[3], *words;
    } cases[] = {
        {"task_id=id",
         {"log=c", "status=c"},
         "parameter \"columns\": column \"c\" is named twice; each column takes one field"},
        {"task_id=id",
         {"log=c", "log=c"},
         "parameter \"columns\": column \"c\" is named twice; each column takes one field"},
        {"task_id=id",
         {"log=c", "status=id"},
         "parameter \"columns\": column \"id\" is named twice; each column takes one field"},
        {NULL, /* the default */
         {"log=c", "task_id=task_id"},
         "parameter \"columns\": column \"task_id\" is named twice; each column takes one field"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tasklog_config *config;
        assert_int_equal(tasklog_config_new(&config), 0);
        set(config, "database", "dbname=app");
        set(config, "table", "tasks");
        if (cases[i].key)
            set(config, "key", cases[i].key);
        for (size_t j = 0; cases[i].columns[j]; j++)
            set(config, "columns", cases[i].columns[j]);
        refuse_all(config, cases[i].words);
        tasklog_config_free(config);
    }
}

static void a_column_is_named_once_in_a_key(void **state)
{
    struct tasklog_config *config = *state;

    set_required(config);
    set(config, "key", "task_id=id");
    set(config, "key", "kind=id");
    refuse_all(config,
               "parameter \"key\": column \"id\" is named twice; each column takes one field");
}

static void names_that_differ_in_case_are_two_columns(void **state)
{
    struct tasklog_config *config = *state;

    set_required(config);
    set(config, "database", "dbname=app"); /* where names in quotes are case-sensitive */
    set(config, "columns", "status=Task_Log");
    assert_int_equal(tasklog_config_check(config, error), 0);
}

static void an_empty_database_or_table_is_refused(void **state)
{
    refuse(*state, "database", "",
           "parameter \"database\" takes \"postgresql://…\", any other libpq connection string, or "
           "\"sqlite:/PATH\"");
    refuse(*state, "table", "", "parameter \"table\": \"\" is not \"table\" or \"schema.table\"");
}

static void the_store_is_asked_about_database_and_table(void **state)
{
    static const struct {
        const char *database, *table;
        const char *parts[2];
    } cases[] = {
        {"sqlite:db.sqlite3", "tasks", {"database \"sqlite:db.sqlite3\"", "absolute"}},
        {"sqlite:/db.sqlite3", "app.tasks", {"table \"app.tasks\"", "no schema"}},
        {"dbname=app", "app.", {"table \"app.\"", "\"schema.table\""}},
        {"dbname=app", ".tasks", {"table \".tasks\"", "\"schema.table\""}},
        {"postgres", "tasks", {"connection string", "postgresql://user@host/dbname"}},
    };
    struct tasklog_config *config = *state;

    set_required(config);
    for (size_t i = 0; i < COUNT(cases); i++) {
        set(config, "database", cases[i].database);
        set(config, "table", cases[i].table);
        assert_int_equal(tasklog_config_check(config, error), -EINVAL);
        for (size_t j = 0; j < COUNT(cases[i].parts); j++)
            if (!strstr(error, cases[i].parts[j]))
                fail_msg("\"%s\" is missing in: %s", cases[i].parts[j], error);
        assert_null(strchr(error, '\n'));
    }
}

static void the_password_of_a_malformed_database_is_never_shown(void **state)
{
    static const char *const databases[] = {
        "postgresql://app:S3cret@host/db?S3cret",
        "postgresql://app:S3cret@[::1/db",
        "postgresql://app:S3cret%zz@host/db",
        "postgresql://app@host/db?password=S3cret&nonsense=1",
        "postgres://app:p@S3cret@host/db?S3cret",
        "host=db1 password=S3cret nonsense=1",
        "host=db1 password='S3cret",
        "host=db1 passwordS3cret",
        "host=db1 password = 'S3cret' S3cret",
        "S3cret",
        "password=x S3cret",
    };
    struct tasklog_config *config = *state;

    set_required(config);
    for (size_t i = 0; i < COUNT(databases); i++) {
        set(config, "database", databases[i]);
        error[0] = '\0';
        if (tasklog_config_check(config, error) != -EINVAL)
            fail_msg("\"%s\" is taken", databases[i]);
        if (strcasestr(error, "S3cret"))
            fail_msg("the password is shown: %s", error);
        assert_non_null(strstr(error, "accepted are"));
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_defaults_are_those_of_the_contract),
        cmocka_unit_test(a_config_that_nobody_wants_is_freed),
        TEST(names_of_parameters_are_case_insensitive),
        TEST(an_unknown_parameter_is_named),
        TEST(every_level_has_its_names_and_its_number),
        TEST(a_wrong_level_is_refused_with_the_list),
        TEST(the_mode_is_update_or_upsert),
        TEST(a_switch_is_on_or_off),
        TEST(users_are_numbers_or_names),
        TEST(limits_are_counts),
        TEST(those_that_take_several_values_are_known),
        TEST(a_spool_is_a_folder_or_off),
        TEST(a_marker_is_one_word),
        TEST(seconds_are_whole_numbers),
        TEST(sizes_count_in_1024_or_in_1000),
        TEST(what_is_set_again_counts),
        TEST(a_long_value_leaves_room_for_what_is_accepted),
        TEST(every_field_goes_into_a_column_of_its_type),
        TEST(a_field_may_go_into_two_columns),
        TEST(a_column_is_all_that_stands_behind_the_first_equals_sign),
        TEST(wrong_mappings_are_refused_with_the_list_of_fields),
        TEST(only_what_never_changes_may_stand_in_a_key),
        TEST(the_sixty_fifth_column_is_refused),
        TEST(what_is_required_is_missed_by_name),
        TEST(what_others_may_read_too_has_a_position_and_no_other_has),
        TEST(a_check_may_be_repeated),
        cmocka_unit_test(a_column_is_named_once),
        TEST(a_column_is_named_once_in_a_key),
        TEST(names_that_differ_in_case_are_two_columns),
        TEST(an_empty_database_or_table_is_refused),
        TEST(the_store_is_asked_about_database_and_table),
        TEST(the_password_of_a_malformed_database_is_never_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
