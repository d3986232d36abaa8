/* SPDX-License-Identifier: Apache-2.0 */
/* Options that several sub-commands have. */
#include "task_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"

#define OWN_FOLDER "/run/tasklog"
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

bool task_options_take(struct task_options *options, int option, const char *value)
{
    switch (option) {
    case OPTION_KIND:
        options->kind = value;
        return true;
    case OPTION_ID:
        options->id = value;
        return true;
    case OPTION_TO:
        options->to = value;
        return true;
    case OPTION_SOCKET:
        options->socket = value;
        return true;
    case OPTION_MARKER:
        options->marker = value;
        return true;
    default:
        return false;
    }
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

static const char *default_socket(enum frame_form form)
{
    struct stat status;

    if (form == FRAME_JOURNAL)
        return JOURNAL_SOCKET;
    /* The folder, for the socket is gone while rsyslogd restarts. */
    if (stat(OWN_FOLDER, &status) == 0 && S_ISDIR(status.st_mode))
        return OWN_FOLDER "/log";
    return "/dev/log";
}

/* The socket of the environment is for what the environment says, so --to without --socket is not. */
static int complete_target(struct task_options *options)
{
    bool given = options->to != NULL;

    if (!options->to)
        options->to = environment("TASKLOG_TO");
    if (!options->to || strcmp(options->to, "syslog") == 0) {
        options->form = FRAME_SYSLOG;
    } else if (strcmp(options->to, "journal") == 0) {
        options->form = FRAME_JOURNAL;
    } else {
        cli_error("--to \"%s\" is neither syslog nor journal", options->to);
        return CLI_USAGE;
    }
    if (!options->socket && (!given || options->form == FRAME_SYSLOG))
        options->socket = environment("TASKLOG_SOCKET");
    if (!options->socket)
        options->socket = default_socket(options->form);
    if (strlen(options->socket) > 107) {
        cli_error("--socket \"%s\" is longer than the 107 bytes that a socket's path can have",
                  options->socket);
        return CLI_USAGE;
    }
    return CLI_OK;
}

static int check_names(const struct task_options *options)
{
    if (!options->kind) {
        cli_error("which kind of task? say --kind KIND");
        return CLI_USAGE;
    }
    if (!tasklog_kind_is_valid(options->kind, strlen(options->kind))) {
        cli_error("--kind \"%s\" is not 1 to 48 characters of A-Z a-z 0-9 _ . -", options->kind);
        return CLI_USAGE;
    }
    if (options->id && !tasklog_id_is_valid(options->id, strlen(options->id))) {
        cli_error("--id is not 1 to 255 bytes of UTF-8 without ] and control characters");
        return CLI_USAGE;
    }
    if (!options->marker[0] || strpbrk(options->marker, " \t\n\v\f\r")) {
        cli_error("--marker \"%s\" is not one word", options->marker);
        return CLI_USAGE;
    }
    return CLI_OK;
}

int task_options_complete(struct task_options *options, bool from_environment)
{
    if (from_environment && !options->kind && !options->id)
        options->id = environment("TASKLOG_ID"); /* it is of that kind */
    if (from_environment && !options->kind)
        options->kind = environment("TASKLOG_KIND");
    if (!options->marker)
        options->marker = environment("TASKLOG_MARKER");
    if (!options->marker)
        options->marker = "@task";
    int result = complete_target(options);
    return result == CLI_OK ? check_names(options) : result;
}

int task_options_number(const char *name, const char *value, int64_t least, int64_t *ret_number)
{
    char *end;

    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || number < least) {
        cli_error("%s \"%s\" is not a whole number from %lld", name, value, (long long)least);
        return CLI_USAGE;
    }
    *ret_number = number;
    return CLI_OK;
}
