/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A datagram socket of syslog or of the journal, which never blocks. A reader that goes away and comes
 * back is found again. One thread at a time.
 */
#ifndef TASKLOG_SRC_CHANNEL_H
#define TASKLOG_SRC_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

enum { CHANNEL_BATCH = 64 };

struct channel {
    const char *path; /* borrowed */
    bool by_memfd;    /* the reader takes what is too long for a datagram as a sealed file */
    int fd;           /* -1: there is no connection */
    int error;        /* errno of the last trouble; 0 = there was none since */
    bool was_open;    /* there was a connection once */
    int64_t retry_ms; /* not before then, by cli_now_ms */
    int pause_ms;     /* grows while there is no reader */
};

void channel_init(struct channel *channel, const char *path, enum frame_form form);
void channel_close(struct channel *channel);

/*
 * Sends up to CHANNEL_BATCH messages, in order, as far as it goes without waiting.
 *
 * Returns how many were sent. If that is fewer than `count`, the next one met
 *   -EAGAIN    a full socket, or nobody who reads it: channel_wait, then go on with that one
 *   -EMSGSIZE  the limit on a datagram: make it shorter
 * which `ret_error` says; otherwise that is 0.
 */
size_t channel_send(struct channel *channel, const struct frame_message *messages, size_t count,
                    int *ret_error);

/* Waits until it may be worth a new attempt, or `wake_fd` (-1 = none) can be read, or the time is
 * over. */
void channel_wait(struct channel *channel, int wake_fd, int64_t timeout_ms);

#endif
