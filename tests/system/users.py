# SPDX-License-Identifier: Apache-2.0
"""Processes under other users. It needs root; the users need not exist."""
from __future__ import annotations

import mmap
import os
import socket
import traceback
from pathlib import Path
from typing import Callable, Iterable

import pytest

from rsyslogd import frame

ALICE, BOB, MALLORY, FLOODER = 4001, 4002, 4003, 4004


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("other users' processes need root")


def spawn(uid: int, work: Callable[[], object]) -> int:
    """Does it in a process of its own under that user; the process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        work()
        status = 0
    except BaseException:  # pylint: disable=broad-except
        traceback.print_exc()
    finally:
        os._exit(status)


def as_user(uid: int, work: Callable[[], object]) -> None:
    """The same, and waits; what fails there fails here."""
    _, status = os.waitpid(spawn(uid, work), 0)
    assert status == 0, f"the process of uid {uid} ended with status {status}"


def connect(path: Path | str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.settimeout(30)
    client.connect(str(path))
    return client


def log_as(uid: int, path: Path | str, tag: str, *texts: str | bytes) -> None:
    def work() -> None:
        with connect(path) as client:
            for text in texts:
                client.send(frame(tag, text))

    as_user(uid, work)


class Flood:
    """A process of that user that sends without an end, as fast as the reader reads, until it is stopped;
    then it is known how much that was."""

    def __init__(self, uid: int, path: Path | str, datagrams: Callable[[int], Iterable[bytes]]) -> None:
        self._shared = mmap.mmap(-1, 16)
        self._path = path
        self._datagrams = datagrams
        self._pid = spawn(uid, self._run)

    def _run(self) -> None:
        sent = 0
        with connect(self._path) as client:
            while not self._shared[0]:
                for datagram in self._datagrams(sent):
                    client.send(datagram)
                    sent += 1
                self._shared[8:16] = sent.to_bytes(8, "little")

    @property
    def sent(self) -> int:
        return int.from_bytes(self._shared[8:16], "little")

    def stop(self) -> int:
        self._shared[0] = 1
        _, status = os.waitpid(self._pid, 0)
        assert status == 0
        return self.sent
