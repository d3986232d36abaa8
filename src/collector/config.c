/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters: one table says how each is called, how it is read and where it goes. Opens nothing, so
 * that a front can check its configuration without an effect.
 */
#include "tasklog/config.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "settings.h"
#include "shown.h"

static const int64_t SECONDS_MAX = INT64_C(100) * 365 * 24 * 3600;
static const int64_t SIZE_MIN = 1000, SIZE_MAX_BYTES = INT64_C(1) << 40;
static const int64_t COUNT_MAX = 1000000000;
enum { FIELD_LIST_BYTES = 256, MARKER_BYTES_MAX = 64, USER_BYTES_MAX = 64 << 10 };

/* Returns what the parameter takes if the value is not that, NULL if it was read; "" for want of
 * memory. */
typedef const char *read_function(struct tasklog_config *config, const char *value, void *place);

struct parameter {
    const char *name;
    read_function *read;
    size_t offset; /* of what it sets, in the config */
};

static const char *keep_text(char **place, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return "";
    free(*place);
    *place = copy;
    return NULL;
}

static const char *read_database(struct tasklog_config *config, const char *value, void *place)
{
    (void)config;
    if (!*value)
        return "\"postgresql://…\", any other libpq connection string, or \"sqlite:/PATH\"";
    return keep_text(place, value);
}

static const char *read_table(struct tasklog_config *config, const char *value, void *place)
{
    (void)config;
    if (!*value)
        return "\"table\" or \"schema.table\"";
    return keep_text(place, value);
}

static const char *read_marker(struct tasklog_config *config, const char *value, void *place)
{
    static const char takes[] = "a word of 1 to 64 characters without blanks";
    size_t bytes = strlen(value);

    if (bytes == 0 || bytes > MARKER_BYTES_MAX)
        return takes;
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)value[i] <= ' ')
            return takes;
    const char *wrong = keep_text(place, value);
    config->rules.marker = config->marker;
    return wrong;
}

static const char *read_spool(struct tasklog_config *config, const char *value, void *place)
{
    (void)config;
    if (strcasecmp(value, "off") == 0)
        return keep_text(place, "");
    if (value[0] != '/')
        return "\"off\" or an absolute path";
    return keep_text(place, value);
}

static const char *read_mode(struct tasklog_config *config, const char *value, void *place)
{
    (void)config;
    if (strcasecmp(value, "update") == 0)
        *(enum tasklog_mode *)place = TASKLOG_UPDATE;
    else if (strcasecmp(value, "upsert") == 0)
        *(enum tasklog_mode *)place = TASKLOG_UPSERT;
    else
        return "\"update\" or \"upsert\"";
    return NULL;
}

static const char *read_level(struct tasklog_config *config, const char *value, void *place)
{
    static const struct {
        const char *name;
        int level;
    } names[] = {{"emerg", 0},    {"emergency", 0}, {"panic", 0}, {"alert", 1},   {"crit", 2},
                 {"critical", 2}, {"err", 3},       {"error", 3}, {"warning", 4}, {"warn", 4},
                 {"notice", 5},   {"info", 6},      {"debug", 7}};

    (void)config;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(value, names[i].name) == 0) {
            *(int *)place = names[i].level;
            return NULL;
        }
    }
    if (value[0] >= '0' && value[0] <= '7' && !value[1]) {
        *(int *)place = value[0] - '0';
        return NULL;
    }
    return "one of emerg alert crit err warning notice info debug";
}

static const char *read_switch(struct tasklog_config *config, const char *value, void *place)
{
    (void)config;
    if (strcasecmp(value, "on") == 0)
        *(bool *)place = true;
    else if (strcasecmp(value, "off") == 0)
        *(bool *)place = false;
    else
        return "\"on\" or \"off\"";
    return NULL;
}

/* Digits at the beginning; -1 if there are none or too many. Sets where they end. */
static int64_t read_digits(const char *value, const char **ret_rest)
{
    int64_t number = 0;

    if (*value < '0' || *value > '9')
        return -1;
    for (; *value >= '0' && *value <= '9'; value++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *value - '0', &number))
            return -1;
    *ret_rest = value;
    return number;
}

static const char *read_seconds(struct tasklog_config *config, const char *value, void *place)
{
    const char *rest = value;
    int64_t seconds = read_digits(value, &rest);

    (void)config;
    if (seconds < 0 || seconds > SECONDS_MAX || *rest)
        return "a whole number of seconds up to 3153600000 (100 years), or 0 for never";
    *(int64_t *)place = seconds * 1000;
    return NULL;
}

static const char *read_size(struct tasklog_config *config, const char *value, void *place)
{
    /* As in rsyslog: small letters count in 1024, capital ones in 1000. */
    static const struct {
        char letter;
        int64_t factor;
    } units[] = {{'\0', 1},   {'k', 1 << 10}, {'m', 1 << 20},   {'g', 1 << 30},
                 {'K', 1000}, {'M', 1000000}, {'G', 1000000000}};
    const char *rest = value;
    int64_t size = read_digits(value, &rest);

    (void)config;
    for (size_t i = 0; size >= 0 && i < sizeof(units) / sizeof(units[0]); i++) {
        if (*rest != units[i].letter || (*rest && rest[1]))
            continue;
        if (__builtin_mul_overflow(size, units[i].factor, &size) || size < SIZE_MIN ||
            size > SIZE_MAX_BYTES)
            break;
        *(size_t *)place = (size_t)size;
        return NULL;
    }
    return "a size from 1K to 1024g, such as 64k, 64m or 2g";
}

static const char *read_mapping(struct tasklog_config *config, const char *value, void *place)
{
    static const char takes[] = "\"field=column\"";
    struct mapping_list *list = place;
    const char *equals = strchr(value, '=');

    (void)config;
    if (!equals || !equals[1])
        return takes;
    enum field field = field_by_name(value, (size_t)(equals - value));
    if (field == FIELD_COUNT || (list == &config->keys && !field_infos[field].finds_rows))
        return takes;
    if (list->count == MAPPINGS_MAX)
        return "one of the first 64, and no more are taken";
    char *column = strdup(equals + 1);
    if (!column)
        return "";
    list->items[list->count++] = (struct mapping){field, column};
    /* cppcheck-suppress memleak ; it is in the list */
    return NULL;
}

static const char *read_count(struct tasklog_config *config, const char *value, void *place)
{
    const char *rest = value;
    int64_t count = read_digits(value, &rest);

    (void)config;
    if (count < 0 || count > COUNT_MAX || *rest)
        return "a whole number up to 1000000000, or 0 for no limit";
    *(int64_t *)place = count;
    return NULL;
}

/* The uid of a user of this machine: 0, -ENOENT, or -ENOMEM. */
static int find_user(const char *name, uint32_t *ret_uid)
{
    struct passwd entry, *found = NULL;
    char *buffer = malloc(USER_BYTES_MAX);

    if (!buffer)
        return -ENOMEM;
    (void)getpwnam_r(name, &entry, buffer, USER_BYTES_MAX, &found);
    if (found)
        *ret_uid = found->pw_uid;
    free(buffer);
    return found ? 0 : -ENOENT;
}

static const char *read_uid(struct tasklog_config *config, const char *value, void *place)
{
    static const char takes[] = "the number or the name of a user of this machine";
    const char *rest = value;
    int64_t number = read_digits(value, &rest);
    uint32_t uid = (uint32_t)number;

    if (config->trusted_count == UIDS_MAX)
        return "one of the first 64, and no more are taken";
    if (number >= UINT32_MAX) /* which is no uid */
        return takes;
    if (number < 0 || *rest) {
        int r = find_user(value, &uid);
        if (r < 0)
            return r == -ENOMEM ? "" : takes;
    }
    ((uint32_t *)place)[config->trusted_count++] = uid;
    return NULL;
}

#define AT(member) offsetof(struct tasklog_config, member)

static const struct parameter parameters[] = {
    {"database", read_database, AT(database)},
    {"table", read_table, AT(table)},
    {"key", read_mapping, AT(keys)},
    {"columns", read_mapping, AT(columns)},
    {"mode", read_mode, AT(mode)},
    {"level", read_level, AT(rules.level)},
    {"marker", read_marker, AT(marker)},
    {"showLevel", read_switch, AT(rules.show_level)},
    {"idleTimeout", read_seconds, AT(rules.idle_ms)},
    {"maxRuntime", read_seconds, AT(rules.max_runtime_ms)},
    {"lateWindow", read_seconds, AT(rules.late_window_ms)},
    {"liveInterval", read_seconds, AT(rules.live_interval_ms)},
    {"liveBytes", read_size, AT(rules.live_bytes)},
    {"taskMaxBytes", read_size, AT(rules.task_max_bytes)},
    {"memoryBudget", read_size, AT(rules.memory_bytes)},
    {"spool", read_spool, AT(spool)},
    {"spoolSync", read_switch, AT(spool_sync)},
    {"trustedUids", read_uid, AT(trusted_uids)},
    {"senderMaxTasks", read_count, AT(sender_max_tasks)},
    {"senderMaxRate", read_count, AT(sender_max_rate)},
};

static const struct parameter *find_parameter(const char *name)
{
    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
        if (strcasecmp(parameters[i].name, name) == 0)
            return &parameters[i];
    return NULL;
}

/* A wrong field is the most likely slip: it gets the list of what there is. */
static void explain_mapping(const struct parameter *parameter, const char *value, char *error)
{
    bool keys = parameter->offset == AT(keys);
    size_t name_bytes = strcspn(value, "=");
    struct shown shown = show_string(value);
    char fields[FIELD_LIST_BYTES];

    field_list(keys, fields, sizeof(fields));
    if (!value[name_bytes] || !value[name_bytes + 1])
        snprintf(error, TASKLOG_ERROR_BYTES,
                 "parameter \"%s\": \"%s\" is not \"field=column\"; fields are: %s",
                 parameter->name, shown.text, fields);
    else
        snprintf(error, TASKLOG_ERROR_BYTES,
                 "parameter \"%s\": %s \"%s\" in \"%s\"; fields are: %s", parameter->name,
                 keys && field_by_name(value, name_bytes) != FIELD_COUNT
                     ? "a row cannot be found by the field"
                     : "unknown field",
                 show_text(value, name_bytes).text, shown.text, fields);
}

static void explain_name(const char *name, char *error)
{
    int used = snprintf(error, TASKLOG_ERROR_BYTES,
                        "unknown parameter \"%s\"; there are:", show_string(name).text);

    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
        used +=
            snprintf(error + used, (size_t)(TASKLOG_ERROR_BYTES - used), " %s", parameters[i].name);
}

int tasklog_config_set(struct tasklog_config *config, const char *name, const char *value,
                       char *error)
{
    const struct parameter *parameter = find_parameter(name);

    if (!parameter) {
        explain_name(name, error);
        return -EINVAL;
    }
    const char *takes = parameter->read(config, value, (char *)config + parameter->offset);
    if (!takes)
        return 0;
    if (!*takes) {
        snprintf(error, TASKLOG_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    if (parameter->read == read_mapping && strchr(takes, '='))
        explain_mapping(parameter, value, error);
    else if (parameter->offset == AT(database))
        snprintf(error, TASKLOG_ERROR_BYTES, "parameter \"%s\" takes %s", parameter->name, takes);
    else
        snprintf(error, TASKLOG_ERROR_BYTES, "parameter \"%s\": \"%s\" is not %s", parameter->name,
                 show_string(value).text, takes);
    return -EINVAL;
}

/* ---- all together ---- */

static void fill(const struct mapping_list *list, struct tasklog_column *columns)
{
    for (size_t i = 0; i < list->count; i++)
        columns[i] = (struct tasklog_column){.name = list->items[i].column,
                                             .type = field_infos[list->items[i].field].type,
                                             .appends = list->items[i].field == FIELD_LOG,
                                             .guards = list->items[i].field == FIELD_POSITION};
}

static const struct mapping *mapping_at(const struct tasklog_config *config, size_t i)
{
    return i < config->keys.count ? &config->keys.items[i]
                                  : &config->columns.items[i - config->keys.count];
}

static int check_names(const struct tasklog_config *config, char *error)
{
    size_t count = config->keys.count + config->columns.count;

    for (size_t i = 0; i < count; i++) {
        const char *column = mapping_at(config, i)->column;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(column, mapping_at(config, j)->column) != 0)
                continue;
            snprintf(error, TASKLOG_ERROR_BYTES,
                     "parameter \"%s\": column \"%s\" is named twice; each column takes one field",
                     i < config->keys.count ? "key" : "columns", show_string(column).text);
            return -EINVAL;
        }
    }
    return 0;
}

static int check_required(const struct tasklog_config *config, char *error)
{
    const char *missing = NULL;

    if (!config->database)
        missing = "database";
    else if (!config->table)
        missing = "table";
    else if (config->columns.count == 0)
        missing = "columns";
    if (!missing)
        return 0;
    snprintf(error, TASKLOG_ERROR_BYTES, "parameter \"%s\" is required", missing);
    return -EINVAL;
}

/* The store knows which connection strings there are. */
static int check_target(const struct tasklog_config *config, char *error)
{
    struct tasklog_clock no_clock = {0};
    struct tasklog_store *store;
    int r = tasklog_store_new(&config->target, &no_clock, error, TASKLOG_ERROR_BYTES, &store);

    if (r == 0)
        tasklog_store_free(store);
    else if (r == -ENOMEM)
        snprintf(error, TASKLOG_ERROR_BYTES, "out of memory");
    return r;
}

static bool has_field(const struct mapping_list *list, enum field field)
{
    size_t i = 0;

    while (i < list->count && list->items[i].field != field)
        i++;
    return i < list->count;
}

/* Of a source that others may read, too, each row says how far in it it is; of another there is no such place. */
static int check_source(const struct tasklog_config *config, char *error)
{
    const char *wrong = NULL;

    if (!config->is_shared && has_field(&config->columns, FIELD_POSITION))
        wrong = "parameter \"columns\": the field \"position\" is for tasklog-kafka only";
    else if (config->is_shared && !has_field(&config->columns, FIELD_POSITION))
        wrong = "parameter \"columns\": \"position=COLUMN\" is required, a bigint (SQLite: "
                "integer) column that "
                "no one else writes: by it a row never goes back to an older or a shorter log";
    else if (config->is_shared && config->mode == TASKLOG_UPDATE &&
             has_field(&config->keys, FIELD_START_TIME))
        wrong = "parameter \"key\": \"start_time\" takes mode \"upsert\" here, for what has been "
                "read again "
                "from its middle begins later";
    else if (config->is_shared &&
             (config->trusted_count || config->sender_max_tasks || config->sender_max_rate))
        wrong = "parameters \"trustedUids\", \"senderMaxTasks\" and \"senderMaxRate\" are not for "
                "tasklog-kafka: who sent a message to a topic is known to its brokers only";
    else if (config->is_shared && config->spool && !config->spool[0])
        wrong = "parameter \"spool\" cannot be \"off\": what memory cannot hold and dead letters "
                "go there";
    if (!wrong)
        return 0;
    snprintf(error, TASKLOG_ERROR_BYTES, "%s", wrong);
    return -EINVAL;
}

void tasklog_config_set_shared(struct tasklog_config *config)
{
    config->is_shared = true;
}

int tasklog_config_check(struct tasklog_config *config, char *error)
{
    int r = check_required(config, error);

    if (r == 0)
        r = check_source(config, error);
    if (r < 0)
        return r;
    if (config->keys.count == 0) {
        r = tasklog_config_set(config, "key", "task_id=task_id", error);
        if (r < 0)
            return r;
    }
    r = check_names(config, error);
    if (r < 0)
        return r;
    fill(&config->keys, config->target_keys);
    fill(&config->columns, config->target_columns);
    config->target = (struct tasklog_target){.database = config->database,
                                             .table = config->table,
                                             .mode = config->mode,
                                             .keys = config->target_keys,
                                             .key_count = config->keys.count,
                                             .columns = config->target_columns,
                                             .column_count = config->columns.count};
    return check_target(config, error);
}

void tasklog_config_set_escape_prefix(struct tasklog_config *config, int prefix)
{
    config->rules.escape_prefix = prefix;
}

const struct tasklog_target *tasklog_config_target(const struct tasklog_config *config)
{
    return &config->target;
}

const char *tasklog_config_field(const struct tasklog_config *config, size_t i)
{
    return field_infos[mapping_at(config, i)->field].name;
}

const char *tasklog_config_spool(const struct tasklog_config *config)
{
    return config->spool;
}

bool tasklog_config_has_spool(const struct tasklog_config *config)
{
    return config->spool != NULL;
}

bool tasklog_config_tells_senders(const struct tasklog_config *config)
{
    return config->trusted_count > 0 || config->sender_max_tasks > 0 || config->sender_max_rate > 0;
}

bool tasklog_config_is_list(const char *name)
{
    const struct parameter *parameter = find_parameter(name);

    return parameter && (parameter->read == read_mapping || parameter->read == read_uid);
}

/* ---- life ---- */

int tasklog_config_new(struct tasklog_config **ret_config)
{
    struct tasklog_config *config = calloc(1, sizeof(*config));

    if (!config)
        return -ENOMEM;
    config->marker = strdup("@task");
    if (!config->marker) {
        free(config);
        return -ENOMEM;
    }
    config->mode = TASKLOG_UPDATE;
    config->rules = (struct tasklog_rules){
        .marker = config->marker,
        .level = 6,
        .escape_prefix = -1,
        .idle_ms = 7200 * INT64_C(1000),
        .late_window_ms = 60 * INT64_C(1000),
        .live_interval_ms = 5 * INT64_C(1000),
        .live_bytes = 64 << 10,
        .task_max_bytes = 64 << 20,
        .memory_bytes = 256 << 20,
    };
    *ret_config = config;
    return 0;
}

static void free_mappings(struct mapping_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].column);
}

void tasklog_config_free(struct tasklog_config *config)
{
    if (!config)
        return;
    free(config->database);
    free(config->table);
    free(config->marker);
    free(config->spool);
    free_mappings(&config->keys);
    free_mappings(&config->columns);
    free(config);
}
