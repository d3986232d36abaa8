/* SPDX-License-Identifier: Apache-2.0 */
/* What tasklog progress and tasklog end have in common: all but their words. */
#ifndef TASKLOG_SRC_CONTROL_CALL_H
#define TASKLOG_SRC_CONTROL_CALL_H

#include "cli.h"
#include "fields.h"

struct control_call {
    enum fields_verb verb;
    const char *usage;
    const char *input_usage;
};

/* Runs the sub-command; returns its exit status. */
int control_call(const struct control_call *call, int count, char **arguments);

#endif
