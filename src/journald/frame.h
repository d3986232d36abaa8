/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process that reads the journal tells the one that gathers, through a pipe: frames of a fixed head
 * and texts, in the machine's own order. Both ends are the same program.
 *
 *     LINE        a task's line
 *     PASS        nothing that matters came up to here; also a sign of life
 *     WRONG       a message of one of the kinds that is no task's line: origin is why not
 *     LOST        `count` entries of the journal are gone that were not read
 *     SUPPRESSED  journald has dropped `count` messages of `origin`
 *     DIED        `origin` is dead, `text` says how
 *     BOOT        what comes now was logged after the machine was started again
 *
 * All but WRONG have the position behind which to go on once they were taken.
 */
#ifndef TASKLOG_SRC_JOURNALD_FRAME_H
#define TASKLOG_SRC_JOURNALD_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum frame_type {
    FRAME_LINE = 1,
    FRAME_PASS,
    FRAME_WRONG,
    FRAME_LOST,
    FRAME_SUPPRESSED,
    FRAME_DIED,
    FRAME_BOOT,
};

struct frame_text {
    const char *data;
    size_t bytes;
};

enum frame_place {
    FRAME_KIND,
    FRAME_ID,
    FRAME_HOST,
    FRAME_ORIGIN,
    FRAME_POSITION,
    FRAME_TEXT,
    FRAME_TEXTS
};

struct frame {
    enum frame_type type;
    int severity;
    uint32_t pid;
    uint32_t uid; /* LINE: FRAME_NO_UID = not known */
    int64_t time_us;
    uint64_t count;
    struct frame_text texts[FRAME_TEXTS];
};

#define FRAME_NO_UID UINT32_MAX

enum { FRAME_BYTES_MAX = 512 << 20 };

/* Frames on their way out, written when there are many. Zero-initialise it but for the file. */
struct frame_writer {
    int fd;
    char *buffer;
    size_t used;
    size_t size;
};

/* 0, -ENOMEM, or negative errno of write. */
int frame_write(struct frame_writer *writer, const struct frame *frame)
    __attribute__((warn_unused_result));
int frame_flush(struct frame_writer *writer) __attribute__((warn_unused_result));
void frame_writer_done(struct frame_writer *writer);

/* The frame at the beginning of `data`. Returns its bytes, 0 if it is not all there (`ret_need` tells how
 * many are needed), or -EBADMSG. */
int64_t frame_read(const char *data, size_t bytes, struct frame *ret_frame, size_t *ret_need)
    __attribute__((warn_unused_result));

#endif
