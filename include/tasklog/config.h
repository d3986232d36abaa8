/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parameters of one target, as text: names, defaults, what each takes, and the errors that say
 * so. Every front reads its own kind of file and gives what it finds to tasklog_config_set, so that a
 * parameter is the same behind every door.
 */
#ifndef TASKLOG_CONFIG_H
#define TASKLOG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

enum { TASKLOG_ERROR_BYTES = 512 };

struct tasklog_config;
struct tasklog_target;

/* With every default set. 0 or -ENOMEM. */
int tasklog_config_new(struct tasklog_config **ret_config) __attribute__((warn_unused_result));
void tasklog_config_free(struct tasklog_config *config); /* takes NULL */

/*
 * Sets one parameter; upper and lower case are the same in `name`. The elements of an array (`key`,
 * `columns`, `trustedUids`) are set one call each; user names are looked up.
 *
 * Returns 0, or -EINVAL or -ENOMEM with a line in `error` (of TASKLOG_ERROR_BYTES) that names the
 * parameter, what was found and what is accepted.
 */
int tasklog_config_set(struct tasklog_config *config, const char *name, const char *value,
                       char *error) __attribute__((warn_unused_result));

/* Does the parameter take several values? */
bool tasklog_config_is_list(const char *name);

/*
 * For a front whose source keeps its lines until it is told otherwise, and gives them to somebody else if this
 * process ends: its lines have a source_position, rows need the field `position`, and the spool holds nothing
 * that a start would need: it is emptied then, but for dead letters. Before the check.
 */
void tasklog_config_set_shared(struct tasklog_config *config);

/* Looks at all parameters together, after the last one was set: is a required one missing, is a column
 * named twice, is the connection string well-formed? Opens nothing. Returns as above. */
int tasklog_config_check(struct tasklog_config *config, char *error)
    __attribute__((warn_unused_result));

/* Of a config that was checked: where it writes, which lives as long as the config. */
const struct tasklog_target *tasklog_config_target(const struct tasklog_config *config);

/* … and the field whose value goes into a column: `i` counts the target's keys, then its columns. */
const char *tasklog_config_field(const struct tasklog_config *config, size_t i);

/* The folder, "" if it was set to "off", NULL if it was not set. */
const char *tasklog_config_spool(const struct tasklog_config *config);

/* Was `spool` set? If not, the front sets its own default; a collector without it has none. */
bool tasklog_config_has_spool(const struct tasklog_config *config);

/* Does it want to know who sent a line (line.h)? If not, that need not be found out. */
bool tasklog_config_tells_senders(const struct tasklog_config *config);

/* How the front's messages show control characters: `#` in `#012`, or -1 if they are as they were. */
void tasklog_config_set_escape_prefix(struct tasklog_config *config, int prefix);

#endif
