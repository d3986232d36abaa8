# SPDX-License-Identifier: Apache-2.0
"""The second door: what is logged to a real journald lands in the same rows by the same rules."""
from __future__ import annotations

import os
import re
import threading
import signal
import time
from datetime import datetime, timezone
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from random import Random

import pytest

from database import Database, Sqlite
from journald import Journald, Reader, native_entry, send_native, task_entry
from rsyslogd import send, send_raw, wait_until
from tasklog import check_log
from test_main_job import (LINES, TASKS, check_rows, interleaved, log_from_processes, rfc3164,
                           severity_of, task_id, text_of, END)


def severity(task: int, line: int) -> str:
    """Few are critical: at each of these journald waits for the disk."""
    given = severity_of(task, line)
    return "err" if given == "crit" and line > 20 else given


def native(task: int, line: int) -> bytes:
    text, level = (END, "info") if line == LINES else (text_of(task, line), severity(task, line))
    return task_entry(f"kind_{task % 5}", task_id(task), text, level)


@pytest.mark.xdist_group("load")
def test_the_log_of_200_tasks_from_8_processes(reader: Reader, journald: Journald,
                                               database: Database) -> None:
    """The same tasks as through rsyslog; half of them by the native protocol, half by syslog."""
    database.add(*map(task_id, range(TASKS)))
    reader.configure(database, [f"kind_{number}" for number in range(5)], liveInterval=1)
    began = datetime.now(timezone.utc)
    reader.start()

    def log(process: int) -> None:
        # All lines of a task go one way: two sockets are read in no order.
        for is_native, lines in groupby(interleaved(process), lambda line: line[0] % 4 < 2):
            if is_native:
                send_native(journald.native, (native(*line) for line in lines))
            else:
                send_raw(journald.syslog, (rfc3164(*line, severity) for line in lines))

    log_from_processes(log)
    database.wait_ended(TASKS, seconds=60)
    check_rows(database, None, began)
    assert reader.stop() == 0, reader.messages()


class Load:
    """Tasks that log without end, some by the native protocol, some by syslog; each line has its number."""

    def __init__(self, journald: Journald, tasks: int) -> None:
        self.sent = [0] * tasks
        self._journald = journald
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.error: BaseException | None = None

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)
        if self.error:
            raise self.error

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                for task in range(len(self.sent)):
                    self._log(task, f"line {self.sent[task]}")
                    self.sent[task] += 1
                time.sleep(0.001)
            for task in range(len(self.sent)):
                self._log(task, "@task end")
        except BaseException as error:
            self.error = error

    def _log(self, task: int, text: str) -> None:
        if task % 2:
            send_native(self._journald.native, [task_entry("kind", f"run-{task}", text)])
        else:
            send(self._journald.syslog, f"kind[run-{task}]", text)

    def check(self, database: Database) -> int:
        database.wait_ended(len(self.sent), seconds=60)
        for task, count in enumerate(self.sent):
            row = database.row(f"run-{task}")
            check_log(row, [f"line {number}" for number in range(count)])
            assert row.complete and row.lines == count
        return sum(self.sent)


def kills() -> int:
    return int(os.environ.get("JOURNAL_KILLS", 12))


def test_kills_and_rotations_under_load(reader: Reader, journald: Journald,
                                        database: Database) -> None:
    """kill -9 of the process that reads, and of the one that gathers; rotation of the journal."""
    reader.configure(database, mode="upsert", liveInterval=1)
    reader.start()
    random = Random(7)
    with Load(journald, 10) as load:
        for number in range(kills()):
            time.sleep(random.random() * 0.3)
            if number % 5 == 4:
                journald.rotate()
            if number % 3:
                reader.kill9()
                reader.start(ready=bool(number % 2))
            else:
                for child in wait_until(reader.children, "a process that reads"):
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
        load.stop()
        lines = load.check(database)
    print(f"{kills()} kills, {kills() // 5} rotations: {lines} lines in {len(load.sent)} rows")


def test_a_stop_ends_no_task(reader: Reader, journald: Journald, sqlite: Sqlite) -> None:
    reader.configure(sqlite, mode="upsert")
    reader.start()
    send(journald.syslog, "kind[1]", "before")
    sqlite.wait("1", lambda row: row.status == "RUNNING")
    assert reader.stop() == 0
    send(journald.syslog, "kind[1]", "while nobody reads")
    reader.start()
    send(journald.syslog, "kind[1]", "after", "@task end")
    check_log(sqlite.wait("1"), ["before", "while nobody reads", "after"])


def test_what_was_logged_before_the_first_start_is_not_read(reader: Reader, journald: Journald,
                                                            sqlite: Sqlite) -> None:
    send(journald.syslog, "kind[old]", "before", "@task end")
    journald.sync()
    reader.configure(sqlite, mode="upsert")
    reader.start()
    send(journald.syslog, "kind[new]", "after", "@task end")
    check_log(sqlite.wait("new"), ["after"])
    assert list(sqlite.rows()) == ["new"]


@pytest.mark.parametrize("since", ["boot", "all"])
def test_since(reader: Reader, journald: Journald, sqlite: Sqlite, since: str) -> None:
    send(journald.syslog, "kind[old]", "before", "@task end")
    journald.sync()
    reader.configure(sqlite, mode="upsert", journal=f"since = {since}")
    reader.start()
    check_log(sqlite.wait("old"), ["before"])


def test_lines_of_a_stream_that_were_cut_are_joined(reader: Reader, journald: Journald,
                                                    sqlite: Sqlite) -> None:
    reader.configure(sqlite, mode="upsert")
    reader.start()
    long = ",".join(map(str, range(40_000)))  # 228 kB, cut every 48 KiB; journald strips blanks
    with journald.stream("kind[1]") as stream, journald.stream("kind[2]") as other:
        stream.sendall(long[:100_000].encode())
        other.sendall(b"the other's line\n")
        stream.sendall(long[100_000:].encode() + b"\nshort\n")
        journald.sync()  # its stream is another socket
        send(journald.syslog, "kind[1]", "@task end")
        send(journald.syslog, "kind[2]", "@task end")
        check_log(sqlite.wait("1"), [long, "short"])
        check_log(sqlite.wait("2"), ["the other's line"])


def test_a_line_in_pieces_outlives_a_kill(reader: Reader, journald: Journald,
                                          sqlite: Sqlite) -> None:
    reader.configure(sqlite, mode="upsert", liveInterval=1)
    reader.start()
    long = "y" * 150_000
    with journald.stream("kind[1]") as stream:
        stream.sendall(long[:100_000].encode())
        send(journald.syslog, "kind[2]", "one")
        sqlite.wait("2", lambda row: row.lines == 1)
        reader.kill9()
        reader.start()
        stream.sendall(long[100_000:].encode() + b"\n")
        send(journald.syslog, "kind[2]", "two", "@task end")
        check_log(sqlite.wait("2"), ["one", "two"])
        journald.sync()
        send(journald.syslog, "kind[1]", "@task end")
        check_log(sqlite.wait("1"), [long])


def test_where_kind_and_id_come_from(reader: Reader, journald: Journald, sqlite: Sqlite) -> None:
    reader.configure(sqlite, mode="upsert")
    reader.start()
    entries = {"fields": {"TASK_KIND": "kind", "TASK_ID": "fields"},
               "win": {"TASK_KIND": "kind", "TASK_ID": "win", "SYSLOG_IDENTIFIER": "other",
                       "SYSLOG_PID": "7"},
               "id": {"SYSLOG_IDENTIFIER": "kind", "TASK_ID": "id", "SYSLOG_PID": "7"},
               "pid": {"SYSLOG_IDENTIFIER": "kind", "SYSLOG_PID": "pid"},
               str(os.getpid()): {"SYSLOG_IDENTIFIER": "kind"},
               "tag": {"SYSLOG_IDENTIFIER": "kind[tag]"}}
    for fields in entries.values():
        for text in ("one\n\ttwo\n", "@task end"):
            send_native(journald.native, [native_entry(MESSAGE=text, PRIORITY=6, **fields)])
    send_native(journald.native, [native_entry(MESSAGE="x", SYSLOG_IDENTIFIER="unknown"),
                                  native_entry(MESSAGE="x", TASK_KIND="kind", TASK_ID="a]b"),
                                  native_entry(MESSAGE="x", TASK_KIND="other", TASK_ID="8")])
    for task in entries:
        check_log(sqlite.wait(task), ["one\n\ttwo\n"])
    assert set(sqlite.rows()) == set(entries)
    reader.wait_said("is not a task's line: a task id is 1 to 255 bytes")


def test_what_was_vacuumed_unread_is_told(reader: Reader, journald: Journald,
                                          sqlite: Sqlite) -> None:
    reader.configure(sqlite, mode="upsert", liveInterval=1)
    reader.start()
    send(journald.syslog, "kind[1]", "before")
    sqlite.wait("1", lambda row: row.lines == 1)
    assert reader.stop() == 0
    for number in range(500):
        send(journald.syslog, "kind[1]", f"gone {number}")
    journald.sync()
    journald.rotate()
    send(journald.syslog, "kind[1]", "after", "@task end")
    journald.sync()
    journald.control("--vacuum-files=1")
    reader.start()
    row = sqlite.wait("1")
    match = re.search(r"\n\[\d.*\] \[\.\.\. lines may be missing here: (\d+) entries of the journal "
                      r"were removed before they were read \.\.\.\]\n", row.log or "")
    assert match and 500 <= int(match[1]) <= 510, row.log
    assert "gone" not in row.log and "before\n" in row.log and "] after\n" in row.log
    assert (row.status, row.complete, row.lines) == ("COMPLETED", False, 2)
    reader.wait_said("entries of the journal were removed before they were read")


def test_bad_configurations(reader: Reader, sqlite: Sqlite) -> None:
    reader.configure(sqlite, colour="red")
    reader.start(ready=False)
    reader.wait_said('[task]: unknown parameter "colour"')
    wait_until(lambda: not reader.running(), "it has ended")


def test_watchdog_and_status(reader: Reader, journald: Journald, sqlite: Sqlite) -> None:
    reader.configure(sqlite, mode="upsert")
    reader.start()
    send(journald.syslog, "kind[1]", "one")
    wait_until(lambda: any(text.startswith("STATUS=1 target: 1 task open, 0 results waiting, 0 "
                                           "stored, 1 lines") for text in reader.notified),
               "the status")
    wait_until(lambda: reader.notified.count("WATCHDOG=1") >= 2, "the watchdog is fed")
    # A reader that does not move is not a process that is dead; one that is stopped does not feed it.
    os.kill(reader.pid, signal.SIGSTOP)
    time.sleep(0.2)
    fed = reader.notified.count("WATCHDOG=1")
    time.sleep(2.2)
    assert reader.notified.count("WATCHDOG=1") == fed
    os.kill(reader.pid, signal.SIGCONT)
    assert reader.stop() == 0
    assert "STOPPING=1" in reader.notified


def test_a_reader_on_the_same_spool_is_refused(reader: Reader, journald: Journald, sqlite: Sqlite,
                                               tmp_path: Path) -> None:
    reader.configure(sqlite, mode="upsert")
    reader.start()
    with Reader(tmp_path / "second", journald) as second:
        second.state = reader.state
        second.configure(sqlite, mode="upsert")
        second.start(ready=False)
        second.wait_said("is in use by another process")
        wait_until(lambda: not second.running(), "it has ended")


def test_two_targets(reader: Reader, journald: Journald, sqlite: Sqlite, tmp_path: Path) -> None:
    """Each has its kinds, its table and its reader; a kind that nobody takes goes nowhere."""
    sqlite.create(table="others")
    reader.configure(sqlite, ["kind"], mode="upsert")
    text = reader.conf.read_text()
    target = text[text.index("[task]"):]
    reader.conf.write_text(text + target.replace("[task]", "[others]")
                           .replace("  kind\n", "  other\n  third\n")
                           .replace(f"table = {sqlite.table}", "table = others"))
    reader.start()
    for kind in ("kind", "other", "third", "nobodys"):
        send(journald.syslog, f"{kind}[{kind}-1]", "one", "@task end")
    check_log(sqlite.wait("kind-1"), ["one"])
    wait_until(lambda: len(sqlite.rows("others")) == 2, "the other table's rows")
    assert set(sqlite.rows()) == {"kind-1"}
    assert set(sqlite.rows("others")) == {"other-1", "third-1"}
    assert len(reader.children()) == 2


@pytest.mark.xdist_group("load")
def test_a_message_beyond_all_measure(reader: Reader, journald: Journald, sqlite: Sqlite) -> None:
    reader.configure(sqlite, mode="upsert", liveInterval=0, taskMaxBytes="200m")
    reader.start()
    size = (64 << 20) + 1000
    send_native(journald.native, [task_entry("kind", "1", b"x" * size)])
    journald.sync()
    send_native(journald.native, [task_entry("kind", "1", "@task end")])
    log = sqlite.wait("1", seconds=60).log
    assert log and "\n[... 1000 bytes of this message are missing here ...]\n" in log[-300:]
    assert len(log) > 64 << 20
