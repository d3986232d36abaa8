# SPDX-License-Identifier: Apache-2.0
"""Inputs that deliver at once, each from threads of its own: every task's lines stay in order."""
from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Callable

import pytest

from database import Database
from rsyslogd import frame, send_raw, send_tcp, wait_for_port
from tasklog import DIRECT, MEMORY, Tasklog, action, check_log, tcp_input

TASKS_OF_EACH = 10
LINES = 1000


def texts(task: str) -> list[str]:
    return [f"line {number} of {task}" for number in range(LINES)]


def tasks_of(sender: str) -> list[str]:
    return [f"{sender}-{number}" for number in range(TASKS_OF_EACH)]


def lines_of(sender: str, header: str = "") -> list[bytes]:
    """The lines of a sender's tasks, a few of each in turn, with its end."""
    logs = {task: [*texts(task), "@task end"] for task in tasks_of(sender)}
    lines = []
    for start in range(0, LINES + 1, 7):
        for task, log in logs.items():
            for text in log[start:start + 7]:
                priority, _, rest = frame(f"kind[{task}]", text).partition(b">")
                lines.append(b"%s>%s%s" % (priority, header.encode(), rest))
    return lines


@pytest.mark.xdist_group("load")
@pytest.mark.parametrize("queue", [DIRECT, MEMORY], ids=["direct", "memory"])
def test_each_task_keeps_its_order(daemon: Tasklog, database: Database, tmp_path: Path,
                                   queue: str) -> None:
    second = daemon.socket.with_name("second")
    daemon.run(action(database, liveInterval=1), queue=queue, inputs="\n".join((
        daemon.unix_input(second),
        tcp_input("imptcp", tmp_path / "imptcp", 'threads="4"'),
        tcp_input("imtcp", tmp_path / "imtcp"))))
    imptcp, imtcp = (wait_for_port(tmp_path / name) for name in ("imptcp", "imtcp"))

    header = "Nov 24 10:31:07 host "
    senders: dict[str, Callable[[str], None]] = {
        "unix-a": lambda name: send_raw(daemon.socket, lines_of(name)),
        "unix-b": lambda name: send_raw(second, lines_of(name)),
        "imtcp-a": lambda name: send_tcp(imtcp, lines_of(name, header)),
        "imtcp-b": lambda name: send_tcp(imtcp, lines_of(name, header)),
        **{f"imptcp-{number}": lambda name: send_tcp(imptcp, lines_of(name, header))
           for number in range(6)},
    }
    database.add(*(task for sender in senders for task in tasks_of(sender)))
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=send, args=(name,)) for name, send in senders.items()]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(processes)

    task_count = len(senders) * TASKS_OF_EACH
    database.wait_ended(task_count, seconds=30)
    for task, row in database.rows().items():
        if task.startswith("unix"):
            check_log(row, texts(task))
        else:  # the senders' own time
            assert row.log == "\n".join(f"[{row.log[1:20]}] {text}"  # type: ignore[index]
                                        for text in [*texts(task), row.summary])
        assert (row.lines, row.complete) == (LINES, True)
    daemon.wait_counters(task_count * (LINES + 1), lines=task_count * LINES, control=task_count,
                         rows_stored=task_count, rows_waiting=0, tasks_open=0, memory_bytes=0)
