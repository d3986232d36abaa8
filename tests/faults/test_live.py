# SPDX-License-Identifier: Apache-2.0
"""What a running task's row costs: the bytes that go to PostgreSQL's server, counted on their way."""
from __future__ import annotations

import time
from pathlib import Path

import pytest

from conftest import cycles
from database import Postgresql
from gate import Gate
from rsyslogd import frame, wait_for_port, wait_until
from tasklog import EVERY_COLUMN, Tasklog, action, stamps, tcp_input
from test_memory import send_lines

LIVE = 64 << 10
OTHER = 1 << 10  # the row's other columns, the statement, and the protocol
USUAL = ["log=log", "status=status", "start_time=start_time", "end_time=end_time",
         "summary=summary", "processed=processed", "failed=failed", "total=total"]
FINAL = 16 << 10  # connecting, checking the table, preparing the statement, the final row but its log


def gated(daemon: Tasklog, postgresql: Postgresql, folder: Path,
          **parameters: object) -> Gate:
    gate = Gate(postgresql.host, int(postgresql.port))
    postgresql.create_index("task_id")
    given = {"mode": "upsert", "liveInterval": "1", "liveBytes": "64k", "lateWindow": "0",
             "database": postgresql.url_with(host="127.0.0.1", port=gate.port), **parameters}
    daemon.run(action(postgresql, **given),
               inputs=tcp_input("imptcp", folder / "port", 'threads="1"'))
    daemon.wait_said("writing to table")
    return gate


@pytest.mark.parametrize("columns, mode", [
    pytest.param(USUAL, "update", id="usual"), pytest.param(EVERY_COLUMN, "upsert", id="every")])
def test_a_live_row(daemon: Tasklog, postgresql: Postgresql, tmp_path: Path, columns: list[str],
                    mode: str) -> None:
    postgresql.add(*(["1"] if columns is USUAL else []))
    gate = gated(daemon, postgresql, tmp_path, columns=columns, mode=mode)
    texts = [f"line {number} " + "ü" * 500 for number in range(200)]  # longer than the window
    daemon.log("kind[1]", *texts)
    wait_until(lambda: daemon.counters().get("rows.live"), "a live row", 10)
    costs, others = [], []
    for number in range(min(20, cycles(20) - 1)):
        before, writes = gate.bytes, daemon.counters()["rows.live"]
        texts.append(f"more {number}")
        daemon.log("kind[1]", texts[-1])
        wait_until(lambda: daemon.counters()["rows.live"] > writes, "another one", 10)
        costs.append((gate.bytes - before) / (daemon.counters()["rows.live"] - writes))
        shown = postgresql.row("1")
        assert shown.status == "RUNNING" and len((shown.log or "").encode()) <= LIVE
        assert shown.log and shown.log.endswith(texts[-1])
        others.append(costs[-1] - len(shown.log.encode()))
    daemon.log("kind[1]", "@task end")
    row = postgresql.wait("1")
    stamps(row.log, [*texts, row.summary])
    daemon.wait_counters(len(texts) + 1, lines_missing=0, rows_refused=0)
    gate.close()
    print(f"{len(costs)} live rows of {len(columns)} columns, at most {max(costs):.0f} bytes each,"
          f" {max(others):.0f} of them not the log")
    assert LIVE // 2 < max(costs) and max(others) <= OTHER


@pytest.mark.long
def test_a_long_log_that_is_shown(daemon: Tasklog, postgresql: Postgresql, tmp_path: Path) -> None:
    """100 MB: its log is sent once, and a window for each live row."""
    size, seconds = 100 << 20, 15
    gate = gated(daemon, postgresql, tmp_path, taskMaxBytes="200m")
    port = wait_for_port(tmp_path / "port")
    texts = [f"{number:08d} " + "x" * 991 for number in range(size // 1023)]
    part = len(texts) // seconds
    began = time.monotonic()
    for first in range(0, len(texts), part):  # paced, so that there are live rows
        send_lines(port, (frame("kind[1]", text) for text in texts[first:first + part]))
        time.sleep(max(0.0, began + first / part + 1 - time.monotonic()))
    wait_until(lambda: daemon.counters().get("lines", 0) == len(texts), "all lines", 60)
    took = time.monotonic() - began
    daemon.log("kind[1]", "@task end")
    row = postgresql.wait("1", seconds=60)
    stamps(row.log, [*texts, row.summary])
    counters = daemon.wait_counters(len(texts) + 1, lines_missing=0, rows_refused=0, rows_stored=1)
    log = len((row.log or "").encode())
    most = log + counters["rows.live"] * (LIVE + OTHER) + FINAL
    print(f"a log of {log} bytes within {took:.0f} s, {counters['rows.live']} live rows: {gate.bytes}"
          f" bytes to the server, {gate.bytes - log} more than the log, allowed {most - log}")
    gate.close()
    assert 2 <= counters["rows.live"] <= took + 2
    assert log < gate.bytes <= most
