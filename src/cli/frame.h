/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes datagrams of texts: the frame that syslog(3) writes to a local socket, or the native protocol
 * of the journal. Pure: it is told the time, and texts are pointed to, never copied.
 */
#ifndef TASKLOG_SRC_FRAME_H
#define TASKLOG_SRC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tasklog/tag.h"

enum frame_form { FRAME_SYSLOG, FRAME_JOURNAL };

enum { FRAME_HEAD_BYTES = 3 * TASKLOG_ID_BYTES_MAX + 3 * TASKLOG_KIND_BYTES_MAX + 160 };
enum { FRAME_SEVERITIES = 8, FRAME_PARTS = 5 };

struct frame {
    enum frame_form form;
    char kind[TASKLOG_KIND_BYTES_MAX + 1];
    char id[TASKLOG_ID_BYTES_MAX + 1];
    int64_t second; /* that the heads were made for */
    size_t head_bytes[FRAME_SEVERITIES];
    char head[FRAME_SEVERITIES][FRAME_HEAD_BYTES];
};

/* One datagram. Its parts point into the frame, the text and itself: it must not be moved. */
struct frame_message {
    struct iovec parts[FRAME_PARTS];
    size_t part_count;
    unsigned char length[8]; /* of a text with newlines, for the journal */
};

/* Kind and id must be valid (tag.h). */
void frame_init(struct frame *frame, enum frame_form form, const char *kind, const char *id);

/* What a message of this severity (syslog's) and text is as a datagram, at this second since 1970. */
void frame_make(struct frame *frame, int64_t second, int severity, const char *text,
                size_t text_bytes, struct frame_message *ret_message);

#endif
