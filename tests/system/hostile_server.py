# SPDX-License-Identifier: Apache-2.0
"""A server that speaks PostgreSQL's protocol and means harm."""
from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Callable


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def fields(kind: bytes, severity: bytes, state: bytes, text: bytes) -> bytes:
    """An error (E) or a notice (N)."""
    return message(kind, b"S%s\0V%s\0C%s\0M%s\0\0" % (severity, severity, state, text))


READY = message(b"Z", b"I")
WELCOME = message(b"R", struct.pack("!i", 0)) + b"".join(
    message(b"S", name + b"\0" + value + b"\0") for name, value in
    [(b"server_version", b"15.0"), (b"client_encoding", b"UTF8"), (b"server_encoding", b"UTF8"),
     (b"standard_conforming_strings", b"on"), (b"integer_datetimes", b"on")]) + READY

HOSTILE_TEXT = ("\x1b[2J\x1b[31mrow\x9b refused\n2026-11-24T10:31:07 host rsyslogd: all is well"
                "\r\u202edesrever\u2066\x07").encode()


def refuse(client: socket.socket) -> None:
    """At the log-in, with codes and lines of its own in the reason."""
    client.sendall(fields(b"E", b"FATAL", b"28000", HOSTILE_TEXT))


def refuse_all(client: socket.socket) -> None:
    """Each statement, in the same way."""
    client.sendall(WELCOME)
    while client.recv(65536):
        client.sendall(fields(b"E", b"ERROR", b"42P01", HOSTILE_TEXT) + READY)


def shout(client: socket.socket) -> None:
    """A reason of 20 MB."""
    client.sendall(WELCOME)
    client.recv(65536)
    client.sendall(fields(b"E", b"FATAL", b"XX000", b"x\x1b\n" * (20_000_000 // 3)))


def chatter(client: socket.socket) -> None:
    """Notices without an end, and nothing else."""
    client.sendall(WELCOME)
    notice = fields(b"N", b"NOTICE", b"00000", HOSTILE_TEXT * 20) * 100
    while True:
        client.sendall(notice)


def be_silent(client: socket.socket) -> None:
    """It lets in, and answers nothing ever."""
    client.sendall(WELCOME)
    while client.recv(65536):
        pass


def babble(client: socket.socket) -> None:
    """Bytes that are no protocol."""
    client.sendall(bytes(range(256)) * 5000)


def promise(client: socket.socket) -> None:
    """The beginning of a message of 1 GB, which never comes."""
    client.sendall(WELCOME)
    client.recv(65536)
    client.sendall(b"E" + struct.pack("!i", 1 << 30) + b"SERROR\0M")
    client.recv(65536)
    client.recv(65536)


HARMS = [refuse, refuse_all, shout, chatter, be_silent, babble, promise]


class HostileServer:
    """At a port of its own; `seen` is what clients have sent it."""

    def __init__(self, harm: Callable[[socket.socket], None]) -> None:
        self._harm = harm
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.visits = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *unused: object) -> None:
        self._server.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.visits += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            client.settimeout(60)
            while True:
                size, code = struct.unpack("!ii", client.recv(8))
                if code not in (80877103, 80877104):  # neither SSL nor GSS is asked for
                    break
                client.sendall(b"N")
            client.recv(size)
            self._harm(client)
