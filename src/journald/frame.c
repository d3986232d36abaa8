/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between reader and gatherer, to and from bytes. */
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLUSH_BYTES = 128 << 10 };

struct frame_head {
    uint32_t bytes; /* all of it */
    uint32_t pid;
    int64_t time_us;
    uint64_t count;
    uint32_t text_bytes[FRAME_TEXTS];
    uint16_t type;
    uint16_t severity;
    uint32_t uid;
};

int frame_flush(struct frame_writer *writer)
{
    for (size_t done = 0; done < writer->used;) {
        ssize_t r = write(writer->fd, writer->buffer + done, writer->used - done);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        done += (size_t)r;
    }
    writer->used = 0;
    return 0;
}

static int make_room(struct frame_writer *writer, size_t bytes)
{
    if (writer->size - writer->used >= bytes)
        return 0;
    size_t size = writer->used + bytes + FLUSH_BYTES;
    char *buffer = realloc(writer->buffer, size);
    if (!buffer)
        return -ENOMEM;
    writer->buffer = buffer;
    writer->size = size;
    return 0;
}

int frame_write(struct frame_writer *writer, const struct frame *frame)
{
    struct frame_head head = {.pid = frame->pid,
                              .uid = frame->uid,
                              .time_us = frame->time_us,
                              .count = frame->count,
                              .type = (uint16_t)frame->type,
                              .severity = (uint16_t)frame->severity};
    size_t bytes = sizeof(head);

    for (size_t i = 0; i < FRAME_TEXTS; i++) {
        head.text_bytes[i] = (uint32_t)frame->texts[i].bytes;
        bytes += frame->texts[i].bytes;
    }
    if (bytes > FRAME_BYTES_MAX)
        return -EMSGSIZE;
    head.bytes = (uint32_t)bytes;
    int r = make_room(writer, bytes);
    if (r < 0)
        return r;
    char *at = writer->buffer + writer->used;
    memcpy(at, &head, sizeof(head));
    at += sizeof(head);
    for (size_t i = 0; i < FRAME_TEXTS; i++) {
        if (frame->texts[i].bytes > 0)
            memcpy(at, frame->texts[i].data, frame->texts[i].bytes);
        at += frame->texts[i].bytes;
    }
    writer->used += bytes;
    return writer->used >= FLUSH_BYTES ? frame_flush(writer) : 0;
}

void frame_writer_done(struct frame_writer *writer)
{
    free(writer->buffer);
    writer->buffer = NULL;
    writer->used = writer->size = 0;
}

int64_t frame_read(const char *data, size_t bytes, struct frame *ret_frame, size_t *ret_need)
{
    struct frame_head head;
    uint64_t sum = sizeof(head);

    if (bytes < sizeof(head)) {
        *ret_need = sizeof(head);
        return 0;
    }
    memcpy(&head, data, sizeof(head));
    for (size_t i = 0; i < FRAME_TEXTS; i++)
        sum += head.text_bytes[i];
    if (head.bytes != sum || sum > FRAME_BYTES_MAX || head.type < FRAME_LINE ||
        head.type > FRAME_BOOT || head.severity > 7)
        return -EBADMSG;
    if (bytes < head.bytes) {
        *ret_need = head.bytes;
        return 0;
    }
    *ret_frame = (struct frame){.type = (enum frame_type)head.type,
                                .severity = head.severity,
                                .pid = head.pid,
                                .uid = head.uid,
                                .time_us = head.time_us,
                                .count = head.count};
    data += sizeof(head);
    for (size_t i = 0; i < FRAME_TEXTS; i++) {
        ret_frame->texts[i] = (struct frame_text){data, head.text_bytes[i]};
        data += head.text_bytes[i];
    }
    return (int64_t)head.bytes;
}
