/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasklog run: runs a job and makes its output a task's log. The job comes first: its output is passed
 * through whatever the log's socket does, and what cannot be sent is counted.
 *
 * Concurrency: main waits for the job and for signals; a pump for each of its two streams passes text
 * through and puts it into the queue; the sender takes it from there. Only the queue is shared.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "job.h"
#include "pump.h"
#include "sender.h"
#include "task_options.h"

enum { OPTION_TOTAL = OPTION_OTHER, OPTION_BUFFER, OPTION_PART, OPTION_WAIT, OPTION_LINGER };
enum {
    EXIT_BROKEN = 125, /* as env(1) and timeout(1): it is us, not the job */
    PIPE_BYTES = 1024 * 1024,
    MIB = 1024 * 1024,
};

struct settings {
    struct task_options task;
    char own_id[64];
    int64_t total; /* -1: not given */
    int64_t buffer_mib;
    int64_t part_bytes;
    int64_t wait_s;
    int64_t linger_s;
    bool quiet;
};

struct run {
    const struct settings *settings;
    struct queue queue;
    struct channel channel;
    struct frame frame;
    struct sender sender;
    struct pump pumps[QUEUE_STREAMS];
    int write_ends[QUEUE_STREAMS]; /* of the job's pipes; -1 once closed */
    atomic_bool stop;
    int stop_fd;
    int null_fd;
    struct job job;
};

static void print_usage(FILE *out)
{
    fputs("usage: tasklog run --kind KIND [--id ID] [option ...] [--] command [argument ...]\n\n"
          "Runs the command, passes its output through, and logs it as one task: stdout at info, "
          "stderr\n"
          "at warning, and how it ended. The exit status is the command's.\n\n" TASK_OPTIONS_HELP
          "                    (made up if not given)\n"
          "  --total N         how many items there are to do\n" TASK_OPTIONS_TARGET_HELP
          "  --wait SECONDS    how long to send what is left when the job has ended (5)\n"
          "  --linger SECONDS  how long to pass on what its children write after its end (2)\n"
          "  --buffer MIB      how much may wait to be sent while it runs (64)\n"
          "  --max-line BYTES  longer lines are logged in parts (131072)\n"
          "  --quiet           do not say on stderr that the log could not be sent\n",
          out);
}

/* --- Options ------------------------------------------------------------------------------------ */

static int take_number(struct settings *settings, int option, const char *value)
{
    switch (option) {
    case OPTION_TOTAL:
        return task_options_number("--total", value, 0, &settings->total);
    case OPTION_BUFFER:
        return task_options_number("--buffer", value, 1, &settings->buffer_mib);
    case OPTION_PART:
        return task_options_number("--max-line", value, 256, &settings->part_bytes);
    case OPTION_WAIT:
        return task_options_number("--wait", value, 0, &settings->wait_s);
    default:
        return task_options_number("--linger", value, 0, &settings->linger_s);
    }
}

/* Returns CLI_OK with optind at the command, or an exit status; -1: help was given. */
static int read_options(int count, char **arguments, struct settings *settings)
{
    static const struct option options[] = {TASK_OPTIONS,
                                            {"total", required_argument, NULL, OPTION_TOTAL},
                                            {"buffer", required_argument, NULL, OPTION_BUFFER},
                                            {"max-line", required_argument, NULL, OPTION_PART},
                                            {"wait", required_argument, NULL, OPTION_WAIT},
                                            {"linger", required_argument, NULL, OPTION_LINGER},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {NULL, 0, NULL, 0}};
    int option, result = CLI_OK;

    while (result == CLI_OK &&
           (option = getopt_long(count, arguments, "+hq", options, NULL)) != -1) {
        if (task_options_take(&settings->task, option, optarg))
            continue;
        if (option == 'h') {
            print_usage(stdout);
            return -1;
        } else if (option == 'q') {
            settings->quiet = true;
        } else if (option == '?') {
            print_usage(stderr);
            return CLI_USAGE;
        } else {
            result = take_number(settings, option, optarg);
        }
    }
    if (result == CLI_OK)
        result = task_options_complete(&settings->task, false);
    if (result == CLI_OK && optind == count) {
        cli_error("which command? it stands behind the options");
        result = CLI_USAGE;
    }
    return result;
}

/* Ids of one kind may come from several hosts and containers at the same second. */
static void make_id(struct settings *settings)
{
    time_t now = (time_t)cli_now_s();
    char stamp[32] = "";
    uint32_t random = 0;
    struct tm tm;

    if (settings->task.id)
        return;
    if (localtime_r(&now, &tm))
        strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        random = (uint32_t)getpid();
    snprintf(settings->own_id, sizeof(settings->own_id), "%s-%08" PRIx32, stamp, random);
    settings->task.id = settings->own_id;
}

/* So that tasklog log, progress and end need no options in the job. */
static void tell_environment(const struct task_options *task)
{
    setenv("TASKLOG_KIND", task->kind, 1);
    setenv("TASKLOG_ID", task->id, 1);
    setenv("TASKLOG_TO", task->form == FRAME_JOURNAL ? "journal" : "syslog", 1);
    setenv("TASKLOG_SOCKET", task->socket, 1);
    setenv("TASKLOG_MARKER", task->marker, 1);
}

/* --- Start -------------------------------------------------------------------------------------- */

/* Before the job starts: what it logs itself, past us, must not come before this. */
static void send_start(struct run *run)
{
    const struct settings *settings = run->settings;
    struct frame_message message;
    char line[512];
    int error;
    int bytes =
        snprintf(line, sizeof(line), "%.400s start pid=%d", settings->task.marker, (int)getpid());

    if (settings->total >= 0)
        bytes += snprintf(line + bytes, sizeof(line) - (size_t)bytes, " total=%" PRId64,
                          settings->total);
    frame_make(&run->frame, cli_now_s(), LOG_INFO, line, (size_t)bytes, &message);
    if (channel_send(&run->channel, &message, 1, &error) == 0)
        (void)queue_put_line(&run->queue, line, (size_t)bytes);
}

/* A descriptor of 0, 1, 2 that is closed would be the number of a pipe or socket of ours. */
static int open_standard(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static int open_pump(struct run *run, unsigned stream)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    (void)fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES); /* faster; it does with less */
    run->write_ends[stream] = ends[1];
    /* Who reads our stdout shall see its end at once. Stderr is needed once more. */
    run->pumps[stream] = (struct pump){.queue = &run->queue,
                                       .stream = stream,
                                       .from = ends[0],
                                       .to = stream == 0 ? STDOUT_FILENO : STDERR_FILENO,
                                       .stop_fd = run->stop_fd,
                                       .stop = &run->stop,
                                       .null_fd = stream == 0 ? run->null_fd : -1};
    return pump_start(&run->pumps[stream]);
}

static int start(struct run *run, char *const *arguments)
{
    const struct settings *settings = run->settings;
    const struct task_options *task = &settings->task;
    int r = 0;

    job_take_signals(&run->job);
    run->null_fd = open_standard();
    run->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (run->null_fd < 0 || run->stop_fd < 0)
        return -errno;
    r = queue_init(&run->queue, (size_t)settings->buffer_mib * MIB);
    if (r < 0)
        return r;
    channel_init(&run->channel, task->socket, task->form);
    frame_init(&run->frame, task->form, task->kind, task->id);
    send_start(run);
    r = sender_start(&run->sender, &run->queue, &run->channel, &run->frame, task->marker,
                     (size_t)settings->part_bytes);
    for (unsigned i = 0; r == 0 && i < QUEUE_STREAMS; i++)
        r = open_pump(run, i);
    if (r == 0)
        r = job_start(&run->job, arguments, run->write_ends[0], run->write_ends[1]);
    for (unsigned i = 0; r == 0 && i < QUEUE_STREAMS; i++)
        close(run->write_ends[i]);
    return r;
}

/* --- End ---------------------------------------------------------------------------------------- */

/* The job has ended; children of it may still have its pipes. */
static void join_pumps(struct run *run)
{
    int64_t until_ms = cli_now_ms() + run->settings->linger_s * 1000;
    bool ended[QUEUE_STREAMS];
    const uint64_t one = 1;

    for (unsigned i = 0; i < QUEUE_STREAMS; i++) {
        int64_t left = until_ms - cli_now_ms();
        ended[i] = pump_join(&run->pumps[i], left > 0 ? (int)left : 0);
    }
    atomic_store(&run->stop, true);
    (void)!write(run->stop_fd, &one, sizeof(one));
    for (unsigned i = 0; i < QUEUE_STREAMS; i++)
        if (!ended[i])
            (void)pump_join(&run->pumps[i], -1);
    for (unsigned i = 0; i < QUEUE_STREAMS; i++)
        if (run->pumps[i].error != 0 && run->pumps[i].error != EPIPE)
            cli_error("its %s could not be written: %s", i == 0 ? "output" : "error output",
                      strerror(run->pumps[i].error));
}

static void say_what_is_missing(const struct run *run)
{
    const struct task_options *task = &run->settings->task;

    if (run->sender.end_sent || run->settings->quiet)
        return;
    cli_error("the end of %s[%s] and %" PRIu64 " of its lines could not be sent to %s: %s",
              task->kind, task->id, run->sender.unsent_lines, task->socket,
              run->channel.error ? strerror(run->channel.error) : "nobody reads it");
}

static int end(struct run *run, const char *command)
{
    struct ending ending;

    job_wait(&run->job, &ending);
    if (ending.start_error)
        cli_error("%s: %s", command, strerror(ending.start_error));
    join_pumps(run);
    sender_finish(&run->sender, &ending, run->settings->wait_s * 1000);
    say_what_is_missing(run);
    sender_done(&run->sender);
    channel_close(&run->channel);
    queue_done(&run->queue);
    if (ending.signal == 0)
        return ending.exit_code;
    job_die_alike(ending.signal);
    return 128 + ending.signal;
}

static int run_job(int count, char **arguments)
{
    struct settings settings = {
        .total = -1, .buffer_mib = 64, .part_bytes = 128 << 10, .wait_s = 5, .linger_s = 2};
    static struct run run; /* too large for a stack, and zero */
    int result = read_options(count, arguments, &settings);

    if (result != CLI_OK)
        return result < 0 ? CLI_OK : result;
    make_id(&settings);
    tell_environment(&settings.task);
    run.settings = &settings;
    int r = start(&run, arguments + optind);
    if (r < 0) {
        cli_error("%s cannot be run: %s", arguments[optind], strerror(-r));
        return EXIT_BROKEN;
    }
    return end(&run, arguments[optind]);
}

const struct cli_command cli_run = {"run", "run a job and log what it writes", run_job};
