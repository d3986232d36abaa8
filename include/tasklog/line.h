/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message as a front hands it in. All texts are borrowed for the length of the call and need
 * not end with NUL. The last three members are the collector's to fill in.
 */
#ifndef TASKLOG_LINE_H
#define TASKLOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TASKLOG_CURSOR_BYTES_MAX = 1000, TASKLOG_ORIGIN_BYTES_MAX = 320 };

struct tasklog_line {
    const char *kind; /* valid: see tag.h */
    size_t kind_bytes;
    const char *id; /* valid: see tag.h */
    size_t id_bytes;
    const char *host; /* who sent it; may be empty */
    size_t host_bytes;
    const char *text; /* any bytes: what is not text is repaired */
    size_t text_bytes;
    const char *formatted; /* the line as a template of the user's made it, or NULL: then it is
                              `[YYYY-MM-DD HH:MM:SS] text` in local time */
    size_t formatted_bytes;
    int64_t time_us;     /* when it was logged, microseconds since 1970 UTC */
    int64_t received_us; /* when the front's host received it; 0 = not known. Not kept in a spool */
    int severity;        /* syslog's: 0 emergency … 7 debug */
    const char *cursor;  /* where the front's source stands when it has given this line; opaque */
    size_t cursor_bytes; /* at most TASKLOG_CURSOR_BYTES_MAX; 0 = the source cannot be read again */
    const char *origin;  /* which process sent it, as the front names it; may be empty */
    size_t origin_bytes; /* at most TASKLOG_ORIGIN_BYTES_MAX */
    uint64_t stream; /* of the sender's numbers, see number.h; 0 = it does not number its lines */
    uint32_t number; /* in the stream */
    uint32_t sender_pid; /* of its sender, as the kernel vouches for it; 0 = not known */
    bool is_local;       /* it was logged on this host: a process that it names can be watched */
    bool has_uid;        /* the kernel vouches for its sender's user, too: */
    uint32_t uid;
    const char
        *from; /* the address it came from, where a message says itself which host is its; may be
                         empty */
    size_t from_bytes;
    uint64_t peer;    /* these in a number, if senders are told from each other; 0 = they are not */
    uint32_t omitted; /* so many of its task were refused before it, and are told of with it */
    uint64_t position; /* where it lies in the spool; greater for each line, 0 = there is none */
    /* Where it stands in a log that keeps it and that others may read, too: an even number, greater for each
     * line of a task; 0 = its source is none such. Then time passes for its task by received_us. */
    int64_t source_position;
};

#endif
