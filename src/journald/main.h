/* SPDX-License-Identifier: Apache-2.0 */
/* What the program's main file lends to the others. */
#ifndef TASKLOG_SRC_JOURNALD_MAIN_H
#define TASKLOG_SRC_JOURNALD_MAIN_H

/* The first argument of a process that reads a journal: then namespace, directory, since, position, kinds. */
#define MAIN_READER "--read-journal"

/* One line for people; `severity` as in syslog. Any thread. */
void main_say(const char *target, int severity, const char *text);

/* Something is worth telling systemd. Any thread. */
void main_wake(void);

#endif
