/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gate between a client and a TCP server: what passes through it can be held up or cut off, as a
 * network or a server does it at the worst moment. It does not look at the bytes.
 */
#ifndef TESTS_TCP_GATE_H
#define TESTS_TCP_GATE_H

struct tcp_gate;

/* Listens on a port of its own on 127.0.0.1 and passes connections on to host and port. */
struct tcp_gate *tcp_gate_new(const char *host, const char *port);
void tcp_gate_free(struct tcp_gate *gate);

int tcp_gate_port(const struct tcp_gate *gate);

/* Nothing passes any more, and nobody is told. */
void tcp_gate_freeze(struct tcp_gate *gate);
void tcp_gate_thaw(struct tcp_gate *gate);

/* Cuts the connections that there are. */
void tcp_gate_cut(struct tcp_gate *gate);

/* Freezes or cuts when so many more bytes have passed, in whichever direction. */
void tcp_gate_freeze_after(struct tcp_gate *gate, long bytes);
void tcp_gate_cut_after(struct tcp_gate *gate, long bytes);

#endif
