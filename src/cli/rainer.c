/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scanner, not a parser: it knows what hides text (comments, strings, the old directives of a line), the
 * words that begin the statements it looks for, and what stands in their brackets, as rsyslog's own scanner
 * does (grammar/lexer.l).
 */
#include "rainer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct scan {
    const char *at;
    const char *end;
    int line;
    bool in_expression; /* between `if` and `then`, where a line may begin with a variable */
    struct rainer *rainer;
    char *error;
};

static int fail(struct scan *scan, const char *text)
{
    snprintf(scan->error, RAINER_ERROR_BYTES, "%s", text);
    return -EINVAL;
}

static void step(struct scan *scan)
{
    scan->line += *scan->at == '\n';
    scan->at++;
}

static bool begins(const struct scan *scan, const char *text)
{
    size_t bytes = strlen(text);

    return (size_t)(scan->end - scan->at) >= bytes && memcmp(scan->at, text, bytes) == 0;
}

static void skip_line(struct scan *scan)
{
    while (scan->at < scan->end && *scan->at != '\n')
        scan->at++;
}

static void skip_comment(struct scan *scan)
{
    scan->at += 2;
    while (scan->at < scan->end && !begins(scan, "*/"))
        step(scan);
    if (scan->at < scan->end)
        scan->at += 2;
}

static void skip_blanks(struct scan *scan)
{
    while (scan->at < scan->end) {
        if (*scan->at == '#')
            skip_line(scan);
        else if (begins(scan, "/*"))
            skip_comment(scan);
        else if (isspace((unsigned char)*scan->at))
            step(scan);
        else
            return;
    }
}

/* ---- strings ---- */

/* The quote that ends the string which begins here, or NULL. */
static const char *string_end(const struct scan *scan)
{
    for (const char *at = scan->at + 1; at < scan->end; at++) {
        if (*at == *scan->at)
            return at;
        if (*at == '\\')
            at++;
    }
    return NULL;
}

static int hex_digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Behind a backslash: the character that is meant, and how many were read. */
static char unescape(const char *at, const char *end, size_t *ret_taken)
{
    static const char names[] = "abfnrt", meant[] = "\a\b\f\n\r\t";
    const char *found = memchr(names, *at, sizeof(names) - 1);

    *ret_taken = 1;
    if (found)
        return meant[found - names];
    if (*at == 'x' && end - at > 2 && isxdigit((unsigned char)at[1]) &&
        isxdigit((unsigned char)at[2])) {
        *ret_taken = 3;
        return (char)(hex_digit(at[1]) << 4 | hex_digit(at[2]));
    }
    if (*at >= '0' && *at <= '7') {
        int value = 0;
        size_t taken = 0;
        for (; taken < 3 && at + taken < end && at[taken] >= '0' && at[taken] <= '7'; taken++)
            value = value << 3 | (at[taken] - '0');
        *ret_taken = taken;
        return (char)value;
    }
    return *at;
}

static int read_string(struct scan *scan, char **ret_text)
{
    const char *end = string_end(scan);
    char *text = end ? malloc((size_t)(end - scan->at)) : NULL;
    size_t used = 0;

    if (!end)
        return fail(scan, "a string has no end");
    if (!text)
        return -ENOMEM;
    for (step(scan); scan->at < end;) {
        if (*scan->at == '\\' && scan->at + 1 < end) {
            size_t taken;
            text[used++] = unescape(scan->at + 1, end, &taken);
            scan->at += 1 + taken;
        } else {
            text[used++] = *scan->at;
            step(scan);
        }
    }
    scan->at++;
    text[used] = '\0';
    *ret_text = text;
    return 0;
}

/* ---- what a statement has ---- */

static int add_value(struct scan *scan, struct rainer_parameter *parameter)
{
    char **grown = realloc(parameter->values, (parameter->value_count + 1) * sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    parameter->values = grown;
    if (scan->at < scan->end && *scan->at == '`')
        return fail(scan, "a value in backticks is rsyslogd's alone to read: write it out");
    if (scan->at >= scan->end || *scan->at != '"')
        return fail(scan, "a value must stand in double quotes");
    int r = read_string(scan, &grown[parameter->value_count]);
    if (r == 0)
        parameter->value_count++;
    return r;
}

static int read_array(struct scan *scan, struct rainer_parameter *parameter)
{
    int r = 0;

    scan->at++;
    for (skip_blanks(scan); r == 0 && scan->at < scan->end && *scan->at != ']'; skip_blanks(scan)) {
        if (*scan->at == ',')
            scan->at++;
        else
            r = add_value(scan, parameter);
    }
    if (r == 0 && scan->at >= scan->end)
        return fail(scan, "an array has no end: \"]\" is missing");
    scan->at += r == 0;
    return r;
}

static size_t name_span(const struct scan *scan)
{
    const char *at = scan->at;

    while (at < scan->end && (isalnum((unsigned char)*at) || *at == '_' || *at == '.'))
        at++;
    return (size_t)(at - scan->at);
}

/* As strndup; but that is taken, by a strict address sanitizer, to look beyond the end. */
static char *copy_bytes(const char *data, size_t bytes)
{
    char *copy = malloc(bytes + 1);

    if (copy) {
        memcpy(copy, data, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

static struct rainer_parameter *add_parameter(struct rainer_statement *statement, const char *name,
                                              size_t bytes, int line)
{
    struct rainer_parameter *grown =
        realloc(statement->parameters, (statement->parameter_count + 1) * sizeof(*grown));
    char *copy = copy_bytes(name, bytes);

    if (grown)
        statement->parameters = grown;
    if (!grown || !copy) {
        free(copy);
        return NULL;
    }
    grown += statement->parameter_count++;
    *grown = (struct rainer_parameter){.name = copy, .line = line};
    return grown;
}

/* name="value" or name=["value", …] */
static int read_parameter(struct scan *scan, struct rainer_statement *statement)
{
    size_t bytes = name_span(scan);

    if (bytes == 0)
        return fail(scan, "here the name of a parameter or \")\" must stand");
    struct rainer_parameter *parameter = add_parameter(statement, scan->at, bytes, scan->line);
    if (!parameter)
        return -ENOMEM;
    scan->at += bytes;
    skip_blanks(scan);
    if (scan->at >= scan->end || *scan->at != '=')
        return fail(scan, "behind the name of a parameter \"=\" must stand");
    scan->at++;
    skip_blanks(scan);
    return scan->at < scan->end && *scan->at == '[' ? read_array(scan, parameter)
                                                    : add_value(scan, parameter);
}

static struct rainer_statement *add_statement(struct scan *scan, const char *name, int line)
{
    struct rainer *rainer = scan->rainer;
    struct rainer_statement *grown =
        realloc(rainer->statements, (rainer->count + 1) * sizeof(*grown));

    if (!grown)
        return NULL;
    rainer->statements = grown;
    grown += rainer->count++;
    *grown = (struct rainer_statement){.name = name, .line = line};
    return grown;
}

/* From behind the opening bracket. */
static int read_statement(struct scan *scan, const char *name, int line)
{
    struct rainer_statement *statement = add_statement(scan, name, line);
    int r = statement ? 0 : -ENOMEM;

    skip_blanks(scan);
    while (r == 0 && scan->at < scan->end && *scan->at != ')') {
        r = read_parameter(scan, statement);
        skip_blanks(scan);
        if (r == 0 && scan->at < scan->end && *scan->at == ',')
            scan->at++; /* taken by rsyslog, too */
        skip_blanks(scan);
    }
    if (r < 0)
        return r;
    if (scan->at >= scan->end)
        return fail(scan, "a statement has no end: \")\" is missing");
    scan->at++;
    return 0;
}

/* ---- all of the text ---- */

/* `$Name value`, up to the end of its line. */
static int read_directive(struct scan *scan)
{
    static const char *const known[][3] = {{"$IncludeConfig", "include", "file"},
                                           {"$WorkDirectory", "global", "workDirectory"}};
    const char *start = scan->at;

    skip_line(scan);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t bytes = strlen(known[i][0]);
        const char *value = start + bytes, *end = scan->at;
        if ((size_t)(scan->at - start) <= bytes || strncasecmp(start, known[i][0], bytes) != 0 ||
            !isspace((unsigned char)*value))
            continue;
        while (value < end && isspace((unsigned char)*value))
            value++;
        for (const char *at = value; at < end; at++)
            if (isspace((unsigned char)*at))
                end = at;
        struct rainer_statement *statement = add_statement(scan, known[i][1], scan->line);
        struct rainer_parameter *parameter =
            statement ? add_parameter(statement, known[i][2], strlen(known[i][2]), statement->line)
                      : NULL;
        char **values = parameter ? malloc(sizeof(*values)) : NULL;
        if (!values || !(values[0] = copy_bytes(value, (size_t)(end - value)))) {
            free(values);
            return -ENOMEM;
        }
        parameter->values = values;
        parameter->value_count = 1;
    }
    return 0;
}

static bool is_word(const char *word, size_t bytes, const char *wanted)
{
    return strlen(wanted) == bytes && strncasecmp(word, wanted, bytes) == 0;
}

static int read_word(struct scan *scan)
{
    static const char *const wanted[] = {"action", "global", "include"};
    const char *word = scan->at;
    size_t bytes = name_span(scan);

    scan->at += bytes;
    if (is_word(word, bytes, "if"))
        scan->in_expression = true;
    else if (is_word(word, bytes, "then"))
        scan->in_expression = false;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (!is_word(word, bytes, wanted[i]))
            continue;
        const struct scan before = *scan;
        while (scan->at < scan->end && isspace((unsigned char)*scan->at))
            step(scan);
        if (scan->at < scan->end && *scan->at == '(') {
            scan->at++;
            return read_statement(scan, wanted[i], before.line);
        }
        *scan = before;
    }
    return 0;
}

static int read_all(struct scan *scan)
{
    bool at_line_start = true;
    int r = 0;

    while (r == 0 && scan->at < scan->end) {
        char c = *scan->at;
        if (c == '\n') {
            at_line_start = true;
            step(scan);
            continue;
        }
        if (isspace((unsigned char)c)) {
            step(scan);
            continue;
        }
        if (c == '#') {
            skip_line(scan);
        } else if (begins(scan, "/*")) {
            skip_comment(scan);
        } else if (c == '$' && at_line_start && !scan->in_expression) {
            r = read_directive(scan);
        } else if ((c == '"' || c == '\'' || c == '`') && string_end(scan)) {
            for (const char *end = string_end(scan); scan->at <= end;)
                step(scan);
        } else if (name_span(scan) > 0) {
            r = read_word(scan);
        } else {
            step(scan);
        }
        at_line_start = false;
    }
    return r;
}

int rainer_read(const char *text, size_t bytes, char *error, int *ret_line,
                struct rainer **ret_rainer)
{
    struct scan scan = {.at = text, .end = text + bytes, .line = 1, .error = error};

    scan.rainer = calloc(1, sizeof(*scan.rainer));
    if (!scan.rainer)
        return -ENOMEM;
    int r = read_all(&scan);
    if (r < 0) {
        *ret_line = scan.line;
        rainer_free(scan.rainer);
        return r;
    }
    *ret_rainer = scan.rainer;
    return 0;
}

void rainer_free(struct rainer *rainer)
{
    if (!rainer)
        return;
    for (size_t i = 0; i < rainer->count; i++) {
        struct rainer_statement *statement = &rainer->statements[i];
        for (size_t j = 0; j < statement->parameter_count; j++) {
            struct rainer_parameter *parameter = &statement->parameters[j];
            for (size_t k = 0; k < parameter->value_count; k++)
                free(parameter->values[k]);
            free(parameter->values);
            free(parameter->name);
        }
        free(statement->parameters);
    }
    free(rainer->statements);
    free(rainer);
}

const struct rainer_parameter *rainer_find(const struct rainer_statement *statement,
                                           const char *name)
{
    for (size_t i = statement->parameter_count; i > 0; i--)
        if (strcasecmp(statement->parameters[i - 1].name, name) == 0)
            return &statement->parameters[i - 1];
    return NULL;
}

const char *rainer_value(const struct rainer_statement *statement, const char *name)
{
    const struct rainer_parameter *parameter = rainer_find(statement, name);

    return parameter && parameter->value_count == 1 ? parameter->values[0] : NULL;
}
