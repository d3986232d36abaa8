/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a journal, entry by entry, and tells what matters. One thread, no state but the position. */
#include "reader.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#include "entry.h"
#include "frame.h"
#include "join.h"
#include "position.h"
#include "tasklog/system_clock.h"
#include "tasklog/tag.h"

enum {
    WAIT_US = 500000,
    PASS_ENTRIES = 4096, /* so many that are of no matter are told of in one frame */
    SIGN_OF_LIFE_MS = 2000,
    REST_MS = 10000,        /* how long a line's rest may take when the journal has nothing more */
    REOPEN_IDLE_MS = 60000, /* the folder of a journal that is silent may be another by now */
    REOPEN_MS = 5000,       /* a journal that has no entry at all may be made later */
    BOOTS_KNOWN = 16,
    TEXT_BYTES_MAX = 64 << 20,
};

struct reader {
    const struct reader_options *options;
    sd_journal *journal;
    struct position position;
    bool repeats;     /* entries up to the settled one come again, for the sake of held pieces */
    bool stands;      /* at an entry that is yet to be taken */
    bool expects_gap; /* entries may have gone unread */
    bool has_last;
    struct cursor last;        /* the entry read last */
    char cursor[CURSOR_BYTES]; /* its cursor */
    struct entry entry;
    struct join *join;
    struct frame_writer out;
    size_t passed;   /* entries since the last frame */
    int64_t told_ms; /* when the last frame was written */
    char boots[BOOTS_KNOWN][33];
    size_t boot_count;
    char machine[33];
    bool said_empty;
};

static int64_t now_ms(void)
{
    return tasklog_system_now(NULL).mono_ms;
}

static int fail(const char *what, int r)
{
    fprintf(stderr, "journal reader: %s: %s\n", what, strerror(-r));
    return r;
}

/* ---- telling ---- */

static int tell(struct reader *reader, struct frame frame)
{
    char text[2 * CURSOR_BYTES];
    const char *from = join_from(reader->join);

    strcpy(reader->position.from, from ? from : reader->position.settled);
    frame.texts[FRAME_POSITION] =
        (struct frame_text){text, position_print(&reader->position, text)};
    reader->passed = 0;
    reader->told_ms = now_ms();
    return frame_write(&reader->out, &frame);
}

static int tell_passed(struct reader *reader)
{
    struct frame frame = {.type = FRAME_PASS};

    return tell(reader, frame);
}

static struct frame_text frame_text(struct entry_text text)
{
    return (struct frame_text){text.data, text.bytes};
}

static struct frame_text string_text(const char *text)
{
    return (struct frame_text){text, strlen(text)};
}

/* ---- one entry ---- */

static int compare_kinds(const void *key, const void *element)
{
    return strcmp(key, *(char *const *)element);
}

static bool takes_kind(const struct reader *reader, struct entry_text kind)
{
    char text[TASKLOG_KIND_BYTES_MAX + 1];

    if (!kind.data || kind.bytes >= sizeof(text))
        return false;
    memcpy(text, kind.data, kind.bytes);
    text[kind.bytes] = '\0';
    return bsearch(text, reader->options->kinds, reader->options->kind_count,
                   sizeof(*reader->options->kinds), compare_kinds) != NULL;
}

static int tell_wrong(struct reader *reader, const struct entry_line *line, const char *why)
{
    struct frame frame = {.type = FRAME_WRONG};

    frame.texts[FRAME_KIND] = frame_text(line->kind);
    frame.texts[FRAME_ORIGIN] = string_text(why);
    return tell(reader, frame);
}

/* A message beyond all measure: the rest of it is left out, which its end says. */
static void cut_text(struct frame_text *text)
{
    static const char format[] = "\n[... %zu bytes of this message are missing here ...]";
    char note[96];

    if (text->bytes <= TEXT_BYTES_MAX)
        return;
    int bytes = snprintf(note, sizeof(note), format, text->bytes - TEXT_BYTES_MAX);
    /* It lies in the entry's own buffer. */
    memcpy((char *)text->data + TEXT_BYTES_MAX, note, (size_t)bytes);
    text->bytes = TEXT_BYTES_MAX + (size_t)bytes;
}

static int take_line(struct reader *reader, int64_t received_us, const char *before)
{
    char origin[ENTRY_ORIGIN_BYTES];
    struct entry_line line = {0};
    const char *wrong = entry_read_line(&reader->entry, &line);
    struct entry_text stream = entry_get(&reader->entry, ENTRY_STREAM_ID);

    if (!takes_kind(reader, line.kind))
        return 0;
    if (wrong)
        return *wrong && !reader->repeats ? tell_wrong(reader, &line, wrong) : 0;
    struct frame frame = {.type = FRAME_LINE,
                          .severity = line.severity,
                          .pid = line.pid,
                          .uid = line.uid,
                          .time_us = entry_time_us(&reader->entry, received_us)};
    frame.texts[FRAME_KIND] = frame_text(line.kind);
    frame.texts[FRAME_ID] = frame_text(line.id);
    frame.texts[FRAME_HOST] = frame_text(entry_get(&reader->entry, ENTRY_HOSTNAME));
    frame.texts[FRAME_ORIGIN] = frame_text(entry_origin(&reader->entry, origin));
    frame.texts[FRAME_TEXT] = frame_text(line.text);
    cut_text(&frame.texts[FRAME_TEXT]);
    int r = stream.data
                ? join_add(reader->join, frame_text(stream), line.goes_on, before, now_ms(), &frame)
                : 1;
    if (r <= 0 || reader->repeats)
        return r < 0 ? r : 0;
    return tell(reader, frame);
}

static int take_news(struct reader *reader)
{
    struct entry_news_report report;
    struct frame frame = {0};

    switch (entry_read_news(&reader->entry, &report)) {
    case ENTRY_NO_NEWS:
        return 0;
    case ENTRY_SUPPRESSED:
        frame.type = FRAME_SUPPRESSED;
        frame.count = report.count;
        break;
    case ENTRY_DIED:
        frame.type = FRAME_DIED;
        frame.texts[FRAME_TEXT] = string_text(report.text);
        break;
    }
    frame.texts[FRAME_ORIGIN] = string_text(report.origin);
    return tell(reader, frame);
}

/* Entries of another machine in the same folder say nothing of this one's boots. */
static bool is_new_boot(struct reader *reader, const struct cursor *cursor)
{
    struct entry_text machine = entry_get(&reader->entry, ENTRY_MACHINE_ID);

    if (machine.bytes == 32 && !reader->machine[0])
        memcpy(reader->machine, machine.data, 32);
    if (machine.bytes != 32 || memcmp(machine.data, reader->machine, 32) != 0)
        return false;
    for (size_t i = 0; i < BOOTS_KNOWN && i < reader->boot_count; i++)
        if (strcmp(reader->boots[i], cursor->boot) == 0)
            return false;
    strcpy(reader->boots[reader->boot_count++ % BOOTS_KNOWN], cursor->boot);
    return reader->boot_count > 1;
}

static int tell_gap(struct reader *reader, const struct cursor *cursor)
{
    struct frame frame = {.type = FRAME_LOST};

    if (!reader->has_last || !reader->expects_gap)
        return 0;
    reader->expects_gap = false;
    /* The files of several users have a sequence each, and count together. */
    if (cursor->number == reader->last.number + 1)
        return 0;
    if (strcmp(cursor->sequence, reader->last.sequence) == 0) {
        if (cursor->number <= reader->last.number)
            return 0;
        frame.count = cursor->number - reader->last.number - 1;
    }
    return tell(reader, frame);
}

static int load_fields(struct reader *reader)
{
    const void *data;
    size_t bytes;
    int r;

    entry_clear(&reader->entry);
    sd_journal_restart_data(reader->journal);
    while ((r = sd_journal_enumerate_available_data(reader->journal, &data, &bytes)) > 0) {
        r = entry_add(&reader->entry, data, bytes);
        if (r < 0)
            return r;
    }
    return r == -EBADMSG ? 0 : r; /* damaged: as far as it can be read */
}

/* The journal stands at an entry. */
static int take_entry(struct reader *reader)
{
    char before[CURSOR_BYTES], *text;
    struct cursor cursor;
    uint64_t received_us;
    int r = sd_journal_get_cursor(reader->journal, &text);

    if (r < 0)
        return fail("no cursor", r);
    strcpy(before, reader->cursor);
    snprintf(reader->cursor, sizeof(reader->cursor), "%s", text);
    free(text);
    if (!cursor_parse(reader->cursor, &cursor))
        return fail("this libsystemd has cursors that tasklog cannot read", -EPROTO);
    r = load_fields(reader);
    if (r < 0)
        return fail("an entry cannot be read", r);
    if (reader->repeats) {
        struct cursor settled;
        reader->repeats =
            cursor_parse(reader->position.settled, &settled) && !cursor_is_after(&cursor, &settled);
    }
    bool new_boot = is_new_boot(reader, &cursor);
    if (!reader->repeats) {
        r = tell_gap(reader, &cursor);
        if (r == 0 && new_boot) {
            struct frame frame = {.type = FRAME_BOOT};
            r = tell(reader, frame);
        }
        strcpy(reader->position.settled, reader->cursor);
    }
    reader->last = cursor;
    reader->has_last = true;
    reader->passed++;
    if (r == 0)
        r = sd_journal_get_realtime_usec(reader->journal, &received_us);
    if (r == 0)
        r = take_line(reader, (int64_t)received_us, before);
    if (r == 0 && !reader->repeats)
        r = take_news(reader);
    if (r == 0 && reader->passed >= PASS_ENTRIES && !reader->repeats)
        r = tell_passed(reader);
    return r;
}

/* ---- where to begin ---- */

static int begin_at(struct reader *reader, const char *text)
{
    struct cursor settled;

    if (!position_parse(text, strlen(text), &reader->position))
        return fail("the position is not one of this program's", -EINVAL);
    reader->repeats = strcmp(reader->position.settled, reader->position.from) != 0;
    strcpy(reader->cursor, reader->position.from);
    if (strcmp(reader->position.from, CURSOR_HEAD) == 0)
        return sd_journal_seek_head(reader->journal);
    if (!cursor_parse(reader->position.from, &reader->last))
        return fail("the position's cursor cannot be read", -EINVAL);
    reader->has_last = reader->expects_gap = true;
    if (cursor_parse(reader->position.settled, &settled))
        strcpy(reader->boots[reader->boot_count++], settled.boot);
    int r = sd_journal_seek_cursor(reader->journal, reader->position.from);
    if (r == 0)
        r = sd_journal_next(reader->journal);
    if (r <= 0)
        return r;
    r = sd_journal_test_cursor(reader->journal, reader->position.from);
    reader->stands = r == 0; /* that very entry is gone: this is another */
    return r;
}

static int begin_now(struct reader *reader)
{
    char *text;
    int r = sd_journal_seek_tail(reader->journal);

    if (r == 0)
        r = sd_journal_previous(reader->journal);
    if (r > 0)
        r = sd_journal_get_cursor(reader->journal, &text) < 0 ? -EIO : 1;
    if (r < 0)
        return r;
    if (r == 0) { /* nothing is there: all that comes is new */
        r = begin_at(reader, CURSOR_HEAD);
    } else {
        snprintf(reader->position.settled, sizeof(reader->position.settled), "%s", text);
        snprintf(reader->cursor, sizeof(reader->cursor), "%s", text);
        reader->has_last = cursor_parse(text, &reader->last);
        strcpy(reader->boots[reader->boot_count++], reader->last.boot);
        free(text);
    }
    return r < 0 ? r : tell_passed(reader);
}

static int begin(struct reader *reader)
{
    sd_id128_t boot;

    if (reader->position.settled[0]) { /* it is opened anew */
        char text[2 * CURSOR_BYTES + 1];
        text[position_print(&reader->position, text)] = '\0';
        return begin_at(reader, text);
    }
    if (reader->options->position[0])
        return begin_at(reader, reader->options->position);
    if (reader->options->journal.since == TASKLOG_SINCE_NOW)
        return begin_now(reader);
    int r = begin_at(reader, CURSOR_HEAD);
    if (r == 0 && reader->options->journal.since == TASKLOG_SINCE_BOOT &&
        sd_id128_get_boot(&boot) == 0)
        r = sd_journal_seek_monotonic_usec(reader->journal, boot, 0);
    return r < 0 ? r : tell_passed(reader);
}

static int open_journal(struct reader *reader)
{
    const struct tasklog_journal *options = &reader->options->journal;
    int r;

    if (options->directory)
        r = sd_journal_open_directory(&reader->journal, options->directory, 0);
    else
        r = sd_journal_open_namespace(&reader->journal, options->namespace_name,
                                      SD_JOURNAL_LOCAL_ONLY);
    if (r == 0)
        r = sd_journal_set_data_threshold(reader->journal, 0);
    if (r < 0)
        return fail(options->directory ? options->directory : "the journal", r);
    r = begin(reader);
    return r < 0 && r != -EPIPE ? fail("where to begin in the journal", r) : r;
}

/* ---- the loop ---- */

/* Nothing more is there: what was found goes out, and what waits for its rest too long. */
static int rest(struct reader *reader)
{
    struct frame frame;
    int r = 0;

    while (r == 0 && join_flush(reader->join, now_ms() - REST_MS, &frame) > 0)
        r = tell(reader, frame);
    if (r == 0 && (reader->passed > 0 || now_ms() >= reader->told_ms + SIGN_OF_LIFE_MS))
        r = tell_passed(reader);
    if (r == 0)
        r = frame_flush(&reader->out);
    if (r < 0)
        return r;
    r = sd_journal_wait(reader->journal, WAIT_US);
    reader->expects_gap |= r == SD_JOURNAL_INVALIDATE;
    return r < 0 ? fail("waiting for the journal", r) : 0;
}

/* libsystemd passes over what it must not read without a word. */
static void say_empty(struct reader *reader)
{
    if (!reader->said_empty && geteuid() != 0)
        fputs("journal reader: the journal has no entry that can be read; if there should be some, "
              "the user "
              "must be in the group systemd-journal\n",
              stderr);
    reader->said_empty = true;
}

/* Until something fails, or the journal is better opened anew (0). */
static int read_all(struct reader *reader)
{
    int64_t began_ms = now_ms(), entry_ms = began_ms;

    for (;;) {
        int r = reader->stands ? 1 : sd_journal_next(reader->journal);
        if (r < 0)
            return fail("the next entry", r);
        reader->stands = false;
        if (r > 0)
            entry_ms = now_ms();
        r = r > 0 ? take_entry(reader) : rest(reader);
        if (r < 0)
            return r;
        if (!reader->has_last && now_ms() > began_ms + REOPEN_MS) {
            say_empty(reader);
            return 0;
        }
        if (now_ms() > entry_ms + REOPEN_IDLE_MS)
            return 0;
    }
}

int reader_run(const struct reader_options *options)
{
    struct reader reader = {.options = options, .out.fd = options->out};
    int r = 0;

    while (r == 0) {
        join_free(reader.join); /* what it held comes again */
        reader.join = NULL;
        r = join_new(&reader.join);
        if (r == 0)
            r = open_journal(&reader);
        if (r >= 0)
            r = read_all(&reader);
        sd_journal_close(reader.journal);
        reader.journal = NULL;
    }
    frame_writer_done(&reader.out);
    entry_done(&reader.entry);
    join_free(reader.join);
    return r == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE;
}
