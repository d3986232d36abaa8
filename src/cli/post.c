/* SPDX-License-Identifier: Apache-2.0 */
/* Sends single lines for scripts; see the header. */
#include "post.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "splitter.h"

enum { PART_BYTES = 128 * 1024, PART_BYTES_MIN = 256 };

void post_open(struct post *post, const struct task_options *options, int64_t timeout_ms)
{
    *post = (struct post){.timeout_ms = timeout_ms};
    channel_init(&post->channel, options->socket, options->form);
    frame_init(&post->frame, options->form, options->kind, options->id);
}

/* 0, -EMSGSIZE, or -EAGAIN when the time is over. */
static int send_one(struct post *post, const struct frame_message *message)
{
    int64_t until_ms = cli_now_ms() + (post->gave_up ? 0 : post->timeout_ms);
    int error;

    while (channel_send(&post->channel, message, 1, &error) == 0) {
        int64_t left = until_ms - cli_now_ms();
        if (error != -EAGAIN)
            return error;
        if (left <= 0) {
            post->gave_up = true;
            post->error = post->channel.error;
            return error;
        }
        channel_wait(&post->channel, -1, left);
    }
    post->gave_up = false;
    return 0;
}

void post_line(struct post *post, int severity, const char *text, size_t bytes)
{
    size_t limit = PART_BYTES;
    struct frame_message message;

    do {
        size_t part = splitter_cut(text, bytes, limit);
        frame_make(&post->frame, cli_now_s(), severity, text, part, &message);
        int r = send_one(post, &message);
        if (r == 0) {
            text += part;
            bytes -= part;
        } else if (r == -EMSGSIZE && limit / 2 >= PART_BYTES_MIN) {
            limit /= 2;
        } else {
            post->unsent_lines++;
            return;
        }
    } while (bytes > 0);
}

int post_file(struct post *post, FILE *file, post_function *take, void *context)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t bytes;

    while ((bytes = getline(&line, &size, file)) >= 0) {
        if (bytes > 0 && line[bytes - 1] == '\n')
            line[--bytes] = '\0';
        take(post, context, line, (size_t)bytes);
    }
    free(line);
    if (!ferror(file))
        return CLI_OK;
    cli_error("standard input cannot be read: %s", strerror(errno));
    return CLI_FAILED;
}

int post_close(struct post *post)
{
    channel_close(&post->channel);
    if (post->unsent_lines == 0)
        return CLI_OK;
    cli_error("%" PRIu64 " %s could not be sent to %s: %s", post->unsent_lines,
              post->unsent_lines == 1 ? "line" : "lines", post->channel.path,
              post->error ? strerror(post->error) : "nobody reads it");
    return CLI_FAILED;
}
