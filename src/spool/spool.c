/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of segments: lock, replay, append, release. Segment files themselves are segment.c's. */
#include "tasklog/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "file.h"
#include "segment.h"

#define DAMAGED_FOLDER "damaged"

/* On a disk that has no room for a whole one, the first and the last segment may be as small as this. A reserve is kept if there is
 * room for so many. */
enum { SEGMENT_BYTES_MIN = 64 << 10, RESERVE_FACTOR = 4 };

struct tasklog_spool {
    char *path;
    int folder_fd;
    int lock_fd;
    size_t segment_bytes;
    bool sync;
    bool keep_reserve;
    size_t reserve_bytes; /* what is kept on disk; 0 = nothing */
    uint64_t *numbers; /* of the segments on disk, oldest first; the one written to is the last */
    uint64_t *sizes;   /* what each takes */
    size_t count;
    size_t size; /* of the two arrays */
    uint64_t next_number;
    uint64_t total_bytes;
    struct segment current; /* being written to; closed before the first reserve */
    size_t reserved_bytes;  /* of the record to be written, payload only */
};

static int fail(int error_number, char *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(int error_number, char *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error, TASKLOG_SPOOL_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return error_number;
}

/* ---- the list of segments ---- */

static int list_make_room(struct tasklog_spool *spool)
{
    if (spool->count < spool->size)
        return 0;
    size_t size = spool->size ? spool->size * 2 : 16;
    uint64_t *numbers = realloc(spool->numbers, size * sizeof(*numbers));
    if (!numbers)
        return -ENOMEM;
    spool->numbers = numbers;
    uint64_t *sizes = realloc(spool->sizes, size * sizeof(*sizes));
    if (!sizes)
        return -ENOMEM;
    spool->sizes = sizes;
    spool->size = size;
    return 0;
}

static void list_add(struct tasklog_spool *spool, uint64_t number, uint64_t bytes)
{
    spool->numbers[spool->count] = number;
    spool->sizes[spool->count++] = bytes;
    spool->total_bytes += bytes;
    if (number >= spool->next_number)
        spool->next_number = number + 1;
}

static void list_remove(struct tasklog_spool *spool, size_t i)
{
    spool->total_bytes -= spool->sizes[i];
    spool->count--;
    memmove(spool->numbers + i, spool->numbers + i + 1, (spool->count - i) * sizeof(uint64_t));
    memmove(spool->sizes + i, spool->sizes + i + 1, (spool->count - i) * sizeof(uint64_t));
}

static void list_resize(struct tasklog_spool *spool, size_t i, uint64_t bytes)
{
    spool->total_bytes += bytes - spool->sizes[i];
    spool->sizes[i] = bytes;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Fills the list in from the folder. */
static int list_read(struct tasklog_spool *spool)
{
    int fd = openat(spool->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int r = 0;

    if (!folder) {
        r = -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    while (r == 0 && (entry = readdir(folder)) != NULL) {
        uint64_t number = segment_number(entry->d_name);
        if (number == 0)
            continue;
        r = list_make_room(spool);
        if (r == 0)
            list_add(spool, number, 0);
    }
    closedir(folder);
    if (spool->count > 0)
        qsort(spool->numbers, spool->count, sizeof(uint64_t), compare_numbers);
    return r;
}

/* ---- open and close ---- */

static int make_folders(const char *path)
{
    char part[PATH_MAX];
    size_t bytes = strlen(path);

    if (bytes >= sizeof(part))
        return -ENAMETOOLONG;
    memcpy(part, path, bytes + 1);
    for (char *at = part + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    return mkdir(part, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* Whoever can put files into the folder could make us write rows, or others' files. */
static int check_folder(const struct tasklog_spool *spool, char *error)
{
    struct stat status;

    if (fstat(spool->folder_fd, &status) < 0)
        return fail(-errno, error, "spool \"%s\" cannot be opened: %s", spool->path,
                    strerror(errno));
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return fail(
            -EPERM, error,
            "spool \"%s\" is the folder of uid %u, who could forge what is in it; it must be "
            "root's or that of the user who logs (uid %u)",
            spool->path, status.st_uid, geteuid());
    if (status.st_mode & S_IWOTH)
        return fail(
            -EPERM, error,
            "spool \"%s\" can be written by everybody (mode %04o), who could forge what is in "
            "it: chmod o-w",
            spool->path, status.st_mode & 07777);
    return 0;
}

static int open_folder(struct tasklog_spool *spool, char *error)
{
    int r = make_folders(spool->path);

    if (r < 0)
        return fail(r, error, "spool \"%s\" cannot be made: %s", spool->path, strerror(-r));
    spool->folder_fd = open(spool->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spool->folder_fd >= 0) {
        r = check_folder(spool, error);
        if (r < 0)
            return r;
    }
    if (spool->folder_fd >= 0)
        spool->lock_fd =
            openat(spool->folder_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (spool->lock_fd < 0) {
        r = -errno;
        return fail(r, error, "spool \"%s\" cannot be opened: %s", spool->path, strerror(-r));
    }
    if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        r = errno == EWOULDBLOCK ? -EBUSY : -errno;
        if (r == -EBUSY)
            return fail(r, error,
                        "spool \"%s\" is in use by another process or action; each needs its own",
                        spool->path);
        return fail(r, error, "spool \"%s\" cannot be locked: %s", spool->path, strerror(-r));
    }
    r = list_read(spool);
    if (r < 0)
        return fail(r, error, "spool \"%s\" cannot be read: %s", spool->path, strerror(-r));
    return 0;
}

int tasklog_spool_open(const struct tasklog_spool_options *options, char *error,
                       struct tasklog_spool **ret_spool)
{
    struct tasklog_spool *spool = calloc(1, sizeof(*spool));

    if (!spool)
        return fail(-ENOMEM, error, "out of memory");
    spool->folder_fd = spool->lock_fd = -1;
    spool->current = SEGMENT_CLOSED;
    spool->segment_bytes = options->segment_bytes;
    spool->sync = options->sync;
    spool->keep_reserve = options->reserve;
    spool->next_number = 1;
    spool->path = strdup(options->path);
    int r = spool->path ? open_folder(spool, error) : fail(-ENOMEM, error, "out of memory");
    if (r == 0)
        spool->reserve_bytes = segment_reserve_bytes(spool->folder_fd);
    if (r < 0) {
        tasklog_spool_close(spool);
        return r;
    }
    *ret_spool = spool;
    return 0;
}

void tasklog_spool_close(struct tasklog_spool *spool)
{
    if (!spool)
        return;
    segment_close(&spool->current, 1);
    if (spool->lock_fd >= 0)
        close(spool->lock_fd);
    if (spool->folder_fd >= 0)
        close(spool->folder_fd);
    free(spool->numbers);
    free(spool->sizes);
    free(spool->path);
    free(spool);
}

/* ---- replay ---- */

/* Keeps a copy of what could not be read. What matters is that the start goes on: a failure here only
 * means that there is no copy. */
static void put_aside(struct tasklog_spool *spool, uint64_t number, size_t offset, const char *data,
                      size_t bytes)
{
    char name[64];

    (void)mkdirat(spool->folder_fd, DAMAGED_FOLDER, 0700);
    snprintf(name, sizeof(name), DAMAGED_FOLDER "/%012llu-%zu", (unsigned long long)number, offset);
    int fd =
        openat(spool->folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    (void)!file_write_all(fd, data, bytes);
    close(fd);
}

/* A file that is no segment at all goes aside as it is. */
static void put_file_aside(struct tasklog_spool *spool, uint64_t number,
                           struct tasklog_spool_damage *damage)
{
    char name[SEGMENT_NAME_BYTES], aside[64];
    struct stat status;

    segment_name(number, name);
    damage->places++;
    if (fstatat(spool->folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        damage->bytes += (uint64_t)status.st_size;
    (void)mkdirat(spool->folder_fd, DAMAGED_FOLDER, 0700);
    snprintf(aside, sizeof(aside), DAMAGED_FOLDER "/%012llu-0", (unsigned long long)number);
    if (renameat(spool->folder_fd, name, spool->folder_fd, aside) < 0)
        (void)unlinkat(spool->folder_fd, name, 0);
}

static int visit_segment(struct segment *segment, tasklog_spool_visit *visit, void *context)
{
    const struct segment_record *record;
    const void *payload;
    int r;

    for (;;) {
        tasklog_position position = segment->number << 32 | segment->used_bytes;
        r = segment_next(segment, &record, &payload);
        if (r <= 0)
            return r;
        r = visit(context, position, record->type, payload, record->bytes);
        if (r < 0)
            return r == -EBADMSG ? -EPROTO : r;
    }
}

int tasklog_spool_replay(struct tasklog_spool *spool, tasklog_spool_visit *visit, void *context,
                         struct tasklog_spool_damage *ret_damage)
{
    struct tasklog_spool_damage damage = {0};
    size_t i = 0, end = spool->count;

    while (i < end) {
        struct segment segment;
        int r = segment_open(spool->folder_fd, spool->numbers[i], &segment);
        if (r == -EBADMSG) {
            put_file_aside(spool, spool->numbers[i], &damage);
            list_remove(spool, i);
            end--;
            continue;
        }
        if (r < 0)
            return r;
        r = visit_segment(&segment, visit, context);
        if (r == -EBADMSG) {
            size_t rest = segment.size_bytes - segment.used_bytes;
            damage.places++;
            damage.bytes += rest;
            put_aside(spool, segment.number, segment.used_bytes, segment.map + segment.used_bytes,
                      rest);
            r = 0;
        }
        list_resize(spool, i, segment.used_bytes);
        segment_close(&segment, r == 0);
        if (r < 0)
            return r;
        i++;
    }
    *ret_damage = damage;
    return 0;
}

/* ---- write ---- */

/* Before the next segment is written to, all of this one and the next one's name must be safe. */
static int finish_on_disk(struct tasklog_spool *spool, const struct segment *next)
{
    if (spool->current.map && fdatasync(spool->current.fd) < 0)
        return -errno;
    if (fsync(next->fd) < 0 || fsync(spool->folder_fd) < 0)
        return -errno;
    return 0;
}

/* From now on the segment is the one that is written to; there is room for it in the list. */
static int begin_segment(struct tasklog_spool *spool, struct segment *segment)
{
    int r = spool->sync ? finish_on_disk(spool, segment) : 0;

    if (r < 0) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(segment->number, name);
        (void)unlinkat(spool->folder_fd, name, 0);
        segment_close(segment, 0);
        return r;
    }
    if (spool->current.map) {
        list_resize(spool, spool->count - 1, spool->current.used_bytes);
        segment_close(&spool->current, 1);
    }
    spool->current = *segment;
    list_add(spool, segment->number, segment->size_bytes);
    return 0;
}

/* As large a one as the disk has room for, but smaller than others. */
static int small_segment(struct tasklog_spool *spool, size_t need, struct segment *segment)
{
    size_t size = spool->segment_bytes / 4;
    int r = -ENOSPC;

    if (need < SEGMENT_BYTES_MIN)
        need = SEGMENT_BYTES_MIN;
    for (; r == -ENOSPC && size >= need; size /= 4)
        r = segment_create(spool->folder_fd, spool->next_number, size, segment);
    return r;
}

/* A small disk needs all its room for segments. */
static void keep_reserve(struct tasklog_spool *spool)
{
    struct statvfs disk;

    if (!spool->keep_reserve || spool->reserve_bytes > 0 || fstatvfs(spool->folder_fd, &disk) < 0 ||
        disk.f_bavail / RESERVE_FACTOR < spool->segment_bytes / disk.f_frsize)
        return;
    if (segment_keep_reserve(spool->folder_fd, spool->segment_bytes) == 0)
        spool->reserve_bytes = spool->segment_bytes;
}

static int new_segment(struct tasklog_spool *spool, size_t record_bytes)
{
    size_t need =
        sizeof(struct segment_header) + record_bytes + segment_record_bytes(TASKLOG_SPOOL_SPARE);
    size_t size = spool->segment_bytes > need ? spool->segment_bytes : need;
    struct segment segment;
    int r = list_make_room(spool);

    if (r == 0)
        r = segment_create(spool->folder_fd, spool->next_number, size, &segment);
    if (r == -ENOSPC && !spool->current.map)
        r = small_segment(spool, need, &segment);
    if (r == 0)
        r = begin_segment(spool, &segment);
    if (r == 0)
        keep_reserve(spool);
    return r;
}

int tasklog_spool_use_reserve(struct tasklog_spool *spool, size_t leave_bytes)
{
    struct segment segment;
    int r = list_make_room(spool);

    if (r == 0)
        r = segment_create_of_reserve(spool->folder_fd, spool->next_number, leave_bytes, &segment);
    if (r == -ENOENT)
        r = small_segment(spool, SEGMENT_BYTES_MIN, &segment);
    if (r < 0)
        return r;
    spool->reserve_bytes = 0;
    return begin_segment(spool, &segment);
}

static bool has_room(const struct tasklog_spool *spool, size_t bytes)
{
    return spool->current.map && spool->current.size_bytes - spool->current.used_bytes >= bytes;
}

int tasklog_spool_reserve_spare(struct tasklog_spool *spool, size_t bytes)
{
    size_t record_bytes = segment_record_bytes(bytes);

    if (bytes == 0 || bytes > TASKLOG_SPOOL_SPARE)
        return -EINVAL;
    if (!has_room(spool, record_bytes))
        return -ENOSPC;
    segment_warm(&spool->current, record_bytes);
    spool->reserved_bytes = bytes;
    return 0;
}

int tasklog_spool_reserve(struct tasklog_spool *spool, size_t bytes, tasklog_position *ret_position)
{
    size_t record_bytes = segment_record_bytes(bytes);

    if (bytes == 0 || bytes > UINT32_MAX / 2)
        return -EINVAL;
    if (!has_room(spool, record_bytes + segment_record_bytes(TASKLOG_SPOOL_SPARE))) {
        int r = new_segment(spool, record_bytes);
        if (r < 0)
            return r;
    }
    segment_warm(&spool->current, record_bytes);
    spool->reserved_bytes = bytes;
    *ret_position = spool->current.number << 32 | spool->current.used_bytes;
    return 0;
}

void tasklog_spool_write(struct tasklog_spool *spool, uint32_t type,
                         const struct tasklog_spool_piece *pieces, size_t piece_count)
{
    struct segment *segment = &spool->current;
    size_t offset = segment->used_bytes, bytes = spool->reserved_bytes;
    struct segment_record *record = (void *)(segment->map + offset);
    char *payload = segment->map + offset + sizeof(*record), *at = payload;

    for (size_t i = 0; i < piece_count; i++) {
        if (pieces[i].bytes == 0)
            continue;
        memcpy(at, pieces[i].data, pieces[i].bytes);
        at += pieces[i].bytes;
    }
    record->type = type;
    record->check = segment_check(segment->number, offset, type, payload, bytes);
    atomic_store_explicit(&record->bytes, (uint32_t)bytes, memory_order_release);
    segment->used_bytes = offset + segment_record_bytes(bytes);
}

int tasklog_spool_sync(struct tasklog_spool *spool)
{
    if (!spool->current.map)
        return 0;
    return fdatasync(spool->current.fd) < 0 ? -errno : 0;
}

/* ---- release ---- */

void tasklog_spool_release(struct tasklog_spool *spool, tasklog_position position)
{
    char name[SEGMENT_NAME_BYTES];

    while (spool->count > 0 && spool->numbers[0] < position >> 32 &&
           !(spool->current.map && spool->numbers[0] == spool->current.number)) {
        segment_name(spool->numbers[0], name);
        (void)unlinkat(spool->folder_fd, name, 0);
        list_remove(spool, 0);
    }
}

uint64_t tasklog_spool_bytes(const struct tasklog_spool *spool)
{
    return spool->total_bytes + spool->reserve_bytes;
}

uint64_t tasklog_spool_segment_count(const struct tasklog_spool *spool)
{
    return spool->count;
}
