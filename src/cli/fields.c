/* SPDX-License-Identifier: Apache-2.0 */
/* Control lines out of arguments; see the header. The grammar stands in the contract, section 2. */
#include "fields.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 64, STATUS_BYTES_MAX = 32, COUNTERS_MAX = 64 };

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static bool is_word_of(const char *text, size_t bytes, const char *characters, size_t max)
{
    return bytes >= 1 && bytes <= max && strspn(text, characters) >= bytes;
}

static bool is_name(const char *name, size_t bytes)
{
    return is_word_of(name, bytes, LETTERS DIGITS "_.-", NAME_BYTES_MAX) &&
           !strchr(DIGITS ".-", name[0]);
}

/* What the other end takes: digits, and for counters a sign before them. */
static bool is_number(const char *value, bool may_be_negative)
{
    const char *digits = value + (may_be_negative && (*value == '-' || *value == '+'));
    char *end;

    if (*digits < '0' || *digits > '9')
        return false;
    errno = 0;
    return strtoll(value, &end, 10) > INT64_MIN && errno == 0 && *end == '\0';
}

static void write_text(FILE *out, const char *text)
{
    fputs(" text=\"", out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static bool is_called(const char *name, size_t bytes, const char *word)
{
    return strlen(word) == bytes && memcmp(name, word, bytes) == 0;
}

/* NULL if it is good, else what is wrong. */
static const char *write_field(FILE *out, enum fields_verb verb, const char *argument)
{
    const char *value = strchr(argument, '=');
    size_t bytes = value ? (size_t)(value - argument) : 0;

    if (!value || !is_name(argument, bytes))
        return "is not name=value";
    value++;
    if (is_called(argument, bytes, "text") || is_called(argument, bytes, "status")) {
        if (verb != FIELDS_END)
            return "is for tasklog end only";
        if (argument[0] == 't') {
            write_text(out, value);
            return NULL;
        }
        if (!is_word_of(value, strlen(value), LETTERS DIGITS "_-", STATUS_BYTES_MAX))
            return "is not a status: 1 to 32 characters of A-Z a-z 0-9 _ -";
    } else if (is_called(argument, bytes, "pid")) {
        return "is for @task start only: tasklog log '@task start pid=…'";
    } else {
        bool own = is_called(argument, bytes, "processed") ||
                   is_called(argument, bytes, "failed") || is_called(argument, bytes, "total");
        if (!is_number(value, !own))
            return own ? "is not a whole number from 0" : "is not a whole number";
    }
    fprintf(out, " %s", argument);
    return NULL;
}

char *fields_line(const char *marker, enum fields_verb verb, char *const *arguments, size_t count,
                  char *error, size_t error_bytes)
{
    const char *wrong = NULL;
    char *line = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&line, &bytes);

    if (!out) {
        snprintf(error, error_bytes, "%s", strerror(errno));
        return NULL;
    }
    fprintf(out, "%s %s", marker, verb == FIELDS_END ? "end" : "progress");
    for (size_t i = 0; !wrong && i < count; i++) {
        wrong = i == COUNTERS_MAX ? "is one too many" : write_field(out, verb, arguments[i]);
        if (wrong)
            snprintf(error, error_bytes, "\"%s\" %s", arguments[i], wrong);
    }
    if (fclose(out) != 0 && !wrong)
        snprintf(error, error_bytes, "%s", wrong = strerror(ENOMEM));
    if (!wrong)
        return line;
    free(line);
    return NULL;
}
