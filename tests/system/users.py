# SPDX-License-Identifier: Apache-2.0
"""Processes under other users. It needs root; the users need not exist."""
from __future__ import annotations

import os
import signal
import socket
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterable, Iterator

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


@contextmanager
def while_user(uid: int, work: Callable[[], object]) -> Iterator[int]:
    """The same, in the background, until it is killed at the end."""
    pid = spawn(uid, work)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


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


def flood(path: Path | str, datagrams: Callable[[int], Iterable[bytes]]) -> None:
    """Without an end, as fast as the reader reads."""
    number = 0
    with connect(path) as client:
        while True:
            for datagram in datagrams(number):
                client.send(datagram)
            number += 1
