# SPDX-License-Identifier: Apache-2.0
"""The life of a task in its row: running, ended, closed, late, begun anew, and over a stop."""
from __future__ import annotations

import time

import pytest

from database import Database, Row, Sqlite, has_ended
from tasklog import Tasklog, action, check_log, counts_summary, stamps


def is_running(row: Row) -> bool:
    return row.status == "RUNNING"


def test_a_running_task_is_shown_and_then_the_whole_of_it(
        daemon: Tasklog, database: Database) -> None:
    texts = [f"line {number} " + "x" * 40 for number in range(200)]
    database.add("1")
    daemon.run(action(database, liveInterval=1, liveBytes="2k"))
    began = time.monotonic()
    daemon.log("kind[1]", "@task start total=9", *texts, "@task progress processed=3 tables=2")
    row = database.wait("1", is_running)
    assert time.monotonic() - began > 0.9
    assert row.log is not None and 1500 < len(row.log) <= 2048
    stamps(row.log, texts[-(row.log.count("\n") + 1):])
    assert (row.lines, row.processed, row.failed, row.total) == (200, 3, 0, 9)
    assert row.counters == {"tables": 2}
    assert (row.summary, row.end_reason, row.complete, row.end_time) == ("", "", False, None)
    assert row.start_time and row.duration and row.updated_at
    assert 0.9 < row.duration <= (row.updated_at - row.start_time).total_seconds()

    daemon.log("kind[1]", "one more", severity="warning")
    row = database.wait("1", lambda row: row.warnings == 1)
    assert row.log and row.log.endswith("one more") and is_running(row)
    daemon.log("kind[1]", "@task end")
    row = database.wait("1")
    check_log(row, [*texts, "one more"])
    assert row.complete


def test_a_task_is_not_shown_where_that_is_not_wanted(daemon: Tasklog, sqlite: Sqlite) -> None:
    sqlite.add("1", "2")
    daemon.run(action(sqlite, name="never", liveInterval=0), action(sqlite, liveInterval=1))
    daemon.log("kind[1]", "text")
    sqlite.wait("1", is_running)
    daemon.wait_counters(rows_live=1, tasks_open=1)
    daemon.wait_counters(name="never", rows_live=0, tasks_open=1)


def test_late_lines_are_appended_and_then_the_id_is_new_again(
        daemon: Tasklog, database: Database) -> None:
    database.add("1")
    daemon.run(action(database, lateWindow=2))
    daemon.log("kind[1]", "text \U0001F600", "@task end processed=1 failed=0")
    ended = database.wait("1")
    daemon.log("kind[1]", "late \u00fc", "later\nstill")
    daemon.log("kind[1]", "latest", severity="err")
    row = database.wait("1", lambda row: row.lines == 4)
    stamps(row.log, ["text \U0001F600", row.summary, "late \u00fc", "later\nstill", "latest"])
    assert (row.status, row.complete, row.errors) == ("COMPLETED", True, 1)
    assert (row.end_time, row.summary) == (ended.end_time, ended.summary)

    def begun_anew() -> bool:
        daemon.log("kind[1]", "@task end")  # a late line, until it is a task of its own
        return database.row("1").end_time != ended.end_time

    daemon.wait(begun_anew, "a new run")
    check_log(database.row("1"), [])


def test_an_idle_task_is_closed_with_the_reason(daemon: Tasklog, database: Database) -> None:
    database.add("1", "busy")
    daemon.run(action(database, idleTimeout=1))
    daemon.log("kind[1]", "text", "@task progress processed=3")

    def closed() -> bool:
        daemon.log("kind[busy]", "text")  # a sign of life
        return has_ended(database.row("1"))

    daemon.wait(closed, "the end of the idle task")
    row = database.row("1")
    check_log(row, ["text", "Closed by tasklog: no line for 1s"])
    assert (row.status, row.end_reason, row.complete) == ("FAILED", "idle", False)
    assert row.summary == counts_summary(row, "3 successful, 0 failed")
    assert row.duration and 0.9 < row.duration < 5
    assert database.row("busy").status in ("IDLE", "RUNNING")

    # A late end sets the status all the same.
    daemon.log("kind[1]", "late", "@task end processed=4 text=bye")
    closed_row, row = row, database.wait("1", lambda row: row.status == "COMPLETED")
    assert (row.end_reason, row.processed, row.complete) == ("marker", 4, True)
    stamps(row.log, ["text", "Closed by tasklog: no line for 1s", closed_row.summary, "late", "bye",
                     row.summary])
    daemon.wait_counters(tasks_idle=1, control=2)


def test_a_task_that_runs_too_long_is_closed_with_the_reason(
        daemon: Tasklog, database: Database) -> None:
    database.add("1")
    daemon.run(action(database, maxRuntime=1))

    def closed() -> bool:
        daemon.log("kind[1]", "text")
        return has_ended(database.row("1"))

    daemon.wait(closed, "the end of the task")
    row = database.row("1")
    assert (row.status, row.end_reason, row.complete) == ("FAILED", "max_runtime", False)
    assert row.log and row.duration and 0.9 < row.duration < 5
    closing = "Closed by tasklog: running for longer than 1s"
    before, after = row.log.split(closing)
    stamps(row.log, ["text"] * before.count("text") + [closing, row.summary]
           + ["text"] * after.count("text"))


def test_a_start_of_a_running_task_ends_it_and_begins_anew(
        daemon: Tasklog, database: Database) -> None:
    database.add("1")
    daemon.run(action(database))
    daemon.log("kind[1]", "first run")
    daemon.log("kind[1]", "@task start total=2", "second run")
    row = database.wait("1")
    check_log(row, ["first run", "Closed by tasklog: started again under the same task id"])
    assert (row.status, row.end_reason, row.complete) == ("FAILED", "restarted", False)
    daemon.log("kind[1]", "@task end processed=2")
    row = database.wait("1", lambda row: row.status == "COMPLETED")
    check_log(row, ["second run"])
    assert row.total == 2
    daemon.wait_counters(4, lines=2, control=2, tasks_restarted=1, tasks_started=2)


@pytest.mark.alone
def test_a_stop_writes_what_it_holds(daemon: Tasklog, database: Database) -> None:
    """All of it, not only what a running task shows."""
    texts = [f"line {number} " + "x" * 100 for number in range(1000)]
    database.add("1", "ended", "late")
    daemon.run(action(database, spool="off", liveInterval=60, liveBytes="1k"))
    daemon.log("kind[late]", "text", "@task end")
    ended = database.wait("late")
    daemon.log("kind[1]", *texts)
    daemon.log("kind[ended]", "text", "@task end")
    daemon.log("kind[late]", "late line")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 2
    row = database.row("1")
    stamps(row.log, texts)
    assert (row.status, row.lines, row.complete, row.end_time) == ("RUNNING", 1000, False, None)
    check_log(database.row("ended"), ["text"])
    stamps(database.row("late").log, ["text", ended.summary, "late line"])
    assert not daemon.said("dropped")
