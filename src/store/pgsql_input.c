/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a server says. libpq takes a message of any length, makes several copies of it, and keeps the room
 * for that, as it keeps settings and notifications, until the session ends. So what comes is counted before libpq
 * looks at it: a session that says more than an answer can be is given up, and one that has said much is not used
 * again. It refuses to know what is said.
 *
 * libpq does not tell how many bytes it has read, the kernel does. Of TCP it counts what has come; of a local
 * socket the place for peeking, which nobody uses, goes back by what is read. What comes in while libpq reads is
 * seen only afterwards.
 *
 * Notices are thrown away at once and do not count: a statement that raises them without an end is slow, no more.
 */
#include "pgsql.h"

#include <errno.h>
#include <limits.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum {
    MB = 1024 * 1024,
    ANSWER_MB = 2,
    SESSION_MB = 32, /* an answer to a row has about 30 bytes */
    LARGE_BYTES = 256 * 1024,
};

static uint64_t said_bytes(const struct pgsql *pg)
{
    return pg->read_bytes > pg->notice_bytes ? pg->read_bytes - pg->notice_bytes : 0;
}

static uint64_t answer_bytes(const struct pgsql *pg)
{
    uint64_t said = said_bytes(pg);

    return said > pg->answered_bytes ? said - pg->answered_bytes : 0;
}

static void count_notice(void *context, const PGresult *notice)
{
    static const char codes[] = "SVCMDHPpqWstcdnFLR"; /* PG_DIAG_...: the fields of a message */
    struct pgsql *pg = context;
    size_t bytes = 6;

    if (PQresultErrorField(notice, PG_DIAG_SQLSTATE) == NULL)
        return; /* libpq's own: the server has not sent it */
    for (const char *code = codes; *code != '\0'; code++) {
        const char *field = PQresultErrorField(notice, *code);

        bytes += field != NULL ? strlen(field) + 2 : 0;
    }
    pg->notice_bytes += bytes;
}

static void count_read(struct pgsql *pg)
{
    struct tcp_info info = {0};
    socklen_t bytes = sizeof info;
    int fd = PQsocket(pg->conn);
    int waiting = 0;
    int place = -1;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0) {
        if (ioctl(fd, FIONREAD, &waiting) == 0 && info.tcpi_bytes_received > (uint64_t)waiting)
            pg->read_bytes = info.tcpi_bytes_received - (uint64_t)waiting;
        return;
    }
    bytes = sizeof place;
    if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &place, &bytes) != 0)
        return;
    if (place >= 0)
        pg->read_bytes += (uint64_t)(INT_MAX - place);
    if (place != INT_MAX)
        (void)setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &(int){INT_MAX}, sizeof place);
}

void pgsql_begin_input(struct pgsql *pg)
{
    pg->read_bytes = pg->notice_bytes = pg->answered_bytes = 0;
    pg->is_used_up = false;
    PQsetNoticeReceiver(pg->conn, count_notice, pg);
}

int pgsql_judge_input(struct pgsql *pg)
{
    int most = 0;

    count_read(pg);
    if (answer_bytes(pg) > (uint64_t)ANSWER_MB * MB)
        most = ANSWER_MB;
    else if (said_bytes(pg) > (uint64_t)SESSION_MB * MB)
        most = SESSION_MB;
    return most == 0
               ? 0
               : store_fail(&pg->base, -EAGAIN, "the server answers with more than %d MB", most);
}

int pgsql_read(struct pgsql *pg)
{
    bool is_read = PQconsumeInput(pg->conn) != 0;
    int r = pgsql_judge_input(pg);

    return r < 0 ? r : is_read;
}

void pgsql_end_answer(struct pgsql *pg)
{
    if (answer_bytes(pg) > LARGE_BYTES || said_bytes(pg) > (uint64_t)SESSION_MB * MB / 2)
        pg->is_used_up = true;
    pg->answered_bytes = said_bytes(pg);
}
