# SPDX-License-Identifier: Apache-2.0
"""kill -9 at any instant: every line that was accepted is in its row, once, in order.

Who promises what:

* RELP in front and a queue of type Direct: an acknowledged message is in our spool, and what was not
  acknowledged is sent again. So each line is in its row exactly once, without any exception.
* A datagram socket in front: what rsyslogd has read and not yet handed to us when it is killed is
  gone, one datagram at a kill. That one is doubtful: it may be in the row or not.
* A queue of type Disk: rsyslogd acknowledges a message when it is in the queue's files.
  With queue.checkpointInterval="1" a kill finds (nearly) all of them there, and what is taken out of the
  queue a second time, or lies in it and is sent again, is dropped by us. An omfile behind us in the ruleset
  is the witness of what came out of the queue: each line that it has is in its row exactly once.
* Behind a datagram socket rsyslog 8.2302's Disk queue can do worse than lose the datagram in flight.
  Killed between writing a record and the .qi file, it leaves a record behind the end. After the
  start it reads this one into its buffer, writes the next message to the same place, and delivers the
  old record, or the beginning of the old with the rest of the new: one task's tag with the other's
  text. (With RELP both are the same message, since it is sent again.) The queue then promises less
  than we, and the witness says what the rows must hold. An end that it lost is sent again by the test.

What is compared: each row's log text by text with what was sent, its counts, and the sum of all rows'
`lines` with all that was sent. Counters begin at zero with each life and die with it, so they are
compared for the last one: its counters make up the messages that were sent to it (RELP: acknowledged to
its connection), those that it had before among them as `lines.redelivered`.
"""
from __future__ import annotations

import random
import re
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Callable

import pytest

from conftest import cycles
from database import Database, Postgresql
from gate import Gate
from load import END, SAME, Load, Message, Task
from relp import RelpSender
from rsyslogd import Rsyslogd, frame, quiet_port, wait_until
from senders import UnixSender, upsert
from tasklog import DIRECT, Tasklog

SMALL = {"memoryBudget": "600k", "liveInterval": "1"}
DISK = {"queue.type": "Disk", "queue.fileName": "tasks", "queue.checkpointInterval": "1",
        "queue.syncQueueFiles": "on", "queue.maxFileSize": "100m", "queue.size": "1000000",
        "queue.timeoutEnqueue": "60000", "queue.dequeueBatchSize": "128",
        "queue.workerThreads": "1"}


DISK_MOST = 300  # messages in a life: each of them is synced


def relp_input(port: int) -> str:
    return f'module(load="imrelp" ruleset="tasks")\ninput(type="imrelp" port="{port}")'


class Witness:
    """An omfile behind the action, in the ruleset whose queue is the Disk queue: what comes out of that
    goes to the action and then to this file, batch by batch."""

    TEMPLATE = ('template(name="witness" type="string"'
                ' string="%timereported:::date-rfc3339% %timegenerated:::date-rfc3339% %syslogtag%\\n")')

    def __init__(self, path: Path) -> None:
        self.path = path
        self.action = (f'action(type="omfile" file="{path}" template="witness" asyncWriting="off"'
                       ' flushOnTXEnd="on")')

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    def stamps(self) -> Counter[str]:
        """How often a message came."""
        return Counter(line.split()[0] for line in self.lines())

    def places(self) -> dict[object, int]:
        """Which of the different messages it is, in the order in which they came first."""
        return {stamp: number for number, stamp in enumerate(self.stamps())}


def kill_and_start(daemon: Tasklog, chance: random.Random, count: int, progress: Callable[[], int],
                   while_dead: Callable[[], object] = lambda: None, most: int = 800) -> None:
    """Kills at random instants: while nothing has come yet, or after some messages."""
    for _ in range(count):
        if chance.random() < 0.2:
            time.sleep(chance.random() * 0.02)
        else:
            goal = progress() + chance.randrange(1, most)
            wait_until(lambda: progress() >= goal, "messages are taken", 60)
            time.sleep(chance.random() * 0.005)
        daemon.kill9()
        while_dead()
        daemon.start(check=False, seconds=30)


def test_relp_sender(daemon: Tasklog, database: Database, chance: random.Random) -> None:
    port = quiet_port()
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
    check_relp(daemon, database, load, sender, f"{count} kills")


def check_relp(daemon: Tasklog, database: Database, load: Load, sender: RelpSender,
               what: str) -> None:
    assert sender.acknowledged == load.sent
    compared = load.check(database)
    counters = daemon.wait_counters(sender.answered, rows_refused=0, rows_waiting=0,
                                    lines_missing=0)
    spool = sum(path.stat().st_size for path in (daemon.work / "tasklog/task").glob("*.seg"))
    print(f"{what}, {compared}, {sender.resent} sent again, {counters['lines.redelivered']} of"
          f" them redelivered in the last life, spool {spool >> 20} MB")
    assert not daemon.said("damaged")


def test_killed_again_before_anything_is_sent_again(daemon: Tasklog, sqlite: Database,
                                                    chance: random.Random) -> None:
    """The spool lets go of what is stored, but lines of it may still come a second time."""
    port = quiet_port()
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
    check_relp(daemon, sqlite, load, sender, f"{count} times three kills")


@pytest.mark.long
def test_rsyslogd_as_relp_sender(daemon: Tasklog, postgresql: Database, chance: random.Random,
                                 tmp_path: Path) -> None:
    port = quiet_port()
    witness = Witness(daemon.folder / "witness")
    daemon.run(upsert(postgresql, **SMALL), witness.action, settings=witness.TEMPLATE,
               inputs=relp_input(port))
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
                former = len(witness.lines())
                daemon.start(check=False, seconds=30)
        finally:
            load.stop()
        logger.join(60)
        assert not logger.is_alive()
        compared = load.check(postgresql, 120)
        assert sender.stop() == 0
    came = len(witness.lines()) - former  # in the last life
    counters = daemon.wait_counters(came, rows_refused=0, rows_waiting=0, lines_missing=0)
    print(f"{count} kills, {compared}; {came} came in the last life, {counters['lines.redelivered']}"
          f" of them redelivered")


@pytest.mark.alone
def test_what_was_read_from_a_unix_socket(daemon: Tasklog, database: Database,
                                          chance: random.Random) -> None:
    kill_unix_sender(daemon, database, chance, DIRECT)


def as_delivered(load: Load, places: dict[object, int],
                 key: Callable[[Message], object]) -> tuple[int, list[Task]]:
    """What rsyslogd's queue never delivered need not be in a row, and what it delivered late stands later.
    `places` says where among all messages each one came first. Returns how many lines did not come, and
    the tasks whose end did not."""
    lost, endless = 0, []
    for task in load.tasks:
        assert task.end
        end = places.get(key(task.end), len(places))
        if end == len(places):
            endless.append(task)
        at = -1
        placed: list[tuple[int, Message]] = []
        for number, message in enumerate([*task.lines, *task.late]):
            if number >= len(task.lines) and end < len(places):
                at = max(at, end)  # taken, perhaps, behind an end that came
            if message.text.startswith(END):
                at = max(at, end)  # a second one, which is a late line
            elif key(message) in places:
                at = places[key(message)]
            elif not message.doubtful:
                lost += 1
                message.doubtful = True
                if message.text == SAME:  # nobody can tell whether it is in the row
                    continue
            placed.append((at, message))
        task.in_order = placed == sorted(placed, key=lambda each: each[0])
        placed.sort(key=lambda each: each[0])
        task.lines = [message for place, message in placed if place < end]
        task.late = [message for place, message in placed if place >= end]
    return lost + len(endless), endless


def test_disk_queue(daemon: Tasklog, database: Database, chance: random.Random) -> None:
    port = quiet_port()
    witness = Witness(daemon.folder / "witness")
    daemon.run(upsert(database, **SMALL), witness.action, settings=witness.TEMPLATE,
               inputs=relp_input(port), queue=" ".join(f'{k}="{v}"' for k, v in DISK.items()))
    load = Load(chance)
    sender = RelpSender(port, load.raw_messages())
    sender.start()
    count = cycles(50)
    lives: list[int] = []
    try:
        kill_and_start(daemon, chance, count, lambda: sender.acknowledged,
                       lambda: lives.append(len(witness.lines())), most=DISK_MOST)
    finally:
        load.stop()
    sender.finish(60)
    assert sender.acknowledged == load.sent
    daemon.log("kind[last]", "text", END)  # what comes behind it has been delivered
    database.wait("last", seconds=60)
    database.execute(f'DELETE FROM {database.sql_table} WHERE "task_id" = ?', "last")
    came = witness.stamps()
    counters = daemon.wait_counters(len(witness.lines()) - lives[-1])
    lost, endless = as_delivered(load, witness.places(), lambda message: message.stamp)
    for task in endless:
        daemon.log(f"kind[{task.task_id}]", END)
    compared = load.check(database)
    twice = sum(number - 1 for number in came.values())
    print(f"{count} kills, {compared}, {sender.resent} sent again; the queue lost {lost} and"
          f" delivered {twice} once more, {counters['lines.redelivered']} redelivered in the last life")
    assert not daemon.said("damaged")


@pytest.mark.long
def test_disk_queue_behind_a_unix_socket(daemon: Tasklog, database: Database,
                                         chance: random.Random) -> None:
    kill_unix_sender(daemon, database, chance,
                     " ".join(f'{name}="{value}"' for name, value in DISK.items()))


def sigterm(daemon: Tasklog, chance: random.Random, sender: RelpSender, count: int,
            most: int) -> int:
    """Stops it under load. Every fifth time the sender holds still before, and each message of this
    life is in one counter. Returns how many these were."""
    counted = 0
    for number in range(count):
        goal = sender.acknowledged + chance.randrange(1, most)
        wait_until(lambda: sender.acknowledged >= goal, "messages are taken", 60)
        if number % 5 == 0:
            with sender.held():
                daemon.wait_counters(sender.answered)
                counted += sender.answered
                assert daemon.stop() == 0
        else:
            assert daemon.stop() == 0
        daemon.start(check=False, seconds=30)
    return counted


@pytest.mark.parametrize("queue", [pytest.param("direct", marks=pytest.mark.long), "disk"])
def test_sigterm_while_the_server_is_down(daemon: Tasklog, postgresql: Postgresql,
                                          chance: random.Random, queue: str) -> None:
    gate = Gate(postgresql.host, int(postgresql.port))
    port = quiet_port()
    daemon.run(upsert(postgresql, **{**SMALL, **(DISK if queue == "disk" else {}),
                      "database": postgresql.url_with(host="127.0.0.1", port=gate.port)}),
               inputs=relp_input(port))
    load = Load(chance)
    sender = RelpSender(port, load.raw_messages())
    count = cycles(50)
    with gate.shut():
        sender.start()
        try:
            counted = sigterm(daemon, chance, sender, count, DISK_MOST if queue == "disk" else 800)
        finally:
            load.stop()
        sender.finish(60)
    check_relp(daemon, postgresql, load, sender,
               f"{count} stops, {counted} messages in the counters of their lives")
    gate.close()


def mark_undelivered(load: Load, delivered: Path) -> tuple[int, int, list[Task]]:
    """What came out of rsyslogd's queue is what we have to keep, if it is not what was sent. Returns
    how many lines did not come out of it, how many came out as another task's, and the tasks whose end did
    not."""
    came = dict.fromkeys(re.findall(r"^kind\[(.*?)\]: (.*?) *$", delivered.read_text(), re.M))
    places: dict[object, int] = {key: number for number, key in enumerate(came)}
    mixed = 0
    sent = {(task.task_id, message.text.rstrip())
            for task in load.tasks for message in [*task.lines, *task.late]}
    lost, endless = as_delivered(
        load, places, lambda message: (message.task.task_id, message.text.rstrip()))
    tasks = {task.task_id: task for task in load.tasks}
    for task_id, text in came:
        if task_id in tasks and (task_id, text) not in sent and not text.startswith("@task"):
            insert_mixed(tasks[task_id], text)
            mixed += 1
    return lost, mixed, endless


def insert_mixed(task: Task, text: str) -> None:
    """Another's line, at the place where its number belongs."""
    def number(of: str) -> int:
        return int(of.split()[1])

    place = sum(number(each.text) < number(text) for each in task.lines)
    task.lines.insert(place, Message(task, text))


def kill_unix_sender(daemon: Tasklog, database: Database, chance: random.Random,
                     queue: str) -> None:
    delivered = daemon.folder / "delivered"
    daemon.run(upsert(database, **SMALL),
               'action(type="omfile" file="%s" template="only")' % delivered, queue=queue,
               settings='template(name="only" type="string" string="%syslogtag%%msg:::drop-last-lf%\\n")')
    load = Load(chance, width=100)
    sender = UnixSender(daemon, load)
    sender.start()
    count = cycles(50)
    try:
        for _ in range(count):
            goal = sender.sent + chance.choice((1, 10, 100, 1000))
            wait_until(lambda: sender.sent >= goal, "messages are read", 60)
            sender.kill()
            former = len(delivered.read_text().splitlines()) if delivered.exists() else 0
            daemon.start(check=False, seconds=30)
    finally:
        load.stop()
    sender.finish(60)
    daemon.log("kind[last]", "text")  # what comes behind it has been delivered
    wait_until(lambda: "kind[last]: text" in delivered.read_text(), "all is delivered", 60)
    daemon.wait_counters(len(delivered.read_text().splitlines()) - former)
    lost, mixed, endless = mark_undelivered(load, delivered)
    for task in [*endless, Task("last", 1, 0)]:
        daemon.log(f"kind[{task.task_id}]", END)
    wait_until(lambda: daemon.counters().get("tasks.open") == 0, "all tasks have ended", 60)
    database.wait("last")
    database.execute(f'DELETE FROM {database.sql_table} WHERE "task_id" = ?', "last")
    compared = load.check(database)
    print(f"{count} kills, {compared}, {sender.doubtful} of them doubtful, {lost} not delivered,"
          f" {mixed} delivered as another task's")
    if queue == DIRECT:
        assert lost == mixed == 0
        daemon.wait_counters(sender.life + 2, rows_refused=0, rows_waiting=0, lines_missing=0)
