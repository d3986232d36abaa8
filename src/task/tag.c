/* SPDX-License-Identifier: Apache-2.0 */
/* The tag `kind[task-id]:`. See the header for its form; nothing else is a task's line. */
#include "tasklog/tag.h"

#include <stdint.h>
#include <string.h>

#include "text.h"

/* 1 = it may stand in a kind. */
static const unsigned char kind_chars[256] = {
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
    ['8'] = 1, ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1,
    ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1,
    ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1,
    ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1,
    ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1,
    ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1,
    ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1, ['_'] = 1, ['.'] = 1,
    ['-'] = 1,
};

size_t tasklog_kind_span(const char *text, size_t text_bytes)
{
    size_t at = 0;

    while (at < text_bytes && kind_chars[(unsigned char)text[at]])
        at++;
    return at;
}

bool tasklog_kind_is_valid(const char *kind, size_t kind_bytes)
{
    return kind_bytes >= 1 && kind_bytes <= TASKLOG_KIND_BYTES_MAX &&
           tasklog_kind_span(kind, kind_bytes) == kind_bytes;
}

/* ASCII's control characters and DEL; those of C1 (U+0080 to U+009F) are two bytes, C2 80 to C2 9F. */
static bool has_control_char(const char *text, size_t bytes)
{
    for (size_t at = 0; at < bytes; at++) {
        unsigned char c = (unsigned char)text[at];
        if (c < 0x20 || c == 0x7F)
            return true;
        if (c == 0xC2 && at + 1 < bytes && (unsigned char)text[at + 1] < 0xA0)
            return true;
    }
    return false;
}

/* Eight bytes at once: ASCII from the blank to the tilde, and nothing else? */
static bool is_printable(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = 0x80 * ones;

    return ((word | (word - 0x20 * ones) | (word + ones)) & high) == 0;
}

static bool is_all_printable(const char *text, size_t bytes)
{
    uint64_t word;

    for (; bytes >= sizeof(word); text += sizeof(word), bytes -= sizeof(word)) {
        memcpy(&word, text, sizeof(word));
        if (!is_printable(word))
            return false;
    }
    memset(&word, ' ', sizeof(word));
    memcpy(&word, text, bytes);
    return is_printable(word);
}

bool tasklog_id_is_valid(const char *id, size_t id_bytes)
{
    return id_bytes >= 1 && id_bytes <= TASKLOG_ID_BYTES_MAX && !memchr(id, ']', id_bytes) &&
           (is_all_printable(id, id_bytes) ||
            (!has_control_char(id, id_bytes) && text_is_valid(id, id_bytes)));
}

const char *tasklog_tag_parse(const char *text, size_t text_bytes, struct tasklog_tag *ret_tag)
{
    size_t kind_bytes = tasklog_kind_span(text, text_bytes);

    if (kind_bytes == text_bytes || text[kind_bytes] != '[') {
        if (memchr(text, '[', text_bytes))
            return "the kind before \"[\" is not 1 to 48 characters of A-Z a-z 0-9 _ . -";
        return "no task id in brackets";
    }
    if (!tasklog_kind_is_valid(text, kind_bytes))
        return "the kind before \"[\" is not 1 to 48 characters of A-Z a-z 0-9 _ . -";

    const char *id = text + kind_bytes + 1;
    const char *close = memchr(id, ']', text_bytes - kind_bytes - 1);
    if (!close)
        return "no \"]\" after the task id";
    size_t id_bytes = (size_t)(close - id);
    if (id_bytes == 0)
        return "the task id in the brackets is empty";
    if (id_bytes > TASKLOG_ID_BYTES_MAX)
        return "the task id is longer than 255 bytes";
    if (!tasklog_id_is_valid(id, id_bytes))
        return "the task id has control characters or is not UTF-8";

    size_t used = (size_t)(close - text) + 1;
    if (used < text_bytes && text[used] == ':')
        used++;
    *ret_tag = (struct tasklog_tag){text, kind_bytes, id, id_bytes, used};
    return NULL;
}

/* What a message's text is, after the tag. */
static void trim_text(const struct tasklog_message *message, const char **text, size_t *bytes)
{
    static const char mark[] = {'\xEF', '\xBB', '\xBF'};

    if (message->is_rfc5424 && *bytes >= sizeof(mark) && memcmp(*text, mark, sizeof(mark)) == 0) {
        *text += sizeof(mark);
        *bytes -= sizeof(mark);
    } else if (!message->is_rfc5424 && *bytes > 0 && **text == ' ') {
        *text += 1;
        *bytes -= 1;
    }
}

void tasklog_message_text(const struct tasklog_message *message, const char **ret_text,
                          size_t *ret_text_bytes)
{
    *ret_text = message->text;
    *ret_text_bytes = message->text_bytes;
    trim_text(message, ret_text, ret_text_bytes);
}

/* ---- the tag that is known ---- */

static bool is_known(const struct tasklog_known_tag *known, const struct tasklog_message *message)
{
    return known->text_bytes > 0 && known->text_bytes == message->tag_bytes &&
           memcmp(known->text, message->tag, message->tag_bytes) == 0;
}

static struct tasklog_tag known_tag(const struct tasklog_known_tag *known, const char *text)
{
    return (struct tasklog_tag){text, known->kind_bytes, text + known->kind_bytes + 1,
                                known->id_bytes, known->text_bytes};
}

static void get_to_know(struct tasklog_known_tag *known, const struct tasklog_tag *tag)
{
    memcpy(known->text, tag->kind, tag->used_bytes);
    known->text_bytes = tag->used_bytes;
    known->kind_bytes = tag->kind_bytes;
    known->id_bytes = tag->id_bytes;
}

const char tasklog_tag_is_split[] = "the tag is cut in two";

/* A tag that is not whole, or none; has it brackets that may be closed in the text? */
static const char *parse_joined(const struct tasklog_message *message, char *joined,
                                struct tasklog_tag *ret_tag, const char **text, size_t *text_bytes)
{
    size_t bytes = message->tag_bytes + message->text_bytes;

    memcpy(joined, message->tag, message->tag_bytes);
    memcpy(joined + message->tag_bytes, message->text, message->text_bytes);
    const char *why = tasklog_tag_parse(joined, bytes, ret_tag);
    if (why)
        return why;
    *text = joined + ret_tag->used_bytes;
    *text_bytes = bytes - ret_tag->used_bytes;
    return NULL;
}

const char *tasklog_message_parse(const struct tasklog_message *message,
                                  struct tasklog_known_tag *known, char *joined,
                                  struct tasklog_tag *ret_tag, const char **ret_text,
                                  size_t *ret_text_bytes)
{
    struct tasklog_tag tag;
    const char *text = message->text;
    size_t text_bytes = message->text_bytes;
    const char *why = NULL;

    if (is_known(known, message)) {
        tag = known_tag(known, message->tag);
    } else {
        why = tasklog_tag_parse(message->tag, message->tag_bytes, &tag);
        if (!why && tag.used_bytes == message->tag_bytes)
            get_to_know(known, &tag);
        else if (memchr(message->tag, '[', message->tag_bytes))
            why = joined ? parse_joined(message, joined, &tag, &text, &text_bytes)
                         : tasklog_tag_is_split;
    }
    if (why)
        return why;
    trim_text(message, &text, &text_bytes);
    *ret_tag = tag;
    *ret_text = text;
    *ret_text_bytes = text_bytes;
    return NULL;
}
