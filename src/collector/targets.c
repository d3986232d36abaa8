/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a file of targets. inih knows the syntax; what a parameter takes, the config knows. */
#include "tasklog/targets.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shown.h"
#include "tasklog/tag.h"

enum { NAME_BYTES_MAX = 128, VALUE_BYTES_MAX = 4096 };

struct reading {
    FILE *file;
    const char *path;
    int line;      /* read last */
    bool indented; /* it began with a blank, so it may go on with the one before */
    int too_long;  /* the first line that the parser cannot hold, 0 = none */
    struct tasklog_targets *targets;
    const char *state_folder;
    char *error;
    int result;
    int wrong_line; /* the first one, if it is not 0 */
    /* The parameter that is being put together, for it may go on in the next line. */
    char section[NAME_BYTES_MAX];
    char name[NAME_BYTES_MAX];
    char value[VALUE_BYTES_MAX];
    int name_line;
};

static const char separators[] = " \t,";

static int fail_at(struct reading *reading, int line, int r, const char *text)
{
    if (reading->result == 0 || line < reading->wrong_line) {
        reading->wrong_line = line;
        snprintf(reading->error, TASKLOG_ERROR_BYTES, "%s:%d: %.380s", reading->path, line, text);
        reading->result = r;
    }
    return r;
}

static int fail_in(struct reading *reading, int r, const char *text)
{
    char whole[TASKLOG_ERROR_BYTES];

    snprintf(whole, sizeof(whole), "[%.40s]: %.*s", show_string(reading->section).text,
             TASKLOG_ERROR_BYTES - 48, text);
    return fail_at(reading, reading->name_line, r, whole);
}

static int set_text(struct reading *reading, char **place)
{
    free(*place);
    *place = strdup(reading->value);
    return *place ? 0 : fail_in(reading, -ENOMEM, "out of memory");
}

/* ---- [journal] ---- */

static bool is_namespace(const char *value)
{
    size_t bytes = strlen(value);

    return bytes > 0 && tasklog_kind_span(value, bytes) == bytes;
}

static int set_journal(struct reading *reading)
{
    static const char *const since[] = {"now", "boot", "all"};
    struct tasklog_journal *journal = &reading->targets->journal;

    if (strcasecmp(reading->name, "namespace") == 0) {
        if (!is_namespace(reading->value))
            return fail_in(
                reading, -EINVAL,
                "parameter \"namespace\" takes the name of a journal namespace: letters, "
                "digits, \"-\", \"_\" and \".\"");
        return set_text(reading, &journal->namespace_name);
    }
    if (strcasecmp(reading->name, "directory") == 0) {
        if (reading->value[0] != '/')
            return fail_in(reading, -EINVAL, "parameter \"directory\" takes an absolute path");
        return set_text(reading, &journal->directory);
    }
    if (strcasecmp(reading->name, "since") == 0) {
        for (size_t i = 0; i < sizeof(since) / sizeof(since[0]); i++) {
            if (strcasecmp(reading->value, since[i]) == 0) {
                journal->since = (enum tasklog_since)i;
                return 0;
            }
        }
        return fail_in(reading, -EINVAL, "parameter \"since\" takes \"now\", \"boot\" or \"all\"");
    }
    return fail_in(reading, -EINVAL,
                   "unknown parameter; this section takes \"namespace\", \"directory\" and "
                   "\"since\"");
}

/* ---- [kafka] ---- */

/* What would break the promises of tasklog-kafka, or has a parameter of its own. */
static bool is_ours(const char *property)
{
    static const char *const names[] = {
        "bootstrap.servers",    "metadata.broker.list", "group.id",
        "enable.auto.commit",   "auto.commit.enable",   "enable.auto.offset.store",
        "enable.partition.eof", "auto.offset.reset",    "partition.assignment.strategy"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(property, names[i]) == 0)
            return true;
    return false;
}

static int add_property(struct reading *reading)
{
    struct tasklog_kafka *kafka = &reading->targets->kafka;

    if (!strchr(reading->name, '.'))
        return fail_in(
            reading, -EINVAL,
            "unknown parameter; this section takes \"brokers\", \"topic\", \"group\", and "
            "properties of librdkafka, such as \"security.protocol\"");
    if (is_ours(reading->name))
        return fail_in(
            reading, -EINVAL,
            "this property of librdkafka cannot be set: tasklog-kafka does it, by \"brokers\" "
            "and \"group\" or as no line may be lost");
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there are targets while they are read */
    if (kafka->property_count == TASKLOG_PROPERTIES_MAX)
        return fail_in(reading, -EINVAL, "no more than 64 properties are taken");
    struct tasklog_property *property = &kafka->properties[kafka->property_count++];
    property->name = strdup(reading->name);
    property->value = strdup(reading->value);
    return property->name && property->value ? 0 : fail_in(reading, -ENOMEM, "out of memory");
}

static int set_kafka(struct reading *reading)
{
    struct tasklog_kafka *kafka = &reading->targets->kafka;
    char **place = strcasecmp(reading->name, "brokers") == 0 ? &kafka->brokers
                   : strcasecmp(reading->name, "topic") == 0 ? &kafka->topic
                   : strcasecmp(reading->name, "group") == 0 ? &kafka->group
                                                             : NULL;

    if (!place)
        return add_property(reading);
    if (place == &kafka->topic && reading->value[0] == '^') /* librdkafka's patterns */
        return fail_in(reading, -EINVAL, "parameter \"topic\" takes the name of one topic");
    return set_text(reading, place);
}

static int check_kafka(struct reading *reading)
{
    const struct tasklog_kafka *kafka = &reading->targets->kafka;
    const struct tasklog_journal *journal = &reading->targets->journal;

    if (!kafka->brokers && !kafka->topic && !kafka->group && kafka->property_count == 0)
        return 0;
    if (!kafka->brokers || !*kafka->brokers || !kafka->topic || !*kafka->topic || !kafka->group ||
        !*kafka->group)
        return fail_at(
            reading, reading->line, -EINVAL,
            "[kafka]: \"brokers\" (host:port, ...), \"topic\" and \"group\" are required");
    if (journal->namespace_name || journal->directory || journal->since != TASKLOG_SINCE_NOW)
        return fail_at(reading, reading->line, -EINVAL, "either [journal] or [kafka], not both");
    return 0;
}

/* ---- a target ---- */

static struct tasklog_named_target *find_section(struct reading *reading)
{
    struct tasklog_targets *targets = reading->targets;

    for (size_t i = 0; i < targets->count; i++)
        if (strcmp(targets->targets[i].name, reading->section) == 0)
            return &targets->targets[i];
    if (tasklog_kind_span(reading->section, strlen(reading->section)) != strlen(reading->section)) {
        fail_in(reading, -EINVAL,
                "a target's name may have letters, digits, \"-\", \"_\" and \".\"");
        return NULL;
    }
    if (targets->count == TASKLOG_TARGETS_MAX) {
        fail_in(reading, -EINVAL, "no more than 64 targets are taken");
        return NULL;
    }
    struct tasklog_named_target *target = &targets->targets[targets->count];
    target->name = strdup(reading->section);
    if (!target->name || tasklog_config_new(&target->config) < 0) {
        free(target->name);
        fail_in(reading, -ENOMEM, "out of memory");
        return NULL;
    }
    targets->count++;
    return target;
}

static int add_kind(struct reading *reading, struct tasklog_named_target *target, const char *kind)
{
    char text[TASKLOG_ERROR_BYTES];

    if (!tasklog_kind_is_valid(kind, strlen(kind))) {
        snprintf(text, sizeof(text),
                 "parameter \"kinds\": \"%s\" is not a kind, which is 1 to 48 of A-Z a-z 0-9 _ . -",
                 show_string(kind).text);
        return fail_in(reading, -EINVAL, text);
    }
    const struct tasklog_named_target *other =
        tasklog_targets_find(reading->targets, kind, strlen(kind));
    if (other) {
        snprintf(text, sizeof(text), "parameter \"kinds\": \"%s\" is taken by [%s] already", kind,
                 other->name);
        return fail_in(reading, -EINVAL, text);
    }
    if (target->kind_count == TASKLOG_KINDS_MAX)
        return fail_in(reading, -EINVAL, "parameter \"kinds\": no more than 256 are taken");
    target->kinds[target->kind_count] = strdup(kind);
    if (!target->kinds[target->kind_count])
        return fail_in(reading, -ENOMEM, "out of memory");
    target->kind_count++;
    return 0;
}

static int set_one(struct reading *reading, struct tasklog_named_target *target, const char *value)
{
    char error[TASKLOG_ERROR_BYTES];

    if (strcasecmp(reading->name, "kinds") == 0)
        return add_kind(reading, target, value);
    int r = tasklog_config_set(target->config, reading->name, value, error);
    return r < 0 ? fail_in(reading, r, error) : 0;
}

static int set_target(struct reading *reading)
{
    static const char *const templates[] = {"template", "taskTemplate", "kindTemplate"};
    struct tasklog_named_target *target = find_section(reading);

    if (!target)
        return reading->result;
    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++)
        if (strcasecmp(reading->name, templates[i]) == 0)
            return fail_in(reading, -EINVAL, "templates are rsyslog's: there are none here");
    if (strcasecmp(reading->name, "kinds") != 0 && !tasklog_config_is_list(reading->name))
        return set_one(reading, target, reading->value);
    char *rest = NULL, *word = strtok_r(reading->value, separators, &rest);
    int r = word ? 0 : set_one(reading, target, "");
    for (; word && r == 0; word = strtok_r(NULL, separators, &rest))
        r = set_one(reading, target, word);
    return r;
}

/* ---- the file ---- */

static int finish_parameter(struct reading *reading)
{
    if (!reading->name[0] || reading->result < 0)
        return reading->result;
    int r = strcasecmp(reading->section, "journal") == 0 ? set_journal(reading)
            : strcasecmp(reading->section, "kafka") == 0 ? set_kafka(reading)
                                                         : set_target(reading);
    reading->name[0] = '\0';
    return r;
}

/* For inih: 1 = well. It gives a line that goes on as the same name again. */
static int take_line(void *context, const char *section, const char *name, const char *value)
{
    struct reading *reading = context;
    bool goes_on = reading->indented && reading->name[0];
    size_t used = goes_on ? strlen(reading->value) : 0;

    if (!goes_on && finish_parameter(reading) < 0)
        return 0;
    if (used + strlen(value) + 2 > sizeof(reading->value)) {
        fail_at(reading, reading->line, -EINVAL, "the value is longer than 4000 bytes");
        return 0;
    }
    if (goes_on) {
        snprintf(reading->value + used, sizeof(reading->value) - used, "%s%s", used ? " " : "",
                 value);
        return 1;
    }
    snprintf(reading->section, sizeof(reading->section), "%s", section);
    snprintf(reading->name, sizeof(reading->name), "%s", name);
    snprintf(reading->value, sizeof(reading->value), "%s", value);
    reading->name_line = reading->line;
    if (!section[0]) {
        fail_at(reading, reading->line, -EINVAL,
                "a parameter must stand in a section: [journal], [kafka] or [name of a target]");
        return 0;
    }
    return 1;
}

/* fgets that counts, and notes what the parser has no room for. */
static char *read_line(char *buffer, int size, void *stream)
{
    struct reading *reading = stream;
    char *line = fgets(buffer, size, reading->file);

    if (!line)
        return NULL;
    reading->line++;
    reading->indented = line[0] == ' ' || line[0] == '\t';
    if (!strchr(line, '\n') && !feof(reading->file) && reading->too_long == 0)
        reading->too_long = reading->line;
    return line;
}

static int check_all(struct reading *reading)
{
    struct tasklog_targets *targets = reading->targets;
    char error[TASKLOG_ERROR_BYTES], spool[1024];
    struct tasklog_journal *journal = &targets->journal;

    if (targets->count == 0)
        return fail_at(reading, reading->line, -EINVAL,
                       "there is no target: a section such as [comments] with kinds, database, "
                       "table, key and columns");
    if (journal->namespace_name && journal->directory)
        return fail_at(reading, reading->line, -EINVAL,
                       "[journal]: either \"namespace\" or \"directory\", not both");
    if (check_kafka(reading) < 0)
        return reading->result;
    bool is_kafka = targets->kafka.brokers != NULL;
    const char *folder = reading->state_folder ? reading->state_folder
                         : is_kafka            ? TASKLOG_KAFKA_STATE_FOLDER
                                               : TASKLOG_STATE_FOLDER;
    for (size_t i = 0; i < targets->count; i++) {
        struct tasklog_named_target *target = &targets->targets[i];
        snprintf(reading->section, sizeof(reading->section), "%s", target->name);
        reading->name_line = reading->line;
        if (target->kind_count == 0)
            return fail_in(reading, -EINVAL, "parameter \"kinds\" is required");
        const char *given = tasklog_config_spool(target->config);
        if (is_kafka)
            tasklog_config_set_shared(target->config);
        if (given && !*given && !is_kafka)
            return fail_in(
                reading, -EINVAL,
                "parameter \"spool\" cannot be \"off\": it keeps how far the journal was read");
        if (!tasklog_config_has_spool(target->config)) {
            snprintf(spool, sizeof(spool), "%s/%s", folder, target->name);
            int r = tasklog_config_set(target->config, "spool", spool, error);
            if (r < 0)
                return fail_in(reading, r, error);
        }
        int r = tasklog_config_check(target->config, error);
        if (r < 0)
            return fail_in(reading, r, error);
        tasklog_config_set_escape_prefix(target->config, -1);
    }
    return 0;
}

int tasklog_targets_read(const char *path, const char *state_folder, char *error,
                         struct tasklog_targets **ret_targets)
{
    struct reading reading = {.path = path, .state_folder = state_folder, .error = error};

    reading.targets = calloc(1, sizeof(*reading.targets));
    reading.file = fopen(path, "re");
    if (!reading.targets || !reading.file) {
        reading.result = reading.targets ? -errno : -ENOMEM;
        snprintf(error, TASKLOG_ERROR_BYTES, "%s cannot be read: %s", path,
                 strerror(-reading.result));
        goto finish;
    }
    int wrong = ini_parse_stream(read_line, &reading, take_line, &reading);
    (void)finish_parameter(&reading);
    if (reading.too_long > 0 && reading.too_long <= reading.wrong_line)
        reading.result = 0; /* what was wrong is a half word */
    if (reading.too_long > 0)
        fail_at(&reading, reading.too_long, -EINVAL,
                "the line is too long: values may go on in lines that begin with a blank");
    if (wrong > 0)
        fail_at(&reading, wrong, -EINVAL,
                "the line is neither \"[section]\" nor \"name = value\" nor a comment (;, #)");
    if (wrong < 0 && reading.result == 0)
        fail_at(&reading, reading.line, -ENOMEM, "out of memory");
    if (reading.result == 0)
        (void)check_all(&reading);

finish:
    if (reading.file)
        fclose(reading.file);
    if (reading.result < 0)
        tasklog_targets_free(reading.targets);
    else
        *ret_targets = reading.targets;
    return reading.result;
}

void tasklog_targets_free(struct tasklog_targets *targets)
{
    if (!targets)
        return;
    for (size_t i = 0; i < targets->count; i++) {
        struct tasklog_named_target *target = &targets->targets[i];
        for (size_t j = 0; j < target->kind_count; j++)
            free(target->kinds[j]);
        tasklog_config_free(target->config);
        free(target->name);
    }
    for (size_t i = 0; i < targets->kafka.property_count; i++) {
        free(targets->kafka.properties[i].name);
        free(targets->kafka.properties[i].value);
    }
    free(targets->kafka.brokers);
    free(targets->kafka.topic);
    free(targets->kafka.group);
    free(targets->journal.namespace_name);
    free(targets->journal.directory);
    free(targets);
}

struct tasklog_named_target *tasklog_targets_find(struct tasklog_targets *targets, const char *kind,
                                                  size_t kind_bytes)
{
    for (size_t i = 0; i < targets->count; i++) {
        const struct tasklog_named_target *target = &targets->targets[i];
        for (size_t j = 0; j < target->kind_count; j++)
            if (strlen(target->kinds[j]) == kind_bytes &&
                memcmp(target->kinds[j], kind, kind_bytes) == 0)
                return &targets->targets[i];
    }
    return NULL;
}
