/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a job as a control line; see the header. */
#include "ending.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t word_span(const char *text, size_t bytes)
{
    size_t at = 0;

    while (at < bytes && !is_blank(text[at]))
        at++;
    return at;
}

static size_t blank_span(const char *text, size_t bytes)
{
    size_t at = 0;

    while (at < bytes && is_blank(text[at]))
        at++;
    return at;
}

enum ending_line ending_read(const char *marker, const char *line, size_t bytes,
                             const char **ret_fields, size_t *ret_fields_bytes)
{
    size_t at = strlen(marker);
    enum ending_line found = ENDING_OTHER;

    if (bytes <= at || memcmp(line, marker, at) != 0 || !is_blank(line[at]))
        return ENDING_OTHER;
    at += blank_span(line + at, bytes - at);
    size_t verb_bytes = word_span(line + at, bytes - at);
    if (verb_bytes == 5 && memcmp(line + at, "start", 5) == 0)
        found = ENDING_START;
    else if (verb_bytes == 3 && memcmp(line + at, "end", 3) == 0)
        found = ENDING_END;
    at += verb_bytes;
    at += blank_span(line + at, bytes - at);
    *ret_fields = line + at;
    *ret_fields_bytes = bytes - at;
    return found;
}

bool ending_fields_are_whole(const char *fields, size_t bytes)
{
    const char *at = fields, *end = fields + bytes;

    if (memchr(fields, '\0', bytes))
        return false;
    while (at < end) {
        while (at < end && !is_blank(*at) && *at != '=')
            at++;
        if (at + 1 < end && *at == '=' && at[1] == '"') {
            for (at += 2; at < end && *at != '"'; at++)
                if (*at == '\\' && at + 1 < end)
                    at++;
            if (at >= end)
                return false;
        }
        at += word_span(at, (size_t)(end - at));
        at += blank_span(at, (size_t)(end - at));
    }
    return true;
}

bool ending_is_good(const struct ending *ending)
{
    return ending->exit_code == 0 && ending->signal == 0 && ending->start_error == 0;
}

static void write_duration(FILE *out, int64_t ms)
{
    long long seconds = ms / 1000;

    if (seconds < 60)
        fprintf(out, "%lld.%lld s", seconds, (long long)(ms % 1000 / 100));
    else if (seconds < 3600)
        fprintf(out, "%lldm %llds", seconds / 60, seconds % 60);
    else
        fprintf(out, "%lldh %lldm %llds", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

/* The closing line, for people. No character of it needs an escape. */
static void write_words(FILE *out, const struct ending *ending)
{
    if (ending->start_error) {
        fprintf(out, "cannot be run: %s", strerror(ending->start_error));
    } else if (ending->signal) {
        const char *name = sigabbrev_np(ending->signal);
        if (name)
            fprintf(out, "killed by SIG%s", name);
        else
            fprintf(out, "killed by signal %d", ending->signal);
        fputs(ending->dumped ? " (core dumped) after " : " after ", out);
        write_duration(out, ending->duration_ms);
    } else {
        fprintf(out, "exited with status %d after ", ending->exit_code);
        write_duration(out, ending->duration_ms);
    }
    if (ending->unsent > 0)
        fprintf(out, ", %" PRIu64 " line%s of its output %s not sent", ending->unsent,
                ending->unsent == 1 ? "" : "s", ending->unsent == 1 ? "was" : "were");
}

static void write_text(FILE *out, const struct ending *ending)
{
    fputs(" text=\"", out);
    write_words(out, ending);
    fputc('"', out);
}

char *ending_write(const char *marker, const struct ending *ending)
{
    char *line = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&line, &bytes);
    bool good = ending_is_good(ending);

    if (!out)
        return NULL;
    /* Of a name that stands twice, the last one counts: a job may say more of its success, but not
     * that it had one. */
    fprintf(out, "%s end", marker);
    if (good && !ending->fields)
        fputs(" status=COMPLETED", out);
    if (good)
        write_text(out, ending);
    if (ending->fields && ending->fields[0])
        fprintf(out, " %s", ending->fields);
    if (!good) {
        fputs(" status=FAILED", out);
        write_text(out, ending);
    }
    if (ending->exit_code >= 0)
        fprintf(out, " exit_code=%d", ending->exit_code);
    if (ending->signal)
        fprintf(out, " signal=%d", ending->signal);
    if (ending->unsent > 0)
        fprintf(out, " unsent=%" PRIu64, ending->unsent);
    if (fclose(out) != 0) {
        free(line);
        return NULL;
    }
    return line;
}
