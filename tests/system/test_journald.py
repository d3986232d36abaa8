# SPDX-License-Identifier: Apache-2.0
"""The second door: what is logged to a real journald lands in the same rows by the same rules."""
from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Iterator

import pytest

from database import Database, Sqlite
from journald import Journald, Reader, native_entry, send_native, task_entry
from rsyslogd import send, send_raw, wait_until
from tasklog import check_log, counts_summary
from test_main_job import (LINES, TASKS, check_rows, interleaved, log_from_processes, rfc3164,
                           severity_of, task_id, text_of, END)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a journald of one's own needs root")


@pytest.fixture
def journald() -> Iterator[Journald]:
    with Journald(f"tasklog{os.getpid()}") as journald:
        yield journald


@pytest.fixture
def reader(tmp_path: Path, journald: Journald) -> Iterator[Reader]:
    with Reader(tmp_path / "reader", journald) as reader:
        yield reader


def native(task: int, line: int) -> bytes:
    text, severity = (END, "info") if line == LINES else (text_of(task, line),
                                                         severity_of(task, line))
    return task_entry(f"kind_{task % 5}", task_id(task), text, severity)


def test_the_log_of_200_tasks_from_8_processes(reader: Reader, journald: Journald,
                                               database: Database) -> None:
    """The same tasks as through rsyslog; half of them by the native protocol, half by syslog."""
    database.add(*map(task_id, range(TASKS)))
    reader.configure(database, [f"kind_{number}" for number in range(5)], liveInterval=1)
    began = datetime.now(timezone.utc)
    reader.start()

    def log(process: int) -> None:
        # All lines of a task go one way: two sockets are read in no order.
        for task, line in interleaved(process):
            if task % 4 < 2:
                send_native(journald.native, [native(task, line)])
            else:
                send_raw(journald.syslog, [rfc3164(task, line)])

    log_from_processes(log)
    database.wait_ended(TASKS, seconds=60)
    check_rows(database, None, began)
    assert reader.stop() == 0, reader.messages()
