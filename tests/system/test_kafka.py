# SPDX-License-Identifier: Apache-2.0
"""A topic between senders and several aggregators: whichever of them dies, or wakes from the dead, each task ends as
one whole row. The random moments of the kills are told, so that one can be tried again: KAFKA_SEED=…"""
from __future__ import annotations

import os
import random
import re
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from database import Database, Postgresql
from kafka import Aggregator, Cluster, Sender
from rsyslogd import frame, send, send_raw, wait_until

TASKS = int(os.environ.get("KAFKA_TASKS", "500"))
LINES = 12
BETWEEN = 15  # so many other tasks begin between two lines of one
SEED = int(os.environ.get("KAFKA_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
STAMP = re.compile(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] ", re.M)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def table(postgresql: Postgresql) -> Postgresql:
    postgresql.execute(f"ALTER TABLE {postgresql.sql_table} ADD COLUMN log_position bigint")
    return postgresql


@pytest.fixture
def sender(tmp_path: Path, cluster: Cluster) -> Iterator[Sender]:
    with Sender(tmp_path / "sender", cluster) as sender:
        yield sender


def texts_of(task: int) -> list[str]:
    """What a task logs, its control lines but for the last left out."""
    return [f"{task}: line {number}" + ("\n  and a second" if number % 5 == 0 else "")
            for number in range(LINES)]


def interleaved(first: int, count: int) -> Iterator[bytes]:
    """Lines of many tasks in turn: in each step one begins, and older ones have a line."""
    for step in range(count + LINES * BETWEEN):
        for number in range(LINES + 1):
            begun = step - number * BETWEEN
            if not 0 <= begun < count:
                continue
            task = first + begun
            text = texts_of(task)[number] if number < LINES else f"@task end processed={task}"
            yield frame(f"kind[run-{task}]", text)


class Load(threading.Thread):
    """Logs them all within about so many seconds."""

    def __init__(self, sender: Sender, seconds: float, tasks: int = TASKS) -> None:
        super().__init__(daemon=True)
        self._sender = sender
        self._frames = list(interleaved(0, tasks))
        self._pause = seconds / (len(self._frames) / 25 + 1)
        self.sent = 0
        self.start()

    def run(self) -> None:
        for at in range(0, len(self._frames), 25):
            send_raw(self._sender.socket, self._frames[at:at + 25])
            self.sent = min(at + 25, len(self._frames))
            time.sleep(self._pause)

    def wait_share(self, share: float) -> None:
        wait_until(lambda: self.sent >= share * len(self._frames), f"{share:.2f} are sent", 60)


def expect_whole(database: Database, aggregators: list[Aggregator], tasks: int = TASKS,
                 seconds: float = 60.0) -> None:
    """Each task is one row with each of its lines once and in order."""
    def said() -> str:
        return "\n".join(f"--- {each.folder.name}\n{each.messages()}" for each in aggregators)

    try:
        wait_until(lambda: sum(row.complete for row in database.rows().values()) == tasks,
                   "complete rows", seconds)
    except AssertionError as error:
        rows = database.rows()
        wrong = [f"{row.task_id}: {row.status} {row.end_reason} {row.lines}\n{row.log}"
                 for row in rows.values() if not row.complete]
        raise AssertionError(f"{error}: {tasks - len(wrong)} of {len(rows)}, e.g. "
                             f"{''.join(wrong[:3])}\n{said()}") from None
    check_rows(database, tasks, said)


def check_rows(database: Database, tasks: int, said: Callable[[], str]) -> None:
    rows = database.rows()
    assert len(rows) == tasks
    for task in range(tasks):
        row = rows[f"run-{task}"]
        log = STAMP.sub("", row.log or "").split("\n")
        expected = "\n".join(texts_of(task)).split("\n")
        assert log[:-1] == expected, f"{row}\n{said()}"
        assert log[-1].startswith(f"Completed: {task} successful, 0 failed, Total time:")
        assert (row.status, row.end_reason, row.lines, row.processed) == \
            ("COMPLETED", "marker", LINES, task)


def expect_still_whole(database: Database, aggregators: list[Aggregator],
                       tasks: int = TASKS) -> None:
    """Nothing that anybody still does spoils a row: until all have been told of a last task."""
    check_rows(database, tasks, lambda: "\n".join(each.messages() for each in aggregators))


def add_rows(database: Database, tasks: int = TASKS) -> None:
    database.add(*(f"run-{task}" for task in range(tasks)))


@pytest.mark.parametrize("event", ["killed", "restarted", "frozen", "stopped", "joined"])
def test_whatever_happens_to_an_aggregator_each_task_is_one_whole_row(
        event: str, tmp_path: Path, cluster: Cluster, table: Postgresql, sender: Sender) -> None:
    print(f"KAFKA_SEED={SEED}")
    chance = random.Random(SEED)
    add_rows(table)
    with Aggregator(tmp_path / "a", cluster, table, liveInterval=1, lateWindow=1) as a, \
            Aggregator(tmp_path / "b", cluster, table, liveInterval=1, lateWindow=1) as b:
        everyone = [a, b]
        a.wait_reading()
        b.wait_reading()
        load = Load(sender, seconds=8.0)
        load.wait_share(chance.uniform(0.2, 0.6))
        if event in ("killed", "restarted"):
            a.kill9()
        elif event == "frozen":
            a.freeze()
        elif event == "stopped":
            assert a.stop() == 0
        else:
            everyone.append(Aggregator(tmp_path / "c", cluster, table, liveInterval=1, lateWindow=1))
            everyone[-1].start()
        if event == "restarted":
            load.wait_share(chance.uniform(0.6, 0.9))
            a.start()
        load.join(60)
        if event == "frozen":  # b has it all by now, and a believes that it has its share
            expect_whole(table, everyone)
            a.thaw()
            a.wait_said("were lost to others")
        expect_whole(table, everyone)
        running = [each for each in everyone if each.running()]
        assert len(running) == {"killed": 1, "stopped": 1, "joined": 3}.get(event, 2)
        for each in running:
            assert each.stop() == 0
        expect_still_whole(table, everyone)
