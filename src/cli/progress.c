/* SPDX-License-Identifier: Apache-2.0 */
/* tasklog progress: how far a task is. */
#include "control_call.h"

static const struct control_call progress = {
    .verb = FIELDS_PROGRESS,
    .usage =
        "usage: tasklog progress [--kind KIND] [--id ID] [option ...] name=N ...\n"
        "       tasklog progress [--kind KIND] [--id ID] [option ...] -i\n\n"
        "Says how far a task is: processed=N, failed=N, total=N, and counters of any other name.\n"
        "Within a job of tasklog run it knows which task.\n\n",
    .input_usage = "  -i                each line of standard input is such a list of name=N\n",
};

static int run(int count, char **arguments)
{
    return control_call(&progress, count, arguments);
}

const struct cli_command cli_progress = {"progress", "say how far a task is", run};
