/* SPDX-License-Identifier: Apache-2.0 */
/* tasklog end: a task has ended. */
#include "control_call.h"

static const struct control_call end = {
    .verb = FIELDS_END,
    .usage = "usage: tasklog end [--kind KIND] [--id ID] [option ...] [name=value ...]\n"
             "       tasklog end [--kind KIND] [--id ID] [option ...] -i\n\n"
             "Ends a task: status=WORD (without it COMPLETED, or FAILED if failed is not 0), "
             "processed=N,\n"
             "failed=N, total=N, text=\"closing line\", and counters of any other name.\n\n",
    .input_usage = "  -i                each line of standard input is one name=value\n",
};

static int run(int count, char **arguments)
{
    return control_call(&end, count, arguments);
}

const struct cli_command cli_end = {"end", "end a task, with its status and counts", run};
