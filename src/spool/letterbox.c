/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of dead letters: files that come and go as a whole. */
#include "tasklog/letterbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

static const char SUFFIX[] = ".letter";
enum { NAME_TRIES_MAX = 1000 };

/* The folder's descriptor, or negative errno. */
static int open_box(const char *spool, int make)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/dead", spool) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int is_letter(const char *name)
{
    size_t bytes = strlen(name), suffix = sizeof(SUFFIX) - 1;

    return bytes > suffix && bytes < TASKLOG_LETTER_NAME_BYTES && !strchr(name, '/') &&
           name[0] >= '0' && name[0] <= '9' && strcmp(name + bytes - suffix, SUFFIX) == 0;
}

static int compare_entries(const void *a, const void *b)
{
    const struct tasklog_letter_entry *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int add_entry(int box, const char *name, struct tasklog_letter_entry **entries,
                     size_t *count)
{
    struct tasklog_letter_entry *grown = realloc(*entries, (*count + 1) * sizeof(**entries));
    struct stat status;

    if (!grown)
        return -ENOMEM;
    *entries = grown;
    if (fstatat(box, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno; /* it has just gone */
    if (!S_ISREG(status.st_mode))
        return 0; /* none of ours */
    strcpy(grown[*count].name, name);
    grown[(*count)++].bytes = (uint64_t)status.st_size;
    return 0;
}

int tasklog_letterbox_list(const char *spool, struct tasklog_letter_entry **ret_entries,
                           size_t *ret_count)
{
    struct tasklog_letter_entry *entries = NULL;
    size_t count = 0;
    const struct dirent *entry;
    int r = 0, box = open_box(spool, 0);

    *ret_entries = NULL;
    *ret_count = 0;
    if (box < 0)
        return box == -ENOENT ? 0 : box;
    DIR *folder = fdopendir(box);
    if (!folder) {
        r = -errno;
        close(box);
        return r;
    }
    while (r == 0 && (entry = readdir(folder)) != NULL)
        if (is_letter(entry->d_name))
            r = add_entry(box, entry->d_name, &entries, &count);
    closedir(folder);
    if (r < 0) {
        free(entries);
        return r;
    }
    if (count > 0)
        qsort(entries, count, sizeof(*entries), compare_entries);
    *ret_entries = entries;
    *ret_count = count;
    return 0;
}

int tasklog_letterbox_count(const char *spool, struct tasklog_letterbox_sum *ret_sum)
{
    struct tasklog_letter_entry *entries;
    struct tasklog_letterbox_sum sum = {0};
    size_t count;
    int r = tasklog_letterbox_list(spool, &entries, &count);

    if (r < 0)
        return r;
    sum.count = count;
    for (size_t i = 0; i < count; i++)
        sum.bytes += entries[i].bytes;
    free(entries);
    *ret_sum = sum;
    return 0;
}

/* Gives the finished file a name that is not taken; names are never used twice. */
static int name_letter(int box, const char *temporary, int64_t time_us, bool sync)
{
    char name[TASKLOG_LETTER_NAME_BYTES];

    for (int i = 1; i <= NAME_TRIES_MAX; i++) {
        snprintf(name, sizeof(name), "%016lld-%d%s", (long long)time_us, i, SUFFIX);
        if (linkat(box, temporary, box, name, 0) == 0)
            return sync && fsync(box) < 0 ? -errno : 0;
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

int tasklog_letterbox_put(const char *spool, int64_t time_us, const void *data, size_t bytes,
                          bool sync)
{
    static const char temporary[] = "new";
    int r, box = open_box(spool, 1);

    if (box < 0)
        return box;
    (void)unlinkat(box, temporary, 0);
    int fd = openat(box, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        r = -errno;
    } else {
        r = file_write_all(fd, data, bytes);
        if (r == 0 && sync && fsync(fd) < 0)
            r = -errno;
        close(fd);
    }
    if (r == 0)
        r = name_letter(box, temporary, time_us, sync);
    (void)unlinkat(box, temporary, 0);
    close(box);
    return r;
}

int tasklog_letterbox_read(const char *spool, const char *name, void **ret_data, size_t *ret_bytes)
{
    int box = is_letter(name) ? open_box(spool, 0) : -ENOENT;
    struct stat status;
    char *data = NULL;
    size_t used = 0;

    if (box < 0)
        return box;
    int fd = openat(box, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int r = fd < 0 ? -errno : 0;
    close(box);
    if (r < 0)
        return r;
    if (fstat(fd, &status) < 0 || !(data = malloc((size_t)status.st_size + 1)))
        r = -errno;
    while (r == 0 && used < (size_t)status.st_size) {
        ssize_t n = read(fd, data + used, (size_t)status.st_size - used);
        if (n < 0 && errno != EINTR)
            r = -errno;
        else if (n == 0)
            break;
        else if (n > 0)
            used += (size_t)n;
    }
    close(fd);
    if (r < 0) {
        free(data);
        return r;
    }
    *ret_data = data;
    *ret_bytes = used;
    return 0;
}

int tasklog_letterbox_remove(const char *spool, const char *name)
{
    int box = is_letter(name) ? open_box(spool, 0) : -ENOENT;

    if (box < 0)
        return box;
    int r = unlinkat(box, name, 0) < 0 ? -errno : 0;
    if (r == 0 && fsync(box) < 0)
        r = -errno;
    close(box);
    return r;
}
