/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program in C whose syslog(3) messages become a task's log. The work is made up; the lines that
 * log are what there is to copy. Build and usage:
 *
 *     cc -o column_comments column_comments.c
 *     ./column_comments [-s] TASK_ID       -s: write the lines to stderr, too
 *
 * syslog(3) always writes to /dev/log. To have the lines in tasklog, give the program tasklog's socket
 * under that name: omtasklog.conf tells how, at its input.
 */
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static const char *const columns[] = {"name", "country", "city", "language"};

int main(int argc, char **argv)
{
    int to_stderr = argc == 3 && strcmp(argv[1], "-s") == 0;
    char tag[320];
    int processed = 0;

    if (argc != 2 + to_stderr) {
        fprintf(stderr, "usage: %s [-s] TASK_ID\n", argv[0]);
        return 2;
    }
    /* syslog(3) keeps the pointer, not a copy: the tag must live as long as the program logs. */
    snprintf(tag, sizeof(tag), "workspace_column_comments[%s]", argv[argc - 1]);
    openlog(tag, to_stderr ? LOG_PERROR : 0, LOG_USER);

    syslog(LOG_INFO, "Writing column comments of table customers");
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        syslog(LOG_INFO, "  customers.%s: done", columns[i]);
        processed++;
    }
    syslog(LOG_ERR, "  customers.note: is empty in every row");
    syslog(LOG_INFO, "@task end processed=%d failed=1 total=%d", processed, processed + 1);
    closelog();
    return 0;
}
