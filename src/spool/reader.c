/* SPDX-License-Identifier: Apache-2.0 */
/* Reads single records of a spool. Segments that are needed are not removed, so a name stays good. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "segment.h"
#include "tasklog/spool.h"

struct tasklog_spool_reader {
    char *path;
    int folder_fd;
    struct segment segment; /* the last one that was read from */
};

int tasklog_spool_reader_new(const char *path, struct tasklog_spool_reader **ret_reader)
{
    struct tasklog_spool_reader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return -ENOMEM;
    reader->folder_fd = -1;
    reader->segment = SEGMENT_CLOSED;
    reader->path = strdup(path);
    if (!reader->path) {
        free(reader);
        return -ENOMEM;
    }
    *ret_reader = reader;
    return 0;
}

void tasklog_spool_reader_free(struct tasklog_spool_reader *reader)
{
    if (!reader)
        return;
    segment_close(&reader->segment, 0);
    if (reader->folder_fd >= 0)
        close(reader->folder_fd);
    free(reader->path);
    free(reader);
}

static int go_to_segment(struct tasklog_spool_reader *reader, uint64_t number)
{
    if (reader->segment.map && reader->segment.number == number)
        return 0;
    segment_close(&reader->segment, 0);
    if (reader->folder_fd < 0) {
        reader->folder_fd = open(reader->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (reader->folder_fd < 0)
            return -errno;
    }
    int r = segment_open(reader->folder_fd, number, &reader->segment);
    return r == -EBADMSG ? -EIO : r;
}

int tasklog_spool_reader_read(struct tasklog_spool_reader *reader, tasklog_position position,
                              size_t offset, void *buffer, size_t bytes)
{
    size_t at = (size_t)(position & UINT32_MAX) + sizeof(struct segment_record) + offset;
    int r = go_to_segment(reader, position >> 32);

    if (r < 0)
        return r;
    if (at > reader->segment.size_bytes || reader->segment.size_bytes - at < bytes)
        return -EIO;
    memcpy(buffer, reader->segment.map + at, bytes);
    return 0;
}
