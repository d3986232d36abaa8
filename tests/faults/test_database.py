# SPDX-License-Identifier: Apache-2.0
"""The database is away, locked or silent, or refuses a row: logging goes on, nothing is lost."""
from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, ContextManager, Iterator

import pytest

from conftest import cycles
from database import Database, Postgresql
from load import Load
from rsyslogd import wait_until
from senders import UnixSender, spool_command, upsert
from tasklog import Tasklog, action, check_log

MEMORY = 4 << 20


def postmaster(database: Postgresql) -> int:
    (folder,), = database.execute("SHOW data_directory")
    return int((Path(str(folder)) / "postmaster.pid").read_text().split()[0])


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def cluster(*arguments: str) -> None:
    assert "PG_CLUSTER_CONF_ROOT" in os.environ, "not in pg_virtualenv"
    verb, *options = arguments
    subprocess.run(["pg_ctlcluster", os.environ["PGVERSION"], "regress", verb, *options],
                   check=True, timeout=60, stdout=subprocess.DEVNULL)


def connect_again(database: Postgresql) -> None:
    def connected() -> bool:
        with suppress(Exception):
            database._connection = database._connect()
            return True
        return False

    wait_until(connected, "the server is back", 60)


@contextmanager
def stopped(database: Postgresql) -> Iterator[None]:
    database._connection.close()
    cluster("stop", "--mode=fast")
    try:
        yield
    finally:
        cluster("start")
        connect_again(database)


@contextmanager
def killed(database: Postgresql) -> Iterator[None]:
    pid = postmaster(database)
    all_of_it = [pid, *children(pid)]
    database._connection.close()
    for each in all_of_it:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{each}").exists() for each in all_of_it), "killed", 30)
    try:
        yield
    finally:
        cluster("start")
        connect_again(database)


@contextmanager
def paused(database: Postgresql) -> Iterator[None]:
    pid = postmaster(database)
    all_of_it = [pid, *children(pid)]
    for each in all_of_it:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in all_of_it:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)


@contextmanager
def restarted(database: Postgresql) -> Iterator[None]:
    database._connection.close()
    cluster("restart", "--mode=immediate")
    connect_again(database)
    yield


@contextmanager
def locked(database: Database) -> Iterator[None]:
    with database.lock():
        yield


POSTGRESQL_FAULTS = {"stopped": stopped, "killed": killed, "restarted": restarted, "paused": paused,
                     "locked": locked}


def rss_anon(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def check_trouble(daemon: Tasklog, database: Database, chance: random.Random,
                  fault: Callable[[], ContextManager[None]], count: int,
                  seconds: float = 0) -> None:
    """The fault lasts for so many seconds, or for any number of messages."""
    daemon.run(upsert(database, memoryBudget=str(MEMORY), liveInterval="1"))
    daemon.wait_said("writing to table")
    before = rss_anon(daemon.pid)
    load = Load(chance, lines_per_second=5000)
    sender = UnixSender(daemon, load)
    sender.start()
    most = 0
    try:
        for _ in range(count):
            with fault():
                goal = sender.sent + chance.randrange(1000, 10_000)
                over = time.monotonic() + seconds
                until = over + 60
                while sender.sent < goal or time.monotonic() < over:
                    assert time.monotonic() < until, "the sender waits"
                    most = max(most, rss_anon(daemon.pid))
                    time.sleep(0.05)
            goal = sender.sent + chance.randrange(1000)
            wait_until(lambda: sender.sent >= goal, "logging", 60)
    finally:
        load.stop()
    sender.finish(60)
    compared = load.check(database)
    counters = daemon.wait_counters(load.sent, rows_waiting=0, rows_refused=0, lines_missing=0)
    assert counters["tasks.marker"] == len(load.tasks)
    print(f"{count} times, {compared}, slowest message {sender.slowest * 1000:.0f} ms,"
          f" RssAnon {before >> 10} kB and at most {(most - before) >> 10} kB more,"
          f" retries {counters['database.retries']}")
    assert sender.slowest < 1.0
    assert most - before < MEMORY + (64 << 20)


@pytest.mark.long
@pytest.mark.parametrize("fault", POSTGRESQL_FAULTS)
def test_postgresql_in_trouble(daemon: Tasklog, postgresql: Postgresql, chance: random.Random,
                               fault: str) -> None:
    check_trouble(daemon, postgresql, chance, lambda: POSTGRESQL_FAULTS[fault](postgresql),
                  min(2, cycles(5)))


@pytest.mark.alone
def test_sqlite_locked(daemon: Tasklog, sqlite: Database, chance: random.Random) -> None:
    check_trouble(daemon, sqlite, chance, sqlite.lock, min(2, cycles(5)))


@pytest.mark.long
def test_sqlite_locked_for_a_minute(daemon: Tasklog, sqlite: Database,
                                    chance: random.Random) -> None:
    check_trouble(daemon, sqlite, chance, sqlite.lock, 1, 60)


@pytest.mark.long
def test_sigterm_while_the_table_is_locked(daemon: Tasklog, database: Database,
                                           chance: random.Random) -> None:
    daemon.run(upsert(database, liveInterval="1"))
    count = max(1, cycles(50) // 5)
    load = Load(chance, width=100)
    sender = UnixSender(daemon, load)
    sender.start()
    try:
        for _ in range(count):
            with database.lock():
                goal = sender.sent + chance.randrange(1000)
                wait_until(lambda: sender.sent >= goal, "logging", 60)
                sender.stop(counted=True)
                daemon.start(check=False, seconds=30)
            goal = sender.sent + chance.randrange(1000)
            wait_until(lambda: sender.sent >= goal, "logging", 60)
    finally:
        load.stop()
    sender.finish(60)
    compared = load.check(database)
    print(f"{count} stops, {compared}")
    assert not daemon.said("dropped")


# --- Refusals -------------------------------------------------------------------------------------

@pytest.mark.alone
def test_one_refused_result_in_100(daemon: Tasklog, database: Database) -> None:
    ids = [f"run-{number}" for number in range(100)]
    database.add(*(task_id for task_id in ids if task_id != "run-50"))
    daemon.run(action(database, liveInterval="0"))
    daemon.wait_said("writing to table")
    daemon.log("kind[warm]", "text")
    for task_id in ids:
        daemon.log(f"kind[{task_id}]", f"text of {task_id}")
    began = time.monotonic()
    for task_id in ids:
        daemon.log(f"kind[{task_id}]", "@task end")
    database.wait_ended(99, 10)
    took = time.monotonic() - began
    assert "run-50" in daemon.wait_said("refused for good: no row")
    counters = daemon.wait_counters(201, rows_stored=99, rows_refused=1, spool_letters=1)
    print(f"{database.kind}: 99 stored within {took:.2f} s, {counters}")
    assert took < 1.0

    shown = spool_command(daemon, "list")
    assert shown.returncode == 0 and len(shown.stdout.splitlines()) == 1, shown
    assert "no row" in shown.stdout
    letter = next(word for word in shown.stdout.split() if word.endswith(".letter") or "-" in word)
    assert "text of run-50" in spool_command(daemon, "show", letter).stdout
    retried = spool_command(daemon, "retry", "--all")
    assert retried.returncode != 0, retried  # the cause is still there
    assert "run-50" in spool_command(daemon, "list").stdout

    # Through a kill, too.
    daemon.kill9()
    daemon.start(check=False)
    database.add("run-50")
    retried = spool_command(daemon, "retry", "--all")
    assert retried.returncode == 0, retried
    assert "run-50" not in spool_command(daemon, "list").stdout
    for task_id, row in database.rows().items():
        check_log(row, [f"text of {task_id}"])
        assert row.complete
