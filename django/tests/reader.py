# SPDX-License-Identifier: Apache-2.0
"""What stands in for rsyslogd, or for journald: a socket that is read when the test says so."""
from __future__ import annotations

import array
import os
import re
import shutil
import socket
import tempfile
import unittest
from typing import Any

from tasklog import sender

FRAME = re.compile(rb"<(\d+)>([^\[]*)\[([^\]]*)\]: (.*)", re.S)


def reader_of(test: unittest.TestCase) -> Reader:
    """One that goes with the test, and so do the sockets to it."""
    reader = Reader()
    test.addCleanup(reader.remove)
    test.addCleanup(sender._senders.clear)
    return reader


class Reader:
    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="tasklog-")
        self.path = os.path.join(self.folder, "log")
        self._socket: socket.socket | None = None
        self.open()

    def open(self) -> None:
        if os.path.exists(self.path):
            os.unlink(self.path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.setblocking(False)

    def close(self) -> None:
        """As if it were killed: the file stays."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def remove(self) -> None:
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def datagrams(self) -> list[bytes]:
        """All that have been sent and not been read."""
        found = []
        while True:
            try:
                assert self._socket
                found.append(self._socket.recv(1 << 23))
            except BlockingIOError:
                return found

    def wait_for_one(self) -> None:
        assert self._socket
        self._socket.setblocking(True)
        self._socket.recv(1 << 23)

    def lines(self) -> list[tuple[int, str]]:
        """Severity and text of each."""
        found = []
        for datagram in self.datagrams():
            match = FRAME.fullmatch(datagram)
            assert match, datagram
            found.append((int(match[1]) & 7, match[4].decode()))
        return found

    def texts(self) -> list[str]:
        return [text for _, text in self.lines()]

    def entries(self) -> list[dict[str, Any]]:
        """As journald reads its own protocol, with what comes as a file."""
        found = []
        while True:
            try:
                assert self._socket
                entry, controls, *_ = self._socket.recvmsg(1 << 23, 1 << 10)
            except BlockingIOError:
                return found
            for _, _, data in controls:
                fd, = array.array("i", data)
                with open(fd, "rb") as file:
                    file.seek(0)
                    entry = file.read()
            found.append(self._fields(entry))

    @staticmethod
    def _fields(entry: bytes) -> dict[str, Any]:
        fields = {}
        while entry:
            name, _, rest = entry.partition(b"\n")
            if b"=" in name:
                key, _, value = name.partition(b"=")
                entry = rest
            else:
                size = int.from_bytes(rest[:8], "little")
                key, value = name, rest[8:8 + size]
                assert rest[8 + size:9 + size] == b"\n"
                entry = rest[9 + size:]
            fields[key.decode()] = value.decode()
        return fields
