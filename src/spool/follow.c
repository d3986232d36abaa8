/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader beside the writer. A block of the segment is copied at a time; within a copy a record's length
 * comes before its payload, and the writer stores it last, so where there is a length there is a record. The
 * checksum is looked at all the same: what fits neither now nor later is damage.
 */
#include "tasklog/follow.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "segment.h"

enum { BLOCK_BYTES = 64 << 10, RECORD_BYTES_MAX = 1 << 30 };

struct tasklog_follow {
    int folder_fd;
    int fd; /* of the segment; -1 = none yet */
    uint64_t number;
    size_t offset; /* of the next record */
    char *block;   /* a copy of what is there from block_at on */
    size_t block_at;
    size_t block_bytes;
    size_t block_size;
    bool missed;
};

/* ---- folder ---- */

/* The lowest number above `after`, 0 if there is none. */
static int find_next(const struct tasklog_follow *follow, uint64_t after, uint64_t *ret_number)
{
    int fd = openat(follow->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!folder) {
        int r = -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    *ret_number = 0;
    while ((entry = readdir(folder)) != NULL) {
        uint64_t number = segment_number(entry->d_name);
        if (number > after && (*ret_number == 0 || number < *ret_number))
            *ret_number = number;
    }
    closedir(folder);
    return 0;
}

int tasklog_follow_is_spool(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOTDIR ? 0 : -errno;
    int found = fstatat(fd, "lock", &status, 0) == 0 && S_ISREG(status.st_mode);
    close(fd);
    return found;
}

/* ---- segments ---- */

static int open_segment(struct tasklog_follow *follow, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES];

    segment_name(number, name);
    int fd = openat(follow->folder_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (follow->fd >= 0)
        close(follow->fd);
    follow->fd = fd;
    follow->number = number;
    follow->offset = sizeof(struct segment_header);
    follow->block_bytes = 0;
    return 0;
}

/* Goes to the segment behind this one. 1, 0 if there is none, or negative errno. */
static int next_segment(struct tasklog_follow *follow)
{
    uint64_t number = 0;

    for (;;) {
        int r = find_next(follow, follow->number, &number);
        if (r < 0 || number == 0)
            return r;
        bool gap = follow->fd >= 0 && number != follow->number + 1;
        r = open_segment(follow, number);
        if (r == -ENOENT)
            continue; /* it has just gone */
        if (r == 0 && gap)
            follow->missed = true;
        return r < 0 ? r : 1;
    }
}

static int read_at(int fd, char *buffer, size_t bytes, size_t offset, size_t *ret_bytes)
{
    size_t used = 0;

    while (used < bytes) {
        ssize_t n = pread(fd, buffer + used, bytes - used, (off_t)(offset + used));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            break;
        if (n > 0)
            used += (size_t)n;
    }
    *ret_bytes = used;
    return 0;
}

/* Copies anew from the next record on, at least `bytes` of it. */
static int fill(struct tasklog_follow *follow, size_t bytes)
{
    size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;

    if (size > follow->block_size) {
        char *grown = realloc(follow->block, size);
        if (!grown)
            return -ENOMEM;
        follow->block = grown;
        follow->block_size = size;
    }
    follow->block_at = follow->offset;
    return read_at(follow->fd, follow->block, size, follow->offset, &follow->block_bytes);
}

/* What the copy has of the next record: all of it: 1; nothing: 0; or -EAGAIN with how much it takes. */
static int look(const struct tasklog_follow *follow, struct tasklog_follow_record *ret_record,
                size_t *ret_bytes)
{
    size_t skip = follow->offset - follow->block_at;
    size_t have = skip < follow->block_bytes ? follow->block_bytes - skip : 0;
    const char *at = follow->block + skip;
    struct segment_record head;

    *ret_bytes = sizeof(head);
    if (have < sizeof(head))
        return -EAGAIN;
    memcpy(&head, at, sizeof(head));
    if (head.bytes == 0 || head.bytes > RECORD_BYTES_MAX)
        return 0;
    *ret_bytes = sizeof(head) + head.bytes;
    if (have < *ret_bytes)
        return -EAGAIN;
    *ret_record = (struct tasklog_follow_record){.position = follow->number << 32 | follow->offset,
                                                 .type = head.type,
                                                 .data = at + sizeof(head),
                                                 .bytes = head.bytes};
    return head.check ==
           segment_check(follow->number, follow->offset, head.type, ret_record->data, head.bytes);
}

/* The next record of this segment: 1, 0 if there is none (yet), or negative errno. */
static int next_here(struct tasklog_follow *follow, struct tasklog_follow_record *ret_record)
{
    size_t bytes = 0;
    int r = follow->block_bytes > 0 ? look(follow, ret_record, &bytes) : 0;

    for (int i = 0; r != 1 && i < 2; i++) { /* a second time if it is longer than the block */
        int failed = fill(follow, bytes);
        if (failed < 0)
            return failed;
        r = look(follow, ret_record, &bytes);
        if (r == 0)
            break;
    }
    if (r != 1)
        return 0;
    follow->offset += segment_record_bytes(ret_record->bytes);
    return 1;
}

/* Did the writer find what is behind our last record damaged? It has cut it off then, and put a copy aside. */
static bool was_damaged(const struct tasklog_follow *follow)
{
    char name[64];

    snprintf(name, sizeof(name), "damaged/%012llu-%zu", (unsigned long long)follow->number,
             follow->offset);
    return faccessat(follow->folder_fd, name, F_OK, 0) == 0;
}

int tasklog_follow_next(struct tasklog_follow *follow, struct tasklog_follow_record *ret_record)
{
    uint64_t newer = 0;

    for (;;) {
        int r = follow->fd >= 0 ? next_here(follow, ret_record) : 0;
        if (r != 0)
            return r;
        r = find_next(follow, follow->number, &newer);
        if (r < 0 || newer == 0)
            return r;
        /* Its writer has left this one: what came until it did so is there now. */
        if (follow->fd >= 0) {
            r = next_here(follow, ret_record);
            if (r != 0)
                return r;
            if (was_damaged(follow))
                follow->missed = true;
        }
        r = next_segment(follow);
        if (r <= 0)
            return r;
    }
}

bool tasklog_follow_has_missed(struct tasklog_follow *follow)
{
    bool missed = follow->missed;

    follow->missed = false;
    return missed;
}

int tasklog_follow_read(struct tasklog_follow *follow, tasklog_position position, size_t offset,
                        void *buffer, size_t bytes)
{
    size_t at = (size_t)(position & UINT32_MAX) + sizeof(struct segment_record) + offset;
    char name[SEGMENT_NAME_BYTES];
    size_t got = 0;

    segment_name(position >> 32, name);
    int fd = openat(follow->folder_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = read_at(fd, buffer, bytes, at, &got);
    close(fd);
    return r < 0 ? r : got == bytes ? 0 : -EIO;
}

/* ---- life ---- */

int tasklog_follow_new(const char *path, struct tasklog_follow **ret_follow)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    struct tasklog_follow *follow = calloc(1, sizeof(*follow));
    if (!follow) {
        close(fd);
        return -ENOMEM;
    }
    follow->folder_fd = fd;
    follow->fd = -1;
    *ret_follow = follow;
    return 0;
}

void tasklog_follow_free(struct tasklog_follow *follow)
{
    if (!follow)
        return;
    if (follow->fd >= 0)
        close(follow->fd);
    close(follow->folder_fd);
    free(follow->block);
    free(follow);
}
