/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasklog tail: shows one task's lines as they come, from the spools that hold them. It reads beside
 * rsyslogd and changes nothing; when that dies and comes back, it goes on where it was.
 */
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "ring.h"
#include "tasklog/follow.h"
#include "tasklog/tag.h"
#include "tasklog/targets.h"
#include "tasklog/view.h"

enum { NO_TASK = 3, SPOOLS_MAX = 64, POLL_MS = 50, LOOK_AGAIN_MS = 500, LINES_DEFAULT = 10 };
static const int64_t WAIT_MAX_S = INT64_C(100) * 365 * 24 * 3600;

static const char *const default_folders[] = {"/var/spool/rsyslog/tasklog", TASKLOG_STATE_FOLDER};

enum state { NOTHING, RUNNING, OVER };

struct spool {
    char *path;
    struct tasklog_follow *follow;
    struct tasklog_view *view;
    enum state state;
    bool completed;
    bool unknown; /* how it ended */
    bool live;    /* lines are printed; before, the last ones are kept */
    struct ring ring;
};

struct tail {
    const char *folders[SPOOLS_MAX]; /* spools, or folders of spools */
    size_t folder_count;
    bool is_default; /* then they need not be there */
    struct tasklog_tag tag;
    size_t line_count; /* how many of those that are there already */
    int64_t wait_ms;
    struct spool spools[SPOOLS_MAX];
    size_t count;
    int trouble; /* why a spool could not be read: negative errno */
    char trouble_path[PATH_MAX];
};

/* ---- what the view tells ---- */

/* The run that was followed has ended; what comes is another one's. */
static bool is_over(const struct spool *spool)
{
    return spool->live && spool->state == OVER;
}

static void begin(void *context)
{
    struct spool *spool = context;

    if (is_over(spool))
        return;
    spool->state = RUNNING;
    spool->unknown = false;
    ring_clear(&spool->ring);
}

static void take_text(void *context, const char *text, size_t bytes, bool more)
{
    struct spool *spool = context;

    if (is_over(spool))
        return;
    if (!spool->live) {
        ring_add(&spool->ring, text, bytes, more);
        return;
    }
    cli_print_text(stdout, text, bytes);
    if (!more)
        putchar('\n');
}

static void end(void *context, const struct tasklog_report *report)
{
    struct spool *spool = context;

    if (is_over(spool))
        return;
    spool->state = OVER;
    spool->unknown = !report;
    spool->completed = report && strcmp(report->status, "COMPLETED") == 0;
}

static int read_payload(void *context, uint64_t position, size_t offset, char *buffer, size_t bytes)
{
    const struct spool *spool = context;

    return tasklog_follow_read(spool->follow, position, offset, buffer, bytes);
}

/* ---- spools ---- */

static void close_spool(struct spool *spool)
{
    tasklog_view_free(spool->view);
    tasklog_follow_free(spool->follow);
    ring_done(&spool->ring);
    free(spool->path);
    *spool = (struct spool){0};
}

static void note_trouble(struct tail *tail, const char *path, int r)
{
    tail->trouble = r;
    snprintf(tail->trouble_path, sizeof(tail->trouble_path), "%s", path);
}

static void add_spool(struct tail *tail, const char *path)
{
    struct spool *spool = &tail->spools[tail->count];
    const struct tasklog_tag *tag = &tail->tag;
    const struct tasklog_view_hooks hooks = {
        .begin = begin, .text = take_text, .end = end, .read = read_payload, .context = spool};

    for (size_t i = 0; i < tail->count; i++)
        if (strcmp(tail->spools[i].path, path) == 0)
            return;
    if (tail->count == SPOOLS_MAX)
        return;
    *spool = (struct spool){.path = strdup(path)};
    int r = spool->path ? tasklog_follow_new(path, &spool->follow) : -ENOMEM;
    if (r == 0)
        r = tasklog_view_new(tag->kind, tag->kind_bytes, tag->id, tag->id_bytes, &hooks,
                             &spool->view);
    if (r == 0)
        r = ring_init(&spool->ring, tail->line_count);
    if (r < 0) {
        note_trouble(tail, path, r);
        close_spool(spool);
        return;
    }
    tail->count++;
}

/* Adds the spool, or all that are in the folder. */
static void look_into(struct tail *tail, const char *path)
{
    char pattern[PATH_MAX];
    glob_t found;
    int r = tasklog_follow_is_spool(path);

    if (r < 0 && !(r == -ENOENT && tail->is_default))
        note_trouble(tail, path, r);
    if (r > 0)
        add_spool(tail, path);
    if (r != 0)
        return;
    snprintf(pattern, sizeof(pattern), "%s/*/", path);
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        r = tasklog_follow_is_spool(found.gl_pathv[i]);
        if (r < 0)
            note_trouble(tail, found.gl_pathv[i], r);
        else if (r > 0)
            add_spool(tail, found.gl_pathv[i]);
    }
    globfree(&found);
}

/* Reads all that is there for now. */
static int drain(struct spool *spool)
{
    struct tasklog_follow_record record;
    int r;

    while ((r = tasklog_follow_next(spool->follow, &record)) > 0) {
        if (tasklog_follow_has_missed(spool->follow)) {
            tasklog_view_miss(spool->view);
            if (spool->live)
                cli_error("lines may be missing here: part of the spool had gone");
        }
        r = tasklog_view_take(spool->view, record.position, record.type, record.data, record.bytes);
        if (r < 0)
            return r;
        if (is_over(spool))
            return 0;
    }
    return r;
}

/* The spool where the task runs, or else has ended; the last one if it is in several. */
static struct spool *find_task(struct tail *tail)
{
    struct spool *best = NULL;

    for (size_t i = 0; i < tail->count; i++) {
        struct spool *spool = &tail->spools[i];
        if (spool->state == NOTHING)
            continue;
        bool better = !best || (spool->state == RUNNING && best->state != RUNNING) ||
                      (spool->state == best->state &&
                       tasklog_view_last_us(spool->view) > tasklog_view_last_us(best->view));
        if (better)
            best = spool;
    }
    return best;
}

/* ---- the two halves ---- */

static void pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};

    nanosleep(&pause, NULL);
}

static int wait_for_task(struct tail *tail, struct spool **ret_spool)
{
    int64_t until_ms = cli_now_ms() + tail->wait_ms, look_ms = 0;

    for (;;) {
        if (cli_now_ms() >= look_ms) {
            tail->trouble = 0;
            for (size_t i = 0; i < tail->folder_count; i++)
                look_into(tail, tail->folders[i]);
            look_ms = cli_now_ms() + LOOK_AGAIN_MS;
        }
        for (size_t i = 0; i < tail->count; i++) {
            int r = drain(&tail->spools[i]);
            if (r < 0)
                note_trouble(tail, tail->spools[i].path, r);
        }
        *ret_spool = find_task(tail);
        if (*ret_spool)
            return CLI_OK;
        if (cli_now_ms() >= until_ms)
            break;
        pause_a_little();
    }
    if (tail->trouble < 0)
        cli_error("spool %s cannot be read: %s%s", tail->trouble_path, strerror(-tail->trouble),
                  tail->trouble == -EACCES ? "; run it as the user of rsyslogd, or with sudo" : "");
    else if (tail->count == 0)
        cli_error("there is no spool in %s: name one with --spool", tail->folders[0]);
    if (tail->trouble < 0 || tail->count == 0)
        return CLI_USAGE;
    cli_error("no spool knows of the task %.*s[%.*s]", (int)tail->tag.kind_bytes, tail->tag.kind,
              (int)tail->tag.id_bytes, tail->tag.id);
    return NO_TASK;
}

static int follow_task(struct spool *spool)
{
    const char *line;
    size_t bytes;

    for (size_t i = 0; ring_get(&spool->ring, i, &line, &bytes); i++) {
        cli_print_text(stdout, line, bytes);
        putchar('\n');
    }
    ring_clear(&spool->ring);
    spool->live = true;
    for (;;) {
        fflush(stdout);
        if (ferror(stdout)) {
            cli_error("the lines cannot be written");
            return CLI_FAILED;
        }
        if (spool->state == OVER)
            break;
        pause_a_little();
        int r = drain(spool);
        if (r < 0) {
            cli_error("spool %s cannot be read: %s", spool->path, strerror(-r));
            return CLI_USAGE;
        }
    }
    if (spool->unknown)
        cli_error("the task has ended; how it did has gone from the spool");
    return spool->completed ? CLI_OK : CLI_FAILED;
}

/* ---- the call ---- */

static void print_usage(FILE *out)
{
    fputs("usage: tasklog tail [--spool DIR ...] [-n LINES] [--wait SECONDS] 'KIND[ID]'\n\n"
          "Shows the lines of a task as they are logged, until it ends.\n\n"
          "  --spool DIR     a spool, or a folder of spools; the default is $TASKLOG_SPOOL, or\n"
          "                  /var/spool/rsyslog/tasklog and /var/lib/tasklog-journald\n"
          "  -n LINES        how many of the lines that are there already (10), or all\n"
          "  --wait SECONDS  how long to wait for the task if no spool knows of it (0)\n\n"
          "Exit status: 0 the task is COMPLETED, 1 it is not, 2 no spool can be read,\n"
          "3 there is no such task.\n",
          out);
}

static bool read_number(const char *text, int64_t most, int64_t *ret_number)
{
    char *rest;

    errno = 0;
    *ret_number = strtoll(text, &rest, 10);
    return *text >= '0' && *text <= '9' && !*rest && errno == 0 && *ret_number <= most;
}

/* KIND[ID], with or without the colon of a tag. */
static bool read_tag(const char *text, struct tasklog_tag *ret_tag)
{
    size_t bytes = strlen(text);

    return !tasklog_tag_parse(text, bytes, ret_tag) && ret_tag->used_bytes == bytes;
}

static bool set_option(struct tail *tail, int option)
{
    int64_t number;

    switch (option) {
    case 's':
        if (tail->folder_count == SPOOLS_MAX) {
            cli_error("no more than 64 spools are taken");
            return false;
        }
        tail->folders[tail->folder_count++] = optarg;
        return true;
    case 'n':
        if (strcmp(optarg, "all") == 0)
            number = RING_LINES_MAX;
        else if (!read_number(optarg, RING_LINES_MAX, &number)) {
            cli_error("-n takes a number of lines up to %d, or \"all\"", RING_LINES_MAX);
            return false;
        }
        tail->line_count = (size_t)number;
        return true;
    case 'w':
        if (!read_number(optarg, WAIT_MAX_S, &number)) {
            cli_error("--wait takes a whole number of seconds");
            return false;
        }
        tail->wait_ms = number * 1000;
        return true;
    default:
        return false;
    }
}

static void set_folders(struct tail *tail)
{
    const char *set = getenv("TASKLOG_SPOOL");

    if (tail->folder_count > 0)
        return;
    if (set && *set) {
        tail->folders[tail->folder_count++] = set;
        return;
    }
    tail->is_default = true;
    for (size_t i = 0; i < sizeof(default_folders) / sizeof(default_folders[0]); i++)
        tail->folders[tail->folder_count++] = default_folders[i];
}

static int run(int count, char **arguments)
{
    static const struct option options[] = {{"spool", required_argument, NULL, 's'},
                                            {"lines", required_argument, NULL, 'n'},
                                            {"wait", required_argument, NULL, 'w'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct tail *tail = calloc(1, sizeof(*tail));
    struct spool *spool;
    int option, result = CLI_OK;

    if (!tail)
        return CLI_FAILED;
    tail->line_count = LINES_DEFAULT;
    tzset();
    while (result == CLI_OK &&
           (option = getopt_long(count, arguments, "n:h", options, NULL)) != -1) {
        if (option == 'h') {
            print_usage(stdout);
            free(tail);
            return CLI_OK;
        }
        if (!set_option(tail, option))
            result = CLI_USAGE;
    }
    if (result == CLI_OK && (optind + 1 != count || !read_tag(arguments[optind], &tail->tag))) {
        print_usage(stderr);
        result = CLI_USAGE;
    }
    if (result == CLI_OK) {
        set_folders(tail);
        result = wait_for_task(tail, &spool);
        if (result == CLI_OK)
            result = follow_task(spool);
    }
    for (size_t i = 0; i < tail->count; i++)
        close_spool(&tail->spools[i]);
    free(tail);
    return result;
}

const struct cli_command cli_tail = {"tail", "show a task's lines as they are logged", run};
