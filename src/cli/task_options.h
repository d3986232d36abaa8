/* SPDX-License-Identifier: Apache-2.0 */
/* The options that say which task it is and where its lines go; several sub-commands have them. */
#ifndef TASKLOG_SRC_TASK_OPTIONS_H
#define TASKLOG_SRC_TASK_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

/* Values of options without a letter. */
enum { OPTION_KIND = 1000, OPTION_ID, OPTION_TO, OPTION_SOCKET, OPTION_MARKER, OPTION_OTHER };

/* clang-format off */
#define TASK_OPTIONS \
    {"kind", required_argument, NULL, OPTION_KIND}, \
    {"id", required_argument, NULL, OPTION_ID}, \
    {"to", required_argument, NULL, OPTION_TO}, \
    {"socket", required_argument, NULL, OPTION_SOCKET}, \
    {"marker", required_argument, NULL, OPTION_MARKER}, \
    {"help", no_argument, NULL, 'h'}

#define TASK_OPTIONS_HELP \
    "  --kind KIND       which kind of task: 1 to 48 characters of A-Z a-z 0-9 _ . -\n" \
    "  --id ID           which task of it: 1 to 255 bytes of UTF-8 without ] and\n" \
    "                    control characters\n"
#define TASK_OPTIONS_TARGET_HELP \
    "  --to syslog       (the default) to a syslog socket, or\n" \
    "  --to journal      to the journal, by its native protocol\n" \
    "  --socket PATH     which socket; the default is $TASKLOG_SOCKET, else /run/tasklog/log\n" \
    "                    where there is a folder /run/tasklog, else /dev/log; for the\n" \
    "                    journal /run/systemd/journal/socket\n" \
    "  --marker WORD     what begins a control line, if not @task\n"
/* clang-format on */

struct task_options {
    const char *kind; /* NULL: not given */
    const char *id;
    const char *to;
    const char *socket;
    const char *marker;
    enum frame_form form;
};

/* Takes one option of getopt_long; false if it is none of these. */
bool task_options_take(struct task_options *options, int option, const char *value);

/*
 * Fills in what was not given, kind and id from the environment if `from_environment`, and checks all
 * of it. The id alone may be missing afterwards. Returns CLI_OK, or CLI_USAGE after saying what is
 * wrong.
 */
int task_options_complete(struct task_options *options, bool from_environment);

/* A whole number from `least`; CLI_OK, or CLI_USAGE after saying so. */
int task_options_number(const char *name, const char *value, int64_t least, int64_t *ret_number);

#endif
