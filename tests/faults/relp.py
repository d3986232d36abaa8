# SPDX-License-Identifier: Apache-2.0
"""A RELP sender that knows what was acknowledged, and sends the rest again on a new connection."""
from __future__ import annotations

import re
import select
import socket
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import Deque, Iterable, Iterator

from rsyslogd import wait_until

WINDOW = 128
OPEN = b"relp_version=0\nrelp_software=tests\ncommands=syslog"
RESPONSE = re.compile(rb"(\d+) rsp (\d+) ?")


class RelpSender(threading.Thread):
    """Sends messages, in order, to a port of this machine until all of them are acknowledged.

    acknowledged, connections, resent   counts, to be looked at while it runs
    answered                            messages that this connection has acknowledged
    error                               why it gave up
    """

    def __init__(self, port: int, messages: Iterable[bytes], patience: float = 60.0) -> None:
        super().__init__(daemon=True)
        self.acknowledged = self.connections = self.resent = self.answered = 0
        self.slowest = 0.0  # seconds that a message was given to the connection and not answered
        self.error: BaseException | None = None
        self._port = port
        self._messages = iter(messages)
        self._unanswered: Deque[tuple[bytes, float]] = deque()
        self._patience = patience
        self._more = True
        self._may_connect = threading.Event()
        self._may_connect.set()
        self._may_send = threading.Event()
        self._may_send.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Sends nothing; all that was sent is acknowledged."""
        self._may_send.clear()
        try:
            wait_until(lambda: not self._unanswered or self.error, "all is acknowledged", 60)
            yield
        finally:
            self._may_send.set()

    def pause(self) -> None:
        """Stays away once the connection is lost."""
        self._may_connect.clear()

    def go_on(self) -> None:
        self._may_connect.set()

    def run(self) -> None:
        last = time.monotonic()
        try:
            while self._more or self._unanswered:
                before = self.acknowledged
                self._may_connect.wait(self._patience)
                try:
                    self._connection()
                except OSError:
                    pass
                if self.acknowledged > before:
                    last = time.monotonic()
                if time.monotonic() > last + self._patience:
                    raise TimeoutError(f"nothing was acknowledged for {self._patience} s")
                time.sleep(0.005)
        except BaseException as error:  # for the test to see
            self.error = error

    def finish(self, seconds: float) -> None:
        self.join(seconds)
        if self.error:
            raise self.error
        assert not self.is_alive(), \
            f"{len(self._unanswered)} messages not acknowledged within {seconds} s"

    def _connection(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=10) as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._number, self._open, self._input = 1, False, b""
            peer.sendall(b"1 open %d %s\n" % (len(OPEN), OPEN))
            while not self._open:
                self._read(peer)
            self.connections += 1
            self.answered = 0
            self.resent += len(self._unanswered)
            self._first = self._number + 1  # the number of the first that is unanswered
            self._send(peer, [raw for raw, _ in self._unanswered])
            while self._more or self._unanswered:
                fresh: list[bytes] = []
                while self._more and len(self._unanswered) < WINDOW and len(fresh) < 16 \
                        and self._may_send.is_set():
                    raw = next(self._messages, None)
                    if raw is None:
                        self._more = False
                        break
                    fresh.append(raw)
                    self._unanswered.append((raw, time.monotonic()))
                self._send(peer, fresh)
                full = len(self._unanswered) >= WINDOW or not self._more \
                    or not self._may_send.is_set()
                if full and not self._unanswered:
                    self._may_send.wait(10)
                while self._unanswered and select.select([peer], [], [], 10 if full else 0)[0]:
                    self._read(peer)
                    full = False

    def _send(self, peer: socket.socket, messages: Iterable[bytes]) -> None:
        frames = []
        for raw in messages:
            self._number += 1
            frames.append(b"%d syslog %d %s\n" % (self._number, len(raw), raw))
        if frames:
            peer.sendall(b"".join(frames))

    def _read(self, peer: socket.socket) -> None:
        data = peer.recv(65536)
        if not data:
            raise ConnectionError("closed")
        self._input += data
        while True:
            self._input = self._input.lstrip(b"\n")
            match = RESPONSE.match(self._input)
            if not match or len(self._input) < match.end() + int(match[2]) + 1:
                return
            number, size = int(match[1]), int(match[2])
            answer = self._input[match.end():match.end() + size]
            self._input = self._input[match.end() + size:]
            if number == 0:  # "serverclose"
                raise ConnectionError("closed")
            assert answer.startswith(b"200"), answer
            if number == 1:
                self._open = True
                continue
            assert number == self._first, f"answer {number} where {self._first} is due"
            self._first += 1
            _, since = self._unanswered.popleft()
            self.slowest = max(self.slowest, time.monotonic() - since)
            self.acknowledged += 1
            self.answered += 1
