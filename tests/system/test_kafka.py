# SPDX-License-Identifier: Apache-2.0
"""A topic between senders and several aggregators: whichever of them dies, or wakes from the dead, each task ends as
one whole row. The random moments of the kills are told, so that one can be tried again: KAFKA_SEED=…"""
from __future__ import annotations

import os
import random
import re
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from database import FIELDS, Database, Postgresql, Sqlite
from kafka import Aggregator, Cluster, Sender
from rsyslogd import frame, send, send_raw, wait_until
from tasklog import BUILD

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


@contextmanager
def two_reading(folder: Path, cluster: Cluster, database: Database,
                **parameters: Any) -> Iterator[tuple[Aggregator, Aggregator]]:
    with Aggregator(folder / "a", cluster, database, **parameters) as a, \
            Aggregator(folder / "b", cluster, database, **parameters) as b:
        a.wait_reading()
        b.wait_reading()
        yield a, b


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
    with two_reading(tmp_path, cluster, table, liveInterval=1, lateWindow=1) as (a, b):
        everyone = [a, b]
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


def test_each_run_has_one_row_of_its_own(tmp_path: Path, cluster: Cluster, table: Postgresql,
                                         sender: Sender) -> None:
    """As the Django app's table has it. Who takes over sees the ends of runs whose rows are there already, and
    not their beginnings."""
    table.execute(f"ALTER TABLE {table.sql_table} ADD UNIQUE (kind, task_id, start_time)")
    own_row = {"mode": "upsert", "lateWindow": 1, "liveInterval": 1,
               "key": ["kind=kind", "task_id=task_id", "start_time=start_time"],
               "columns": [f"{name}={name}" for name in FIELDS
                           if name not in ("kind", "task_id", "start_time")]
               + ["position=log_position"]}
    tasks = 200
    with two_reading(tmp_path, cluster, table, **own_row) as (a, b):
        load = Load(sender, 6.0, tasks)
        load.wait_share(0.6)
        a.kill9()
        load.join(60)
        expect_whole(table, [a, b], tasks)
        send(sender.socket, "kind[run-7]", "@task start", "again", "@task end")
        wait_until(lambda: table.execute(f"SELECT count(*) FROM {table.sql_table}")
                   == [(tasks + 1,)], "a row for the second run", 20)
        assert b.stop() == 0


def test_running_and_silent_tasks_are_shown_as_such(tmp_path: Path, cluster: Cluster,
                                                    table: Postgresql, sender: Sender) -> None:
    table.add("runs", "silent")
    with Aggregator(tmp_path / "a", cluster, table, liveInterval=1, idleTimeout=6) as a:
        a.wait_reading()
        send(sender.socket, "kind[silent]", "once")
        for number in range(4):
            send(sender.socket, "kind[runs]", f"line {number}")
            table.wait("runs", lambda row: row.lines == number + 1 and row.status == "RUNNING")
        assert table.row("runs").end_time is None
        row = table.wait("silent", seconds=20)
        assert (row.status, row.end_reason, row.complete) == ("FAILED", "idle", False)
        assert row.start_time and row.end_time
        assert 5.9 < (row.end_time - row.start_time).total_seconds() < 12


def test_nobody_is_idle_while_the_brokers_are_away(tmp_path: Path, cluster: Cluster,
                                                   table: Postgresql, sender: Sender) -> None:
    table.add("silent", "ends")
    with Aggregator(tmp_path / "a", cluster, table, liveInterval=1, idleTimeout=4) as a:
        a.wait_reading()
        send(sender.socket, "kind[silent]", "once")
        send(sender.socket, "kind[ends]", "before")
        table.wait("ends", lambda row: row.lines == 1)
        table.wait("silent", lambda row: row.lines == 1)
        cluster.down()
        send(sender.socket, "kind[ends]", "meanwhile", "@task end")
        quiet_until = time.monotonic() + 7
        wait_until(lambda: time.monotonic() > quiet_until
                   or table.row("silent").status != "RUNNING", "time passes")
        assert table.row("silent").status == table.row("ends").status == "RUNNING"
        cluster.up()
        row = table.wait("silent", seconds=30)
        assert (row.status, row.end_reason) == ("FAILED", "idle")
        row = table.wait("ends", lambda row: row.complete, seconds=30)
        assert (row.status, row.lines, row.end_reason) == ("COMPLETED", 2, "marker")
        assert a.stop() == 0


@pytest.mark.alone
def test_a_database_that_is_away_holds_the_topic_up_and_nothing_else(
        tmp_path: Path, cluster: Cluster, table: Postgresql, sender: Sender) -> None:
    tasks = 120
    add_rows(table, tasks)
    with Aggregator(tmp_path / "a", cluster, table, memoryBudget="100k", lateWindow=1) as a:
        a.wait_reading()
        with table.server_stopped():
            Load(sender, 1.0, tasks).join(60)
            a.wait_said("retrying")
            pause = time.monotonic() + 5  # longer than the session: it must not be thrown out
            wait_until(lambda: time.monotonic() > pause, "time passes")
        expect_whole(table, [a], tasks)
        assert "lost to others" not in a.messages()
        assert a.stop() == 0


def test_what_is_no_line_blocks_no_partition(tmp_path: Path, cluster: Cluster,
                                             table: Postgresql) -> None:
    head = b"<14>1 2026-11-24T10:31:07.123456+01:00 web1"
    table.add("poison")
    with Aggregator(tmp_path / "a", cluster, table) as a:
        a.wait_reading()
        for message in (b"", b"hello", b"\xff" * 1000, b"<14>1 - - - - - - x", head + b" kind]",
                        head + b" other id-7 - - a kind that no target takes",
                        head + b" kind poison - - " + b"x" * 900_000,
                        head + b" kind poison - - caf\xe9\0\r\n\n  two", head + b" kind poison - - @task end"):
            cluster.produce(message, 3)
        row = table.wait("poison", seconds=20)
        lines = STAMP.sub("", row.log or "").split("\n")
        assert lines[0] == "x" * 900_000
        assert lines[1:4] == ["caf\ufffd\ufffd\r", "", "  two"]
        assert (row.lines, row.complete, row.host) == (2, True, "web1")
        assert row.start_time and row.start_time.microsecond == 123456
        assert a.messages().count("is not a task's line") == 1
        assert "message 0 of partition 3 is not a task's line: it is empty" in a.messages()


def test_what_was_read_is_not_read_again_after_a_stop(tmp_path: Path, cluster: Cluster,
                                                      table: Postgresql, sender: Sender) -> None:
    add_rows(table, 20)
    with Aggregator(tmp_path / "a", cluster, table, lateWindow=0) as a:
        a.wait_reading()
        Load(sender, 1.0, 20).join(60)
        expect_whole(table, [a], 20)
        wait_until(lambda: cluster.is_settled("group"), "all is committed", 20)
        assert a.stop() == 0
        table.execute(f"UPDATE {table.sql_table} SET log = 'seen', log_position = NULL")
        table.add("next")
        a.start()
        send(sender.socket, "kind[next]", "one", "@task end")
        assert table.wait("next", seconds=20).complete
        assert a.stop() == 0
    assert table.execute(f"SELECT count(*) FROM {table.sql_table} WHERE log = 'seen'") == [(20,)]


def test_what_the_topic_has_dropped_is_told(tmp_path: Path, cluster: Cluster,
                                            table: Postgresql) -> None:
    head = b"<14>1 2026-11-24T10:31:07Z web1 kind "
    table.add("long", "last")
    with Aggregator(tmp_path / "a", cluster, table, lateWindow=0) as a:
        a.wait_reading()
        cluster.produce(head + b"long - - one")
        table.wait("long", lambda row: row.lines == 1)
        assert a.stop() == 0
        for number in range(8):
            cluster.produce(head + b"long - - " + b"%d" % number * 900_000)
        a.start()
        cluster.produce(head + b"last - - @task end")
        table.wait("last", seconds=20)
        assert re.search(r"\d messages of partition 0 were deleted before they were read", a.messages())


@pytest.mark.parametrize("change, told", [
    (("session.timeout.ms = 3000", "session.timeout.ms = soon"), "session.timeout.ms"),
    (("session.timeout.ms = 3000", "session.timeout.mss = 3000"),
     '[kafka]: "session.timeout.mss": No such configuration property'),
    (("group = group", "group ="), '"group" are required'),
    (("[kafka]", "[journal]"), "unknown parameter"),
    (("position=log_position", ""), '"position=COLUMN" is required'),
])
def test_wrong_settings_are_named(change: tuple[str, str], told: str, tmp_path: Path,
                                  cluster: Cluster, table: Postgresql) -> None:
    a = Aggregator(tmp_path / "a", cluster, table)
    a.conf.write_text(a.conf.read_text().replace(*change))
    a.start()
    assert a.process and a.process.wait(10) == 1
    a.process = None
    assert told in a.messages()
    assert len(a.messages().splitlines()) == 1


def test_the_command_checks_the_configuration(tmp_path: Path, cluster: Cluster, table: Postgresql) -> None:
    a = Aggregator(tmp_path / "a", cluster, table)
    done = subprocess.run([BUILD / "tasklog", "check", a.conf], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, done.stderr
    assert "position     -> log_position" in done.stdout
    assert "/var/lib/tasklog-kafka/task" in done.stdout


def test_an_sqlite_file_takes_what_two_write(tmp_path: Path, cluster: Cluster, sqlite: Sqlite,
                                             sender: Sender) -> None:
    sqlite.execute(f"ALTER TABLE {sqlite.sql_table} ADD COLUMN log_position bigint")
    tasks = 150
    upsert = {"mode": "upsert", "lateWindow": 1, "liveInterval": 1, "key": "task_id=task_id"}
    sqlite.create_index("task_id")
    with two_reading(tmp_path, cluster, sqlite, **upsert) as (a, b):
        load = Load(sender, 4.0, tasks)
        load.wait_share(0.5)
        a.kill9()
        load.join(60)
        expect_whole(sqlite, [a, b], tasks)
        assert b.stop() == 0


def test_a_stop_while_the_brokers_are_away_does_not_hang(tmp_path: Path, cluster: Cluster,
                                                         table: Postgresql, sender: Sender) -> None:
    table.add("runs")
    with Aggregator(tmp_path / "a", cluster, table, liveInterval=1) as a:
        a.wait_reading()
        send(sender.socket, "kind[runs]", "line")
        table.wait("runs", lambda row: row.lines == 1)
        cluster.down()
        a.wait_said("Connection refused")
        assert a.stop(25) == 0  # before systemd's patience is over
        cluster.up()
        a.start()
        send(sender.socket, "kind[runs]", "@task end")
        assert table.wait("runs", lambda row: row.complete, seconds=30).lines == 1
        assert a.stop() == 0
