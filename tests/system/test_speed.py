# SPDX-License-Identifier: Apache-2.0
"""How soon a row is there, and in how many transactions rows are written."""
from __future__ import annotations

import statistics
import time
from datetime import timedelta
from pathlib import Path

import pytest

from database import Database, Postgresql, has_ended
from rsyslogd import send_tcp, wait_for_port, wait_until
from tasklog import Tasklog, action, check_log, stamps, tcp_input


@pytest.mark.alone
def test_the_row_is_there_within_100_ms_after_the_end_marker(
        daemon: Tasklog, database: Database) -> None:
    ids = [str(number) for number in range(50)]
    database.add(*ids)
    daemon.run(action(database))
    latencies = []
    for task_id in ids:
        daemon.log(f"kind[{task_id}]", "text", "text")
        began = time.monotonic()
        daemon.log(f"kind[{task_id}]", "@task end")
        while not has_ended(database.row(task_id)):
            assert time.monotonic() < began + 5
            time.sleep(0.001)
        latencies.append(time.monotonic() - began)
    median = statistics.median(latencies)
    longest = max(latencies)
    print(f"\n{database.kind}: median {median * 1000:.1f} ms, longest {longest * 1000:.1f} ms")
    assert median < 0.1


def transactions(database: Postgresql) -> int:
    (number,), = database.execute(
        "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    return int(number)


@pytest.mark.xdist_group("load")
def test_10000_tasks_that_end_at_once_are_written_in_batches(
        daemon: Tasklog, database: Database, tmp_path: Path) -> None:
    ids = [f"run-{number}" for number in range(10_000)]
    database.create_index("task_id")
    database.add(*ids)
    before = transactions(database) if isinstance(database, Postgresql) else 0
    daemon.run(action(database, liveInterval=0), inputs=tcp_input("imptcp", tmp_path / "port"))
    port = wait_for_port(tmp_path / "port")
    form = "<14>1 2026-11-24T10:31:07Z host kind {} - - {}"
    send_tcp(port, [form.format(task_id, "text").encode() for task_id in ids])
    send_tcp(port, [form.format(task_id, "@task end processed=1").encode() for task_id in ids])

    counters = daemon.wait_counters(20_000, rows_stored=10_000, rows_waiting=0, rows_refused=0)
    rows = database.rows()
    assert len(rows) == 10_000
    for row in rows.values():
        stamps(row.log, ["text", "Completed: 1 successful, 0 failed, Total time: 0s"])
        assert (row.status, row.lines, row.complete) == ("COMPLETED", 1, True)
    print(f"\n{database.kind}: {counters['database.batches']} batches")
    assert counters["database.batches"] < 500
    if isinstance(database, Postgresql):
        # The server counts for itself, when a session ends at the latest.
        daemon.stop()
        sessions = database.sessions
        wait_until(lambda: not sessions(), "end of the session")
        assert transactions(database) - before < 500


BAD = {
    # SQLite does not look at lengths.
    "sqlite": ('CHECK ("status" <> \'BAD\')', "@task end status=BAD", "CHECK constraint failed"),
    "postgresql": ('CHECK ("status" <> \'NEVER\')', f"@task end status={'x' * 21}",
                   "value too long for type character varying(20)"),
}


def test_one_bad_result_among_100_leaves_99_that_are_stored_at_once(
        daemon: Tasklog, empty_database: Database, tmp_path: Path) -> None:
    database = empty_database
    constraint, end, reason = BAD[database.kind]
    database.create(constraint)
    ids = [str(number) for number in range(100)]
    database.add(*ids)
    daemon.run(action(database), inputs=tcp_input("imptcp", tmp_path / "port"))
    form = "<14>1 2026-11-24T10:31:07Z host kind {} - - {}"
    lines = [form.format(task_id, text).encode() for task_id in ids
             for text in ("text", end if task_id == "57" else "@task end")]
    send_tcp(wait_for_port(tmp_path / "port"), lines)

    database.wait_ended(99)
    rows = database.rows()
    assert rows.pop("57").status == "IDLE"
    times = [row.updated_at for row in rows.values() if row.updated_at]
    assert len(times) == 99 and max(times) - min(times) < timedelta(seconds=1)
    for row in rows.values():
        assert (row.status, row.lines) == ("COMPLETED", 1)
    said = daemon.wait_said('task "57"')
    assert 'of kind "kind"' in said and reason in said
    daemon.wait_counters(200, rows_stored=99, rows_refused=1, rows_waiting=0)
    assert daemon.counters()["database.batches"] < 20


def test_rows_that_are_not_there_are_refused_by_name_but_not_endlessly(
        daemon: Tasklog, database: Database) -> None:
    database.add("here")
    daemon.run(action(database))
    for number in range(100):
        daemon.log(f"kind[gone {number}]", "text", "@task end")
    daemon.log("kind[here]", "text", "@task end")
    check_log(database.wait("here"), ["text"])
    daemon.wait_counters(202, rows_stored=1, rows_refused=100, rows_waiting=0)
    daemon.stop()
    said = {line.partition("omtasklog: ")[2] for line in daemon.messages().splitlines()
            if "is refused for good" in line}
    assert 1 <= len(said) <= 10
    assert all("no row" in line for line in said)
    assert any('task "gone 0" of kind "kind"' in line for line in said)
