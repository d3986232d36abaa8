/* SPDX-License-Identifier: Apache-2.0 */
/* Where lines come from. */
#include "origin.h"

#include <string.h>

struct note {
    char origin[ORIGIN_BYTES];
    const char *text;
};

void origin_of(const struct tasklog_line *source, char origin[ORIGIN_BYTES])
{
    size_t bytes = source->origin_bytes < ORIGIN_BYTES ? source->origin_bytes : ORIGIN_BYTES - 1;

    if (bytes > 0)
        memcpy(origin, source->origin, bytes);
    origin[bytes] = '\0';
}

bool origin_covers(const char *origin, const char *sender_origin)
{
    size_t bytes = strlen(origin);

    if (bytes == 0)
        return true;
    return strncmp(sender_origin, origin, bytes) == 0 &&
           (sender_origin[bytes] == '\0' || sender_origin[bytes] == ':');
}

static const char *judge(void *context, const struct tasklog_sender *sender)
{
    const struct note *note = context;

    return origin_covers(note->origin, sender->origin) ? note->text : NULL;
}

int origin_note(struct tasklog_table *table, const struct tasklog_line *source, const char *text,
                struct tasklog_now now)
{
    struct note note = {.text = text};

    origin_of(source, note.origin);
    int r = tasklog_table_note(table, judge, &note, now);
    return r < 0 ? r : 0;
}
