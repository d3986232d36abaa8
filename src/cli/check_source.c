/* SPDX-License-Identifier: Apache-2.0 */
/* Reads both kinds of configuration, which are told by what stands in them. */
#include "check_source.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cli.h"
#include "rainer.h"
#include "tasklog/targets.h"

enum { FILE_BYTES_MAX = 16 << 20, FILES_MAX = 1000, DEPTH_MAX = 10, SPOOL_BYTES = 1024 };

struct file {
    char *path;
    struct rainer *rainer;
};

struct source {
    struct file *files;
    size_t count;
    size_t mistakes;
    const char *work_folder; /* or NULL */
    check_visit *visit;
    void *context;
};

/* ---- files ---- */

static int read_text(const char *path, char **ret_text, size_t *ret_bytes)
{
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(FILE_BYTES_MAX) : NULL;
    int r = text ? 0 : -errno;

    if (text) {
        *ret_bytes = fread(text, 1, FILE_BYTES_MAX, file);
        r = ferror(file) ? -EIO : *ret_bytes == FILE_BYTES_MAX ? -EFBIG : 0;
    }
    if (file)
        fclose(file);
    if (r < 0)
        free(text);
    else
        *ret_text = text;
    return r;
}

/* Has it a line `[section]`? (In rsyslog's language an array may begin a line, but with a quote in it.) */
static bool is_ini(const char *text, size_t bytes)
{
    const char *end = text + bytes;

    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline ? newline : end;
        const char *bracket = memchr(line, ']', (size_t)(line_end - line));
        if (*line == '[' && bracket && !memchr(line, '"', (size_t)(bracket - line)))
            return true;
        line = line_end + 1;
    }
    return false;
}

/* ---- journald.conf ---- */

static void read_sections(struct source *source, const char *path)
{
    struct tasklog_targets *targets;
    char error[TASKLOG_ERROR_BYTES];

    if (tasklog_targets_read(path, NULL, error, &targets) < 0) {
        cli_error("%s", error);
        source->mistakes++;
        return;
    }
    for (size_t i = 0; i < targets->count; i++) {
        const struct tasklog_named_target *found = &targets->targets[i];
        const struct check_target target = {.what = "section",
                                            .name = found->name,
                                            .path = path,
                                            .kinds = found->kinds,
                                            .kind_count = found->kind_count,
                                            .spool = tasklog_config_spool(found->config),
                                            .config = found->config};
        source->visit(source->context, &target);
    }
    tasklog_targets_free(targets);
}

/* ---- rsyslog: files and what they include ---- */

static void read_file(struct source *source, const char *path, int depth);

static void fail_file(struct source *source, const char *path, const char *why)
{
    cli_error("%s: %s", path, why);
    source->mistakes++;
}

/* As rsyslog does: a folder stands for all that is in it. */
static void include(struct source *source, const struct file *file,
                    const struct rainer_statement *statement, int depth)
{
    const char *pattern = rainer_value(statement, "file");
    const char *optional = rainer_value(statement, "optional");
    char folder[SPOOL_BYTES];
    struct stat status;
    glob_t found;

    if (!pattern) /* include(text=…) */
        return;
    if (stat(pattern, &status) == 0 && S_ISDIR(status.st_mode)) {
        snprintf(folder, sizeof(folder), "%s/*", pattern);
        pattern = folder;
    }
    if (glob(pattern, GLOB_NOMAGIC, NULL, &found) != 0)
        return; /* a pattern that nothing fits */
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (stat(found.gl_pathv[i], &status) == 0 && S_ISDIR(status.st_mode))
            continue;
        if (depth == DEPTH_MAX)
            fail_file(source, file->path, "files include each other more than 10 deep");
        else if (!optional || strcasecmp(optional, "on") != 0 ||
                 stat(found.gl_pathv[i], &status) == 0)
            read_file(source, found.gl_pathv[i], depth + 1);
    }
    globfree(&found);
}

static void add_file(struct source *source, const char *path, const char *text, size_t bytes,
                     int depth)
{
    struct file *file = &source->files[source->count];
    char error[RAINER_ERROR_BYTES] = "out of memory";
    int line = 1;

    if (rainer_read(text, bytes, error, &line, &file->rainer) < 0) {
        cli_error("%s:%d: %s", path, line, error);
        source->mistakes++;
        return;
    }
    file->path = strdup(path);
    source->count++;
    for (size_t i = 0; i < file->rainer->count; i++) {
        const struct rainer_statement *statement = &file->rainer->statements[i];
        if (strcmp(statement->name, "include") == 0)
            include(source, file, statement, depth);
        else if (strcmp(statement->name, "global") == 0 && rainer_value(statement, "workDirectory"))
            source->work_folder = rainer_value(statement, "workDirectory");
    }
}

static void read_file(struct source *source, const char *path, int depth)
{
    char *text;
    size_t bytes;

    if (source->count == FILES_MAX) {
        fail_file(source, path, "is one file too many: no more than 1000 are read");
        return;
    }
    int r = read_text(path, &text, &bytes);
    if (r < 0) {
        cli_error("%s cannot be read: %s", path, strerror(-r));
        source->mistakes++;
        return;
    }
    add_file(source, path, text, bytes, depth);
    free(text);
}

/* ---- rsyslog: actions ---- */

struct action {
    const struct file *file;
    const struct rainer_statement *statement;
    const char *name;
    struct tasklog_config *config;
};

static bool is_ours(const struct rainer_statement *statement)
{
    const char *type = rainer_value(statement, "type");
    const char *enabled = rainer_value(statement, "config.enabled");

    return strcmp(statement->name, "action") == 0 && type && strcasecmp(type, "omtasklog") == 0 &&
           !(enabled && strcasecmp(enabled, "off") == 0);
}

/* Of rsyslog's own parameters, and of those that name its templates, nothing is known here. */
static bool is_rsyslogs(const char *name)
{
    static const char *const names[] = {"type",     "name",         "config.enabled",
                                        "template", "taskTemplate", "kindTemplate"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return strncasecmp(name, "action.", 7) == 0 || strncasecmp(name, "queue.", 6) == 0;
}

static void complain(struct source *source, const struct action *action, int line,
                     const char *error)
{
    cli_error("%s:%d: action \"%s\": %s", action->file->path, line, action->name, error);
    source->mistakes++;
}

/* All of them, so that all mistakes are seen at once. */
static void set_parameters(struct source *source, const struct action *action)
{
    char error[TASKLOG_ERROR_BYTES];

    for (size_t i = 0; i < action->statement->parameter_count; i++) {
        const struct rainer_parameter *parameter = &action->statement->parameters[i];
        if (is_rsyslogs(parameter->name))
            continue;
        if (!tasklog_config_is_list(parameter->name) && parameter->value_count != 1) {
            snprintf(error, sizeof(error), "parameter \"%s\" takes one value, not an array",
                     parameter->name);
            complain(source, action, parameter->line, error);
            continue;
        }
        for (size_t j = 0; j < parameter->value_count; j++)
            if (tasklog_config_set(action->config, parameter->name, parameter->values[j], error) <
                0)
                complain(source, action, parameter->line, error);
    }
}

/* The folder where rsyslog's module would have the spool, in `buffer`; NULL if that is not known. */
static const char *spool_of(const struct source *source, const struct action *action,
                            char buffer[SPOOL_BYTES])
{
    const char *set = tasklog_config_spool(action->config);

    if (set)
        return *set ? set : "off";
    if (!source->work_folder)
        return NULL;
    snprintf(buffer, SPOOL_BYTES, "%s/tasklog/%s", source->work_folder, action->name);
    return buffer;
}

/* Two actions cannot have one spool, and the default one is called by the action's name. */
static bool is_named_twice(const struct source *source, const struct action *action)
{
    for (size_t i = 0; i < source->count; i++) {
        const struct rainer *rainer = source->files[i].rainer;
        for (size_t j = 0; j < rainer->count; j++) {
            const struct rainer_statement *other = &rainer->statements[j];
            const char *name = rainer_value(other, "name");
            if (other == action->statement)
                return false;
            if (is_ours(other) && strcmp(name ? name : "omtasklog", action->name) == 0)
                return true;
        }
    }
    return false;
}

static void read_action(struct source *source, struct action *action)
{
    char error[TASKLOG_ERROR_BYTES] = "out of memory", spool[SPOOL_BYTES];
    const char *name = rainer_value(action->statement, "name");
    size_t before = source->mistakes;

    action->name = name ? name : "omtasklog";
    if (tasklog_config_new(&action->config) < 0) {
        complain(source, action, action->statement->line, error);
        return;
    }
    set_parameters(source, action);
    if (source->mistakes == before && tasklog_config_check(action->config, error) < 0)
        complain(source, action, action->statement->line, error);
    if (!tasklog_config_has_spool(action->config) && is_named_twice(source, action))
        complain(source, action, action->statement->line,
                 "another action has this name, too, and the spool is called by it; give each "
                 "action a name of its own, or set \"spool\"");
    if (source->mistakes == before) {
        const struct check_target target = {.what = "action",
                                            .name = action->name,
                                            .path = action->file->path,
                                            .line = action->statement->line,
                                            .spool = spool_of(source, action, spool),
                                            .config = action->config};
        source->visit(source->context, &target);
    }
    tasklog_config_free(action->config);
}

static void read_actions(struct source *source, const char *path, const char *text, size_t bytes)
{
    size_t found = 0;

    source->files = calloc(FILES_MAX, sizeof(*source->files));
    if (!source->files) {
        fail_file(source, path, "out of memory");
        return;
    }
    add_file(source, path, text, bytes, 0);
    for (size_t i = 0; i < source->count; i++) {
        const struct rainer *rainer = source->files[i].rainer;
        for (size_t j = 0; j < rainer->count; j++) {
            struct action action = {.file = &source->files[i], .statement = &rainer->statements[j]};
            if (!is_ours(action.statement))
                continue;
            found++;
            read_action(source, &action);
        }
    }
    if (found == 0 && source->mistakes == 0)
        fail_file(source, path,
                  "there is no action(type=\"omtasklog\" …), here or in what it includes, and no "
                  "[section] of tasklog-journald: name the file that has one");
    for (size_t i = 0; i < source->count; i++) {
        rainer_free(source->files[i].rainer);
        free(source->files[i].path);
    }
    free(source->files);
}

size_t check_source_read(const char *path, check_visit *visit, void *context)
{
    struct source source = {.visit = visit, .context = context};
    char *text = NULL;
    size_t bytes = 0;
    int r = read_text(path, &text, &bytes);

    if (!text) {
        cli_error("%s cannot be read: %s", path, strerror(-r));
        return 1;
    }
    if (is_ini(text, bytes))
        read_sections(&source, path);
    else
        read_actions(&source, path, text, bytes);
    free(text);
    return source.mistakes;
}
