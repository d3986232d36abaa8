/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sender of the soak: logs tasks as plan.h has them, many at a time, over TCP, RELP or a unix socket, at a
 * rate, through whatever happens to the other end, and never loses a line. What a killed rsyslogd had not taken
 * is sent again, with the times it had, and rsyslogd's module drops what it has already:
 *
 *     RELP   what was not acknowledged
 *     TCP    what had not been read (the kernel tells how much that is), and READING_BYTES before it, which
 *            may have been read and not taken
 *     unix   as many as the kernel may hold, and one; if it holds none, one
 *
 * The messages themselves are not kept: a ring knows which they were, and the plan what they said.
 *
 *     send SEED SENDER tcp:PORT | relp:PORT | unix:PATH
 *
 * Commands, a line each, on standard input: "rate N" (messages a second; 0 = all it can), "hold" (and all
 * that was given is sent, or acknowledged), "go", "finish" (begin no task; then be held), "taken" (all that was
 * sent is known to be). A JSON object a quarter second on standard output says how far it is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "plan.h"

enum {
    RING = 1 << 16,          /* messages that may have to be sent again */
    IN_FLIGHT_MAX = 1 << 14, /* of a stream: the module knows the last 65,536 lines again */
    READING_BYTES = 192 << 10,
    RELP_WINDOW = 128,
    BUFFER_BYTES = 64 << 10,
    MESSAGE_BYTES = PLAN_TEXT_BYTES + 512,
    OPEN_MAX = 2000,
    SLOT_US = 15000000, /* for so long it has so many tasks open */
    REPORT_US = 250000,
    CATCH_UP_US = 10000000, /* so much of its rate it may be behind */
    NOISE = 1U << 31,
};

enum door { DOOR_TCP, DOOR_RELP, DOOR_UNIX };
enum mode { MODE_GO, MODE_HOLD, MODE_FINISH };

/* One message. */
struct sent {
    uint64_t number;
    int64_t start_us, end_us;
    uint64_t behind; /* bytes of this connection up to its end */
    uint32_t index;  /* in its task; NOISE for a message that is no task's and comes before that */
};

struct open_task {
    struct plan plan;
    unsigned index;
    bool noise_sent;
    int64_t end_us;
};

struct sender {
    uint64_t seed;
    unsigned number;
    enum door door;
    const char *where;
    enum mode mode;
    uint64_t random, rate;
    int64_t rate_since_us;
    uint64_t rate_base;
    int fd;
    uint16_t own_port;
    unsigned queue_length;
    /* head: messages made; cursor: of these, put into this connection; safe: of these, surely taken. */
    uint64_t head, cursor, safe;
    struct sent ring[RING];
    struct open_task open[OPEN_MAX];
    unsigned open_count;
    uint64_t begun, ended;
    char *buffer;
    size_t filled, flushed;
    uint64_t connection_bytes, connection_first;
    char answers[4096];
    size_t answer_bytes;
    bool relp_open;
    uint64_t noise;                          /* different ones */
    uint64_t life, life_dropped, life_noise; /* on this connection */
    uint64_t resent, connections;
    int64_t next_report_us;
};

static struct sender self;

static int64_t now_us(void)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at);
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

static void die(const char *what)
{
    fprintf(stderr, "send %u: %s: %s\n", self.number, what, strerror(errno));
    exit(1);
}

/* ---- messages ---- */

/* "2026-11-24T10:31:07.123456", of UTC. */
static size_t print_time(int64_t at_us, char *buffer)
{
    static time_t known = -1;
    static char text[32];
    time_t second = (time_t)(at_us / 1000000);
    unsigned fraction = (unsigned)(at_us % 1000000);

    if (second != known) {
        struct tm parts;
        strftime(text, sizeof(text), "%FT%T.", gmtime_r(&second, &parts));
        known = second;
    }
    memcpy(buffer, text, 20);
    for (int at = 25; at >= 20; at--, fraction /= 10)
        buffer[at] = (char)('0' + fraction % 10);
    return 26;
}

static void plan_of(const struct sent *sent, struct plan *plan)
{
    plan_task(self.seed, self.number, sent->number, sent->start_us, plan);
}

static size_t print_message(const struct sent *sent, char *message)
{
    static char text[PLAN_TEXT_BYTES];
    struct plan plan;
    struct plan_line line;
    char id[PLAN_ID_BYTES];
    size_t bytes;

    plan_of(sent, &plan);
    if (sent->index & NOISE)
        return (size_t)sprintf(message, "<14>1 - host nobody - - - no task has said this");
    plan_line(&plan, sent->index, &line, text);
    plan_id(&plan, id);
    const char *kind = plan_kind(plan_target(plan.random));
    bytes = (size_t)sprintf(message, plan.random & 1 ? "<%d>1 " : "<%d>", 8 + line.severity);
    bytes += print_time(plan_time_us(&plan, sent->index, sent->end_us), message + bytes);
    if (plan.random & 1) /* RFC 5424 */
        bytes += (size_t)sprintf(message + bytes, "Z sender %s %s - - ", kind, id);
    else
        bytes +=
            (size_t)sprintf(message + bytes,
                            "+00:00 %s%s[%s]: ", self.door == DOOR_UNIX ? "" : "sender ", kind, id);
    memcpy(message + bytes, line.sent, line.sent_bytes);
    self.life_dropped += line.is_dropped;
    return bytes + line.sent_bytes;
}

/* ---- tasks ---- */

static unsigned open_most(int64_t at_us)
{
    static const unsigned steps[] = {1, 20, 300, OPEN_MAX, 60};
    unsigned most = steps[(unsigned)(at_us / SLOT_US + self.number) % 5];
    uint64_t bearable = self.rate / 100 + 10; /* so that a task ends within half a minute */

    return self.rate > 0 && most > bearable ? (unsigned)bearable : most;
}

static void begin_task(int64_t at_us)
{
    struct open_task *task = &self.open[self.open_count++];

    *task = (struct open_task){0};
    plan_task(self.seed, self.number, self.begun++, plan_start(at_us), &task->plan);
}

/* Makes the next message of some task; false if there is none. */
static bool make_message(int64_t at_us)
{
    if (self.mode != MODE_FINISH && self.open_count < open_most(at_us))
        begin_task(at_us);
    if (self.open_count == 0)
        return false;
    self.random = plan_mix(self.random);
    struct open_task *task = &self.open[self.random % self.open_count];
    struct sent *sent = &self.ring[self.head % RING];
    if (task->index == task->plan.lines && task->end_us == 0)
        task->end_us = plan_end_us(at_us);
    *sent = (struct sent){task->plan.number, task->plan.start_us, task->end_us, 0, task->index};
    self.head++;
    if (!task->noise_sent && plan_has_noise(&task->plan, task->index)) {
        sent->index |= NOISE;
        task->noise_sent = true;
        self.noise++;
        return true;
    }
    task->noise_sent = false;
    if (++task->index > task->plan.lines + task->plan.late) {
        self.ended++;
        *task = self.open[--self.open_count];
    }
    return true;
}

/* How many messages of tasks were made that have not ended. */
static uint64_t open_messages(void)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < self.open_count; i++)
        count += self.open[i].index;
    return count;
}

static uint64_t lowest_open(void)
{
    uint64_t lowest = self.begun;

    for (unsigned i = 0; i < self.open_count; i++)
        if (self.open[i].plan.number < lowest)
            lowest = self.open[i].plan.number;
    return lowest;
}

/* ---- the connection ---- */

static void disconnect(void)
{
    close(self.fd);
    self.fd = -1;
    self.filled = self.flushed = 0;
    self.resent += self.cursor - self.safe;
    self.cursor = self.safe;
}

static int open_socket(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(self.where)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int one = 1, buffer_bytes = 256 << 10;

    if (self.door == DOOR_UNIX) {
        snprintf(local.sun_path, sizeof(local.sun_path), "%s", self.where);
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
        if (connect(fd, (struct sockaddr *)&local, sizeof(local)) == 0)
            return fd;
        close(fd);
        return -1;
    }
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    struct sockaddr_in own;
    socklen_t own_bytes = sizeof(own);
    getsockname(fd, (struct sockaddr *)&own, &own_bytes);
    self.own_port = ntohs(own.sin_port);
    return fd;
}

static void try_connect(void)
{
    self.fd = open_socket();
    if (self.fd < 0)
        return;
    fcntl(self.fd, F_SETFL, O_NONBLOCK);
    self.connections++;
    self.life = self.life_dropped = self.life_noise = 0;
    self.connection_bytes = 0;
    self.connection_first = self.cursor = self.safe;
    self.answer_bytes = 0;
    self.relp_open = false;
    if (self.door == DOOR_RELP) {
        static const char offers[] = "relp_version=0\nrelp_software=soak\ncommands=syslog";
        self.filled = (size_t)sprintf(self.buffer, "1 open %zu %s\n", sizeof(offers) - 1, offers);
    }
}

/* What the receiver's kernel holds for it, which only /proc tells. */
static long peer_unread(void)
{
    char line[512];
    unsigned port = (unsigned)atoi(self.where);
    long unread = -1;
    FILE *file = fopen("/proc/net/tcp", "r");

    if (!file)
        die("/proc/net/tcp");
    while (unread < 0 && fgets(line, sizeof(line), file)) {
        unsigned local, remote;
        unsigned long queue;
        if (sscanf(line, " %*u: %*8x:%4x %*8x:%4x %*x %*x:%lx", &local, &remote, &queue) == 3 &&
            local == port && remote == self.own_port)
            unread = (long)queue;
    }
    fclose(file);
    return unread;
}

/* Of TCP: moves `safe` to what is known to have been taken. */
static void look_at_peer(void)
{
    int held = 0;

    if (self.fd < 0 || self.door != DOOR_TCP || ioctl(self.fd, SIOCOUTQ, &held) < 0)
        return;
    long unread =
        peer_unread(); /* after the look at our own end: what moves meanwhile counts twice */
    if (unread < 0)
        return;
    int64_t taken = (int64_t)self.connection_bytes - (int64_t)(self.filled - self.flushed) - held -
                    unread - READING_BYTES;
    while (self.safe < self.cursor && (int64_t)self.ring[self.safe % RING].behind <= taken)
        self.safe++;
}

/* Of a unix socket, when the next message is in the buffer: what has been taken, if the other end is still there
 * when that is sent. The kernel holds nothing for one that has gone, either. */
static uint64_t taken_from_socket(void)
{
    int held = 0;

    if (ioctl(self.fd, SIOCOUTQ, &held) < 0)
        return self.safe;
    uint64_t under_way = held == 0 ? 2 : self.queue_length + 3;
    return self.cursor > self.safe + under_way ? self.cursor - under_way : self.safe;
}

/* Reads acknowledgements, of which each is a line "NUMBER rsp 6 200 OK". */
static bool read_answers(void)
{
    ssize_t bytes = recv(self.fd, self.answers + self.answer_bytes,
                         sizeof(self.answers) - 1 - self.answer_bytes, 0);

    if (bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR))
        return false;
    if (bytes < 0)
        return true;
    self.answer_bytes += (size_t)bytes;
    self.answers[self.answer_bytes] = '\0';
    char *at = self.answers, *end;
    while ((end = strchr(at, '\n')) != NULL) {
        unsigned long number, size, code = 0;
        if (sscanf(at, "%lu rsp %lu %lu", &number, &size, &code) >= 2) {
            if (number == 0)
                return false; /* it closes */
            if (code != 200)
                errno = EPROTO, die(at);
            if (number == 1)
                self.relp_open = true;
            else if (number != self.safe - self.connection_first + 2)
                errno = EPROTO, die("an acknowledgement out of order");
            else
                self.safe++;
        }
        at = end + 1; /* lines of the answer to "open" are passed over */
    }
    self.answer_bytes -= (size_t)(at - self.answers);
    memmove(self.answers, at, self.answer_bytes);
    return true;
}

/* ---- sending ---- */

static bool window_is_full(void)
{
    uint64_t under_way = self.cursor - self.safe;

    if (self.door == DOOR_RELP)
        return !self.relp_open || under_way >= RELP_WINDOW;
    if (under_way < IN_FLIGHT_MAX)
        return false;
    look_at_peer();
    return self.cursor - self.safe >= IN_FLIGHT_MAX;
}

/* Puts one message into the buffer. */
static void put(void)
{
    static char message[MESSAGE_BYTES];
    struct sent *sent = &self.ring[self.cursor % RING];
    size_t bytes = print_message(sent, message), before = self.filled;
    char *at = self.buffer + self.filled;

    if (self.door == DOOR_RELP)
        self.filled += (size_t)sprintf(at, "%" PRIu64 " syslog %zu ",
                                       self.cursor - self.connection_first + 2, bytes);
    else if (self.door == DOOR_TCP)
        self.filled += (size_t)sprintf(at, "%zu ", bytes);
    memcpy(self.buffer + self.filled, message, bytes);
    self.filled += bytes;
    if (self.door == DOOR_RELP)
        self.buffer[self.filled++] = '\n';
    self.connection_bytes += self.filled - before;
    sent->behind = self.connection_bytes;
    self.cursor++;
    self.life++;
    self.life_noise += (sent->index & NOISE) != 0;
}

/* Writes what is in the buffer, as far as the other end takes it. */
static bool flush(void)
{
    while (self.flushed < self.filled) {
        ssize_t done =
            send(self.fd, self.buffer + self.flushed, self.filled - self.flushed, MSG_NOSIGNAL);
        if (done < 0)
            return errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
        self.flushed += (size_t)done;
    }
    self.filled = self.flushed = 0;
    return true;
}

static uint64_t allowed(int64_t at_us)
{
    if (self.rate == 0)
        return UINT64_MAX;
    uint64_t due =
        self.rate_base + (uint64_t)((at_us - self.rate_since_us) / 1000) * self.rate / 1000;
    uint64_t most = self.rate * (CATCH_UP_US / 1000000);
    if (due > self.head + most) {
        self.rate_base = self.head + most;
        self.rate_since_us = at_us;
    }
    return due;
}

/* Fills the buffer: what has to be sent again first, then new messages. False if there is nothing to do. */
static bool fill(int64_t at_us)
{
    uint64_t due = allowed(at_us);
    bool any = false;

    while (self.filled + MESSAGE_BYTES + 64 <= BUFFER_BYTES && !window_is_full()) {
        if (self.cursor == self.head && (self.mode == MODE_HOLD || self.head >= due ||
                                         self.head - self.safe >= RING || !make_message(at_us)))
            break;
        put();
        any = true;
        if (self.door == DOOR_UNIX) /* a datagram is a message */
            break;
    }
    return any;
}

/* ---- orders and reports ---- */

static void set_rate(uint64_t rate)
{
    self.rate = rate;
    self.rate_base = self.head;
    self.rate_since_us = now_us();
}

static void obey(const char *order)
{
    if (strncmp(order, "rate ", 5) == 0) {
        set_rate(strtoull(order + 5, NULL, 10));
    } else if (strcmp(order, "hold") == 0) {
        self.mode = MODE_HOLD;
    } else if (strcmp(order, "taken") == 0) {
        self.safe = self.cursor;
    } else if (strcmp(order, "finish") == 0) {
        self.mode = MODE_FINISH;
    } else if (strcmp(order, "go") == 0) {
        self.mode = MODE_GO;
        set_rate(self.rate);
    } else {
        errno = EINVAL;
        die(order);
    }
    self.next_report_us = 0;
}

static void read_orders(void)
{
    static char orders[4096];
    static size_t bytes;
    ssize_t more = read(STDIN_FILENO, orders + bytes, sizeof(orders) - 1 - bytes);

    if (more == 0)
        exit(0);
    if (more < 0)
        return;
    bytes += (size_t)more;
    orders[bytes] = '\0';
    char *at = orders, *end;
    while ((end = strchr(at, '\n')) != NULL) {
        *end = '\0';
        obey(at);
        at = end + 1;
    }
    bytes -= (size_t)(at - orders);
    memmove(orders, at, bytes);
}

/* Everything that was made is out of our hands. */
static bool is_still(void)
{
    return self.fd >= 0 && self.cursor == self.head && self.filled == 0 &&
           (self.mode == MODE_HOLD || (self.mode == MODE_FINISH && self.open_count == 0)) &&
           (self.door != DOOR_RELP || self.safe == self.head);
}

static void report(int64_t at_us)
{
    static const char *const modes[] = {"go", "hold", "finish"};

    if (at_us < self.next_report_us)
        return;
    self.next_report_us = at_us + REPORT_US;
    printf("{\"sent\": %" PRIu64 ", \"noise\": %" PRIu64 ", \"begun\": %" PRIu64
           ", \"ended\": %" PRIu64 ", \"low\": %" PRIu64 ", \"open_messages\": %" PRIu64
           ", \"life\": %" PRIu64 ", \"life_dropped\": %" PRIu64 ", \"life_noise\": %" PRIu64
           ", \"resent\": %" PRIu64 ", \"connections\": %" PRIu64
           ", \"mode\": \"%s\", \"still\": %s}\n",
           self.head, self.noise, self.begun, self.ended, lowest_open(), open_messages(), self.life,
           self.life_dropped, self.life_noise, self.resent, self.connections, modes[self.mode],
           is_still() ? "true" : "false");
    fflush(stdout);
}

static void wait_for(bool other_end, int ms)
{
    struct pollfd waits[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = -1}};

    if (other_end)
        waits[1] = (struct pollfd){.fd = self.fd,
                                   .events = (short)((self.door == DOOR_RELP ? POLLIN : 0) |
                                                     (self.filled > self.flushed ? POLLOUT : 0))};
    poll(waits, 2, ms);
    if (waits[0].revents)
        read_orders();
}

static void step(void)
{
    int64_t at_us = now_us();

    report(at_us);
    if (self.fd < 0) {
        try_connect();
        if (self.fd < 0)
            wait_for(false, 5);
        return;
    }
    bool any = self.flushed < self.filled || fill(at_us);
    uint64_t taken = self.door == DOOR_UNIX && any ? taken_from_socket() : self.safe;
    bool good = flush() && (self.door != DOOR_RELP || read_answers());
    if (!good) {
        disconnect();
        return;
    }
    bool stuck = self.flushed < self.filled;
    if (self.door == DOOR_UNIX && !stuck)
        self.safe = taken;
    if (self.door == DOOR_TCP && !any) { /* has the other end gone? */
        char byte;
        if (recv(self.fd, &byte, 1, MSG_DONTWAIT) == 0 || (errno != EAGAIN && errno != EINTR))
            disconnect();
    }
    static unsigned steps;
    bool idle = stuck || !any;
    if (idle || ++steps % 64 == 0)
        wait_for(self.fd >= 0, idle ? 2 : 0);
}

int main(int count, char **arguments)
{
    if (count != 4) {
        fprintf(stderr, "send: give SEED SENDER and one of tcp:PORT, relp:PORT and unix:PATH\n");
        return 2;
    }
    self.seed = strtoull(arguments[1], NULL, 10);
    self.number = (unsigned)strtoul(arguments[2], NULL, 10);
    self.random = plan_mix(self.seed + self.number);
    const char *colon = strchr(arguments[3], ':');
    if (!colon || self.number >= SENDERS_MAX)
        errno = EINVAL, die(arguments[3]);
    self.where = colon + 1;
    self.door = arguments[3][0] == 't' ? DOOR_TCP : arguments[3][0] == 'r' ? DOOR_RELP : DOOR_UNIX;
    FILE *limit = fopen("/proc/sys/net/unix/max_dgram_qlen", "r");
    if (!limit || fscanf(limit, "%u", &self.queue_length) != 1)
        die("max_dgram_qlen");
    fclose(limit);
    self.buffer = malloc(BUFFER_BYTES + MESSAGE_BYTES);
    if (!self.buffer)
        die("memory");
    self.fd = -1;
    self.mode = MODE_HOLD;
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    words_make();
    for (;;)
        step();
}
