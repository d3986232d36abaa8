# SPDX-License-Identifier: Apache-2.0
"""Many hosts and several aggregators, with the files of conf/scale: a host that is cut off, an aggregator that is
killed, each at any instant. Every line that a host's tasks logged is in its row, once, in order.

What a host's own rsyslogd loses when that is killed is not promised, and not tested: see docs/scale.md.
"""
from __future__ import annotations

import random
import socket
import threading
import time
from pathlib import Path
from typing import Iterator

import pytest

from conftest import cycles
from database import Row
from network import why_not
from rsyslogd import frame, send, wait_until
from scale import Sender, Site, make_certificates
from tasklog import stamps

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

CUT_SECONDS = 30  # longer than the senders wait for an answer
SAME = "the same again"


class Tasks(threading.Thread):
    """What one host logs: some tasks at a time, line by line in turn, until stop() or as many as told."""

    def __init__(self, sender: Sender, chance: random.Random, rate: int = 400, at_once: int = 10,
                 count: int | None = None) -> None:
        super().__init__(daemon=True)
        self.logged: dict[str, list[str]] = {}  # the tasks that have ended
        self.lines = 0
        self.error: BaseException | None = None
        self._sender = sender
        self._chance = random.Random(chance.random())
        self._rate = rate
        self._at_once = at_once
        self._left = count
        self._begun = 0
        self._stopping = threading.Event()
        self.start()

    def stop(self) -> None:
        self._stopping.set()
        self.join(60)
        if self.error:
            raise self.error
        assert not self.is_alive()

    def run(self) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.settimeout(60)
                client.connect(str(self._sender.socket))
                began = time.monotonic()
                for tag, text in self._messages():
                    client.send(frame(tag, text))
                    self.lines += 1
                    ahead = self.lines / self._rate - (time.monotonic() - began)
                    if ahead > 0.002:
                        time.sleep(ahead)
        except BaseException as error:  # for the test to see
            self.error = error

    def _messages(self) -> Iterator[tuple[str, str]]:
        open_: dict[str, list[str]] = {}
        while open_ or not self._is_over():
            while len(open_) < self._at_once and not self._is_over():
                self._begun += 1
                open_[f"{self._sender.host.name}-{self._begun}"] = []
            task = self._chance.choice(list(open_))
            if len(open_[task]) >= 40 or self._chance.random() < 0.03 or self._stopping.is_set():
                yield f"kind[{task}]", "@task end"
                self.logged[task] = open_.pop(task)
                continue
            text = SAME if self._chance.random() < 0.2 else f"line {self.lines} of all"
            open_[task].append(text)
            yield f"kind[{task}]", text

    def _is_over(self) -> bool:
        return self._stopping.is_set() or self._begun == self._left


def check_row(row: Row, texts: list[str]) -> None:
    stamps(row.log, [*texts, row.summary])
    assert row.status == "COMPLETED" and row.complete and row.lines == len(texts)


def check(site: Site, all_tasks: list[Tasks], seconds: float = 60) -> str:
    """All rows are what was logged, and no others are there. Returns what was compared."""
    logged = {task: texts for tasks in all_tasks for task, texts in tasks.logged.items()}
    site.database.wait_ended(len(logged), seconds)
    rows = site.database.rows()
    assert len(rows) == site.database.execute(
        f"SELECT count(*) FROM {site.database.sql_table}")[0][0], "a task has two rows"
    assert rows.keys() == logged.keys()
    for task, texts in logged.items():
        try:
            check_row(rows[task], texts)
        except AssertionError as error:
            raise AssertionError(f"{task}: {error}\n{rows[task].log}\nlogged: {texts}") from None
    return f"{len(rows)} rows, {sum(map(len, logged.values()))} lines"


@pytest.fixture
def fan_in(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, "sender.conf", hosts=3, aggregators=1)
    yield site
    site.close()


@pytest.fixture
def sharded(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, "sender-sharded.conf", hosts=3, aggregators=2)
    yield site
    site.close()


@pytest.mark.long
@pytest.mark.parametrize("how", ["cut", "deaf"])
def test_a_host_that_is_cut_off_catches_up(fan_in: Site, chance: random.Random, how: str) -> None:
    """Deaf: all that it sent has arrived, and it sends it again."""
    tasks = [Tasks(sender, chance) for sender in fan_in.senders]
    wait_until(lambda: all(each.lines > 200 for each in tasks), "tasks run", 30)
    host = fan_in.senders[1].host
    with host.cut() if how == "cut" else host.deaf():
        time.sleep(CUT_SECONDS)
        others = [task for each in (tasks[0], tasks[2]) for task in list(each.logged)]
        assert len(others) > 100
        rows = fan_in.database.rows()
        late = [task for task in others if task not in rows]
        assert len(late) < 50, f"the others are held up: {len(late)} of {len(others)}"
        silent = [task for task in list(tasks[1].logged) if task not in rows]
        assert len(silent) > 100, "the host was not cut off"
    for each in tasks:
        each.stop()
    compared = check(fan_in, tasks)
    again = fan_in.redelivered()
    assert how == "cut" or again > 0
    print(f"{compared}; {again} came again")


def test_the_aggregator_is_killed(fan_in: Site, chance: random.Random) -> None:
    tasks = [Tasks(sender, chance) for sender in fan_in.senders]
    aggregator, = fan_in.aggregators
    count, again = cycles(50), 0
    for _ in range(count):
        time.sleep(chance.random() * 1.5)
        again += aggregator.counters("tasks").get("lines.redelivered", 0)
        aggregator.kill9()
        if chance.random() < 0.3:
            time.sleep(chance.random() * 3)
        aggregator.start(check=False, seconds=30)
    for each in tasks:
        each.stop()
    compared = check(fan_in, tasks)
    print(f"{count} kills, {compared}; at least {again + fan_in.redelivered()} came again")
    assert not aggregator.said("damaged")


def test_shards_of_which_one_is_killed_and_one_cut_off(sharded: Site,
                                                       chance: random.Random) -> None:
    """500 tasks from three hosts, 60 at a time from each."""
    tasks = [Tasks(sender, chance, rate=120, at_once=60, count=count)
             for sender, count in zip(sharded.senders, (167, 167, 166))]
    first, second = sharded.aggregators

    def ended() -> int:
        return sum(row.status == "COMPLETED" for row in sharded.database.rows().values())

    wait_until(lambda: ended() >= 60, "tasks run", 60)
    second.kill9()
    before = ended()
    wait_until(lambda: ended() >= before + 30, "the other's tasks end", 60)
    open_ = [row for row in sharded.database.rows().values() if row.status == "RUNNING"]
    assert open_, "no task waits for the one that was killed"
    second.start(check=False, seconds=30)
    with first.host.cut():
        before = ended()
        wait_until(lambda: ended() >= before + 30, "the other's tasks end", CUT_SECONDS)
        time.sleep(CUT_SECONDS - 10)
    for each in tasks:
        each.join(120)
        each.stop()
    compared = check(sharded, tasks)
    shares = [each.counters("tasks")["tasks.started"] for each in sharded.aggregators]
    print(f"{compared}; in the aggregators' last lives {shares} tasks, {sharded.redelivered()}"
          " lines came again")
    assert sum(len(each.logged) for each in tasks) == 500


@pytest.mark.parametrize("wrong", ["name", "ca"])
def test_a_sender_with_a_wrong_certificate_gets_nothing_in(fan_in: Site, tmp_path: Path,
                                                           wrong: str) -> None:
    """What it logs with a right one comes."""
    sender = fan_in.senders[0]
    aggregator, = fan_in.aggregators
    name = sender.host.name if wrong == "ca" else "web-1.example.org"
    sender.stop()
    folder = tmp_path / ("ca" if wrong == "name" else "other")
    sender.tls.be(make_certificates(folder, name), name)
    sender.run()
    send(sender.socket, "kind[1]", "a line", "@task end")
    aggregator.wait_said("authentication error", 20)
    assert not fan_in.database.rows()
    sender.stop()
    sender.tls.be(tmp_path / "ca", sender.host.name)
    sender.run()
    send(sender.socket, "kind[2]", "a line", "@task end")
    assert fan_in.database.wait("2", seconds=30).lines == 1
