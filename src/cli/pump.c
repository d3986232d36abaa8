/* SPDX-License-Identifier: Apache-2.0 */
/* Passes a stream of a job through; see the header. */
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* All of it, even where somebody has made our output non-blocking. 0 or errno. */
static int write_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);
        if (written >= 0) {
            data += written;
            bytes -= (size_t)written;
        } else if (errno == EAGAIN) {
            (void)poll(&(struct pollfd){fd, POLLOUT, 0}, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

/* How much to read before it ends, once it was told to stop: what lies in the pipe. */
static size_t rest(const struct pump *pump)
{
    int bytes = 0;

    return ioctl(pump->from, FIONREAD, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

static void *pump_thread(void *context)
{
    struct pump *pump = context;
    size_t left = SIZE_MAX; /* to read; known once it was told to stop */

    while (left > 0) {
        if (left == SIZE_MAX && atomic_load(pump->stop) && (left = rest(pump)) == 0)
            break;
        size_t wanted = left < QUEUE_TEXT_BYTES_MAX ? left : QUEUE_TEXT_BYTES_MAX;
        ssize_t bytes = read(pump->from, pump->buffer, wanted);
        if (bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR))
            break;
        if (bytes < 0) {
            struct pollfd fds[] = {{pump->from, POLLIN, 0}, {pump->stop_fd, POLLIN, 0}};
            if (errno == EAGAIN && left == SIZE_MAX)
                (void)poll(fds, 2, -1);
            else if (errno == EAGAIN)
                break;
            continue;
        }
        queue_put(pump->queue, pump->stream, pump->buffer, (size_t)bytes);
        pump->error = write_all(pump->to, pump->buffer, (size_t)bytes);
        if (pump->error != 0)
            break; /* the job shall see a closed pipe, as it would without us */
        if (left != SIZE_MAX)
            left -= (size_t)bytes;
    }
    close(pump->from);
    if (pump->null_fd >= 0)
        (void)dup2(pump->null_fd, pump->to);
    queue_end(pump->queue, pump->stream);
    return NULL;
}

int pump_start(struct pump *pump)
{
    pump->error = 0;
    pump->buffer = aligned_alloc(4096, QUEUE_TEXT_BYTES_MAX);
    if (!pump->buffer)
        return -ENOMEM;
    (void)fcntl(pump->from, F_SETFL, O_NONBLOCK); /* our end of the pipe alone */
    int r = pthread_create(&pump->thread, NULL, pump_thread, pump);
    if (r != 0)
        free(pump->buffer);
    return -r;
}

bool pump_join(struct pump *pump, int timeout_ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    if (timeout_ms < 0)
        (void)pthread_join(pump->thread, NULL);
    else if (pthread_clockjoin_np(pump->thread, NULL, CLOCK_MONOTONIC, &until) != 0)
        return false;
    free(pump->buffer);
    return true;
}
