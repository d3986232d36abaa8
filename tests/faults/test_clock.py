# SPDX-License-Identifier: Apache-2.0
"""The wall clock is stepped while tasks run: Debian's libfaketime does it for rsyslogd alone."""
from __future__ import annotations

import random
import sysconfig
import time
from pathlib import Path

import pytest

from conftest import cycles
from database import Sqlite
from senders import finish_last, upsert
from tasklog import Tasklog, stamps

LIBRARY = Path(f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/faketime/libfaketimeMT.so.1")
STEPS = ("-1d", "+0", "+1h", "-3h", "+400d", "+0", "-2")


def test_clock_steps(daemon: Tasklog, sqlite: Sqlite, chance: random.Random,
                     tmp_path: Path) -> None:
    if not LIBRARY.exists():
        pytest.skip("libfaketime is not installed")
    offset = tmp_path / "offset"

    def step(to: str) -> None:
        new = offset.with_suffix(".new")
        new.write_text(to + "\n")
        new.rename(offset)

    step("+0")
    daemon._env.update(LD_PRELOAD=str(LIBRARY), FAKETIME_TIMESTAMP_FILE=str(offset),
                       FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1", TZ="UTC")
    conf = daemon.conf(upsert(sqlite, idleTimeout="100", liveInterval="1"))
    # Else the kernel's time stamps are taken, which nobody steps.
    daemon.start(conf.replace("input(", 'input(useSysTimeStamp="off" '))
    daemon.wait_said("writing to table")
    texts = {f"run-{number}": [f"line {number}"] for number in range(20)}
    for task_id, lines in texts.items():
        daemon.log(f"kind[{task_id}]", *lines)
    life = len(texts)  # messages
    for number in range(cycles(50)):
        step(STEPS[number % len(STEPS)])
        for task_id, lines in texts.items():
            lines.append(f"step {number} of {task_id}")
            daemon.log(f"kind[{task_id}]", lines[-1])
        life += len(texts)
        if number % 10 == 4:
            finish_last(daemon)
            daemon.wait_counters(life + 2)
            daemon.kill9()
            life = 0
            daemon.start(check=False)
    for task_id in texts:
        daemon.log(f"kind[{task_id}]", "@task end")
    sqlite.wait_ended(20)
    daemon.wait_counters(life + len(texts), lines_missing=0, rows_refused=0, rows_waiting=0)
    days = set()  # of all tasks: the last line before a step may be stamped after it
    for task_id in texts:
        row = sqlite.row(task_id)
        days |= {stamp.date() for stamp in stamps(row.log, [*texts[task_id], row.summary])}
        assert row.complete and row.status == "COMPLETED" and row.end_reason == "marker"
        assert row.lines == len(texts[task_id])
        assert row.duration is not None and row.duration >= 0
    assert len(days) > 1, "the clock was not stepped"
    print(f"{len(texts)} rows through {cycles(50)} steps of the clock, on {len(days)} days")
