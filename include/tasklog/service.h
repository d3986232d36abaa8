/* SPDX-License-Identifier: Apache-2.0 */
/* What the fronts that are services of their own have alike: messages, signals, arguments. */
#ifndef TASKLOG_SERVICE_H
#define TASKLOG_SERVICE_H

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>

enum { SERVICE_GO_ON = -1, SERVICE_USAGE = 2 };

/* A line for people, `severity` as in syslog; `target` may be NULL. */
static inline void service_say(const char *target, int severity, const char *text)
{
    /* systemd takes the severity off again. */
    if (getenv("JOURNAL_STREAM"))
        fprintf(stderr, "<%d>", severity);
    fprintf(stderr, "%s%s%s\n", target ? target : "", target ? ": " : "", text);
}

/* Before any thread is started, so that all have them blocked: a descriptor that can be read once the service is
 * told to stop, or negative errno. */
static inline int service_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Reads `[-c FILE]`; `name` is the service's. SERVICE_GO_ON, or the status to exit with; `ret_path` is set by -c
 * alone. */
static inline int service_arguments(int count, char **arguments, const char *name,
                                    const char *usage, const char **ret_path)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(count, arguments, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            *ret_path = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return SERVICE_USAGE;
        }
    }
    if (optind == count)
        return SERVICE_GO_ON;
    fprintf(stderr, "%s: unexpected argument \"%s\"\n%s", name, arguments[optind], usage);
    return SERVICE_USAGE;
}

/* Where systemd lets it keep its spools; NULL = it does not say. */
static inline const char *service_state_folder(void)
{
    const char *folder = getenv("STATE_DIRECTORY");

    return folder && *folder ? folder : NULL;
}

#endif
