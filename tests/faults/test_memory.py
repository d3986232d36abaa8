# SPDX-License-Identifier: Apache-2.0
"""Memory stays within the budget, plus a fixed sum for each open task.

FAULT_TASKS=N   open tasks (default 1,000,000)
FAULT_LOG_MB=N  size of the long log (default 10240)
FAULT_SECONDS=N how long the server is down (default 300, and 5 in the short run)
"""
from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import Iterable

import pytest

from database import Database, Postgresql, Sqlite
from gate import Gate
from rsyslogd import wait_for_port, wait_until
from senders import upsert
from tasklog import Tasklog, stamps, tcp_input
from test_database import rss_anon

BUDGET = 32 << 20
FIXED = 64 << 20


class Watch(threading.Thread):
    """The most memory that a process has had."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self._pid = pid
        self._done = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._done.wait(0.1):
            try:
                self.most = max(self.most, rss_anon(self._pid))
            except (OSError, AssertionError):
                return

    def stop(self) -> int:
        self._done.set()
        self.join(10)
        return self.most


def send_lines(port: int, messages: Iterable[bytes]) -> None:
    buffer = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=120) as client:
        for raw in messages:
            buffer += b"%d %s" % (len(raw), raw)
            if len(buffer) > 1 << 18:
                client.sendall(buffer)
                buffer.clear()
        client.sendall(buffer)


@pytest.mark.long
def test_open_tasks(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    count = int(os.environ.get("FAULT_TASKS", 1_000_000))
    daemon.run(upsert(sqlite, memoryBudget=str(BUDGET), liveInterval="0"),
               inputs=tcp_input("imptcp", tmp_path / "port", 'threads="1"'))
    port = wait_for_port(tmp_path / "port")
    daemon.wait_said("writing to table")
    before = rss_anon(daemon.pid)
    watch = Watch(daemon.pid)
    began = time.monotonic()
    form = "<14>1 2026-11-24T10:31:07.%06dZ host kind run-%d - - the only line of task %d"
    send_lines(port, ((form % (number, number, number)).encode() for number in range(count)))
    wait_until(lambda: daemon.counters().get("tasks.open", 0) >= count, "open tasks", 300)
    most = watch.stop()
    allowed = BUDGET + FIXED + 512 * count
    print(f"{count} open tasks in {time.monotonic() - began:.0f} s: RssAnon at most {most >> 20} MB,"
          f" {(most - before) / count:.0f} bytes a task, allowed {allowed >> 20} MB,"
          f" memory.bytes {daemon.counters()['memory.bytes'] >> 20} MB,"
          f" spool {daemon.counters()['spool.bytes'] >> 20} MB")
    daemon.kill9()
    began = time.monotonic()
    daemon.start(check=False, seconds=120)
    recovered = rss_anon(daemon.pid)
    print(f"taken up in {time.monotonic() - began:.1f} s, then RssAnon {recovered >> 20} MB")
    wait_until(lambda: daemon.counters().get("tasks.open", 0) >= count, "open tasks", 60)
    daemon.kill9()
    assert most < allowed and recovered < allowed


@pytest.mark.long
def test_long_log(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    size = int(os.environ.get("FAULT_LOG_MB", 10_240)) << 20
    daemon.run(upsert(sqlite, memoryBudget=str(BUDGET), taskMaxBytes="11g", liveInterval="1"),
               inputs=tcp_input("imptcp", tmp_path / "port", 'threads="1"'))
    port = wait_for_port(tmp_path / "port")
    daemon.wait_said("writing to table")
    watch = Watch(daemon.pid)
    began = time.monotonic()
    text = "x" * 980
    count = size // 1000
    form = "<14>1 2026-11-24T10:31:07.%06dZ host kind run - - %08d " + text
    send_lines(port, ((form % (number % 1_000_000, number)).encode() for number in range(count)))
    wait_until(lambda: daemon.counters().get("lines", 0) >= count, "lines", 300)
    most = watch.stop()
    took = time.monotonic() - began
    counters = daemon.counters()
    print(f"a log of {size >> 20} MB in {took:.0f} s: RssAnon at most {most >> 20} MB, allowed"
          f" {BUDGET + FIXED >> 20} MB, memory.bytes {counters['memory.bytes'] >> 10} kB,"
          f" spool {counters['spool.bytes'] >> 20} MB")
    assert counters["lines.missing"] == 0
    daemon.kill9()
    began = time.monotonic()
    daemon.start(check=False, seconds=300)
    print(f"taken up in {time.monotonic() - began:.1f} s, then RssAnon"
          f" {rss_anon(daemon.pid) >> 20} MB,"
          f" spool {sum(p.stat().st_size for p in daemon.work.glob('tasklog/task/*.seg')) >> 20} MB")
    recovered = rss_anon(daemon.pid)
    daemon.kill9()
    assert most < BUDGET + FIXED and recovered < BUDGET + FIXED


@pytest.mark.long
def test_long_log_that_ends(daemon: Tasklog, database: Database, tmp_path: Path) -> None:
    """Neither database takes a text of 1.2 GB: one clear refusal, and others go on."""
    daemon.run(upsert(database, memoryBudget=str(BUDGET), taskMaxBytes="11g", liveInterval="0"),
               inputs=tcp_input("imptcp", tmp_path / "port", 'threads="1"'))
    port = wait_for_port(tmp_path / "port")
    daemon.wait_said("writing to table")
    watch = Watch(daemon.pid)
    text = b"<14>1 2026-11-24T10:31:07Z host kind long - - " + b"x" * 10_000
    count = 1_200_000_000 // 10_000
    send_lines(port, (text for _ in range(count)))
    wait_until(lambda: daemon.counters().get("lines", 0) >= count, "lines", 120)
    gathered = watch.most
    daemon.log("kind[long]", "@task end")
    began = time.monotonic()
    wait_until(lambda: not daemon.running() or daemon.counters().get("rows.refused"), "refused", 60)
    assert daemon.running()
    print(f"{database.kind}: refused {time.monotonic() - began:.1f} s after its end; RssAnon at most"
          f" {gathered >> 20} MB while it gathered, {watch.stop() >> 20} MB then")
    assert "long" in daemon.wait_said("refused for good")
    daemon.log("kind[other]", "text", "@task end")
    database.wait("other", seconds=20)
    counters = daemon.wait_counters(count + 3, rows_refused=1, rows_stored=1)
    print(counters)
    assert gathered < BUDGET + FIXED and counters["database.retries"] < 3


@pytest.mark.alone
@pytest.mark.parametrize("default", [5, pytest.param(300, marks=pytest.mark.long)])
def test_server_down_under_load(daemon: Tasklog, postgresql: Postgresql, tmp_path: Path,
                                default: int) -> None:
    """20,000 lines a second, tasks of 100 lines that all end."""
    seconds = int(os.environ.get("FAULT_SECONDS", default))
    gate = Gate(postgresql.host, int(postgresql.port))
    daemon.run(upsert(postgresql, memoryBudget=str(BUDGET), liveInterval="1", lateWindow="5",
                      database=postgresql.url_with(host="127.0.0.1", port=gate.port)),
               inputs=tcp_input("imptcp", tmp_path / "port", 'threads="1"'))
    port = wait_for_port(tmp_path / "port")
    daemon.wait_said("writing to table")
    watch = Watch(daemon.pid)
    form = "<14>1 2026-11-24T10:31:07.%06dZ host kind run-%d - - %s"
    slowest = 0.0
    count = 200 * seconds  # of tasks
    with gate.shut():
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            for number in range(count):
                texts = [f"line {line} of {number}, some eighty bytes long as a line often is, or so"
                         for line in range(99)] + ["@task end"]
                raw = [(form % (line, number, text)).encode() for line, text in enumerate(texts)]
                before = time.monotonic()
                client.sendall(b"".join(b"%d %s" % (len(each), each) for each in raw))
                slowest = max(slowest, time.monotonic() - before)
                ahead = began + number / 200 - time.monotonic()
                if ahead > 0.002:
                    time.sleep(ahead)
        took = time.monotonic() - began
        wait_until(lambda: daemon.counters().get("control", 0) >= count, "all taken", 30)
        waiting = daemon.counters()
    began = time.monotonic()
    postgresql.wait_ended(count, 300)
    caught_up = time.monotonic() - began
    most = watch.stop()
    gate.close()
    print(f"{count * 100} lines in {took:.0f} s while the server was down, slowest task"
          f" {slowest * 1000:.0f} ms, {waiting['rows.waiting']} rows waiting,"
          f" spool {waiting['spool.bytes'] >> 20} MB; rows complete {caught_up:.1f} s after its"
          f" return; RssAnon at most {most >> 20} MB, allowed"
          f" {BUDGET + FIXED + 512 * count >> 20} MB")
    daemon.wait_counters(count * 100, rows_stored=count, rows_refused=0, lines_missing=0)
    for task_id, row in postgresql.rows().items():
        number = task_id.partition("-")[2]
        stamps(row.log, [f"line {line} of {number}, some eighty bytes long as a line often is, or so"
                         for line in range(99)] + [row.summary])
        assert row.complete and row.lines == 99
    assert slowest < 1 and took < seconds * 1.1 and caught_up < 60
    assert most < BUDGET + FIXED + 512 * count
