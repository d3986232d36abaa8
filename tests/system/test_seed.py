# SPDX-License-Identifier: Apache-2.0
"""The job that tasklog stands in for: a handler that keeps the formatted lines of a task in memory
and stores them with a summary. The same messages, through syslog, have to make the same log."""
from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Iterator

import pytest

from database import Database, Sqlite
from rsyslogd import python_logger, send_tcp, wait_for_port
from tasklog import STAMP, Tasklog, action, stamps, tcp_input

TABLES = {"customers": ["id", "name", "e-mail"], "orders": ["id", "customer", "total"],
          "\u00fcbersicht": ["jahr"], "products": ["id", "price \u20ac"]}


@pytest.fixture
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stamps are local time: not UTC, and with a summer time."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class MemoryLogHandler(logging.Handler):
    """Keeps what is logged, as the seed did."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("[%(asctime)s] %(message)s", "%Y-%m-%d %H:%M:%S"))
        self.lines: list[str] = []
        self.began = time.time()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def add_summary(self, processed: int, failed: int) -> None:
        minutes, seconds = divmod(int(time.time() - self.began), 60)
        duration = f"{minutes}m {seconds}s" if minutes else f"{seconds}s"
        text = f"Completed: {processed} successful, {failed} failed, Total time: {duration}"
        self.emit(logging.LogRecord("", logging.INFO, "", 0, text, None, None))

    def text(self) -> str:
        return "\n".join(self.lines)


def create_elements(log: logging.Logger) -> tuple[int, int]:
    """The seed's flow: tables, columns, an error that does not end it. Returns the counts."""
    processed = failed = 0
    log.info("Starting creation of elements for %d tables", len(TABLES))
    log.info("Step 1: Creating tables")
    for table in TABLES:
        log.info("  Created table: %s", table)
    log.info("Step 2: Creating columns")
    for table, columns in TABLES.items():
        try:
            if table == "orders":
                raise PermissionError(f'permission denied for table "{table}"')
            for column in columns:
                log.info("    %s.%s \u2713", table, column)
                log.debug("not to be seen: %s", column)
            processed += 1
        except PermissionError as error:
            log.error("Error processing table %s: %s", table, error)
            log.exception("and where it was:")
            failed += 1
    log.warning("Step 3: no relationships, 100% of them missing: \U0001F937")
    log.info("")
    log.info("\tDone\n\twith %s", TABLES["customers"])
    return processed, failed


def check_same(log: str | None, memory: MemoryLogHandler) -> None:
    """The same texts in the same order, each stamped in the same second, or in the next one."""
    texts = [STAMP.sub("", line, count=1) for line in memory.lines]
    ours = stamps(log, texts)
    theirs = stamps(memory.text(), texts)
    for our, their in zip(ours, theirs):
        assert abs(our - their) <= timedelta(seconds=1)


def test_the_log_is_the_one_that_a_handler_in_memory_collects(
        time_zone: None, daemon: Tasklog, database: Database) -> None:
    database.add("run 42")
    daemon.run(action(database))
    memory = MemoryLogHandler()
    log = python_logger(daemon.socket, "db_elements", "run 42")
    log.setLevel(logging.DEBUG)
    log.addHandler(memory)

    processed, failed = create_elements(log)
    log.removeHandler(memory)
    log.info("@task end processed=%d failed=%d total=%d", processed, failed, len(TABLES))
    memory.add_summary(processed, failed)

    row = database.wait("run 42")
    check_same(row.log, memory)
    assert row.status == "FAILED"
    assert row.log and row.log.endswith(row.summary)
    debug_count = sum(len(columns) for table, columns in TABLES.items() if table != "orders")
    daemon.wait_counters(len(memory.lines) + debug_count, lines=len(memory.lines) - 1, control=1,
                         lines_below_level=debug_count)


def test_a_long_run_has_the_duration_of_the_seed(
        time_zone: None, daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    """Minutes pass in the messages' own time stamps; meanwhile the clocks are put forward."""
    durations = {"5": "5s", "60": "1m 0s", "65": "1m 5s", "3599": "59m 59s", "7384": "2h 3m 4s"}
    sqlite.add(*durations)
    port_file = tmp_path / "port"
    daemon.run(action(sqlite), inputs=tcp_input("imtcp", port_file))
    began = datetime(2026, 3, 29, 0, 30, tzinfo=timezone.utc)

    def line(after: int, task_id: str, text: str) -> bytes:
        stamp = (began + timedelta(seconds=after)).isoformat()
        return f"<14>1 {stamp} host seed {task_id} - - {text}".encode()

    lines = []
    for task_id in durations:
        lines += [line(0, task_id, "begin"), line(int(task_id), task_id, "@task end processed=12")]
    send_tcp(wait_for_port(port_file), lines)
    for task_id, duration in durations.items():
        row = sqlite.wait(task_id)
        assert row.summary == f"Completed: 12 successful, 0 failed, Total time: {duration}"
        assert row.duration == int(task_id)
        first, last = stamps(row.log, ["begin", row.summary])
        assert first == began.astimezone().replace(tzinfo=None)
        assert last == (began + timedelta(seconds=int(task_id))).astimezone().replace(tzinfo=None)
