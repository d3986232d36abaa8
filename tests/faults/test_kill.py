# SPDX-License-Identifier: Apache-2.0
"""kill -9 at any instant: every line that was accepted is in its row, once, in order."""
from __future__ import annotations

import random
import socket
import threading
import time
from pathlib import Path
from typing import Callable

import pytest

from conftest import cycles
from database import Database
from load import Load
from relp import RelpSender
from rsyslogd import Rsyslogd, frame, wait_until
from senders import UnixSender, upsert
from tasklog import DIRECT, Tasklog

SMALL = {"memoryBudget": "600k", "liveInterval": "1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def relp_input(port: int) -> str:
    return f'module(load="imrelp" ruleset="tasks")\ninput(type="imrelp" port="{port}")'


def kill_and_start(daemon: Tasklog, chance: random.Random, count: int,
                   progress: Callable[[], int]) -> None:
    """Kills at random instants: while nothing has come yet, or after some messages."""
    for _ in range(count):
        if chance.random() < 0.2:
            time.sleep(chance.random() * 0.02)
        else:
            goal = progress() + chance.randrange(1, 800)
            wait_until(lambda: progress() >= goal, "messages are taken", 60)
            time.sleep(chance.random() * 0.005)
        daemon.kill9()
        daemon.start(check=False, seconds=30)


def test_relp_sender(daemon: Tasklog, database: Database, chance: random.Random) -> None:
    port = free_port()
    daemon.run(upsert(database, **SMALL), inputs=relp_input(port))
    load = Load(chance)
    sender = RelpSender(port, load.raw_messages())
    sender.start()
    count = cycles(200 if database.kind == "postgresql" else 50)
    try:
        kill_and_start(daemon, chance, count, lambda: sender.acknowledged)
    finally:
        load.stop()
    sender.finish(60)
    assert sender.acknowledged == load.sent
    compared = load.check(database)
    spool = sum(path.stat().st_size for path in (daemon.work / "tasklog/task").glob("*.seg"))
    print(f"{count} kills, {compared}, {sender.resent} sent again, spool {spool >> 20} MB")
    assert not daemon.said("damaged")


def test_killed_again_before_anything_is_sent_again(daemon: Tasklog, sqlite: Database,
                                                    chance: random.Random) -> None:
    """The spool lets go of what is stored, but lines of it may still come a second time."""
    port = free_port()
    daemon.run(upsert(sqlite, lateWindow="0"), inputs=relp_input(port))
    load = Load(chance, open_tasks=3, longest=5, late=0)
    sender = RelpSender(port, load.raw_messages())
    sender.start()
    count = cycles(50)
    try:
        for _ in range(count):
            goal = sender.acknowledged + chance.randrange(1, 400)
            wait_until(lambda: sender.acknowledged >= goal, "messages are taken", 60)
            sender.pause()
            for _ in range(3):
                daemon.kill9()
                daemon.start(check=False, seconds=30)
                daemon.wait_said("writing to table")
            sender.go_on()
    finally:
        load.stop()
    sender.finish(60)
    compared = load.check(sqlite)
    print(f"{count} times three kills, {compared}, {sender.resent} sent again")


@pytest.mark.long
def test_rsyslogd_as_relp_sender(daemon: Tasklog, postgresql: Database, chance: random.Random,
                                 tmp_path: Path) -> None:
    port = free_port()
    daemon.run(upsert(postgresql, **SMALL), inputs=relp_input(port))
    load = Load(chance, lines_per_second=400)  # omrelp waits a lot
    count = cycles(50)
    with Rsyslogd(tmp_path / "sender") as sender:
        sender.start(f'''
            global(maxMessageSize="1m")
            module(load="imuxsock" SysSock.Use="off")
            module(load="omrelp")
            ruleset(name="forward" queue.type="LinkedList" queue.size="2000000"
                    queue.workerThreads="1" queue.timeoutEnqueue="60000") {{
              action(type="omrelp" target="127.0.0.1" port="{port}" windowSize="128"
                     template="RSYSLOG_ForwardFormat" action.resumeRetryCount="-1"
                     action.resumeInterval="1" action.resumeIntervalMax="1")
            }}
            input(type="imuxsock" socket="{sender.socket}" ruleset="forward"
                  useSpecialParser="off" RateLimit.Interval="0")
        ''')

        def log() -> None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.settimeout(60)
                client.connect(str(sender.socket))
                for message in load.messages():
                    client.send(frame(f"kind[{message.task.task_id}]", message.text))

        logger = threading.Thread(target=log, daemon=True)
        logger.start()
        try:
            for _ in range(count):
                time.sleep(chance.random() * 2)
                daemon.kill9()
                daemon.start(check=False, seconds=30)
        finally:
            load.stop()
        logger.join(60)
        assert not logger.is_alive()
        compared = load.check(postgresql, 120)
        assert sender.stop() == 0
    print(f"{count} kills, {compared}")


DISK = ('queue.type="Disk" queue.fileName="tasks" queue.checkpointInterval="1"'
        ' queue.maxFileSize="1m" queue.timeoutEnqueue="60000" queue.dequeueBatchSize="128"'
        ' queue.size="1000000" queue.workerThreads="1"')


def test_what_was_read_from_a_unix_socket(daemon: Tasklog, database: Database,
                                          chance: random.Random) -> None:
    kill_unix_sender(daemon, database, chance, DIRECT)


def test_disk_queue(daemon: Tasklog, database: Database, chance: random.Random) -> None:
    """rsyslogd's own queue keeps what it was given, and delivers some of it twice."""
    kill_unix_sender(daemon, database, chance, DISK)


def mark_undelivered(load: Load, delivered: Path) -> int:
    """A kill can cost rsyslogd's disk queue lines that it has not written yet, or lost count of. An
    omfile behind our action shows what came out of it and to us."""
    texts = set(delivered.read_text().splitlines())
    lost = 0
    for task in load.tasks:
        for message in [*task.lines, *task.late]:
            if not message.doubtful and message.text.rstrip() not in texts:
                message.doubtful = True
                lost += 1
    return lost


def kill_unix_sender(daemon: Tasklog, database: Database, chance: random.Random,
                     queue: str) -> None:
    delivered = daemon.folder / "delivered"
    daemon.run(upsert(database, **SMALL),
               'action(type="omfile" file="%s" template="only")' % delivered, queue=queue,
               settings='template(name="only" type="string" string="%msg:2:$%\\n")')
    load = Load(chance, width=100)
    sender = UnixSender(daemon, load)
    sender.start()
    count = cycles(50)
    try:
        for _ in range(count):
            goal = sender.sent + chance.choice((1, 10, 100, 1000))
            wait_until(lambda: sender.sent >= goal, "messages are read", 60)
            sender.kill()
            daemon.start(check=False, seconds=30)
    finally:
        load.stop()
    sender.finish(60)
    database.wait_ended(len(load.tasks), 60)
    lost = mark_undelivered(load, delivered)
    compared = load.check(database)
    print(f"{count} kills, {compared}, {sender.doubtful} of them doubtful, {lost} not delivered")
    assert queue == DISK or lost <= count
