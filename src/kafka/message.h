/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message of the topic as a line: RFC 5424, one message of Kafka each, and the text is all bytes up to its
 * end. Kind and task id are APP-NAME and PROCID. What relays for others, and has task ids with blanks or colons,
 * leaves both out ("-") and puts the syslog tag before the text, as conf/scale/kafka-sender.conf does:
 *
 *     <14>1 2026-11-24T10:31:07.123456+01:00 web1 import run-42 - - Step 1
 *     <14>1 2026-11-24T10:31:07.123456+01:00 web1 - - 0 - import[run 42]: Step 1
 *
 * MSGID is then the version of the syslog protocol by which the relay got the message: by 0 a blank stands
 * between tag and text, by 1 none. Pure functions; nothing is copied.
 */
#ifndef TASKLOG_SRC_KAFKA_MESSAGE_H
#define TASKLOG_SRC_KAFKA_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "tasklog/line.h"

/*
 * Fills in kind, id, host, text, severity and time of a line, which point into `data`. A message without a time
 * of its own ("-") gets `sent_us`. Returns NULL, or what is wrong, for people.
 */
const char *message_read(const char *data, size_t bytes, int64_t sent_us,
                         struct tasklog_line *ret_line) __attribute__((warn_unused_result));

#endif
