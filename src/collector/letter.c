/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Letters to and from bytes: numbers in the machine's own order, texts with their length before and a
 * NUL behind. A letter is one file on one machine; it is no format for exchange.
 *
 *     "tasklogL" format (u32) checksum (u64) │ time, append_at (i64) │ kind, id, SQLSTATE, reason,
 *     database, table (texts) │ mode (u32) │ keys, then columns: count (u32), of each name (text),
 *     type, appends and 2 * guards, is_null (u32), number (i64), text
 */
#include "tasklog/letter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { FORMAT = 1, COLUMNS_MAX = 128, HEAD_BYTES = 20 };
static const char MAGIC[8] = {'t', 'a', 's', 'k', 'l', 'o', 'g', 'L'};

/* ---- to bytes ---- */

struct output {
    char *data; /* NULL: only counts */
    size_t used;
};

static void put(struct output *output, const void *data, size_t bytes)
{
    if (output->data && bytes > 0)
        memcpy(output->data + output->used, data, bytes);
    output->used += bytes;
}

static void put_u32(struct output *output, uint32_t number)
{
    put(output, &number, sizeof(number));
}

static void put_i64(struct output *output, int64_t number)
{
    put(output, &number, sizeof(number));
}

static void put_text(struct output *output, const char *text, size_t bytes)
{
    put_u32(output, (uint32_t)bytes);
    put(output, text, bytes);
    put(output, "", 1);
}

static void put_string(struct output *output, const char *text)
{
    put_text(output, text, strlen(text));
}

static void put_columns(struct output *output, const struct tasklog_column *columns,
                        const struct tasklog_value *values, size_t count)
{
    put_u32(output, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_string(output, columns[i].name);
        put_u32(output, (uint32_t)columns[i].type);
        put_u32(output, columns[i].appends | (uint32_t)columns[i].guards << 1);
        put_u32(output, values[i].is_null);
        put_i64(output, values[i].number);
        put_text(output, values[i].text, values[i].text ? values[i].text_bytes : 0);
    }
}

static void put_letter(struct output *output, const struct tasklog_letter *letter)
{
    const struct tasklog_target *target = &letter->target;

    put_i64(output, letter->time_us);
    put_i64(output, letter->row.append_at);
    put_string(output, letter->kind);
    put_string(output, letter->task_id);
    put_string(output, letter->sqlstate);
    put_string(output, letter->reason);
    put_string(output, target->database);
    put_string(output, target->table);
    put_u32(output, (uint32_t)target->mode);
    put_columns(output, target->keys, letter->row.keys, target->key_count);
    put_columns(output, target->columns, letter->row.columns, target->column_count);
}

int tasklog_letter_encode(const struct tasklog_letter *letter, void **ret_data, size_t *ret_bytes)
{
    struct output output = {.used = HEAD_BYTES};
    const uint32_t format = FORMAT;

    put_letter(&output, letter);
    size_t bytes = output.used;
    output.data = malloc(bytes);
    if (!output.data)
        return -ENOMEM;
    output.used = HEAD_BYTES;
    put_letter(&output, letter);
    uint64_t check = XXH3_64bits(output.data + HEAD_BYTES, bytes - HEAD_BYTES);
    memcpy(output.data, MAGIC, sizeof(MAGIC));
    memcpy(output.data + 8, &format, sizeof(format));
    memcpy(output.data + 12, &check, sizeof(check));
    *ret_data = output.data;
    *ret_bytes = bytes;
    return 0;
}

/* ---- from bytes ---- */

struct input {
    const char *at;
    size_t left;
    int broken; /* once it is, everything reads as 0 and "" */
};

static void get(struct input *input, void *data, size_t bytes)
{
    if (input->broken || bytes > input->left) {
        input->broken = 1;
        memset(data, 0, bytes);
        return;
    }
    memcpy(data, input->at, bytes);
    input->at += bytes;
    input->left -= bytes;
}

static uint32_t get_u32(struct input *input)
{
    uint32_t number;

    get(input, &number, sizeof(number));
    return number;
}

static int64_t get_i64(struct input *input)
{
    int64_t number;

    get(input, &number, sizeof(number));
    return number;
}

static const char *get_text(struct input *input, size_t *ret_bytes)
{
    size_t bytes = get_u32(input);
    const char *text = input->at;

    *ret_bytes = 0;
    if (input->broken || bytes >= input->left || text[bytes] != '\0') {
        input->broken = 1;
        return "";
    }
    input->at += bytes + 1;
    input->left -= bytes + 1;
    *ret_bytes = bytes;
    return text;
}

static const char *get_string(struct input *input)
{
    size_t bytes;

    return get_text(input, &bytes);
}

static void get_columns(struct input *input, struct tasklog_column *columns,
                        struct tasklog_value *values, size_t *ret_count)
{
    size_t count = get_u32(input);

    if (count > COLUMNS_MAX)
        input->broken = 1;
    *ret_count = input->broken ? 0 : count;
    for (size_t i = 0; i < *ret_count; i++) {
        columns[i].name = get_string(input);
        columns[i].type = (enum tasklog_type)get_u32(input);
        uint32_t flags = get_u32(input);
        columns[i].appends = flags & 1;
        columns[i].guards = flags & 2;
        values[i].is_null = get_u32(input) != 0;
        values[i].number = get_i64(input);
        values[i].text = get_text(input, &values[i].text_bytes);
    }
}

struct columns {
    struct tasklog_column keys[COLUMNS_MAX];
    struct tasklog_column columns[COLUMNS_MAX];
    struct tasklog_value key_values[COLUMNS_MAX];
    struct tasklog_value column_values[COLUMNS_MAX];
};

int tasklog_letter_decode(const void *data, size_t bytes, struct tasklog_letter *ret_letter)
{
    struct input input = {0};
    struct tasklog_letter letter = {0};
    struct tasklog_target *target = &letter.target;
    uint32_t format;
    uint64_t check;

    if (bytes < HEAD_BYTES || memcmp(data, MAGIC, sizeof(MAGIC)) != 0)
        return -EBADMSG;
    input.at = (const char *)data + HEAD_BYTES;
    input.left = bytes - HEAD_BYTES;
    memcpy(&format, (const char *)data + 8, sizeof(format));
    memcpy(&check, (const char *)data + 12, sizeof(check));
    if (format != FORMAT || check != XXH3_64bits(input.at, input.left))
        return -EBADMSG;
    struct columns *columns = calloc(1, sizeof(*columns));
    if (!columns)
        return -ENOMEM;
    letter.time_us = get_i64(&input);
    letter.row.append_at = get_i64(&input);
    letter.kind = get_string(&input);
    letter.task_id = get_string(&input);
    letter.sqlstate = get_string(&input);
    letter.reason = get_string(&input);
    target->database = get_string(&input);
    target->table = get_string(&input);
    target->mode = (enum tasklog_mode)get_u32(&input);
    get_columns(&input, columns->keys, columns->key_values, &target->key_count);
    get_columns(&input, columns->columns, columns->column_values, &target->column_count);
    if (input.broken || input.left > 0 || target->key_count == 0 || target->column_count == 0) {
        free(columns);
        return -EBADMSG;
    }
    target->keys = columns->keys; /* the beginning of what is freed */
    target->columns = columns->columns;
    letter.row.keys = columns->key_values;
    letter.row.columns = columns->column_values;
    *ret_letter = letter;
    /* cppcheck-suppress memleak ; the letter's keys are its beginning */
    return 0;
}

void tasklog_letter_done(struct tasklog_letter *letter)
{
    free((void *)letter->target.keys);
    letter->target.keys = NULL;
}
