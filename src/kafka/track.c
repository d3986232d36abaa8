/* SPDX-License-Identifier: Apache-2.0 */
/* Notes of numbers and offsets, see the header. */
#include "track.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MARKS_MIN = 16, MARKS_MAX = 4096 };

void track_done(struct track *track)
{
    free(track->marks);
    *track = (struct track){0};
}

/* Room for one more; of too many, every second is left out, and as many of those to come. */
static int make_room(struct track *track)
{
    if (track->count < track->size)
        return 0;
    if (track->size == MARKS_MAX) {
        for (size_t i = 0; 2 * i < track->count; i++)
            track->marks[i] = track->marks[2 * i];
        track->count = (track->count + 1) / 2;
        track->every = 2 * track->every + 1;
        return 0;
    }
    size_t size = track->size ? 2 * track->size : MARKS_MIN;
    struct track_mark *marks = realloc(track->marks, size * sizeof(*marks));
    if (!marks)
        return -ENOMEM;
    track->marks = marks;
    track->size = size;
    return 0;
}

int track_note(struct track *track, uint64_t given, int64_t offset)
{
    if (track->count > 0 && track->marks[track->count - 1].given == given) {
        track->marks[track->count - 1].offset = offset; /* none was given between the two */
        return 0;
    }
    if (track->left_out < track->every) {
        track->left_out++;
        return 0;
    }
    track->left_out = 0;
    int r = make_room(track);
    if (r == 0)
        track->marks[track->count++] = (struct track_mark){given, offset};
    return r;
}

int64_t track_needed(struct track *track, uint64_t needed, int64_t next)
{
    size_t i = 0;

    if (needed == UINT64_MAX)
        track->count = track->every = track->left_out = 0;
    if (track->count == 0)
        return next;
    while (i + 1 < track->count && track->marks[i + 1].given < needed)
        i++;
    track->count -= i;
    if (track->count < MARKS_MAX / 4)
        track->every = track->left_out = 0;
    memmove(track->marks, track->marks + i, track->count * sizeof(*track->marks));
    return track->marks[0].offset;
}
