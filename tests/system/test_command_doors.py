# SPDX-License-Identifier: Apache-2.0
"""tasklog run and log through both doors, to the row: rsyslogd's socket, and a real journald's."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import pytest

from database import Sqlite
from journald import Journald, Reader
from rsyslogd import wait_until
from tasklog import BUILD, Tasklog, action, check_log, stamps

COMMAND = BUILD / "tasklog"
SECONDS = 3.0  # as promised, from the death to the row


@dataclass
class Door:
    options: list[object]
    pid: int  # who reads the socket

    def command(self, verb: str, *arguments: object) -> list[str]:
        return [str(COMMAND), verb, "--kind", "kind", "--id", "1", *map(str, self.options),
                *map(str, arguments)]

    def run(self, *arguments: object) -> list[str]:
        return self.command("run", *arguments)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It reads nothing; its socket runs full."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)


@pytest.fixture(params=["rsyslog", "journal"])
def door(request: pytest.FixtureRequest, daemon: Tasklog, sqlite: Sqlite,
         tmp_path: Path) -> Iterator[Door]:
    parameters = {"mode": "upsert", "liveInterval": 1}
    if request.param == "rsyslog":
        daemon.run(action(sqlite, **parameters))
        yield Door(["--socket", daemon.socket], daemon.pid)
        daemon.wait_counters(rows_refused=0)
        return
    if os.geteuid() != 0:
        pytest.skip("a journald of one's own needs root")
    with Journald(f"tasklog{os.getpid()}") as journald, \
            Reader(tmp_path / "reader", journald) as reader:
        reader.configure(sqlite, **parameters)
        reader.start()
        yield Door(["--to", "journal", "--socket", journald.native], journald.pid)


JOB = r"""
import os, sys, time
def say(fd, data):
    while data:
        data = data[os.write(fd, data):]
say(1, b"Step 1: reading\n  indented \n\nwindows\r\n\ttab\x1b[31mred\n=\nMESSAGE=x\nTASK_ID=2\n")
say(1, "wörld € \U0001F600\n".encode())
say(1, b"x" * 100_000 + b"\n")
say(1, "ü€\U0001F600".encode() * 11_111 + b"\n")
say(1, b"@task progress processed=2 total=3 tables=7\n")
time.sleep(0.3)  # two pipes are read in no order
say(2, "größer\n".encode() + b"y" * 100_000 + b"\nno newline at the end")
sys.exit(3)
"""
OUT = ["Step 1: reading", "  indented ", "", "windows\r", "\ttab\x1b[31mred", "=", "MESSAGE=x",
       "TASK_ID=2", "wörld € \U0001F600", "x" * 100_000, "ü€\U0001F600" * 11_111]
ERR = ["größer", "y" * 100_000, "no newline at the end"]


def test_the_row_has_what_the_job_wrote_byte_for_byte(door: Door, sqlite: Sqlite) -> None:
    job = [sys.executable, "-c", JOB]
    ran = subprocess.run(door.run("--", *job), capture_output=True, timeout=60)
    plain = subprocess.run(job, capture_output=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, plain.stdout, plain.stderr)
    row = sqlite.wait("1")
    closing = re.search(r"exited with status 3 after \d+\.\d s", row.log or "")
    assert closing
    check_log(row, [*OUT, *ERR, closing[0]])
    assert (row.kind, row.status, row.processed, row.total) == ("kind", "FAILED", 2, 3)
    assert row.counters == {"tables": 7, "exit_code": 3}
    assert (row.lines, row.warnings, row.errors) == (len(OUT) + len(ERR) + 1, len(ERR), 0)
    assert (row.end_reason, row.complete) == ("marker", True)


def test_what_a_script_logs(door: Door, sqlite: Sqlite) -> None:
    text = "\n".join(OUT[:-3])
    for verb, arguments, data in [
            ("log", ["-i"], "\n".join([*OUT, ""])), ("log", ["-p", "err", "two\nlines"], ""),
            ("log", ["-p", "warning", "--", text], ""), ("progress", ["processed=2"], ""),
            ("end", ["status=PARTIAL", "rows=5", "text=say \"x\" \\"], "")]:
        subprocess.run(door.command(verb, *arguments), input=data.encode(), check=True, timeout=60)
    row = sqlite.wait("1")
    check_log(row, [*OUT, "two\nlines", text, 'say "x" \\'])
    assert (row.status, row.processed, row.counters) == ("PARTIAL", 2, {"rows": 5})
    assert (row.warnings, row.errors, row.complete) == (1, 1, True)


@pytest.mark.calm
def test_a_run_that_is_killed_has_died(door: Door, sqlite: Sqlite) -> None:
    """Its job may live on: nobody hears of it any more."""
    with subprocess.Popen(door.run("--", "sh", "-c", "echo $$; echo working; exec sleep 60"),
                          stdout=subprocess.PIPE) as process:
        assert process.stdout
        job = int(process.stdout.readline())
        try:
            sqlite.wait("1", lambda row: row.lines == 2)
            began = time.monotonic()
            process.kill()
            process.wait(10)
            row = sqlite.wait("1")
            took = time.monotonic() - began
        finally:
            os.kill(job, signal.SIGKILL)
    print(f"FAILED {took:.2f} s after kill -9")
    assert took < SECONDS
    stamps(row.log, [str(job), "working", f"Closed by tasklog: process {process.pid} died without"
                     " an end marker", row.summary])
    assert (row.status, row.end_reason, row.complete) == ("FAILED", "died", False)


# --- Lines that cannot be sent ---------------------------------------------------------------------

FIRST, MANY, LAST = 1000, 200_000, 100
ROOM = 15_000  # lines that a buffer of 1 MiB has room for, and more
SCRIPT = (f"seq -f 'first %.0f' {FIRST}; read x; seq -f '%.0f of many lines while nobody reads' {MANY};"
          f" echo done; read x; seq -f 'last %.0f' {LAST}")


def written() -> Iterator[str]:
    yield from (f"first {number}" for number in range(1, FIRST + 1))
    yield from (f"{number} of many lines while nobody reads" for number in range(1, MANY + 1))
    yield "done"
    yield from (f"last {number}" for number in range(1, LAST + 1))


class Job:
    """Writes in three parts, each when it is told."""

    def __init__(self, door: Door) -> None:
        self._process = subprocess.Popen(
            door.run("--buffer", 1, "--wait", 30, "--", "sh", "-c", SCRIPT), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        self._told = 0

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *unused: object) -> None:
        self._process.kill()
        self._process.__exit__(None, None, None)

    def go_on(self) -> None:
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def read(self, last: str) -> float:
        """Until it has written this; says how long that took."""
        began = time.monotonic()
        assert self._process.stdout
        for line in self._process.stdout:
            if line.decode() == last + "\n":
                return time.monotonic() - began
        raise AssertionError("it has ended")

    def wait(self) -> int:
        return self._process.wait(60)


def finish(job: Job, sqlite: Sqlite) -> None:
    """Sent and unsent are what the job wrote; what was sent is whole and in order."""
    # Most of what had room is sent, so that there is room for what follows.
    sqlite.wait("1", lambda row: row.lines > FIRST + ROOM)
    job.go_on()
    job.read(f"last {LAST}")
    assert job.wait() == 0
    row = sqlite.wait("1", seconds=60)
    total = FIRST + MANY + 1 + LAST
    unsent = row.counters.pop("unsent")
    log = re.sub(r"(?m)^\[[^]]*\] ", "", row.log or "").split("\n")
    sent = log[:-2]  # the closing line, the summary
    assert re.fullmatch(r"exited with status 0 after \d+\.\d s,"
                        rf" {unsent} lines of its output were not sent", log[-2])
    assert f" unsent: {unsent}," in row.summary
    print(f"{len(sent)} lines sent, {unsent} not")
    assert len(sent) + unsent == total and row.lines == len(sent) + 1
    assert unsent > MANY // 2
    source = written()
    assert all(line in source for line in sent)
    assert sent[:FIRST] == [f"first {number}" for number in range(1, FIRST + 1)]
    assert sent[-LAST:] == [f"last {number}" for number in range(1, LAST + 1)]
    assert (row.status, row.counters) == ("COMPLETED", {"exit_code": 0})
    assert (row.end_reason, row.complete) == ("marker", False)


def test_a_full_socket_stops_no_job_and_its_row_is_not_complete(door: Door, sqlite: Sqlite) -> None:
    with Job(door) as job:
        job.read(f"first {FIRST}")
        sqlite.wait("1", lambda row: row.lines == FIRST)
        with door.stopped():
            job.go_on()
            took = job.read("done")
        print(f"{took:.2f} s to write {MANY} lines while nobody reads")
        assert took < 3
        finish(job, sqlite)


def test_a_socket_that_is_away_for_a_while(daemon: Tasklog, sqlite: Sqlite) -> None:
    daemon.run(action(sqlite, mode="upsert", liveInterval=1))
    door = Door(["--socket", daemon.socket], daemon.pid)
    with Job(door) as job:
        job.read(f"first {FIRST}")
        sqlite.wait("1", lambda row: row.lines == FIRST)
        daemon.stop()
        wait_until(lambda: not daemon.socket.exists(), "the socket is away")
        job.go_on()
        assert job.read("done") < 3
        daemon.start()
        finish(job, sqlite)
