/* SPDX-License-Identifier: Apache-2.0 */
/* tasklog progress and tasklog end; see the header. */
#include "control_call.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "post.h"
#include "task_options.h"

enum { OPTION_TIMEOUT = OPTION_OTHER, ARGUMENTS_MAX = 80, ERROR_BYTES = 512 };

struct state {
    const struct control_call *call;
    struct task_options task;
    bool from_input;
    int64_t timeout_s;
    struct post *post;
    int result;
    char *arguments[ARGUMENTS_MAX]; /* of tasklog end -i; ours */
    size_t count;
};

static void print_usage(FILE *out, const struct control_call *call)
{
    fputs(call->usage, out);
    fputs(TASK_OPTIONS_HELP, out);
    fputs(call->input_usage, out);
    fputs(TASK_OPTIONS_TARGET_HELP
          "  --timeout SECONDS how long to wait for a socket that is full or away (5)\n",
          out);
}

/* -1: help was given. */
static int read_options(struct state *state, int count, char **arguments)
{
    static const struct option options[] = {TASK_OPTIONS,
                                            {"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                            {NULL, 0, NULL, 0}};
    int option, result = CLI_OK;

    while (result == CLI_OK &&
           (option = getopt_long(count, arguments, "+hi", options, NULL)) != -1) {
        if (task_options_take(&state->task, option, optarg))
            continue;
        switch (option) {
        case 'h':
            print_usage(stdout, state->call);
            return -1;
        case 'i':
            state->from_input = true;
            break;
        case OPTION_TIMEOUT:
            result = task_options_number("--timeout", optarg, 0, &state->timeout_s);
            break;
        default:
            print_usage(stderr, state->call);
            return CLI_USAGE;
        }
    }
    return result;
}

static void send_fields(struct state *state, char *const *arguments, size_t count)
{
    char error[ERROR_BYTES];
    char *line =
        fields_line(state->task.marker, state->call->verb, arguments, count, error, sizeof(error));

    if (line) {
        post_line(state->post, LOG_INFO, line, strlen(line));
        free(line);
    } else {
        cli_error("%s", error);
        state->result = CLI_USAGE;
    }
}

/* One line of progress's input: a list, which is one control line. */
static void send_list(struct post *post, void *context, char *text, size_t bytes)
{
    struct state *state = context;
    char *arguments[ARGUMENTS_MAX], *rest = NULL;
    size_t count = 0;

    (void)post;
    (void)bytes;
    for (char *word = strtok_r(text, " \t\r", &rest); word && count < ARGUMENTS_MAX;
         word = strtok_r(NULL, " \t\r", &rest))
        arguments[count++] = word;
    if (count > 0)
        send_fields(state, arguments, count);
}

/* One line of end's input: one argument of the control line. */
static void keep_argument(struct post *post, void *context, char *text, size_t bytes)
{
    struct state *state = context;

    (void)post;
    if (bytes > 0 && state->count < ARGUMENTS_MAX &&
        (state->arguments[state->count] = strdup(text)) != NULL)
        state->count++;
}

static int read_input(struct state *state)
{
    if (state->call->verb == FIELDS_PROGRESS)
        return post_file(state->post, stdin, send_list, state);
    int result = post_file(state->post, stdin, keep_argument, state);
    send_fields(state, state->arguments, state->count);
    for (size_t i = 0; i < state->count; i++)
        free(state->arguments[i]);
    return result;
}

static int check(const struct state *state, size_t count)
{
    if (!state->task.id) {
        cli_error("which task? say --id ID");
        return CLI_USAGE;
    }
    if (state->from_input && count > 0) {
        cli_error("-i reads them from standard input: leave the arguments out");
        return CLI_USAGE;
    }
    if (!state->from_input && count == 0 && state->call->verb == FIELDS_PROGRESS) {
        cli_error("how far? say processed=N, total=N or another name=N");
        return CLI_USAGE;
    }
    return CLI_OK;
}

int control_call(const struct control_call *call, int count, char **arguments)
{
    static struct post post; /* too large for a stack */
    struct state state = {.call = call, .timeout_s = 5, .post = &post};
    int read = CLI_OK, result = read_options(&state, count, arguments);

    if (result == CLI_OK)
        result = task_options_complete(&state.task, true);
    if (result == CLI_OK)
        result = check(&state, (size_t)(count - optind));
    if (result != CLI_OK)
        return result < 0 ? CLI_OK : result;
    post_open(&post, &state.task, state.timeout_s * 1000);
    if (state.from_input)
        read = read_input(&state);
    else
        send_fields(&state, arguments + optind, (size_t)(count - optind));
    result = post_close(&post);
    if (state.result != CLI_OK)
        return state.result;
    return result != CLI_OK ? result : read;
}
