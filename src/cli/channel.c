/* SPDX-License-Identifier: Apache-2.0 */
/* A socket of syslog or the journal that never blocks; see the header. */
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli.h"

enum { PAUSE_MIN_MS = 20, PAUSE_MAX_MS = 500, SEND_BUFFER_BYTES = 8 << 20 };

void channel_init(struct channel *channel, const char *path, enum frame_form form)
{
    *channel = (struct channel){.path = path,
                                .by_memfd = form == FRAME_JOURNAL,
                                .fd = -1,
                                .pause_ms = PAUSE_MIN_MS};
}

void channel_close(struct channel *channel)
{
    if (channel->fd >= 0)
        close(channel->fd);
    channel->fd = -1;
}

/* No reader, or one that refuses: another attempt after a pause. */
static void go_away(struct channel *channel, int error)
{
    channel_close(channel);
    channel->error = error;
    channel->retry_ms = cli_now_ms() + channel->pause_ms;
    channel->pause_ms *= 2;
    if (channel->pause_ms > PAUSE_MAX_MS)
        channel->pause_ms = PAUSE_MAX_MS;
}

static bool open_socket(struct channel *channel)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int bytes = SEND_BUFFER_BYTES;

    if (channel->fd >= 0)
        return true;
    if (cli_now_ms() < channel->retry_ms)
        return false;
    if (strlen(channel->path) >= sizeof(address.sun_path)) {
        go_away(channel, ENAMETOOLONG);
        return false;
    }
    strcpy(address.sun_path, channel->path);
    channel->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (channel->fd < 0 ||
        connect(channel->fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        go_away(channel, errno);
        return false;
    }
    /* What a datagram may be long. The first is root's, the second goes as far as the system lets. */
    if (setsockopt(channel->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
        (void)setsockopt(channel->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    channel->was_open = true;
    return true;
}

static struct msghdr header(const struct frame_message *message)
{
    return (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)message->parts,
                           .msg_iovlen = message->part_count};
}

/* The file that the journal's protocol has for what is too long: in memory, and sealed. */
static int make_memfd(const struct frame_message *message)
{
    int fd = memfd_create("tasklog", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    for (size_t i = 0; fd >= 0 && i < message->part_count; i++) {
        const char *at = message->parts[i].iov_base;
        size_t left = message->parts[i].iov_len;
        while (left > 0) {
            ssize_t written = write(fd, at, left);
            if (written < 0) {
                close(fd);
                return -1;
            }
            at += written;
            left -= (size_t)written;
        }
    }
    if (fd >= 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* 0, or -1 with errno. */
static int send_memfd(struct channel *channel, const struct frame_message *message)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct msghdr head = {.msg_control = &control, .msg_controllen = sizeof(control)};
    int fd = make_memfd(message), error;

    if (fd < 0)
        return -1;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
    ssize_t sent = sendmsg(channel->fd, &head, MSG_NOSIGNAL);
    error = errno;
    close(fd);
    errno = error;
    return sent < 0 ? -1 : 0;
}

/* Why nothing more was sent; returns what the caller is told. */
static int take_error(struct channel *channel, int error)
{
    if (error == EAGAIN || error == EINTR)
        return -EAGAIN;
    if (error == EMSGSIZE)
        return -EMSGSIZE;
    if (error == ENOBUFS || error == ENOMEM) { /* of the moment; the socket is well */
        channel->error = error;
        channel->retry_ms = cli_now_ms() + PAUSE_MIN_MS;
        return -EAGAIN;
    }
    go_away(channel, error);
    /* The reader has been replaced, perhaps: its socket's successor may be there already. */
    if (error == ECONNREFUSED || error == ENOTCONN || error == ECONNRESET || error == EPIPE)
        channel->retry_ms = 0;
    return -EAGAIN;
}

size_t channel_send(struct channel *channel, const struct frame_message *messages, size_t count,
                    int *ret_error)
{
    struct mmsghdr heads[CHANNEL_BATCH];
    size_t sent = 0;

    *ret_error = 0;
    memset(heads, 0, sizeof(heads[0]) * (count < CHANNEL_BATCH ? count : CHANNEL_BATCH));
    for (size_t i = 0; i < count && i < CHANNEL_BATCH; i++)
        heads[i].msg_hdr = header(&messages[i]);
    for (unsigned attempts = 0; sent < count && attempts < 2;) {
        if (!open_socket(channel)) {
            *ret_error = -EAGAIN;
            return sent;
        }
        int r = sendmmsg(channel->fd, heads + sent, (unsigned)(count - sent), MSG_NOSIGNAL);
        if (r < 0 && errno == EMSGSIZE && channel->by_memfd)
            r = send_memfd(channel, &messages[sent]) == 0 ? 1 : -1;
        if (r > 0) {
            channel->error = 0;
            channel->pause_ms = PAUSE_MIN_MS;
            sent += (size_t)r;
            continue;
        }
        *ret_error = take_error(channel, errno);
        if (channel->fd >= 0)
            return sent;
        attempts++; /* the connection is gone: once more, with a new one */
    }
    if (sent == count)
        *ret_error = 0;
    return sent;
}

void channel_wait(struct channel *channel, int wake_fd, int64_t timeout_ms)
{
    int64_t pause = channel->retry_ms - cli_now_ms();
    bool pausing = channel->fd < 0 || pause > 0;
    struct pollfd fds[] = {{wake_fd, POLLIN, 0}, {pausing ? -1 : channel->fd, POLLOUT, 0}};

    if (pausing && pause < timeout_ms)
        timeout_ms = pause > 0 ? pause : 0;
    if (timeout_ms > 1000)
        timeout_ms = 1000;
    (void)poll(fds, 2, (int)timeout_ms);
}
