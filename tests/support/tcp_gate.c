/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gate between a client and a TCP server, as one thread that copies bytes in both directions. Small
 * and slow on purpose.
 *
 * Threads: the gate's own one has the sockets. The test's one sets the atomic fields, and wakes it by a
 * pipe.
 */
#include "support/tcp_gate.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_PAIRS = 16, CHUNK_BYTES = 65536 };

enum state { GATE_OPEN, GATE_FROZEN, GATE_CUT, GATE_ENDED };

struct tcp_gate {
    struct addrinfo *server;
    int listener;
    int port;
    int wake[2];
    _Atomic enum state state;
    atomic_long bytes_left; /* that pass before the gate takes on state `then`; -1 = no end */
    _Atomic enum state then;
    pthread_t thread;
    int sockets[2 * MOST_PAIRS]; /* the one beside socket i is socket i ^ 1; -1 = none */
};

static void drop(struct tcp_gate *gate, int i)
{
    close(gate->sockets[i]);
    close(gate->sockets[i ^ 1]);
    gate->sockets[i] = gate->sockets[i ^ 1] = -1;
}

static void let_in(struct tcp_gate *gate)
{
    int client = accept(gate->listener, NULL, NULL);
    int server = socket(gate->server->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(server, gate->server->ai_addr, gate->server->ai_addrlen) == 0) {
        for (int i = 0; i < 2 * MOST_PAIRS; i += 2) {
            if (gate->sockets[i] < 0) {
                gate->sockets[i] = client;
                gate->sockets[i + 1] = server;
                return;
            }
        }
    }
    close(client);
    close(server);
}

static void set_state(struct tcp_gate *gate, enum state state)
{
    gate->state = state;
    assert_int_equal(write(gate->wake[1], "", 1), 1);
}

static void pass_on(struct tcp_gate *gate, int i)
{
    static char chunk[CHUNK_BYTES];
    ssize_t got = recv(gate->sockets[i], chunk, sizeof chunk, 0);

    for (ssize_t sent = 0, n; sent < got; sent += n) {
        n = send(gate->sockets[i ^ 1], chunk + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (n < 0)
            got = -1;
    }
    if (got <= 0)
        drop(gate, i);
    else if (gate->bytes_left >= 0 && atomic_fetch_sub(&gate->bytes_left, (long)got) < got)
        set_state(gate, gate->then);
}

static void *run(void *context)
{
    struct tcp_gate *gate = context;
    struct pollfd fds[2 * MOST_PAIRS + 2];

    while (gate->state != GATE_ENDED) {
        bool frozen = gate->state == GATE_FROZEN;
        char byte;

        for (int i = 0; i < 2 * MOST_PAIRS; i++)
            fds[i] = (struct pollfd){.fd = frozen ? -1 : gate->sockets[i], .events = POLLIN};
        fds[2 * MOST_PAIRS] = (struct pollfd){.fd = frozen ? -1 : gate->listener, .events = POLLIN};
        fds[2 * MOST_PAIRS + 1] = (struct pollfd){.fd = gate->wake[0], .events = POLLIN};
        if (poll(fds, 2 * MOST_PAIRS + 2, -1) <= 0)
            continue;
        if (fds[2 * MOST_PAIRS + 1].revents != 0 && read(gate->wake[0], &byte, 1) == 1) {
            for (int i = 0; i < 2 * MOST_PAIRS && gate->state == GATE_CUT; i += 2) {
                if (gate->sockets[i] >= 0)
                    drop(gate, i);
            }
            if (gate->state == GATE_CUT)
                gate->state = GATE_OPEN;
            continue;
        }
        for (int i = 0; i < 2 * MOST_PAIRS; i++) {
            if (fds[i].revents != 0 && gate->sockets[i] >= 0)
                pass_on(gate, i);
        }
        if (fds[2 * MOST_PAIRS].revents != 0)
            let_in(gate);
    }
    return NULL;
}

struct tcp_gate *tcp_gate_new(const char *host, const char *port)
{
    struct tcp_gate *gate = calloc(1, sizeof *gate);
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof address;

    assert_non_null(gate);
    gate->bytes_left = -1;
    memset(gate->sockets, -1, sizeof gate->sockets);
    assert_int_equal(getaddrinfo(host, port, &hints, &gate->server), 0);
    gate->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(gate->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(gate->listener, MOST_PAIRS), 0);
    assert_int_equal(getsockname(gate->listener, (struct sockaddr *)&address, &address_bytes), 0);
    gate->port = ntohs(address.sin_port);
    assert_int_equal(pipe(gate->wake), 0);
    assert_int_equal(pthread_create(&gate->thread, NULL, run, gate), 0);
    return gate;
}

void tcp_gate_free(struct tcp_gate *gate)
{
    if (gate == NULL)
        return;
    set_state(gate, GATE_ENDED);
    pthread_join(gate->thread, NULL);
    for (int i = 0; i < 2 * MOST_PAIRS; i += 2) {
        if (gate->sockets[i] >= 0)
            drop(gate, i);
    }
    close(gate->listener);
    close(gate->wake[0]);
    close(gate->wake[1]);
    freeaddrinfo(gate->server);
    free(gate);
}

int tcp_gate_port(const struct tcp_gate *gate)
{
    return gate->port;
}

void tcp_gate_freeze(struct tcp_gate *gate)
{
    set_state(gate, GATE_FROZEN);
}

void tcp_gate_thaw(struct tcp_gate *gate)
{
    set_state(gate, GATE_OPEN);
}

void tcp_gate_cut(struct tcp_gate *gate)
{
    set_state(gate, GATE_CUT);
}

void tcp_gate_freeze_after(struct tcp_gate *gate, long bytes)
{
    gate->then = GATE_FROZEN;
    gate->bytes_left = bytes;
}

void tcp_gate_cut_after(struct tcp_gate *gate, long bytes)
{
    gate->then = GATE_CUT;
    gate->bytes_left = bytes;
}
