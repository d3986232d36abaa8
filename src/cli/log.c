/* SPDX-License-Identifier: Apache-2.0 */
/* tasklog log: one line of a task, or those of standard input. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "cli.h"
#include "post.h"
#include "task_options.h"

enum { OPTION_TIMEOUT = OPTION_OTHER };

struct call {
    struct task_options task;
    int severity;
    bool from_input;
    int64_t timeout_s;
};

static void print_usage(FILE *out)
{
    fputs(
        "usage: tasklog log [--kind KIND] [--id ID] [-p LEVEL] [option ...] [--] text ...\n"
        "       tasklog log [--kind KIND] [--id ID] [-p LEVEL] [option ...] -i\n\n"
        "Logs a line of a task. Within a job of tasklog run it knows which.\n\n" TASK_OPTIONS_HELP
        "  -p LEVEL          debug, info (the default), notice, warning, err, crit, alert, emerg\n"
        "  -i                each line of standard input is one\n" TASK_OPTIONS_TARGET_HELP
        "  --timeout SECONDS how long to wait for a socket that is full or away (5)\n",
        out);
}

static int read_level(const char *value, int *ret_severity)
{
    static const char *const levels[] = {"emerg",   "alert",  "crit", "err",
                                         "warning", "notice", "info", "debug"};

    for (int i = 0; i < (int)(sizeof(levels) / sizeof(levels[0])); i++) {
        if (strcmp(value, levels[i]) == 0) {
            *ret_severity = i;
            return CLI_OK;
        }
    }
    cli_error("-p \"%s\" is none of debug, info, notice, warning, err, crit, alert, emerg", value);
    return CLI_USAGE;
}

/* -1: help was given. */
static int read_options(int count, char **arguments, struct call *call)
{
    static const struct option options[] = {TASK_OPTIONS,
                                            {"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                            {NULL, 0, NULL, 0}};
    int option, result = CLI_OK;

    while (result == CLI_OK &&
           (option = getopt_long(count, arguments, "+hip:", options, NULL)) != -1) {
        if (task_options_take(&call->task, option, optarg))
            continue;
        switch (option) {
        case 'h':
            print_usage(stdout);
            return -1;
        case 'i':
            call->from_input = true;
            break;
        case 'p':
            result = read_level(optarg, &call->severity);
            break;
        case OPTION_TIMEOUT:
            result = task_options_number("--timeout", optarg, 0, &call->timeout_s);
            break;
        default:
            print_usage(stderr);
            return CLI_USAGE;
        }
    }
    return result;
}

static int check(const struct call *call, bool has_text)
{
    if (!call->task.id) {
        cli_error("which task? say --id ID");
        return CLI_USAGE;
    }
    if (call->from_input && has_text) {
        cli_error("-i reads the text from standard input: leave the arguments out");
        return CLI_USAGE;
    }
    if (!call->from_input && !has_text) {
        cli_error("which text? it stands behind the options; -i reads it from standard input");
        return CLI_USAGE;
    }
    return CLI_OK;
}

static void log_input(struct post *post, void *context, char *text, size_t bytes)
{
    const struct call *call = context;

    post_line(post, call->severity, text, bytes);
}

/* As echo(1): the arguments with a blank between them. */
static void log_arguments(struct post *post, const struct call *call, char *const *arguments)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);

    if (!out) {
        post->unsent_lines++;
        return;
    }
    for (size_t i = 0; arguments[i]; i++)
        fprintf(out, "%s%s", i > 0 ? " " : "", arguments[i]);
    if (fclose(out) == 0)
        post_line(post, call->severity, text, bytes);
    else
        post->unsent_lines++;
    free(text);
}

static int run(int count, char **arguments)
{
    struct call call = {.severity = LOG_INFO, .timeout_s = 5};
    static struct post post; /* too large for a stack */
    int read = CLI_OK, result = read_options(count, arguments, &call);

    if (result == CLI_OK)
        result = task_options_complete(&call.task, true);
    if (result == CLI_OK)
        result = check(&call, optind < count);
    if (result != CLI_OK)
        return result < 0 ? CLI_OK : result;
    post_open(&post, &call.task, call.timeout_s * 1000);
    if (call.from_input)
        read = post_file(&post, stdin, log_input, &call);
    else
        log_arguments(&post, &call, arguments + optind);
    result = post_close(&post);
    return result != CLI_OK ? result : read;
}

const struct cli_command cli_log = {"log", "log a line of a task, or those of standard input", run};
