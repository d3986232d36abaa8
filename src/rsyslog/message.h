/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the door takes of rsyslog's message object. rsyslog hands a transactional module nothing but strings,
 * and makes these by templates: seven properties of a message, three of them times that it spells out for
 * us to read them back, cost as much as all that we do with the line. So our template is a function, which
 * copies what is wanted into the string's buffer as it is.
 *
 * It reads members of the object, whose layout rsyslog does not promise. Hence message_check(): it makes
 * a message and compares what the function has read with what rsyslog's own templates say.
 */
#ifndef TASKLOG_RSYSLOG_MESSAGE_H
#define TASKLOG_RSYSLOG_MESSAGE_H

#include "rsyslog.h"

#include "conf.h"
#include "syslogd-types.h"
#include "template.h"

#include "tasklog/line.h"
#include "tasklog/tag.h"

#define MESSAGE_TEMPLATE " TasklogMessage"
#define SENDER_TEMPLATE " TasklogSender" /* the same, and who sent it */

/* Adds the templates to a configuration that is being read, and takes what the function needs. */
rsRetVal message_open(rsconf_t *conf);
void message_close(void);

/* RS_RET_NOT_IMPLEMENTED if the running rsyslog is not the one that this was built for. */
rsRetVal message_check(rsconf_t *conf);

/* Reads what the template made. Host, tag and text are borrowed from it. */
void message_read(const actWrkrIParams_t *param, struct tasklog_line *line,
                  struct tasklog_message *message);

#endif
