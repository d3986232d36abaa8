/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the syslog tag `kind[task-id]:`, the only thing that makes a message a task's line.
 *
 * A kind is 1 to 48 bytes of A-Z a-z 0-9 _ . - and a task id 1 to 255 bytes of UTF-8 without `]` and
 * control characters (contract, section 2). Pure functions; nothing is copied.
 */
#ifndef TASKLOG_TAG_H
#define TASKLOG_TAG_H

#include <stdbool.h>
#include <stddef.h>

enum {
    TASKLOG_KIND_BYTES_MAX = 48,
    TASKLOG_ID_BYTES_MAX = 255,
    TASKLOG_TAG_BYTES_MAX = TASKLOG_KIND_BYTES_MAX + TASKLOG_ID_BYTES_MAX + 3 /* `[` `]` `:` */
};

struct tasklog_tag {
    const char *kind; /* into the text that was parsed */
    size_t kind_bytes;
    const char *id; /* likewise */
    size_t id_bytes;
    size_t used_bytes; /* how much of the text the tag took, with its colon if it has one */
};

/*
 * Reads a tag at the beginning of `text`; what stands behind it is not looked at.
 *
 * Returns NULL on success, otherwise what is wrong with it, for people ("no task id in brackets").
 * `ret_tag` is untouched then.
 */
const char *tasklog_tag_parse(const char *text, size_t text_bytes, struct tasklog_tag *ret_tag)
    __attribute__((warn_unused_result));

/* How many bytes at the beginning of `text` could belong to a kind (0 if none; not bounded by 48). */
size_t tasklog_kind_span(const char *text, size_t text_bytes);

/* A message as a syslog parser hands it over. The tag may have been cut in two: parsers end it at the
 * first blank or colon, and a task id may have both. */
struct tasklog_message {
    const char *tag;
    size_t tag_bytes;
    const char *text; /* what stands behind the tag, the blank between them with it */
    size_t text_bytes;
    bool is_rfc5424; /* then there is no such blank, and a byte order mark is none of the text's */
};

/* The last good tag that was whole: most messages come from the task that the one before came from.
 * Zero-initialise it. */
struct tasklog_known_tag {
    char text[TASKLOG_TAG_BYTES_MAX];
    size_t text_bytes; /* 0 = there was none yet */
    size_t kind_bytes;
    size_t id_bytes;
};

/* What the next function answers when the tag is cut in two, or has swallowed text: call it again, with
 * `joined`. */
extern const char tasklog_tag_is_split[];

/*
 * Finds tag and text of a message. `joined` is NULL, or takes tag and text, one behind the other, if they
 * have to be joined; it must hold that many bytes then, and live as long as the result.
 *
 * Returns NULL, or what is wrong with the tag as tasklog_tag_parse does.
 */
const char *tasklog_message_parse(const struct tasklog_message *message,
                                  struct tasklog_known_tag *known, char *joined,
                                  struct tasklog_tag *ret_tag, const char **ret_text,
                                  size_t *ret_text_bytes) __attribute__((warn_unused_result));

/* The text alone, when the tag is not one of a task's: what stands behind it. */
void tasklog_message_text(const struct tasklog_message *message, const char **ret_text,
                          size_t *ret_text_bytes);

bool tasklog_kind_is_valid(const char *kind, size_t kind_bytes);
bool tasklog_id_is_valid(const char *id, size_t id_bytes);

#endif
