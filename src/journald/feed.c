/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the journal's reader to the collector.
 *
 * Concurrency: the thread owns the reader process, the pipe and the buffer. Others only see the atomic
 * members; the collector locks for itself.
 */
#include "feed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "frame.h"
#include "reader.h"

enum {
    PIPE_BYTES = 1 << 20,
    READ_BYTES = 256 << 10,
    LINES_MAX = 256, /* given to the collector at once */
    PASS_MS = 5000,  /* so often the spool is told how far the journal was read without a line */
    BACK_OFF_FIRST_MS = 100,
    BACK_OFF_MOST_MS = 10000,
    FULL_RETRY_MS = 20,
    SILENCE_MS = 60000, /* a reader that gives no sign of life for so long is ended */
    STOP_COLLECTOR_MS = 5000,
};

struct feed {
    struct tasklog_named_target *target;
    const struct tasklog_journal *journal;
    const struct feed_hooks *hooks;
    struct tasklog_collector *collector;
    pthread_t thread;
    bool started;
    int stop_fd; /* eventfd: readable when it is time to go */
    _Atomic bool begun;
    _Atomic int64_t alive_ms;
    /* The thread's: */
    pid_t reader;
    int pipe;
    char *buffer;
    size_t used;
    size_t size;
    struct tasklog_line lines[LINES_MAX];
    size_t line_count;
    char passed[TASKLOG_CURSOR_BYTES_MAX]; /* not yet in the spool */
    size_t passed_bytes;
    int64_t pass_ms;  /* when the spool was told last */
    int64_t heard_ms; /* from the reader */
};

static void say(const struct feed *feed, int severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(const struct feed *feed, int severity, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    feed->hooks->say(feed->target->name, severity, text);
}

static void say_for_collector(void *context, int severity, const char *text)
{
    const struct feed *feed = context;

    feed->hooks->say(feed->target->name, severity, text);
}

static int64_t now_ms(struct feed *feed)
{
    int64_t now = tasklog_clock_now(&feed->hooks->clock).mono_ms;

    atomic_store(&feed->alive_ms, now);
    return now;
}

/* Waits, but not beyond a stop: true if it is time to go. */
static bool pause_ms(struct feed *feed, int wait_ms)
{
    struct pollfd stop = {.fd = feed->stop_fd, .events = POLLIN};

    (void)now_ms(feed);
    return poll(&stop, 1, wait_ms) > 0;
}

/* ---- what the reader finds ---- */

/* Gives the lines that were gathered. False if it is time to go: then the rest comes again after the
 * next start. */
static bool give_lines(struct feed *feed)
{
    size_t given = 0;

    while (given < feed->line_count) {
        given += tasklog_collector_accept(feed->collector, feed->lines + given,
                                          feed->line_count - given);
        if (given < feed->line_count && pause_ms(feed, FULL_RETRY_MS))
            break;
    }
    bool all = given == feed->line_count;
    feed->line_count = 0;
    return all;
}

static void pass(struct feed *feed)
{
    if (feed->passed_bytes == 0)
        return;
    if (tasklog_collector_pass(feed->collector, feed->passed, feed->passed_bytes) == 0)
        feed->passed_bytes = 0;
    feed->pass_ms = now_ms(feed);
}

static bool take_line(struct feed *feed, const struct frame *frame)
{
    const struct frame_text *texts = frame->texts;

    feed->passed_bytes = 0; /* the line says it */
    feed->lines[feed->line_count++] =
        (struct tasklog_line){.kind = texts[FRAME_KIND].data,
                              .kind_bytes = texts[FRAME_KIND].bytes,
                              .id = texts[FRAME_ID].data,
                              .id_bytes = texts[FRAME_ID].bytes,
                              .host = texts[FRAME_HOST].data,
                              .host_bytes = texts[FRAME_HOST].bytes,
                              .text = texts[FRAME_TEXT].data,
                              .text_bytes = texts[FRAME_TEXT].bytes,
                              .cursor = texts[FRAME_POSITION].data,
                              .cursor_bytes = texts[FRAME_POSITION].bytes,
                              .origin = texts[FRAME_ORIGIN].data,
                              .origin_bytes = texts[FRAME_ORIGIN].bytes,
                              .sender_pid = frame->pid,
                              .has_uid = frame->uid != FRAME_NO_UID,
                              .uid = frame->uid,
                              .is_local = !feed->journal->directory,
                              .time_us = frame->time_us,
                              .severity = frame->severity};
    return feed->line_count < LINES_MAX || give_lines(feed);
}

static int tell_lost(struct feed *feed, const struct frame *frame,
                     const struct tasklog_line *source)
{
    char text[160];

    if (frame->type == FRAME_SUPPRESSED)
        snprintf(text, sizeof(text),
                 "[... %llu messages of this unit are missing here: the journal's rate limit "
                 "suppressed them ...]",
                 (unsigned long long)frame->count);
    else if (frame->count > 0)
        snprintf(text, sizeof(text),
                 "[... lines may be missing here: %llu entries of the journal were removed before "
                 "they were read ...]",
                 (unsigned long long)frame->count);
    else
        snprintf(text, sizeof(text),
                 "[... lines may be missing here: the journal was replaced by another ...]");
    if (frame->type == FRAME_LOST)
        say(feed, LOG_WARNING, "entries of the journal were removed before they were read: %llu",
            (unsigned long long)frame->count);
    return tasklog_collector_note(feed->collector, source, text, frame->count);
}

/* News go to the collector with their position. 0 or negative errno: the spool takes nothing. */
static int tell_news(struct feed *feed, const struct frame *frame)
{
    const struct tasklog_line source = {.origin = frame->texts[FRAME_ORIGIN].data,
                                        .origin_bytes = frame->texts[FRAME_ORIGIN].bytes,
                                        .cursor = frame->texts[FRAME_POSITION].data,
                                        .cursor_bytes = frame->texts[FRAME_POSITION].bytes};
    char how[256];

    switch (frame->type) {
    case FRAME_LOST:
    case FRAME_SUPPRESSED:
        return tell_lost(feed, frame, &source);
    case FRAME_DIED:
        snprintf(how, sizeof(how), "%.*s", (int)frame->texts[FRAME_TEXT].bytes,
                 frame->texts[FRAME_TEXT].data);
        return tasklog_collector_died(feed->collector, &source, how);
    default:
        return tasklog_collector_died(feed->collector, &source, "the machine was started again");
    }
}

static void remember_passed(struct feed *feed, const struct frame_text *position)
{
    if (position->bytes > sizeof(feed->passed))
        return;
    memcpy(feed->passed, position->data, position->bytes);
    feed->passed_bytes = position->bytes;
}

/* False if it is time to go. */
static bool take_other(struct feed *feed, const struct frame *frame)
{
    char why[128];

    if (frame->type == FRAME_WRONG) {
        snprintf(why, sizeof(why), "%.*s", (int)frame->texts[FRAME_ORIGIN].bytes,
                 frame->texts[FRAME_ORIGIN].data);
        tasklog_collector_reject(feed->collector, frame->texts[FRAME_KIND].data,
                                 frame->texts[FRAME_KIND].bytes, why);
    }
    if (frame->type == FRAME_WRONG || frame->type == FRAME_PASS) {
        remember_passed(feed, &frame->texts[FRAME_POSITION]);
        return true;
    }
    while (tell_news(feed, frame) < 0)
        if (pause_ms(feed, FULL_RETRY_MS))
            return false;
    feed->passed_bytes = 0;
    return true;
}

/* Takes the frames that are whole. False if it is time to go, or they make no sense. */
static bool take_frames(struct feed *feed)
{
    size_t done = 0, need = 0;
    bool goes_on = true;

    while (goes_on) {
        struct frame frame;
        int64_t bytes = frame_read(feed->buffer + done, feed->used - done, &frame, &need);
        if (bytes == 0)
            break;
        if (bytes < 0) {
            say(feed, LOG_ERR, "the journal's reader does not make sense; starting it again");
            goes_on = false;
            break;
        }
        done += (size_t)bytes;
        if (frame.type == FRAME_LINE) {
            goes_on = take_line(feed, &frame);
        } else {
            goes_on = give_lines(feed);
            goes_on = goes_on && take_other(feed, &frame);
        }
    }
    if (goes_on)
        goes_on = give_lines(feed); /* their texts are in the buffer */
    if (goes_on && done > 0 && !atomic_load(&feed->begun)) {
        pass(feed); /* where it began is known from now on */
        atomic_store(&feed->begun, true);
        feed->hooks->begun();
    }
    memmove(feed->buffer, feed->buffer + done, feed->used - done);
    feed->used -= done;
    if (goes_on && need > feed->size) {
        char *buffer = realloc(feed->buffer, need + READ_BYTES);
        if (!buffer)
            return false;
        feed->buffer = buffer;
        feed->size = need + READ_BYTES;
    }
    return goes_on;
}

/* ---- the reader ---- */

static const char *const since_names[] = {"now", "boot", "all"};

static int spawn_reader(struct feed *feed)
{
    char position[TASKLOG_CURSOR_BYTES_MAX + 1];
    char *arguments[8 + TASKLOG_KINDS_MAX];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int ends[2];
    size_t count = 0;

    position[tasklog_collector_cursor(feed->collector, position)] = '\0';
    arguments[count++] = (char *)"tasklog-journald";
    arguments[count++] = (char *)READER_ARGUMENT;
    arguments[count++] = feed->journal->namespace_name ? feed->journal->namespace_name : (char *)"";
    arguments[count++] = feed->journal->directory ? feed->journal->directory : (char *)"";
    arguments[count++] = (char *)since_names[feed->journal->since];
    arguments[count++] = position;
    for (size_t i = 0; i < feed->target->kind_count; i++)
        arguments[count++] = feed->target->kinds[i];
    arguments[count] = NULL;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    (void)fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int r = posix_spawn(&feed->reader, "/proc/self/exe", &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(ends[1]);
    if (r != 0) {
        feed->reader = 0;
        close(ends[0]);
        return -r;
    }
    feed->pipe = ends[0];
    feed->used = 0;
    feed->heard_ms = now_ms(feed);
    return 0;
}

/* Says how it ended, unless we wanted it to. */
static void end_reader(struct feed *feed, bool wanted)
{
    int status = 0;

    close(feed->pipe);
    kill(feed->reader, SIGKILL); /* it has nothing to finish */
    while (waitpid(feed->reader, &status, 0) < 0 && errno == EINTR)
        ;
    feed->reader = 0;
    if (wanted)
        return;
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        say(feed, LOG_WARNING,
            "the journal's reader was killed by %s%s; starting it again where it was",
            strsignal(WTERMSIG(status)),
            WTERMSIG(status) == SIGBUS ? ", as libsystemd does when a journal is rotated" : "");
    else
        say(feed, LOG_WARNING, "the journal's reader has ended; starting it again where it was");
}

/* Reads until the reader ends. True if it is time to go. */
static bool listen_to_reader(struct feed *feed)
{
    for (;;) {
        struct pollfd polled[] = {{.fd = feed->stop_fd, .events = POLLIN},
                                  {.fd = feed->pipe, .events = POLLIN}};
        int r = poll(polled, 2, 1000);
        int64_t now = now_ms(feed);
        if (polled[0].revents)
            return true;
        if (now >= feed->pass_ms + PASS_MS)
            pass(feed);
        if (r <= 0) {
            if (now < feed->heard_ms + SILENCE_MS)
                continue;
            say(feed, LOG_WARNING, "the journal's reader gives no sign of life");
            return false;
        }
        ssize_t bytes = read(feed->pipe, feed->buffer + feed->used, feed->size - feed->used);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes <= 0)
            return false;
        feed->used += (size_t)bytes;
        if (!take_frames(feed))
            return pause_ms(feed, 0);
        feed->heard_ms = now_ms(feed);
    }
}

static void *feed_thread(void *argument)
{
    struct feed *feed = argument;
    int back_off_ms = BACK_OFF_FIRST_MS;
    bool over = false;

    while (!over) {
        int64_t began_ms = now_ms(feed);
        int r = spawn_reader(feed);
        if (r < 0) {
            say(feed, LOG_ERR, "the journal's reader cannot be started: %s; retrying",
                strerror(-r));
        } else {
            over = listen_to_reader(feed);
            end_reader(feed, over);
        }
        if (now_ms(feed) > began_ms + BACK_OFF_MOST_MS)
            back_off_ms = BACK_OFF_FIRST_MS;
        if (!over)
            over = pause_ms(feed, back_off_ms);
        back_off_ms = back_off_ms * 2 > BACK_OFF_MOST_MS ? BACK_OFF_MOST_MS : back_off_ms * 2;
    }
    pass(feed);
    return NULL;
}

/* ---- life ---- */

int feed_new(struct tasklog_named_target *target, const struct tasklog_journal *journal,
             const struct feed_hooks *hooks, char *error, struct feed **ret_feed)
{
    struct feed *feed = calloc(1, sizeof(*feed));
    int r = -ENOMEM;

    if (!feed)
        goto failed;
    feed->stop_fd = eventfd(0, EFD_CLOEXEC);
    feed->size = READ_BYTES;
    feed->buffer = malloc(feed->size);
    if (feed->stop_fd < 0 || !feed->buffer)
        goto failed;
    feed->target = target;
    feed->journal = journal;
    feed->hooks = hooks;
    const struct tasklog_hooks own = {.clock = hooks->clock,
                                      .say = say_for_collector,
                                      .context = feed};
    r = tasklog_collector_new(target->config, &own, error, &feed->collector);
    if (r < 0)
        goto failed;
    target->config = NULL;
    *ret_feed = feed;
    return 0;

failed:
    if (r == -ENOMEM)
        snprintf(error, TASKLOG_ERROR_BYTES, "out of memory");
    feed_free(feed);
    return r;
}

void feed_free(struct feed *feed)
{
    if (!feed)
        return;
    tasklog_collector_free(feed->collector);
    if (feed->stop_fd > 0)
        close(feed->stop_fd);
    free(feed->buffer);
    free(feed);
}

int feed_start(struct feed *feed, char *error)
{
    int r = tasklog_collector_start(feed->collector, error);

    if (r < 0)
        return r;
    atomic_store(&feed->alive_ms, tasklog_clock_now(&feed->hooks->clock).mono_ms);
    r = -pthread_create(&feed->thread, NULL, feed_thread, feed);
    if (r < 0)
        snprintf(error, TASKLOG_ERROR_BYTES, "its thread cannot be started: %s", strerror(-r));
    else
        feed->started = true;
    return r;
}

void feed_stop(struct feed *feed)
{
    if (feed->started) {
        uint64_t one = 1;
        (void)!write(feed->stop_fd, &one, sizeof(one));
        pthread_join(feed->thread, NULL);
        feed->started = false;
    }
    tasklog_collector_stop(feed->collector, STOP_COLLECTOR_MS);
}

bool feed_has_begun(const struct feed *feed)
{
    return atomic_load(&feed->begun);
}

int64_t feed_alive_ms(const struct feed *feed)
{
    return atomic_load(&feed->alive_ms);
}

const char *feed_name(const struct feed *feed)
{
    return feed->target->name;
}

void feed_count(const struct feed *feed, struct tasklog_counters *ret_counters)
{
    tasklog_collector_count(feed->collector, ret_counters);
}
