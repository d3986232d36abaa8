# SPDX-License-Identifier: Apache-2.0
"""Tasks that log all the time, and the comparison of their rows with what was logged."""
from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Iterator

from database import Database, Row
from rsyslogd import Timeout
from tasklog import stamps

END = "@task end"
SAME = "the same again and again"


@dataclass(eq=False)
class Message:
    task: Task
    text: str
    doubtful: bool = False  # nobody can know whether it was taken
    stamp: str = ""         # its own time, if it was sent with one; no other has the same


@dataclass(eq=False)
class Task:
    task_id: str
    length: int
    late_length: int
    lines: list[Message] = field(default_factory=list)
    late: list[Message] = field(default_factory=list)
    end: Message | None = None
    in_order: bool = True  # they were taken as they were logged


class Load:
    """Some tasks at a time, one line after the other, some thousand lines a second, until stop();
    then they are all ended. A few log some lines more after their end."""

    def __init__(self, chance: random.Random, open_tasks: int = 20, longest: int = 100,
                 lines_per_second: int = 4000, width: int = 0, late: float = 0.2) -> None:
        self.tasks: list[Task] = []
        self.sent = 0
        self._chance = chance
        self._open: list[Task] = []
        self._open_most = open_tasks
        self._longest = longest
        self._rate = lines_per_second
        self._width = width  # of a message's text; 0 = any
        self._late = late  # how many tasks log lines after their end
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def messages(self) -> Iterator[Message]:
        began, first = time.monotonic(), self.sent
        for number in count(self.sent):
            if self._stopping.is_set() and not self._open:
                return
            ahead = (number - first) / self._rate - (time.monotonic() - began)
            if ahead > 0.002:
                time.sleep(min(ahead, 0.1))
            yield self._next(number)

    def raw_messages(self) -> Iterator[bytes]:
        """As a forwarding rsyslogd sends them, each with a time of its own."""
        last = datetime.now(timezone.utc)
        for message in self.messages():
            last = max(datetime.now(timezone.utc), last + timedelta(microseconds=1))
            message.stamp = last.isoformat(timespec="microseconds")
            yield f"<14>{message.stamp} sender kind[{message.task.task_id}]:" \
                f" {message.text}".encode()

    def _next(self, number: int) -> Message:
        chance = self._chance
        if len(self._open) < self._open_most and not self._stopping.is_set():
            late = chance.randrange(1, 4) if chance.random() < self._late else 0
            task = Task(f"run-{len(self.tasks)}", chance.randrange(1, self._longest), late)
            self.tasks.append(task)
            self._open.append(task)
        place = chance.randrange(len(self._open))
        task = self._open[place]
        if not task.end:
            if len(task.lines) >= task.length or self._stopping.is_set():
                message = task.end = Message(task, END)
            else:
                message = Message(task, self._text(number))
                task.lines.append(message)
        else:
            message = Message(task, self._text(number))
            task.late.append(message)
        if task.end and len(task.late) >= task.late_length:
            self._open[place] = self._open[-1]
            self._open.pop()
        self.sent += 1
        if self._width:  # the same size for every datagram: see UnixSender
            fill = " " if message.text == END else "="
            message.text = message.text.ljust(self._width - len(task.task_id), fill)
        return message

    def _text(self, number: int) -> str:
        if self._width:
            return f"line {number} of a run "
        kind = self._chance.random()
        if kind < 0.1:
            return SAME
        text = f"line {number} "
        if kind < 0.2:
            return text + "ü\tand\nmore\n\n  lines"
        return text + "x" * (20_000 if kind > 0.99 else self._chance.randrange(300))

    # --- comparison ---------------------------------------------------------------------------

    def check(self, database: Database, seconds: float = 60.0) -> str:
        """Every row is what was logged, and nothing else is there. Returns what was compared."""
        database.wait_ended(len(self.tasks), seconds)
        deadline = time.monotonic() + 15
        while True:  # lines after an end are written later
            wrong = self._wrong(database.rows())
            if not wrong:
                break
            if time.monotonic() > deadline:
                raise Timeout(f"{len(wrong)} of {len(self.tasks)} rows are wrong:\n"
                              + "\n".join(wrong[:20]))
            time.sleep(0.5)
        rows = database.rows()
        lines = sum(len(taken(rows[task.task_id], task.lines + task.late)) for task in self.tasks)
        (stored,), = database.execute(f'SELECT sum("lines") FROM {database.sql_table}')
        assert stored == lines, f"{stored} lines are stored, and {lines} were taken"
        return f"{len(self.tasks)} rows, {lines} lines"

    def _wrong(self, rows: dict[str, Row]) -> list[str]:
        wrong = [f"{task_id} was never logged" for task_id in
                 rows.keys() - {task.task_id for task in self.tasks}]
        for task in self.tasks:
            try:
                check_row(rows[task.task_id], task)
            except (AssertionError, KeyError) as error:
                wrong.append(f"{task.task_id}: {type(error).__name__} {str(error)[:1000]}")
                if len(wrong) < 3 and task.task_id in rows:
                    wrong.append(rows[task.task_id].log or "")
        return wrong


def taken(row: Row, messages: list[Message]) -> list[str]:
    return [message.text for message in messages
            if not message.doubtful or message.text in (row.log or "")]


def check_row(row: Row, task: Task) -> None:
    lines, late = taken(row, task.lines), taken(row, task.late)
    log = row.log or ""
    times = stamps(log, [*lines, row.summary, *late])
    back = [number for number in range(1, len(times)) if times[number] < times[number - 1]]
    assert not back or not task.in_order, \
        f"stamps go back at {back} of {len(lines)} lines, a summary, {len(late)} late"
    assert row.status == "COMPLETED" and row.complete and row.end_reason == "marker"
    size = sum(len(text.encode()) for text in lines + late)
    assert row.lines == len(lines) + len(late), f"lines {row.lines}: {len(lines)}, {len(late)}"
    assert row.bytes == size, f"bytes {row.bytes}, should be {size}"
    assert row.host and row.kind == "kind"
