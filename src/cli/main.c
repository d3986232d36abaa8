/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasklog, the command: finds the sub-command, and nothing else. It starts before every job that it
 * runs, so it links no database: libpq and what it loads take longer to load than all the rest. The
 * sub-commands that need one live in a program of their own, tasklog-store, which is not for people.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* Beside this program where it was built, in ../lib/tasklog where it is installed. */
static int run_store(int count, char **arguments)
{
    static const char *const places[] = {"tasklog-store", "../lib/tasklog/tasklog-store"};
    char path[PATH_MAX + 64];
    ssize_t bytes = readlink("/proc/self/exe", path, PATH_MAX);
    char *name = bytes > 0 ? memrchr(path, '/', (size_t)bytes) : NULL;

    (void)count;
    if (!name) {
        cli_error("/proc/self/exe cannot be read: %s", strerror(errno));
        return CLI_FAILED;
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        strcpy(name + 1, places[i]);
        execv(path, arguments);
    }
    cli_error("%s cannot be run: %s", path, strerror(errno));
    return CLI_FAILED;
}

static const struct cli_command store_spool = {"spool",
                                               "look at dead letters, store them again, drop them",
                                               run_store};

static const struct cli_command store_check = {"check",
                                               "look whether a configuration and its database fit",
                                               run_store};

static const struct cli_command *const commands[] = {&cli_run,    &cli_log,  &cli_progress,
                                                     &cli_end,    &cli_tail, &store_check,
                                                     &store_spool};

static void usage(FILE *out)
{
    fputs("usage: tasklog COMMAND [...]\n\n", out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\ntasklog COMMAND --help tells more, as does the manual: man tasklog-COMMAND.\n", out);
}

int main(int count, char **arguments)
{
    if (count < 2) {
        usage(stderr);
        return CLI_USAGE;
    }
    if (strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "-h") == 0) {
        usage(stdout);
        return CLI_OK;
    }
    if (strcmp(arguments[1], "--version") == 0) {
        puts("tasklog " CLI_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(arguments[1], commands[i]->name) == 0)
            return commands[i]->run(count - 1, arguments + 1);
    cli_error("there is no command \"%s\"; tasklog --help lists them", arguments[1]);
    return CLI_USAGE;
}
