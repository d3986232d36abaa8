/* SPDX-License-Identifier: Apache-2.0 */
/* The intake of messages; see the header. */
#include "config.h"

#include "intake.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "message.h"

enum { RETRY_NS = 5000000 }; /* how soon lines are offered again when memory is used up */

bool intake_reserve(struct intake *intake, size_t count)
{
    if (count <= intake->line_size)
        return true;
    struct tasklog_line *lines = calloc(count, sizeof(*lines));
    if (!lines)
        return false;
    free(intake->lines);
    intake->lines = lines;
    intake->line_size = count;
    return true;
}

void intake_done(struct intake *intake)
{
    free(intake->lines);
    free(intake->joined);
}

/* ---- a message ---- */

static char *joined_buffer(struct intake *intake, size_t bytes)
{
    if (bytes > intake->joined_bytes) {
        char *joined = realloc(intake->joined, bytes);
        if (!joined)
            return NULL;
        intake->joined = joined;
        intake->joined_bytes = bytes;
    }
    return intake->joined;
}

/* One of a message's strings. False if it is not asked for. */
static bool take_string(const struct intake_strings *strings, const actWrkrIParams_t *params,
                        enum template_use use, const char **ret_text, size_t *ret_bytes)
{
    if (strings->place[use] < 0)
        return false;
    *ret_text = (const char *)params[strings->place[use]].param;
    *ret_bytes = params[strings->place[use]].lenStr;
    return true;
}

/* Kind and id from the user's templates, where there are such. Returns what is wrong with them. */
static const char *apply_templates(const struct intake_strings *strings,
                                   const actWrkrIParams_t *params, struct tasklog_line *line)
{
    if (take_string(strings, params, USE_KIND, &line->kind, &line->kind_bytes) &&
        !tasklog_kind_is_valid(line->kind, line->kind_bytes))
        return "the kind that kindTemplate makes is not 1 to 48 characters of A-Z a-z 0-9 _ . -";
    if (take_string(strings, params, USE_TASK, &line->id, &line->id_bytes) &&
        !tasklog_id_is_valid(line->id, line->id_bytes))
        return "the task id that taskTemplate makes is not 1 to 255 bytes of text without \"]\"";
    (void)take_string(strings, params, USE_LINE, &line->formatted, &line->formatted_bytes);
    return NULL;
}

/* The tag's part in finding kind and id: all of it, unless templates say so. */
static const char *apply_tag(struct intake *intake, const struct intake_strings *strings,
                             const struct tasklog_message *message, struct tasklog_line *line)
{
    struct tasklog_tag tag;
    const char *why = tasklog_message_parse(message, &intake->known_tag, NULL, &tag, &line->text,
                                            &line->text_bytes);

    if (why == tasklog_tag_is_split) {
        char *joined = joined_buffer(intake, message->tag_bytes + message->text_bytes);
        if (!joined)
            return "out of memory";
        why = tasklog_message_parse(message, &intake->known_tag, joined, &tag, &line->text,
                                    &line->text_bytes);
    }
    if (!why) {
        line->kind = tag.kind;
        line->kind_bytes = tag.kind_bytes;
        line->id = tag.id;
        line->id_bytes = tag.id_bytes;
        return NULL;
    }
    if (strings->place[USE_TASK] < 0)
        return why;
    /* The id comes from elsewhere, so the tag needs no brackets. */
    tasklog_message_text(message, &line->text, &line->text_bytes);
    line->kind = message->tag;
    line->kind_bytes = tasklog_kind_span(message->tag, message->tag_bytes);
    if (strings->place[USE_KIND] < 0 && !tasklog_kind_is_valid(line->kind, line->kind_bytes))
        return "the tag does not begin with a kind of 1 to 48 characters of A-Z a-z 0-9 _ . -";
    return NULL;
}

/* Fills a line in from one message's strings; what it has not for any message stays zero. False if it is not a
 * task's: that has been counted. */
static bool read_message(struct intake *intake, const struct intake_strings *strings,
                         struct tasklog_collector *collector, const actWrkrIParams_t *params,
                         struct tasklog_line *ret_line)
{
    struct tasklog_message message;

    message_read(&params[strings->place[USE_MESSAGE]], ret_line, &message);
    const char *why = apply_tag(intake, strings, &message, ret_line);
    if (!why)
        why = apply_templates(strings, params, ret_line);
    if (why) {
        tasklog_collector_reject(collector, message.tag, message.tag_bytes, why);
        return false;
    }
    return true;
}

static bool lies_in_joined(const struct intake *intake, const struct tasklog_line *line)
{
    return intake->joined && line->text >= intake->joined &&
           line->text <= intake->joined + intake->joined_bytes;
}

/* ---- all of them ---- */

/* Hands lines over. When memory is used up by results that the database does not take, it waits here,
 * holding nothing, and rsyslog may end the thread. */
static void hand_over(const struct intake *intake, struct tasklog_collector *collector,
                      size_t count)
{
    const struct timespec pause = {.tv_nsec = RETRY_NS};
    const struct tasklog_line *lines = intake->lines;
    int state;

    for (;;) {
        size_t taken = tasklog_collector_accept(collector, lines, count);
        lines += taken;
        count -= taken;
        if (count == 0)
            return;
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
        nanosleep(&pause, NULL);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    }
}

/* The joined buffer holds one message at a time, so a line in it goes at once. */
static void take(struct intake *intake, const struct intake_strings *strings,
                 struct tasklog_collector *collector, const actWrkrIParams_t *params,
                 unsigned count)
{
    size_t filled = 0;

    for (unsigned i = 0; i < count; i++) {
        struct tasklog_line *line = &intake->lines[filled];
        if (!read_message(intake, strings, collector, &params[(size_t)i * strings->count], line))
            continue;
        filled++;
        if (lies_in_joined(intake, line)) {
            hand_over(intake, collector, filled);
            filled = 0;
        }
    }
    if (filled > 0)
        hand_over(intake, collector, filled);
}

void intake_take(struct intake *intake, const struct intake_strings *strings,
                 struct tasklog_collector *collector, const actWrkrIParams_t *params,
                 unsigned count)
{
    int state;

    /* A thread that is cancelled in here must not leave a lock behind. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    take(intake, strings, collector, params, count);
    pthread_setcancelstate(state, NULL);
}
