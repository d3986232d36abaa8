# SPDX-License-Identifier: Apache-2.0
"""A rsyslogd with the module, its configuration, and how a log is compared with what was logged."""
from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
import termios
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Callable, Iterable, Sequence, TypeVar

from database import FIELDS, Database, Row
from rsyslogd import SEVERITIES, Rsyslogd, Timeout, frame, wait_until

REPO = Path(__file__).resolve().parents[2]
BUILD = REPO / os.environ.get("B", "build")  # as in the Makefile
MODULE = BUILD / "omtasklog.so"

T = TypeVar("T")

DIRECT = 'queue.type="Direct"'
# As conf/omtasklog.conf recommends it.
MEMORY = ('queue.type="FixedArray" queue.size="200000" queue.dequeueBatchSize="1024"'
          ' queue.workerThreads="1" queue.timeoutEnqueue="600000" queue.timeoutShutdown="60000"'
          ' queue.timeoutActionCompletion="10000"')

# Each field into the column of the same name.
EVERY_COLUMN = [f"{name}={name}" for name in FIELDS if name != "task_id"]

# Every message is in exactly one of these counters.
COUNTERS = ("lines", "lines.altered", "lines.late", "lines.below_level", "lines.not_task",
            "lines.redelivered", "lines.untrusted", "lines.foreign", "lines.over_tasks",
            "lines.over_rate", "control")

SEVERITY = SEVERITIES.index


def quoted(value: object) -> str:
    """A parameter's value in rsyslog's language."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(quoted, value)) + "]"
    return '"' + re.sub(r'([\\"$])', r"\\\1", str(value)) + '"'


def action(target: Database | None = None, /, **parameters: object) -> str:
    """An action named "task" that writes everything it knows; None takes a parameter away."""
    given: dict[str, object] = {"name": "task", "columns": EVERY_COLUMN}
    if target:
        given.update(database=target.url, table=target.table)
    given.update(parameters)
    text = " ".join(f"{name}={quoted(value)}" for name, value in given.items() if value is not None)
    return f'action(type="omtasklog" action.resumeRetryCount="-1" {text})'


class Tasklog(Rsyslogd):
    """A rsyslogd that has a ruleset "tasks" with the module's actions, and a socket for it."""

    def __init__(self, folder: Path, prefix: Iterable[str] = ()) -> None:
        super().__init__(folder, module_dirs=[BUILD], stats=True, prefix=prefix)

    def __enter__(self) -> Tasklog:
        return self

    def conf(self, *actions: str, queue: str = DIRECT, settings: str = "", inputs: str = "",
             max_message_size: str = "1m") -> str:
        body = "\n  ".join(actions)
        return (
            f'global(maxMessageSize="{max_message_size}")\n'
            '$RepeatedMsgReduction off\n'
            f'{settings}\n'
            'module(load="imuxsock" SysSock.Use="off")\n'
            'module(load="omtasklog")\n'
            f'ruleset(name="tasks" {queue}) {{\n  {body}\n}}\n'
            f'{self.unix_input(self.socket)}\n'
            f'{inputs}\n')

    @staticmethod
    def unix_input(path: Path) -> str:
        return (f'input(type="imuxsock" socket="{path}" ruleset="tasks" useSpecialParser="off"'
                ' RateLimit.Interval="0")')

    def run(self, *actions: str, **options: str) -> None:
        self.start(self.conf(*actions, **options))

    def log(self, tag: str, *texts: str | bytes, severity: str = "info") -> None:
        """Logs as a process does, and waits until rsyslogd has read it."""
        self.log_raw(frame(tag, text, severity) for text in texts)

    def log_raw(self, datagrams: Iterable[bytes]) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(60)
            client.connect(str(self.socket))
            for datagram in datagrams:
                client.send(datagram)
            wait_until(lambda: not unread_bytes(client), "rsyslogd reads")

    @staticmethod
    def wait(condition: Callable[[], T | None], what: str, seconds: float = 10.0) -> T:
        """As wait_until."""
        return wait_until(condition, what, seconds)  # type: ignore

    def said(self, text: str) -> int:
        """How often rsyslogd said so."""
        return self.messages().count(text)

    def wait_said(self, text: str, seconds: float = 10.0) -> str:
        """Waits for a message and returns it."""
        def found() -> str | None:
            return next((line for line in self.messages().splitlines() if text in line), None)

        what = f'message "{text}"'
        with suppress(Timeout):
            return str(wait_until(found, what, min(seconds, 2.0)))
        # What was said while rsyslogd started may lie in a list that it looks at when its main loop is
        # woken, after minutes otherwise. (With processInternalMessages="on", that is, as here.)
        if self.running():
            self.hup()
        return str(wait_until(found, what, seconds))

    def counters(self, name: str = "task") -> dict[str, int]:
        """An action's newest counters."""
        return self.stats().get(name, {})  # type: ignore

    def wait_counters(self, sent: int | None = None, name: str = "task",
                      **expected: int) -> dict[str, int]:
        """Waits until an action's counters are as told (`lines_late` is `lines.late`), and each of
        the messages that were sent is in exactly one of them. Returns all counters."""
        def as_told() -> bool:
            counters = self.counters(name)
            return bool(counters) and (sent is None or sent == sum(counters[k] for k in COUNTERS)) \
                and all(counters[self._counter(key)] == expected[key] for key in expected)

        what = f"counters {expected}" + (f", {sent} messages" if sent is not None else "")
        try:
            wait_until(as_told, what)
        except Timeout as error:
            raise Timeout(f"{error}; they are {self.counters(name)}\n{self.messages()}") from None
        return self.counters(name)

    @staticmethod
    def _counter(name: str) -> str:
        return name.replace("_", ".", 1)


def tcp_input(module: str, port_file: Path, options: str = "") -> str:
    """An input at any free port, which is then in the file; `options` are the module's."""
    return (f'module(load="{module}" {options})\n'
            f'input(type="{module}" port="0" address="127.0.0.1" ruleset="tasks"'
            f' listenPortFileName="{port_file}")')


def unread_bytes(client: socket.socket) -> int:
    """How much of what was sent has not been read at the other end."""
    number: int
    number, = struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))
    return number


# --- Logs -----------------------------------------------------------------------------------------

STAMP = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\] ")


def stamps(log: str | None, texts: Sequence[str]) -> list[datetime]:
    """The stamps of a log that has to be exactly these texts, in order, each behind a stamp."""
    assert log is not None, "there is no log"
    found = []
    at = 0
    for number, text in enumerate(texts):
        match = STAMP.match(log, at)
        assert match, f"no stamp before text {number}: {log[at:at + 200]!r}"
        found.append(datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S"))
        at = match.end()
        assert log.startswith(text, at), \
            f"text {number} is {log[at:at + len(text)][:400]!r}, should be {text[:400]!r}"
        at += len(text)
        if number < len(texts) - 1:
            assert log[at:at + 1] == "\n", f"behind text {number}: {log[at:at + 200]!r}"
            at += 1
    assert at == len(log), f"behind the last text: {log[at:at + 200]!r}"
    return found


def check_cut_log(row: Row, texts: Sequence[str], *closing: str) -> int:
    """The row's log is these lines without some in the middle, of which it says how much that is,
    then the closing lines and the summary. Returns how many lines are missing."""
    match = re.fullmatch(r"(.*)\n\[\.\.\. (.*) missing here \.\.\.]\n(.*)", row.log or "", re.S)
    assert match, f"nothing is missing: {row.log and row.log[:200]}"
    head, note, tail = match.groups()
    head_end = head.count("\n") + 1
    tail_start = len(texts) - (tail.count("\n") - len(closing))
    stamps(head, texts[:head_end])
    stamps(tail, [*texts[tail_start:], *closing, row.summary])
    missing = texts[head_end:tail_start]
    size = sum(len("[2026-11-24 10:31:07] \n") + len(text.encode()) for text in missing)
    assert note == f"{len(missing)} lines ({size} bytes)"
    return len(missing)


def check_log(row: Row, texts: Sequence[str]) -> None:
    """The row's log is these texts and the row's summary, stamped with the time of the run."""
    times = stamps(row.log, [*texts, row.summary])
    assert times == sorted(times)
    assert row.start_time and row.end_time
    second = timedelta(seconds=1)
    start, end = (moment.astimezone().replace(tzinfo=None)
                  for moment in (row.start_time, row.end_time))
    assert start - second < times[0] and times[-1] <= end


def spoken(seconds: float) -> str:
    """A duration as it stands in the summary."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h " if hours else "") + (f"{minutes}m " if hours or minutes else "") \
        + f"{seconds}s"


def counts_summary(row: Row, counts: str, word: str = "Completed") -> str:
    assert row.duration is not None
    return f"{word}: {counts}, Total time: {spoken(row.duration)}"
