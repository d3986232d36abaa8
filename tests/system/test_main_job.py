# SPDX-License-Identifier: Apache-2.0
"""The main job: what many processes log at once is in the rows, byte for byte and in order."""
from __future__ import annotations

import multiprocessing
import traceback
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import Callable, Iterator

import pytest

from database import Database
from rsyslogd import frame, send_raw, send_tcp, wait_for_port
from tasklog import DIRECT, MEMORY, SEVERITY, Tasklog, action, check_log, counts_summary, tcp_input

PROCESSES = 8
TASKS = 200
LINES = 500
LONG = 100_000  # bytes


def make_traceback() -> str:
    try:
        int("zw\u00f6lf")
    except ValueError:
        return "Step failed\n" + traceback.format_exc().rstrip("\n")
    raise AssertionError


TEXTS = [
    make_traceback(),
    "",
    "    indented, with blanks at the end   ",
    "tab\tin between\n\tand at the start of a line",
    "Fran\u00e7ais, \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac, \u65e5\u672c\u8a9e,"
    " \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u202emirrored\u202c e\u0301",
    "\U0001F389 emoji \U0001F468\u200d\U0001F469\u200d\U0001F467 \U0001F3F4\u200d\u2620\ufe0f",
    "a\n\nblank line, and a carriage return\r\nhere",
    "'; DROP TABLE app_task; -- <script>alert(1)</script> %s %n \\n \\ \"quoted\" $1 {} #12 #0 #",
    "\x1b[31mred\x1b[0m bell\x07 backspace\x08 escape\x1b delete\x7f",
    "@task unknown verb", "@tasks end", " @task end",
    "kind[9]: not a tag", "<14>not a priority", "[2026-11-24 10:31:07] not a stamp",
]
SEVERITIES = ("info", "info", "info", "notice", "warning", "err", "info", "crit")


def text_of(task: int, line: int) -> str:
    """What a task logs, line by line: for the process that logs and for the one that checks."""
    if line == LINES // 2:
        words = f"task {task} \u00e4\u20ac\U0001F600 "
        return (words * (LONG // len(words.encode()) + 1)).encode()[:LONG].decode(errors="ignore")
    if line == LINES - 10:
        return "\n".join(f"\tline {number} of a long dump" for number in range(LONG // 30))
    if line % 10 == 0:
        return TEXTS[(task + line // 10) % len(TEXTS)]
    return f"task {task} line {line} " + "x" * (line % 100)


def severity_of(task: int, line: int) -> str:
    return SEVERITIES[(task + line) % len(SEVERITIES)]


def task_id(task: int) -> str:
    """With blank and colon, where rsyslog's parser cuts a tag in two; or without."""
    return f"run {task}: \u00fc" if task % 2 else f"run-{task}"


def interleaved(process: int) -> Iterator[tuple[int, int]]:
    """The lines of a process's tasks, mixed, each task's in order. The last is the end marker."""
    random = Random(process)
    open_tasks = {task: 0 for task in range(process, TASKS, PROCESSES)}
    while open_tasks:
        task = random.choice(list(open_tasks))
        for _ in range(random.randint(1, 40)):
            yield task, open_tasks[task]
            open_tasks[task] += 1
            if open_tasks[task] > LINES:
                del open_tasks[task]
                break


END = "@task end processed=12 failed=1 total=13 tables=12 columns=140"


def rfc3164(task: int, line: int, severity: Callable[[int, int], str] = severity_of) -> bytes:
    text, level = (END, "info") if line == LINES else (text_of(task, line), severity(task, line))
    return frame(f"kind_{task % 5}[{task_id(task)}]", text, level)


def rfc3164_with_header(task: int, line: int) -> bytes:
    now = datetime.now().strftime("%b %e %H:%M:%S")
    priority, _, rest = rfc3164(task, line).partition(b">")
    return b"%s>%s otherhost %s" % (priority, now.encode(), rest)


def rfc5424(task: int, line: int) -> bytes:
    now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    priority, _, rest = rfc3164(task, line).partition(b">")
    text = rest.partition(b"]: ")[2]
    mark = b"\xef\xbb\xbf" if line % 2 else b""  # with and without a byte order mark
    return b"%s>1 %s otherhost kind_%d run-%d - - %s%s" % (priority, now.encode(), task % 5, task,
                                                          mark, text)


def log_from_processes(log: Callable[[int], None]) -> None:
    """Runs `log(process)` in as many processes and waits for them."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=log, args=(number,)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * PROCESSES


def check_rows(database: Database, host: str | None, began: datetime) -> None:
    rows = database.rows()
    assert len(rows) == TASKS
    for task in range(TASKS):
        row = rows.get(task_id(task)) or rows[f"run-{task}"]
        texts = [text_of(task, line) for line in range(LINES)]
        severities = [severity_of(task, line) for line in range(LINES)]
        check_log(row, texts)
        assert row.kind == f"kind_{task % 5}"
        assert row.host == host if host else row.host
        assert (row.status, row.end_reason, row.complete) == ("FAILED", "marker", True)
        assert row.summary == counts_summary(
            row, "12 successful, 1 failed, tables: 12, columns: 140")
        assert (row.processed, row.failed, row.total) == (12, 1, 13)
        assert row.counters == {"tables": 12, "columns": 140}
        assert row.lines == LINES
        assert row.bytes == sum(len(text.encode()) for text in texts)
        assert row.warnings == severities.count("warning")
        assert row.errors == severities.count("err") + severities.count("crit")
        first = next(line for line in range(LINES) if SEVERITY(severities[line]) <= SEVERITY("err"))
        assert row.first_error == texts[first].split("\n")[0][:255]
        assert row.start_time and row.end_time and row.updated_at and row.duration is not None
        assert began <= row.start_time <= row.end_time <= row.updated_at
        assert row.duration == pytest.approx((row.end_time - row.start_time).total_seconds())


@pytest.mark.xdist_group("load")
@pytest.mark.parametrize("queue", [DIRECT, MEMORY], ids=["direct", "memory"])
def test_the_log_of_200_tasks_from_8_processes_over_one_socket(
        daemon: Tasklog, database: Database, queue: str) -> None:
    database.add(*map(task_id, range(TASKS)))
    began = datetime.now(timezone.utc)
    daemon.run(action(database, liveInterval=1), queue=queue)

    def log(process: int) -> None:
        send_raw(daemon.socket, (rfc3164(*line) for line in interleaved(process)))

    log_from_processes(log)
    database.wait_ended(TASKS, seconds=30)
    check_rows(database, None, began)
    daemon.wait_counters(TASKS * (LINES + 1), lines=TASKS * LINES, control=TASKS,
                         control_unreadable=0, lines_missing=0, tasks_started=TASKS, tasks_open=0,
                         rows_stored=TASKS, rows_waiting=0, rows_refused=0, memory_bytes=0)


@pytest.mark.xdist_group("load")
@pytest.mark.parametrize("module, form", [("imptcp", rfc3164_with_header), ("imtcp", rfc5424)],
                         ids=["imptcp-rfc3164", "imtcp-rfc5424"])
def test_the_log_of_200_tasks_from_8_connections(
        daemon: Tasklog, database: Database, tmp_path: Path, module: str,
        form: Callable[[int, int], bytes]) -> None:
    port_file = tmp_path / "port"
    database.add(*(f"run-{task}" if form is rfc5424 else task_id(task) for task in range(TASKS)))
    began = datetime.now(timezone.utc).replace(microsecond=0)  # RFC 3164 has no more
    daemon.run(action(database), inputs=tcp_input(module, port_file))
    port = wait_for_port(port_file)

    def log(process: int) -> None:
        send_tcp(port, (form(*line) for line in interleaved(process)))

    log_from_processes(log)
    database.wait_ended(TASKS, seconds=30)
    check_rows(database, "otherhost", began)
