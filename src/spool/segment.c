/* SPDX-License-Identifier: Apache-2.0 */
/* Segment files, and the room that is kept for one. */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14, and newer than some C libraries */
#endif

enum { FORMAT = 1, PAGE_BYTES = 4096, WARM_BYTES = 256 << 10 };
#define UNBORN_NAME "next" /* until there is a header: a kill leaves nothing that looks damaged */
#define RESERVE_NAME "reserve"
static const char MAGIC[8] = {'t', 'a', 's', 'k', 'l', 'o', 'g', 'S'};

void segment_name(uint64_t number, char name[SEGMENT_NAME_BYTES])
{
    snprintf(name, SEGMENT_NAME_BYTES, "%012llu.seg", (unsigned long long)number);
}

uint64_t segment_number(const char *name)
{
    char own[SEGMENT_NAME_BYTES];
    uint64_t number = strtoull(name, NULL, 10);

    if (number == 0 || number > UINT32_MAX)
        return 0;
    segment_name(number, own);
    return strcmp(own, name) == 0 ? number : 0;
}

size_t segment_record_bytes(size_t payload_bytes)
{
    size_t bytes = sizeof(struct segment_record) + payload_bytes;

    return (bytes + SEGMENT_ALIGN - 1) / SEGMENT_ALIGN * SEGMENT_ALIGN;
}

uint64_t segment_check(uint64_t number, size_t offset, uint32_t type, const void *payload,
                       size_t bytes)
{
    uint64_t seed = number << 32 | offset;

    return XXH3_64bits_withSeed(payload, bytes, seed) ^ ((uint64_t)bytes << 32 | type);
}

static uint64_t header_check(const struct segment_header *header)
{
    return XXH3_64bits(header, offsetof(struct segment_header, check));
}

static int map(struct segment *segment, int protection)
{
    void *at = mmap(NULL, segment->size_bytes, protection, MAP_SHARED, segment->fd, 0);

    if (at == MAP_FAILED)
        return -errno;
    segment->map = at;
    return 0;
}

void segment_warm(struct segment *segment, size_t bytes)
{
    if (segment->used_bytes + bytes <= segment->warm_bytes)
        return;
    size_t from = segment->warm_bytes / PAGE_BYTES * PAGE_BYTES;
    size_t to = segment->used_bytes + bytes + WARM_BYTES;
    if (to > segment->size_bytes)
        to = segment->size_bytes;
    (void)madvise(segment->map + from, to - from,
                  MADV_POPULATE_WRITE); /* older kernels: by fault */
    segment->warm_bytes = to;
    size_t behind = segment->used_bytes / PAGE_BYTES * PAGE_BYTES;
    (void)madvise(segment->map + segment->cold_bytes, behind - segment->cold_bytes, MADV_DONTNEED);
    segment->cold_bytes = behind;
}

/* A file with so much room. Its descriptor, or negative errno: then no file is left. */
static int make_room(int folder_fd, const char *name, size_t bytes)
{
    int r, fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    do
        r = -posix_fallocate(fd, 0, (off_t)bytes);
    while (r == -EINTR);
    if (r == 0)
        return fd;
    (void)unlinkat(folder_fd, name, 0);
    close(fd);
    return r;
}

/* Makes a segment of the unborn file, which is open and empty. 0 or negative errno; then no file is left. */
static int bear(int folder_fd, struct segment *segment)
{
    char name[SEGMENT_NAME_BYTES];
    int r = map(segment, PROT_READ | PROT_WRITE);

    segment_name(segment->number, name);
    if (segment->map) {
        struct segment_header header = {.format = FORMAT, .number = segment->number};
        memcpy(header.magic, MAGIC, sizeof(MAGIC));
        header.check = header_check(&header);
        memcpy(segment->map, &header, sizeof(header));
        segment->used_bytes = sizeof(header);
        if (renameat(folder_fd, UNBORN_NAME, folder_fd, name) < 0)
            r = -errno;
    }
    if (r < 0) {
        (void)unlinkat(folder_fd, UNBORN_NAME, 0);
        segment_close(segment, 0);
    }
    return r;
}

int segment_create(int folder_fd, uint64_t number, size_t size_bytes, struct segment *ret_segment)
{
    struct segment segment = {.number = number,
                              .fd = make_room(folder_fd, UNBORN_NAME, size_bytes),
                              .size_bytes = size_bytes};

    if (segment.fd < 0)
        return segment.fd;
    int r = bear(folder_fd, &segment);
    if (r == 0)
        *ret_segment = segment;
    return r;
}

int segment_keep_reserve(int folder_fd, size_t size_bytes)
{
    int fd = make_room(folder_fd, RESERVE_NAME, size_bytes);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

size_t segment_reserve_bytes(int folder_fd)
{
    struct stat status;

    if (fstatat(folder_fd, RESERVE_NAME, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(status.st_mode))
        return 0;
    return (size_t)status.st_size;
}

int segment_create_of_reserve(int folder_fd, uint64_t number, size_t leave_bytes,
                              struct segment *ret_segment)
{
    size_t bytes = segment_reserve_bytes(folder_fd);
    struct segment segment = {.number = number, .size_bytes = bytes - leave_bytes};

    if (bytes == 0)
        return -ENOENT;
    if (bytes <= leave_bytes + sizeof(struct segment_header))
        return -ENOSPC;
    if (renameat(folder_fd, RESERVE_NAME, folder_fd, UNBORN_NAME) < 0)
        return -errno;
    segment.fd = openat(folder_fd, UNBORN_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (segment.fd < 0 || ftruncate(segment.fd, (off_t)segment.size_bytes) < 0) {
        int r = -errno;
        (void)unlinkat(folder_fd, UNBORN_NAME, 0);
        segment_close(&segment, 0);
        return r;
    }
    int r = bear(folder_fd, &segment);
    if (r == 0)
        *ret_segment = segment;
    return r;
}

int segment_open(int folder_fd, uint64_t number, struct segment *ret_segment)
{
    struct segment segment = {.number = number};
    char name[SEGMENT_NAME_BYTES];
    struct stat status;
    int r = 0;

    segment_name(number, name);
    segment.fd = openat(folder_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (segment.fd < 0)
        return errno == ELOOP ? -EBADMSG : -errno; /* a link is nothing of ours */
    if (fstat(segment.fd, &status) < 0)
        r = -errno;
    else if ((size_t)status.st_size < sizeof(struct segment_header))
        r = -EBADMSG;
    if (r == 0) {
        segment.size_bytes = (size_t)status.st_size;
        r = map(&segment, PROT_READ);
    }
    if (segment.map) {
        struct segment_header header;
        memcpy(&header, segment.map, sizeof(header));
        if (memcmp(header.magic, MAGIC, sizeof(MAGIC)) != 0 || header.format != FORMAT ||
            header.number != number || header.check != header_check(&header))
            r = -EBADMSG;
        segment.used_bytes = sizeof(header);
    }
    if (r < 0) {
        segment_close(&segment, 0);
        return r;
    }
    *ret_segment = segment;
    return 0;
}

/* Is there nothing more but what was reserved? */
static int rest_is_empty(const struct segment *segment)
{
    const char *at = segment->map + segment->used_bytes;
    size_t bytes = segment->size_bytes - segment->used_bytes;

    return bytes == 0 || (at[0] == 0 && memcmp(at, at + 1, bytes - 1) == 0);
}

static int is_record(const struct segment *segment, size_t offset)
{
    const struct segment_record *record = (const void *)(segment->map + offset);
    size_t room = segment->size_bytes - offset;

    if (room < sizeof(*record) || record->bytes == 0 || record->bytes > room - sizeof(*record))
        return 0;
    return record->check == segment_check(segment->number, offset, record->type,
                                          segment->map + offset + sizeof(*record), record->bytes);
}

/* A record's checksum is written when its payload is there. If there is none, and no record behind,
 * then a kill came between: the record was never taken, and nothing is damaged. */
static int is_unfinished(const struct segment *segment)
{
    const struct segment_record *record = (const void *)(segment->map + segment->used_bytes);
    size_t offset = segment->used_bytes + SEGMENT_ALIGN;

    if (segment->size_bytes - segment->used_bytes < sizeof(*record) || record->bytes != 0 ||
        record->check != 0)
        return 0;
    while (offset < segment->size_bytes && !is_record(segment, offset))
        offset += SEGMENT_ALIGN;
    return offset >= segment->size_bytes;
}

int segment_next(struct segment *segment, const struct segment_record **ret_record,
                 const void **ret_payload)
{
    size_t offset = segment->used_bytes, room = segment->size_bytes - offset;
    const struct segment_record *record = (const void *)(segment->map + offset);

    if (!is_record(segment, offset))
        return rest_is_empty(segment) || is_unfinished(segment) ? 0 : -EBADMSG;
    size_t whole = segment_record_bytes(record->bytes);
    segment->used_bytes = whole < room ? offset + whole : segment->size_bytes;
    *ret_record = record;
    *ret_payload = segment->map + offset + sizeof(*record);
    return 1;
}

void segment_close(struct segment *segment, int trim)
{
    if (segment->map)
        munmap(segment->map, segment->size_bytes);
    if (segment->fd >= 0) {
        if (trim)
            (void)!ftruncate(segment->fd, (off_t)segment->used_bytes);
        close(segment->fd);
    }
    *segment = SEGMENT_CLOSED;
}
