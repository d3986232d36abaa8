# SPDX-License-Identifier: Apache-2.0
"""A task that dies without an end marker is closed within seconds, with the reason in its log."""
from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest

from database import Row, Sqlite
from journald import Journald, Reader
from rsyslogd import send, wait_until
from tasklog import Tasklog, action, check_log, stamps

pytestmark = pytest.mark.calm

SECONDS = 3.0  # as promised, from the death to the row

# A task of its own process: says hello, then waits for its death.
TASK = """
import ctypes, os, signal, socket, sys, time
path, pid, how = sys.argv[1:]
client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
client.connect(path)
for text in (f"@task start pid={pid or os.getpid()}", "working", "the last line"):
    client.send(f"<14>kind[1]: {text}".encode())
    if how != "instantly":
        time.sleep(0.01)
if how == "segfault":
    ctypes.string_at(0)
if how == "end":
    client.send(b"<14>kind[1]: @task end")
    os._exit(0)
if how == "instantly":
    os._exit(1)
time.sleep(60)
"""


@contextmanager
def task(path: Path, pid: str = "", how: str = "wait") -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", TASK, str(path), pid, how])
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def check_died(row: Row, why: str, *lines: str) -> None:
    stamps(row.log, [*(lines or ("working", "the last line")), f"Closed by tasklog: {why}",
                     row.summary])
    assert (row.status, row.end_reason, row.complete) == ("FAILED", "died", False)
    assert row.lines == len(lines or "12")


def died(process: subprocess.Popen[bytes]) -> str:
    return f"process {process.pid} died without an end marker"


TRUSTED = ' Annotate="on" ParseTrusted="on"'


@pytest.fixture(params=["rsyslog", "journal"])
def door(request: pytest.FixtureRequest, daemon: Tasklog, sqlite: Sqlite) -> Iterator[Path]:
    """The socket of either door, which writes to the database."""
    if request.param == "rsyslog":
        conf = daemon.conf(action(sqlite, mode="upsert", liveInterval=1))
        daemon.start(conf.replace(' ruleset="tasks"', ' ruleset="tasks"' + TRUSTED))
        yield daemon.socket
        daemon.wait_counters(rows_refused=0)
    else:
        request.getfixturevalue("started")
        yield request.getfixturevalue("journald").syslog


@pytest.mark.parametrize("pid", ["", "self"])
@pytest.mark.parametrize("how", ["kill -9", "segfault", "instantly"])
def test_a_process_that_dies(door: Path, sqlite: Sqlite, pid: str, how: str) -> None:
    with task(door, pid, how) as process:
        if how == "kill -9":
            sqlite.wait("1", lambda row: row.lines == 2)
            process.kill()
        process.wait(10)
        began = time.monotonic()
        row = sqlite.wait("1")
        assert time.monotonic() - began < SECONDS
        check_died(row, died(process))


def test_a_process_that_ends_its_task_first(door: Path, sqlite: Sqlite) -> None:
    with task(door, how="end") as process:
        check_log(sqlite.wait("1"), ["working", "the last line"])
        process.wait(10)
    time.sleep(2)
    row = sqlite.row("1")
    assert (row.status, row.end_reason, row.complete) == ("COMPLETED", "marker", True)


def test_a_late_end_of_a_process_that_died_counts(door: Path, sqlite: Sqlite) -> None:
    with task(door, how="instantly"):
        sqlite.wait("1")
        send(door, "kind[1]", "@task end status=RESCUED")
        row = sqlite.wait("1", lambda row: row.status == "RESCUED")
        assert row.end_reason == "marker"


def test_logger_ends_no_task(door: Path, sqlite: Sqlite) -> None:
    for text in ("@task start total=3", "one", "two"):
        subprocess.run(["logger", "--socket", door, "--tag", "kind[1]", text], check=True)
    sqlite.wait("1", lambda row: row.lines == 2)
    time.sleep(2.5)
    assert sqlite.row("1").status == "RUNNING"


def test_one_process_with_many_tasks(door: Path, sqlite: Sqlite) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        for number in range(50):
            send(door, f"kind[{number}]", f"@task start pid={process.pid}", "working")
            if number % 2:
                send(door, f"kind[{number}]", "@task end")
        wait_until(lambda: len(sqlite.rows()) == 50, "all rows")
        process.kill()
        process.wait(10)
        sqlite.wait_ended(50, seconds=SECONDS)
    for number in range(50):
        row = sqlite.row(str(number))
        if number % 2:
            check_log(row, ["working"])
        else:
            check_died(row, died(process), "working")


def test_a_process_that_dies_while_rsyslogd_is_away(daemon: Tasklog, sqlite: Sqlite) -> None:
    daemon.run(action(sqlite, mode="upsert", liveInterval=1))
    with task(daemon.socket) as process, subprocess.Popen(["sleep", "60"]) as other:
        daemon.log("kind[2]", f"@task start pid={other.pid}", "goes on")
        sqlite.wait("1", lambda row: row.lines == 2)
        sqlite.wait("2", lambda row: row.lines == 1)
        daemon.kill9()
        process.kill()
        process.wait(10)
        daemon.start()
        check_died(sqlite.wait("1"), died(process))
        time.sleep(1)
        assert sqlite.row("2").status == "RUNNING"
        other.kill()
        other.wait(10)
        check_died(sqlite.wait("2"), died(other), "goes on")


def test_what_cannot_be_watched_is_left_alone(daemon: Tasklog, sqlite: Sqlite) -> None:
    """A process of another host; the sender itself when nobody vouches for it."""
    daemon.run(action(sqlite, mode="upsert", liveInterval=1))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(str(daemon.socket))
        client.send(b"<14>Nov 24 10:00:00 otherhost kind[other]: @task start pid=999999999")
    daemon.log("kind[self]", "@task start pid=self", "one")
    subprocess.run(["logger", "--socket", daemon.socket, "--tag", "kind[3]",
                    "@task start pid=self"], check=True)
    sqlite.wait("self", lambda row: row.lines == 1)
    time.sleep(2.5)
    assert {row.status for row in sqlite.rows().values()} == {"RUNNING"}


# --- what only the journal knows -------------------------------------------------------------------

@pytest.fixture
def started(reader: Reader, sqlite: Sqlite) -> Reader:
    reader.configure(sqlite, mode="upsert", liveInterval=1)
    reader.start()
    return reader


def test_another_boot(started: Reader, journald: Journald, sqlite: Sqlite, tmp_path: Path) -> None:
    send(journald.syslog, "kind[1]", "before")
    sqlite.wait("1", lambda row: row.lines == 1)
    journald.stop()
    journald.start(boot="0123456789abcdef0123456789abcdef")
    send(journald.syslog, "kind[2]", "after")
    check_died(sqlite.wait("1"), "the machine was started again", "before")
    assert sqlite.wait("2", lambda row: row.lines == 1).status == "RUNNING"


def test_another_boot_while_nobody_reads(started: Reader, journald: Journald,
                                         sqlite: Sqlite) -> None:
    send(journald.syslog, "kind[1]", "before")
    sqlite.wait("1", lambda row: row.lines == 1)
    started.kill9()
    journald.stop()
    journald.start(boot="0123456789abcdef0123456789abcdef")
    send(journald.syslog, "kind[1]", "@task start", "the same id again")
    send(journald.syslog, "kind[2]", "another id")
    started.start()
    sqlite.wait("2", lambda row: row.lines == 1)
    send(journald.syslog, "kind[1]", "@task end")
    check_log(sqlite.wait("1", lambda row: row.status == "COMPLETED"), ["the same id again"])
