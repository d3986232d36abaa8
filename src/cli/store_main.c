/* SPDX-License-Identifier: Apache-2.0 */
/* tasklog-store: the sub-commands of tasklog that need a database. tasklog runs it; see main.c. */
#include <string.h>

#include "cli.h"

int main(int count, char **arguments)
{
    static const struct cli_command *const commands[] = {&cli_check, &cli_spool};

    for (size_t i = 0; count > 0 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(arguments[0], commands[i]->name) == 0)
            return commands[i]->run(count, arguments);
    cli_error("tasklog-store is a part of tasklog, and run by it");
    return CLI_USAGE;
}
