/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool: records on disk, in the order in which they were written, until nobody needs them. A
 * record that was written survives the death of the process at any instant; after a sync also that of
 * the machine. It knows bytes; what a record means is its user's business.
 *
 * A folder holds numbered segments, which are only ever appended to and go as a whole:
 *
 *     lock                 held by the process that uses the folder
 *     000000000007.seg     ┌────────┬────────┬────────┬─────┬─ 0 0 0 …
 *     000000000008.seg     │ header │ record │ record │  …  │ reserved on disk, not yet written
 *     reserve              └────────┴────────┴────────┴─────┴─
 *     damaged/
 *
 *     header   "tasklogS", format (u32), 0 (u32), number of the segment (u64), checksum (u64)
 *     record   bytes of payload (u32), type (u32), checksum (u64), payload, 0 to a multiple of 8
 *
 * Numbers are in the machine's own order. A checksum is XXH3-64 of type, length and payload, seeded
 * with the record's position, so that old bytes at another place never look right. The length is
 * stored last: a record whose length is 0 is not there.
 *
 * Not thread-safe: the caller locks. Writing is a copy into a shared mapping of a file whose blocks are
 * reserved, so that a full disk is met when a segment is made, never in the middle of a record.
 */
#ifndef TASKLOG_SPOOL_H
#define TASKLOG_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TASKLOG_SPOOL_ERROR_BYTES = 512 };

/* Where a record lies: segment number << 32 | offset. Later ones are greater; never 0. */
typedef uint64_t tasklog_position;

struct tasklog_spool;

struct tasklog_spool_piece {
    const void *data;
    size_t bytes;
};

struct tasklog_spool_options {
    const char *path;
    size_t segment_bytes; /* of one file; a longer record gets a longer file. At most 1 GiB */
    bool sync;    /* tasklog_spool_sync will be used: then nothing is left behind unsynced */
    bool reserve; /* room for one more segment is kept on a disk that has room for four, see
                     tasklog_spool_use_reserve */
};

/*
 * Opens the folder, making it (and its parents) if needed, for this process alone. Nothing can be
 * written before tasklog_spool_replay has been called, or tasklog_spool_release for all there is.
 *
 * Returns 0, or negative errno with a line in `error` (TASKLOG_SPOOL_ERROR_BYTES): -EBUSY when another
 * process has it.
 */
int tasklog_spool_open(const struct tasklog_spool_options *options, char *error,
                       struct tasklog_spool **ret_spool) __attribute__((warn_unused_result));

/* Gives back what is reserved but not written. Records stay. Takes NULL. */
void tasklog_spool_close(struct tasklog_spool *spool);

/* What was found wrong when the folder was read. */
struct tasklog_spool_damage {
    uint64_t places; /* each cost the rest of its segment */
    uint64_t bytes;  /* moved to damaged/ (as far as that was possible) */
};

/* `data` is valid during the call only. A negative answer ends the replay. */
typedef int tasklog_spool_visit(void *context, tasklog_position position, uint32_t type,
                                const void *data, size_t bytes);

/*
 * Shows every good record that was there, oldest first; the visitor may write new ones. Damage costs the rest of its segment: it is put aside and
 * counted, and the next segment is read. Returns 0, the visitor's negative answer, or negative errno
 * if the folder cannot be read at all.
 */
int tasklog_spool_replay(struct tasklog_spool *spool, tasklog_spool_visit *visit, void *context,
                         struct tasklog_spool_damage *ret_damage)
    __attribute__((warn_unused_result));

/*
 * Makes room for a record of `bytes` and tells where it will lie. Returns 0 or negative errno (-ENOSPC:
 * the disk is full; a later call may succeed).
 */
int tasklog_spool_reserve(struct tasklog_spool *spool, size_t bytes, tasklog_position *ret_position)
    __attribute__((warn_unused_result));

/* The same for a small one, of TASKLOG_SPOOL_SPARE bytes at most, in the room that is kept for it at each
 * segment's end. -ENOSPC if there is no segment yet, or that room is taken. */
enum { TASKLOG_SPOOL_SPARE = 16 };
int tasklog_spool_reserve_spare(struct tasklog_spool *spool, size_t bytes)
    __attribute__((warn_unused_result));

/*
 * Before an end, on a full disk: makes the next segment of the room that is kept for it, but for `leave_bytes`, which
 * the disk is given back for other files. If nothing is kept, a small one of what the disk has. 0, or negative errno
 * (-ENOSPC: there is too little of either). The next segment that there is room for comes with a new reserve.
 */
int tasklog_spool_use_reserve(struct tasklog_spool *spool, size_t leave_bytes)
    __attribute__((warn_unused_result));

/* Writes the record for which room was reserved, of just as many bytes. Cannot fail. */
void tasklog_spool_write(struct tasklog_spool *spool, uint32_t type,
                         const struct tasklog_spool_piece *pieces, size_t piece_count);

/* Makes all that was written safe against power loss. 0 or negative errno. */
int tasklog_spool_sync(struct tasklog_spool *spool) __attribute__((warn_unused_result));

/* Removes the segments that hold only records before `position`. */
void tasklog_spool_release(struct tasklog_spool *spool, tasklog_position position);

/*
 * Reads records that were written, by their position, independently of whoever writes: each thread has
 * a reader of its own. The folder is opened at the first read.
 */
struct tasklog_spool_reader;

int tasklog_spool_reader_new(const char *path, struct tasklog_spool_reader **ret_reader)
    __attribute__((warn_unused_result));
void tasklog_spool_reader_free(struct tasklog_spool_reader *reader); /* takes NULL */

/* Part of a record's payload; no checksum is looked at. 0, -EIO, or other negative errno. */
int tasklog_spool_reader_read(struct tasklog_spool_reader *reader, tasklog_position position,
                              size_t offset, void *buffer, size_t bytes)
    __attribute__((warn_unused_result));

/* What the segments and the reserve take on disk, and how many segments there are. */
uint64_t tasklog_spool_bytes(const struct tasklog_spool *spool);
uint64_t tasklog_spool_segment_count(const struct tasklog_spool *spool);

#endif
