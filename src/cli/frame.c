/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams for syslog and for the journal. */
#include "frame.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits < 10 && text[digits] == '\0';
}

/* Everything of a journal's entry but its MESSAGE. Kind and id have no newline: see tag.h. */
static int journal_head(const struct frame *frame, int severity, char *head)
{
    bool has_pid = is_number(frame->id);

    return snprintf(head, FRAME_HEAD_BYTES,
                    "PRIORITY=%d\nSYSLOG_FACILITY=1\nSYSLOG_IDENTIFIER=%s\nTASK_KIND=%s\n"
                    "TASK_ID=%s\n%s%s%s",
                    severity, frame->kind, frame->kind, frame->id, has_pid ? "SYSLOG_PID=" : "",
                    has_pid ? frame->id : "", has_pid ? "\n" : "");
}

static int syslog_head(const struct frame *frame, int severity, char *head)
{
    time_t second = (time_t)frame->second;
    char stamp[32];
    struct tm tm;

    if (!localtime_r(&second, &tm))
        memset(&tm, 0, sizeof(tm));
    strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
    return snprintf(head, FRAME_HEAD_BYTES, "<%d>%s %s[%s]: ", LOG_USER | severity, stamp,
                    frame->kind, frame->id);
}

static void make_heads(struct frame *frame)
{
    for (int severity = 0; severity < FRAME_SEVERITIES; severity++) {
        char *head = frame->head[severity];
        int bytes = frame->form == FRAME_JOURNAL ? journal_head(frame, severity, head)
                                                 : syslog_head(frame, severity, head);
        frame->head_bytes[severity] = (size_t)bytes;
    }
}

void frame_init(struct frame *frame, enum frame_form form, const char *kind, const char *id)
{
    *frame = (struct frame){.form = form};
    snprintf(frame->kind, sizeof(frame->kind), "%s", kind);
    snprintf(frame->id, sizeof(frame->id), "%s", id);
    make_heads(frame);
}

static void add_part(struct frame_message *message, const void *data, size_t bytes)
{
    message->parts[message->part_count++] = (struct iovec){(void *)(uintptr_t)data, bytes};
}

void frame_make(struct frame *frame, int64_t second, int severity, const char *text,
                size_t text_bytes, struct frame_message *ret_message)
{
    struct frame_message *message = ret_message;

    if (frame->form == FRAME_SYSLOG && frame->second != second) {
        frame->second = second; /* the heads keep their length: messages may point to them */
        make_heads(frame);
    }
    message->part_count = 0;
    add_part(message, frame->head[severity], frame->head_bytes[severity]);
    if (frame->form == FRAME_SYSLOG) {
        add_part(message, text, text_bytes);
    } else if (!memchr(text, '\n', text_bytes)) {
        /* MESSAGE= and its text are two parts, which the receiver does not see. */
        add_part(message, "MESSAGE=", 8);
        add_part(message, text, text_bytes);
        add_part(message, "\n", 1);
    } else {
        for (unsigned i = 0; i < sizeof(message->length); i++)
            message->length[i] = (unsigned char)((uint64_t)text_bytes >> 8 * i);
        add_part(message, "MESSAGE\n", 8);
        add_part(message, message->length, sizeof(message->length));
        add_part(message, text, text_bytes);
        add_part(message, "\n", 1);
    }
}
