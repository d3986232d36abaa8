# SPDX-License-Identifier: Apache-2.0
"""A server that speaks PostgreSQL's protocol and means harm."""
from __future__ import annotations

import itertools
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Callable

Harm = Callable[[socket.socket], None]


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

NOISE = b"x\x1b\n" * 333_333  # nearly a megabyte


def refuse(client: socket.socket) -> None:
    """At the log-in, with codes and lines of its own in the reason."""
    client.sendall(fields(b"E", b"FATAL", b"28000", HOSTILE_TEXT))


def refuse_all(client: socket.socket) -> None:
    """Each statement, in the same way."""
    client.sendall(WELCOME)
    while client.recv(65536):
        client.sendall(fields(b"E", b"ERROR", b"42P01", HOSTILE_TEXT) + READY)


def shout_once(client: socket.socket, head: bytes) -> None:
    """An error of 20 MB, which begins like that."""
    client.sendall(b"E" + struct.pack("!i", 4 + len(head) + 20 * len(NOISE) + 2) + head)
    for _ in range(20):
        client.sendall(NOISE)
    client.sendall(b"\0\0")


def shout(client: socket.socket) -> None:
    """And that was it."""
    client.sendall(WELCOME)
    client.recv(65536)
    shout_once(client, b"SFATAL\0VFATAL\0CXX000\0M")


def shout_on(client: socket.socket) -> None:
    """At each statement, and the session lives."""
    client.sendall(WELCOME)
    while client.recv(65536):
        shout_once(client, b"SERROR\0VERROR\0C42P01\0M")
        client.sendall(READY)


def shout_at_the_door(client: socket.socket) -> None:
    """Before anybody is let in."""
    shout_once(client, b"")


def count(client: socket.socket) -> None:
    """A result of rows without an end."""
    client.sendall(WELCOME)
    client.recv(65536)
    client.sendall(message(b"1", b"") + message(b"2", b"") +
                   message(b"T", struct.pack("!h", 1) + b"c\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)))
    rows = message(b"D", struct.pack("!hi", 1, 1000) + b"x" * 1000) * 1000
    while True:
        client.sendall(rows)


def declare(client: socket.socket) -> None:
    """Settings without an end, which a client keeps."""
    client.sendall(WELCOME)
    client.recv(65536)
    for number in itertools.count(0, 100):
        client.sendall(b"".join(message(b"S", b"setting.%d\0%s\0" % (number + i, NOISE[:20_000]))
                                for i in range(100)))


def notify(client: socket.socket) -> None:
    """Notifications without an end, which nobody has asked for."""
    client.sendall(WELCOME)
    client.recv(65536)
    news = message(b"A", struct.pack("!i", 1) + b"channel\0payload\0") * 10_000
    while True:
        client.sendall(news)


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


HARMS = [refuse, refuse_all, shout, shout_at_the_door, shout_on, count, declare, notify, chatter, be_silent,
         babble, promise]


class HostileServer:
    """At a port of its own, or at a socket in a folder."""

    def __init__(self, harm: Harm, folder: Path | None = None) -> None:
        self._harm = harm
        self.visits = 0
        if folder:
            self._server = socket.create_server(str(folder / ".s.PGSQL.1"), family=socket.AF_UNIX)
            self.url = f"host={folder} port=1 user=user password=SECRET dbname=db"
        else:
            self._server = socket.create_server(("127.0.0.1", 0))
            port = self._server.getsockname()[1]
            self.url = f"postgresql://user:SECRET@127.0.0.1:{port}/db?sslmode=disable"
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
