/* SPDX-License-Identifier: Apache-2.0 */
/* One segment file: its form, and a mapping of it. The picture stands in tasklog/spool.h. */
#ifndef TASKLOG_SRC_SEGMENT_H
#define TASKLOG_SRC_SEGMENT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { SEGMENT_ALIGN = 8, SEGMENT_NAME_BYTES = 32 };

struct segment_header {
    char magic[8];
    uint32_t format;
    uint32_t zero;
    uint64_t number;
    uint64_t check;
};

struct segment_record {
    _Atomic uint32_t bytes;
    uint32_t type;
    uint64_t check;
};

struct segment {
    uint64_t number;
    int fd;
    char *map; /* NULL = not mapped */
    size_t size_bytes;
    size_t used_bytes;
    size_t warm_bytes; /* so much can be written without a page fault */
    size_t cold_bytes; /* so much has been let go again: the system has it, and not this process */
};

#define SEGMENT_CLOSED ((struct segment){.fd = -1})

void segment_name(uint64_t number, char name[SEGMENT_NAME_BYTES]);

/* The number of the segment that has this file name; 0 if it is another file's. */
uint64_t segment_number(const char *name);

/* How much room a record takes, header and padding with it. */
size_t segment_record_bytes(size_t payload_bytes);

/* A new file of `size_bytes`, all reserved on disk, mapped for writing. 0 or negative errno; then no
 * file is left. */
int segment_create(int folder_fd, uint64_t number, size_t size_bytes, struct segment *ret_segment)
    __attribute__((warn_unused_result));

/* Keeps so much room on disk, in the folder's file `reserve`. 0 or negative errno. */
int segment_keep_reserve(int folder_fd, size_t size_bytes) __attribute__((warn_unused_result));

/* What is kept there; 0 = nothing. */
size_t segment_reserve_bytes(int folder_fd);

/* A new file made of it, but for `leave_bytes` that the disk is given back. -ENOENT: nothing is kept; -ENOSPC: it
 * is not enough for that and a header, and stays. */
int segment_create_of_reserve(int folder_fd, uint64_t number, size_t leave_bytes,
                              struct segment *ret_segment) __attribute__((warn_unused_result));

/* Has the kernel map the pages of the next `bytes`, and many more with them: one by one, as they are first
 * written to, they cost more. */
void segment_warm(struct segment *segment, size_t bytes);

/* An existing file, mapped for reading. -EBADMSG if its header is not one. */
int segment_open(int folder_fd, uint64_t number, struct segment *ret_segment)
    __attribute__((warn_unused_result));

/* Finds the next good record at used_bytes and steps over it. 1 = there is one, 0 = the segment ends
 * here in order, -EBADMSG = what is here is no record. */
int segment_next(struct segment *segment, const struct segment_record **ret_record,
                 const void **ret_payload) __attribute__((warn_unused_result));

uint64_t segment_check(uint64_t number, size_t offset, uint32_t type, const void *payload,
                       size_t bytes);

/* Unmaps and closes; gives back what was reserved and not used if `trim`. */
void segment_close(struct segment *segment, int trim);

#endif
