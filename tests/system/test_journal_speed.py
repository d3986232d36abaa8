# SPDX-License-Identifier: Apache-2.0
"""The reader beside journalctl on the same journal: from its start until the last row is stored, it takes no longer
than `journalctl -o json > /dev/null`. JOURNAL_ENTRIES=1000000 for a million."""
from __future__ import annotations

import os
import socket
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from database import Sqlite
from journald import Journald, Reader, task_entry
from rsyslogd import wait_until

ENTRIES = int(os.environ.get("JOURNAL_ENTRIES", 60_000))
TASKS = 100
RUNS = 3


def fill(journald: Journald) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(str(journald.native))
        for number in range(ENTRIES - TASKS):
            client.send(task_entry("kind", f"run-{number % TASKS}",
                                   f"line {number} of a task that creates tables and comments"))
        for number in range(TASKS):
            client.send(task_entry("kind", f"run-{number}", "@task end"))
    journald.sync()


def seconds_of_journalctl(journald: Journald) -> float:
    began = time.monotonic()
    subprocess.run(["journalctl", "--namespace", journald.namespace, "-o", "json", "--no-pager"],
                   stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


@pytest.mark.alone
@pytest.mark.skipif(os.geteuid() != 0, reason="a journald of one's own needs root")
def test_the_reader_is_not_slower_than_journalctl(tmp_path: Path) -> None:
    theirs, ours = [], []
    with Journald(f"tasklog{os.getpid()}", "SystemMaxUse=8G\nSystemMaxFileSize=4G\n") as journald:
        fill(journald)
        seconds_of_journalctl(journald)  # the page cache is warm for both
        for number in range(RUNS):
            theirs.append(seconds_of_journalctl(journald))
            folder = tmp_path / str(number)
            folder.mkdir()
            database = Sqlite(folder)
            database.create()
            with Reader(folder / "reader", journald) as reader:
                reader.configure(database, mode="upsert", journal="since = all")
                began = time.monotonic()
                reader.start()
                wait_until(lambda: database.execute(
                    f"SELECT count(*) FROM {database.table} WHERE end_time IS NOT NULL")[0][0]
                    == TASKS, "all rows", 300)
                ours.append(time.monotonic() - began)
            lines = database.execute(f"SELECT sum(lines) FROM {database.table}")[0][0]
            database.close()
            assert lines == ENTRIES - TASKS
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"{ENTRIES} entries: journalctl {statistics.median(theirs):.2f} s,"
          f" ours {statistics.median(ours):.2f} s, ratio {ratio:.2f}")
    assert ratio <= 1.0, (theirs, ours)
