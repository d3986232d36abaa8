/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs as many tasks as it is told to, as fast as the other end reads or at a given rate, over TCP, RELP or
 * a unix socket. It makes its messages as it goes and sends many with one call, so that it takes little of
 * the machine from those that are measured. It judges nothing, and reads of RELP's answers only
 * their number.
 *
 *     blast [OPTION...] tcp:PORT | relp:PORT | unix:PATH
 *       -t TASKS  -l LINES   so many tasks, of so many lines each, and an end
 *       -i                   round robin: all tasks are open at once (else one after the other)
 *       -e                   without their ends
 *       -b BYTES             of a message's text
 *       -r RATE              messages a second
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "words.h"

enum {
    BUFFER_BYTES = 1 << 16,
    DATAGRAMS = 64,
    MESSAGE_BYTES = 4096,
    RELP_WINDOW = 128,
    PACE_COUNT = 16, /* messages at a time if there is a rate */
};

enum door { DOOR_TCP, DOOR_RELP, DOOR_UNIX };

struct blast {
    enum door door;
    int fd;
    unsigned long tasks, lines, text_bytes, rate;
    bool interleaved, endless;
    char header[64]; /* priority, time and host of every message */
    char *buffer;    /* of a stream */
    size_t filled;
    char (*datagrams)[MESSAGE_BYTES];
    struct mmsghdr headers[DATAGRAMS];
    struct iovec vectors[DATAGRAMS];
    unsigned datagram_count;
    unsigned long sent, relp_number, relp_answered;
    double began;
};

static void die(const char *what)
{
    fprintf(stderr, "blast: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void write_all(const struct blast *blast, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t done = send(blast->fd, data, bytes, MSG_NOSIGNAL);
        if (done < 0)
            die("send");
        data += done;
        bytes -= (size_t)done;
    }
}

/* Counts answers: each begins a line with its number and "rsp". */
static void read_answers(struct blast *blast)
{
    char text[BUFFER_BYTES];
    ssize_t bytes = recv(blast->fd, text, sizeof(text) - 1, 0);

    if (bytes <= 0)
        die("no answer");
    text[bytes] = '\0';
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        blast->relp_answered++;
}

static void flush_stream(struct blast *blast)
{
    write_all(blast, blast->buffer, blast->filled);
    blast->filled = 0;
}

static void flush_datagrams(struct blast *blast)
{
    unsigned done = 0;

    while (done < blast->datagram_count) {
        int count = sendmmsg(blast->fd, blast->headers + done, blast->datagram_count - done, 0);
        if (count < 0)
            die("sendmmsg");
        done += (unsigned)count;
    }
    blast->datagram_count = 0;
}

static void flush(struct blast *blast)
{
    if (blast->door == DOOR_UNIX)
        flush_datagrams(blast);
    else
        flush_stream(blast);
}

/* Answers come as lines "NUMBER rsp 6 200 OK\n": a window's worth may be open. */
static void relp_header(struct blast *blast, size_t message_bytes)
{
    while (blast->relp_number - blast->relp_answered >= RELP_WINDOW) {
        flush_stream(blast);
        read_answers(blast);
    }
    blast->filled += (size_t)sprintf(blast->buffer + blast->filled, "%lu syslog %zu ",
                                     ++blast->relp_number, message_bytes);
}

static void add(struct blast *blast, const char *message, size_t bytes)
{
    if (blast->door == DOOR_UNIX) {
        memcpy(blast->datagrams[blast->datagram_count], message, bytes);
        blast->vectors[blast->datagram_count++].iov_len = bytes;
        if (blast->datagram_count == DATAGRAMS)
            flush(blast);
    } else {
        if (blast->filled + bytes + 64 > BUFFER_BYTES)
            flush(blast);
        if (blast->door == DOOR_RELP)
            relp_header(blast, bytes);
        memcpy(blast->buffer + blast->filled, message, bytes);
        blast->filled += bytes;
        blast->buffer[blast->filled++] = '\n';
    }
    blast->sent++;
    if (blast->rate > 0 && blast->sent % PACE_COUNT == 0) {
        flush(blast);
        double ahead = blast->began + (double)blast->sent / (double)blast->rate - now();
        if (ahead > 0.0005)
            usleep((useconds_t)(ahead * 1e6));
    }
}

static void log_text(struct blast *blast, unsigned long task, const char *text, size_t text_bytes)
{
    char message[MESSAGE_BYTES];
    int bytes = snprintf(message, sizeof(message), "%simport[run-%lu]: ", blast->header, task);

    memcpy(message + bytes, text, text_bytes);
    add(blast, message, (size_t)bytes + text_bytes);
}

static void log_line(struct blast *blast, unsigned long task, unsigned long line)
{
    char text[MESSAGE_BYTES];
    size_t bytes = words_line(task, line, blast->text_bytes, text);

    log_text(blast, task, text, bytes);
}

static void log_end(struct blast *blast, unsigned long task)
{
    if (!blast->endless)
        log_text(blast, task, "@task end", 9);
}

static void run(struct blast *blast)
{
    if (blast->interleaved) {
        for (unsigned long line = 0; line < blast->lines; line++)
            for (unsigned long task = 0; task < blast->tasks; task++)
                log_line(blast, task, line);
        for (unsigned long task = 0; task < blast->tasks; task++)
            log_end(blast, task);
    } else {
        for (unsigned long task = 0; task < blast->tasks; task++) {
            for (unsigned long line = 0; line < blast->lines; line++)
                log_line(blast, task, line);
            log_end(blast, task);
        }
    }
    flush(blast);
}

static void connect_port(struct blast *blast, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(port)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    blast->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(blast->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die(port);
}

static void connect_path(struct blast *blast, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    blast->fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (connect(blast->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die(path);
    blast->datagrams = calloc(DATAGRAMS, sizeof(*blast->datagrams));
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        blast->vectors[i].iov_base = blast->datagrams[i];
        blast->headers[i].msg_hdr = (struct msghdr){.msg_iov = &blast->vectors[i], .msg_iovlen = 1};
    }
}

static void open_relp(struct blast *blast)
{
    static const char offers[] = "relp_version=0\nrelp_software=blast\ncommands=syslog";
    char text[256];
    int bytes = snprintf(text, sizeof(text), "1 open %zu %s\n", sizeof(offers) - 1, offers);
    ssize_t got = 0;

    write_all(blast, text, (size_t)bytes);
    do { /* its answer has lines of its own, and ends with an empty one's newline */
        ssize_t more = recv(blast->fd, text + got, sizeof(text) - 1 - (size_t)got, 0);
        if (more <= 0)
            die("no answer to open");
        got += more;
        text[got] = '\0';
    } while (!strstr(text, "commands=") || text[got - 1] != '\n');
    blast->relp_number = blast->relp_answered = 1;
}

static void close_relp(struct blast *blast)
{
    while (blast->relp_answered < blast->relp_number)
        read_answers(blast);
}

static void connect_door(struct blast *blast, const char *door)
{
    if (strncmp(door, "tcp:", 4) == 0) {
        blast->door = DOOR_TCP;
        connect_port(blast, door + 4);
    } else if (strncmp(door, "relp:", 5) == 0) {
        blast->door = DOOR_RELP;
        connect_port(blast, door + 5);
        open_relp(blast);
    } else if (strncmp(door, "unix:", 5) == 0) {
        blast->door = DOOR_UNIX;
        connect_path(blast, door + 5);
    } else {
        fprintf(stderr, "blast: \"%s\" is not tcp:PORT, relp:PORT or unix:PATH\n", door);
        exit(2);
    }
}

static void read_options(struct blast *blast, int count, char **arguments)
{
    int option;

    while ((option = getopt(count, arguments, "t:l:b:r:ie")) != -1) {
        switch (option) {
        case 't':
            blast->tasks = strtoul(optarg, NULL, 10);
            break;
        case 'l':
            blast->lines = strtoul(optarg, NULL, 10);
            break;
        case 'b':
            blast->text_bytes = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            blast->rate = strtoul(optarg, NULL, 10);
            break;
        case 'i':
            blast->interleaved = true;
            break;
        case 'e':
            blast->endless = true;
            break;
        default:
            exit(2);
        }
    }
    if (optind != count - 1 || blast->text_bytes > MESSAGE_BYTES / 2) {
        fprintf(stderr,
                "blast: give one of tcp:PORT, relp:PORT and unix:PATH, and at most %d bytes\n",
                MESSAGE_BYTES / 2);
        exit(2);
    }
}

int main(int count, char **arguments)
{
    static struct blast blast = {.tasks = 1, .lines = 1, .text_bytes = 60};
    time_t today = time(NULL);

    read_options(&blast, count, arguments);
    blast.buffer = malloc(BUFFER_BYTES + MESSAGE_BYTES);
    if (!blast.buffer)
        die("memory");
    words_make();
    connect_door(&blast, arguments[optind]);
    /* Senders on this machine leave the host out. */
    strftime(blast.header, sizeof(blast.header),
             blast.door == DOOR_UNIX ? "<14>%b %e %T " : "<14>%b %e %T sender ", localtime(&today));
    blast.began = now();
    run(&blast);
    if (blast.door == DOOR_RELP)
        close_relp(&blast);
    printf("%lu %.6f\n", blast.sent, now() - blast.began);
    close(blast.fd);
    free(blast.buffer);
    free(blast.datagrams);
    return 0;
}
