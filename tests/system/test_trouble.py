# SPDX-License-Identifier: Apache-2.0
"""A database that is locked, gone or silent: logging goes on, and rows catch up."""
from __future__ import annotations

import re
import socket
import sqlite3
import threading
import time
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Iterator

import psycopg2
import pytest

from database import Database, Postgresql, Sqlite
from rsyslogd import frame, send_raw, send_tcp, wait_for_port
from tasklog import DIRECT, MEMORY, Tasklog, action, check_cut_log, check_log, stamps, \
    tcp_input

LOCKED_S = 3.0


def log_for(seconds: float, daemon: Tasklog, first: int) -> tuple[int, float]:
    """Runs one short task after the other; how many, and how long the slowest message took."""
    until = time.monotonic() + seconds
    number, slowest = first, 0.0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.connect(str(daemon.socket))
        while time.monotonic() < until:
            for text in (f"text of {number}", "@task end"):
                began = time.monotonic()
                client.send(frame(f"kind[{number}]", text))
                slowest = max(slowest, time.monotonic() - began)
            number += 1
            time.sleep(0.01)
    return number, slowest


@pytest.mark.alone
def test_logging_goes_on_while_the_table_is_locked(daemon: Tasklog, database: Database) -> None:
    database.add(*map(str, range(1000)))
    daemon.run(action(database))
    daemon.log("kind[0]", "text of 0", "@task end")
    database.wait("0")
    with database.lock():
        count, slowest = log_for(LOCKED_S, daemon, first=1)
    assert count > 100
    assert slowest < 0.5
    database.wait_ended(count, seconds=20)
    for task_id, row in database.rows().items():
        if row.status != "IDLE":
            check_log(row, [f"text of {task_id}"])
    daemon.wait_counters(2 * count, rows_stored=count, rows_refused=0, rows_waiting=0)


def add_tasks(database: Database, count_: int) -> None:
    database.add(*map(str, range(count_)))


def log_tasks(daemon: Tasklog, numbers: range) -> None:
    for number in numbers:
        daemon.log(f"kind[{number}]", f"text of {number}", "@task end")


@pytest.mark.alone
def test_locked_rows_hold_up_no_others(daemon: Tasklog, postgresql: Postgresql) -> None:
    add_tasks(postgresql, 400)
    daemon.run(action(postgresql))
    log_tasks(daemon, range(399, 400))
    postgresql.wait("399")
    with closing(psycopg2.connect("")) as other:
        other.cursor().execute(f"SELECT 1 FROM {postgresql.sql_table}"
                               " WHERE task_id::int < 300 FOR UPDATE")
        log_tasks(daemon, range(300))
        log_tasks(daemon, range(300, 399))
        postgresql.wait_ended(100, seconds=3)
        counters = daemon.wait(lambda: (c := daemon.counters()).get("rows.oldest_ms", 0) > 2000
                               and c["rows.waiting"] == 300 and c, "300 results that wait")
        assert counters["rows.oldest_ms"] < 20000
        assert counters["database.retries"] > 0
        assert counters["database.write_ms"] <= counters["database.write_ms_max"]
        assert 0 < counters["database.write_ms_max"] < 5000
        daemon.log("kind[0]", "late")
        other.rollback()
    postgresql.wait_ended(400)
    daemon.wait_counters(801, rows_stored=401, rows_refused=0, rows_waiting=0, rows_oldest_ms=0)
    assert postgresql.row("0").log.endswith("late")


@pytest.mark.calm
def test_a_trigger_that_is_slow_for_one_row_holds_up_no_others(
        daemon: Tasklog, postgresql: Postgresql) -> None:
    add_tasks(postgresql, 100)
    postgresql.execute(
        f'CREATE FUNCTION "{postgresql.schema}".dawdle() RETURNS trigger LANGUAGE plpgsql AS $$'
        " BEGIN IF NEW.task_id = '1' THEN PERFORM pg_sleep(60); END IF; RETURN NEW; END $$")
    postgresql.execute(f"CREATE TRIGGER dawdle BEFORE UPDATE ON {postgresql.sql_table}"
                       f' FOR EACH ROW EXECUTE FUNCTION "{postgresql.schema}".dawdle()')
    daemon.run(action(postgresql))
    log_tasks(daemon, range(100))
    postgresql.wait_ended(99, seconds=5)
    assert postgresql.row("1").status == "IDLE"
    daemon.wait_said("puts some results off")
    postgresql.execute(f"DROP TRIGGER dawdle ON {postgresql.sql_table}")
    postgresql.wait_ended(100, seconds=60)
    check_log(postgresql.row("1"), ["text of 1"])


@pytest.mark.calm
def test_a_trigger_that_is_slow_in_sqlite_holds_up_no_others(daemon: Tasklog, sqlite: Sqlite) -> None:
    add_tasks(sqlite, 100)
    sqlite.execute("CREATE TABLE sink (i integer)")
    sqlite.execute(
        "CREATE TRIGGER dawdle BEFORE UPDATE ON app_task WHEN NEW.task_id = '1' BEGIN"
        " INSERT INTO sink SELECT count(*) FROM (WITH RECURSIVE n (i) AS"
        " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT i FROM n); END")
    daemon.run(action(sqlite))
    log_tasks(daemon, range(100))
    sqlite.wait_ended(99, seconds=5)
    assert sqlite.row("1").status == "IDLE"
    daemon.wait_said("takes too long")
    sqlite.execute("DROP TRIGGER dawdle")
    sqlite.wait_ended(100, seconds=60)


@pytest.mark.alone
def test_a_connection_that_is_cut_is_made_again(daemon: Tasklog, postgresql: Postgresql) -> None:
    postgresql.add(*map(str, range(1000)))
    daemon.run(action(postgresql))
    count = 0
    for _ in range(5):
        count, slowest = log_for(0.3, daemon, count)
        assert slowest < 0.5
        pid, = daemon.wait(postgresql.sessions, "a session")
        postgresql.execute("SELECT pg_terminate_backend(?)", pid)
    postgresql.wait_ended(count)
    for task_id, row in postgresql.rows().items():
        if row.status != "IDLE":
            check_log(row, [f"text of {task_id}"])
    daemon.wait_counters(2 * count, rows_stored=count, rows_refused=0)


@pytest.mark.alone
def test_a_server_that_is_stopped_and_started(daemon: Tasklog, postgresql: Postgresql) -> None:
    postgresql.add(*map(str, range(1000)))
    daemon.run(action(postgresql))
    count, _ = log_for(0.1, daemon, 0)
    with postgresql.server_stopped():
        count, slowest = log_for(1.0, daemon, count)
        assert slowest < 0.5
        daemon.wait_said("Connection refused")
    count, slowest = log_for(0.1, daemon, count)
    postgresql.wait_ended(count, seconds=20)
    for task_id, row in postgresql.rows().items():
        if row.status != "IDLE":
            check_log(row, [f"text of {task_id}"])
    daemon.wait_said("takes results again")
    daemon.wait_counters(2 * count, rows_stored=count, rows_refused=0)


def test_a_file_that_others_write_and_that_is_replaced(daemon: Tasklog, sqlite: Sqlite) -> None:
    sqlite.add("1", "2")
    daemon.run(action(sqlite))
    daemon.log("kind[1]", "text", "@task end")
    check_log(sqlite.wait("1"), ["text"])
    # A restored backup has the same name and is another file.
    copy = sqlite.path.with_name("copy")
    sqlite.backup(copy)
    sqlite.close()
    copy.rename(sqlite.path)
    sqlite.open()
    daemon.log("kind[2]", "text", "@task end")
    check_log(sqlite.wait("2"), ["text"])


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_file_that_another_process_reads_and_writes_all_the_time(
        daemon: Tasklog, sqlite: Sqlite, journal_mode: str) -> None:
    sqlite.execute(f"PRAGMA journal_mode={journal_mode}")
    sqlite.add(*map(str, range(300)))
    sqlite.add("other", total=0)
    daemon.run(action(sqlite))
    done = threading.Event()
    written = []

    def work() -> None:
        with sqlite3.connect(sqlite.path, timeout=5, isolation_level=None) as other:
            while not done.is_set():
                other.execute("BEGIN IMMEDIATE")
                other.execute("UPDATE app_task SET total = total + 1 WHERE task_id = 'other'")
                other.execute("COMMIT")
                other.execute("SELECT * FROM app_task").fetchall()
                written.append(1)
        other.close()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for number in range(300):
            daemon.log(f"kind[{number}]", "text", "@task end")
        sqlite.wait_ended(300, seconds=20)
        daemon.wait(lambda: len(written) > 10, "writes of the other process")
    finally:
        done.set()
        worker.join(20)
    assert not worker.is_alive()
    (mode,), = sqlite.execute("PRAGMA journal_mode")
    assert mode == journal_mode
    assert sqlite.row("other").total == len(written)
    assert not daemon.said("refused")


# --- Stops ----------------------------------------------------------------------------------------

def check_stop_while_away(daemon: Tasklog) -> None:
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 8
    assert "stopped with 6 results" in daemon.wait_said("dropped")


def log_six_tasks(daemon: Tasklog) -> None:
    for number in range(5):
        daemon.log(f"kind[{number}]", "text", "@task end")
    daemon.log("kind[open]", "text")


@pytest.mark.calm
def test_a_stop_while_the_table_is_locked_is_bounded(daemon: Tasklog, database: Database) -> None:
    database.add(*map(str, range(5)), "open")
    daemon.run(action(database, spool="off"))
    daemon.wait_said("writing to table")
    with database.lock():
        log_six_tasks(daemon)
        check_stop_while_away(daemon)
    assert {row.status for row in database.rows().values()} == {"IDLE"}


@pytest.mark.calm
def test_a_stop_of_many_actions_is_bounded(daemon: Tasklog, sqlite: Sqlite) -> None:
    """They have one time to stop, not one after the other."""
    sqlite.add(*map(str, range(5)), "open")
    daemon.run(*(action(sqlite, name=f"action-{number}", spool="off") for number in range(6)))
    for number in range(6):
        daemon.wait_said(f'action "action-{number}": writing to table')
    with sqlite.lock():
        log_six_tasks(daemon)
        check_stop_while_away(daemon)
    assert daemon.said("stopped with 6 results") == 6


@pytest.mark.calm
def test_a_stop_leaves_time_for_every_database(
        daemon: Tasklog, sqlite: Sqlite, postgresql: Postgresql) -> None:
    """One that does not answer is no reason to give the others up."""
    sqlite.add(*map(str, range(5)), "open")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        daemon.run(action(postgresql, name="silent", spool="off",
                          database=postgresql.url_with(host="127.0.0.1", port=port)),
                   action(sqlite, spool="off", liveInterval=0))
        silent.accept()
        log_six_tasks(daemon)
        check_stop_while_away(daemon)
    assert daemon.said("dropped") == 1
    assert {row.status for row in sqlite.rows().values()} == {"COMPLETED", "RUNNING"}


@pytest.mark.calm
def test_a_stop_writes_everything_as_soon_as_the_lock_is_gone(
        daemon: Tasklog, database: Database) -> None:
    database.add(*map(str, range(5)), "open")
    daemon.run(action(database, spool="off"))
    daemon.wait_said("writing to table")
    with database.lock():
        log_six_tasks(daemon)
        assert daemon.process
        daemon.process.terminate()
        time.sleep(1.5)
        assert daemon.running()
    assert daemon.process.wait(10) == 0
    assert {row.status for row in database.rows().values()} == {"COMPLETED", "RUNNING"}
    assert not daemon.said("dropped")


@pytest.mark.calm
def test_a_stop_while_the_server_says_nothing_is_bounded(
        daemon: Tasklog, postgresql: Postgresql) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        daemon.run(action(postgresql, spool="off",
                          database=postgresql.url_with(host="127.0.0.1", port=port)))
        silent.accept()
        log_six_tasks(daemon)
        check_stop_while_away(daemon)


@pytest.mark.calm
@pytest.mark.parametrize("queue", [DIRECT, MEMORY], ids=["direct", "memory"])
def test_a_stop_while_senders_wait_is_bounded(
        daemon: Tasklog, sqlite: Sqlite, queue: str) -> None:
    """The budget is used up, so rsyslogd's own threads wait for the database."""
    queue = re.sub(r'(timeout(Shutdown|ActionCompletion))="\d+"', r'\1="1000"', queue)
    sqlite.add("1")
    daemon.run(action(sqlite, spool="off", memoryBudget="100k"), queue=queue)
    daemon.wait_said("writing to table")

    def log() -> None:
        with suppress(OSError):  # until there is nobody to log to
            daemon.log_raw(frame("kind[1]", text) for _ in range(1000)
                           for text in ("x" * 10_000, "@task end"))

    sender = threading.Thread(target=log)
    with sqlite.lock():
        sender.start()
        daemon.wait(lambda: daemon.counters().get("memory.bytes", 0) > 100_000, "used memory")
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 10
    sender.join(20)
    assert not sender.is_alive()


def lines(task_id: str) -> Iterator[bytes]:
    for number in count():
        yield frame(f"kind[{task_id}]", f"line {number}")
        if number % 10 == 0:
            time.sleep(0.001)


@pytest.mark.parametrize("spool", [None, "off"], ids=["spool", "no-spool"])
@pytest.mark.parametrize("queue", [DIRECT, MEMORY], ids=["direct", "memory"])
def test_a_stop_in_the_middle_of_traffic_leaves_no_hole(
        daemon: Tasklog, sqlite: Sqlite, tmp_path: Path, queue: str, spool: str | None) -> None:
    ids = [str(number) for number in range(8)]
    sqlite.add(*ids)
    daemon.run(action(sqlite, spool=spool), queue=queue,
               inputs=tcp_input("imptcp", tmp_path / "port", 'threads="4"'))
    port = wait_for_port(tmp_path / "port")

    def log(task_id: str) -> None:
        with suppress(OSError):  # until there is nobody to log to
            if int(task_id) % 2:
                send_raw(daemon.socket, lines(task_id))
            else:
                send_tcp(port, lines(task_id))

    senders = [threading.Thread(target=log, args=(task_id,)) for task_id in ids]
    for sender in senders:
        sender.start()
    daemon.wait(lambda: daemon.counters().get("lines", 0) > 5_000, "lines")
    assert daemon.stop() == 0
    for sender in senders:
        sender.join(20)
        assert not sender.is_alive()
    if spool is None:  # the tasks go on
        daemon.start()
        for task_id in ids:
            daemon.log(f"kind[{task_id}]", "@task end")
        sqlite.wait_ended(len(ids))
    for row in sqlite.rows().values():
        assert row.lines > 10
        texts = [f"line {number}" for number in range(row.lines)]
        if spool is None:
            stamps(row.log, [*texts, row.summary])
        else:
            stamps(row.log, texts)
            assert row.status == "RUNNING"


# --- Memory ---------------------------------------------------------------------------------------

def test_when_the_budget_is_used_up_senders_wait_and_nothing_is_lost(
        daemon: Tasklog, database: Database) -> None:
    texts = [f"line {number} " + "x" * 1000 for number in range(100)]
    ids = [str(number) for number in range(100)]
    database.add(*ids)
    daemon.run(action(database, spool="off", memoryBudget="1m"))
    daemon.wait_said("writing to table")
    done = threading.Event()

    def log() -> None:
        for task_id in ids:
            daemon.log(f"kind[{task_id}]", *texts, "@task end")
        done.set()

    sender = threading.Thread(target=log)
    with database.lock():
        sender.start()
        daemon.wait(lambda: daemon.counters().get("memory.bytes", 0) > 900_000, "used memory")
        assert not done.wait(1.5)
        assert daemon.counters()["memory.bytes"] < 2_000_000
    assert done.wait(30)
    sender.join()
    database.wait_ended(100, seconds=20)
    for row in database.rows().values():
        check_log(row, texts)
        assert row.complete
    daemon.wait_counters(100 * 101, lines=100 * 100, lines_missing=0, rows_stored=100)


def test_when_open_tasks_use_up_the_budget_they_keep_head_and_tail(
        daemon: Tasklog, sqlite: Sqlite) -> None:
    texts = [f"line {number:04} " + "x" * 100 for number in range(5000)]
    sqlite.add("1", "2")
    daemon.run(action(sqlite, spool="off", memoryBudget="100k", liveInterval=0))
    for task_id in ("1", "2"):
        daemon.log(f"kind[{task_id}]", *texts)
    daemon.wait_counters(lines=10_000)
    assert daemon.counters()["memory.bytes"] < 150_000
    for task_id in ("1", "2"):
        daemon.log(f"kind[{task_id}]", "@task end")
        row = sqlite.wait(task_id)
        assert (row.status, row.lines, row.complete) == ("COMPLETED", 5000, False)
        check_cut_log(row, texts)
