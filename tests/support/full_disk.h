/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk without room for another segment, for the one test that includes it and is linked with
 *
 *     -Wl,--wrap=posix_fallocate
 */
#ifndef TASKLOG_TESTS_FULL_DISK_H
#define TASKLOG_TESTS_FULL_DISK_H

#include <fcntl.h>

static _Atomic int no_space; /* what posix_fallocate answers instead; 0 = what the system says */
static _Atomic off_t room;   /* to whom wants more than this */

int __wrap_posix_fallocate(int fd, off_t offset, off_t bytes);
int __real_posix_fallocate(int fd, off_t offset, off_t bytes);

int __wrap_posix_fallocate(int fd, off_t offset, off_t bytes)
{
    return no_space && bytes > room ? no_space : __real_posix_fallocate(fd, offset, bytes);
}

#endif
