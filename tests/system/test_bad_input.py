# SPDX-License-Identifier: Apache-2.0
"""What a sender can do wrong: it harms no other line, and every message is counted once."""
from __future__ import annotations

import multiprocessing
import re
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from database import Database, Sqlite
from rsyslogd import send, send_tcp, wait_for_port
from tasklog import REPO, Tasklog, action, check_cut_log, check_log, stamps, tcp_input

# --- Tags -----------------------------------------------------------------------------------------

NOT_A_TASK = {
    "no brackets": (b"kind: text", "no task id in brackets"),
    "no tag": (b"just a few words", "no task id in brackets"),
    "no text": (b"", "no task id in brackets"),
    "empty id": (b"kind[]: text", "the task id in the brackets is empty"),
    "id of 256 bytes": (b"kind[%s]: text" % (b"x" * 256), "the task id is longer than 255 bytes"),
    "id of 600 bytes": (b"kind[%s]: text" % (b"x" * 600), "the task id is longer than 255 bytes"),
    "id that is not UTF-8": (b"kind[\xff]: text", "has control characters or is not UTF-8"),
    "open bracket": (b"kind[1: text", 'no "]" after the task id'),
    "no kind": (b"[1]: text", "no task id in brackets"),
    "kind with a slash": (b"a/b[1]: text", "is not 1 to 48 characters of A-Z a-z 0-9 _ . -"),
    "kind with an umlaut": ("\u00fc[1]: text".encode(),
                            "is not 1 to 48 characters of A-Z a-z 0-9 _ . -"),
    "kind of 49 bytes": (b"%s[1]: text" % (b"k" * 49),
                         "is not 1 to 48 characters of A-Z a-z 0-9 _ . -"),
}
LIMITS = [f"{'k' * 48}[{'x' * 255}]", "a[1]", "A-Z.0_9[\u00e4\U0001F600 b: c]", "k[</td>'\"\\%s]"]


@pytest.mark.parametrize("raw, why", NOT_A_TASK.values(), ids=NOT_A_TASK.keys())
def test_a_tag_that_is_none_is_dropped_with_one_message(
        daemon: Tasklog, sqlite: Sqlite, raw: bytes, why: str) -> None:
    sqlite.add("1")
    daemon.run(action(sqlite))
    daemon.log_raw([b"<14>" + raw] * 20)
    daemon.log("kind[1]", "next", "@task end")
    check_log(sqlite.wait("1"), ["next"])
    daemon.stop()
    said = [line for line in daemon.messages().splitlines() if "is not a task's line" in line]
    assert len(said) == 1
    assert why in said[0]


def test_tags_at_the_limits(daemon: Tasklog, database: Database) -> None:
    ids = [tag[tag.index("[") + 1:-1] for tag in LIMITS]
    database.add(*ids)
    daemon.run(action(database))
    for tag in LIMITS:
        daemon.log(tag, "text", "@task end")
    for tag, task_id in zip(LIMITS, ids):
        row = database.wait(task_id)
        check_log(row, ["text"])
        assert row.kind == tag[:tag.index("[")]


# --- Texts ----------------------------------------------------------------------------------------

CONTROLS = [bytes(range(1, 10)), bytes(range(11, 32)), b"\x7f", b"\xc2\x9b31m red", b"\r\n.",
            b"\x1b]0;title\x07\x1b[2J", "\u202e\u2066\ufeff\ufffe\ufffd".encode()]
NOT_TEXT = [b"nul \x00 in it", b"\x00 nul at the start", b"\x00\x00\x00.", b"\xff\xfe\xfd",
            b"latin caf\xe9 au lait", b"cut \xf0\x9f\x8e", b"too long \xc0\xaf \xe0\x80\x80",
            b"surrogates \xed\xa0\xbd\xed\xb8\x80", b"beyond \xf4\x90\x80\x80 \xf8\x88\x80\x80\x80",
            b"line\n\xe2\x82\nline", b"\x80" * 5000]


def repaired(raw: bytes) -> str:
    return raw.decode(errors="replace").replace("\0", "\ufffd")


def test_bytes_that_are_no_text_are_replaced_and_counted(
        daemon: Tasklog, database: Database) -> None:
    texts = CONTROLS + NOT_TEXT
    database.add("1")
    daemon.run(action(database))
    daemon.log("kind[1]", *texts, severity="err")
    daemon.log("kind[1]", b'@task end text="\xff is bad, \x00 too"')
    row = database.wait("1")
    check_log(row, [*map(repaired, texts), "\ufffd is bad, \ufffd too"])
    assert row.first_error == repaired(texts[0])
    assert row.complete
    daemon.wait_counters(len(texts) + 1, lines=len(CONTROLS), lines_altered=len(NOT_TEXT),
                         control=1, rows_refused=0)


def test_escapes_are_taken_literally_where_rsyslog_makes_none(
        daemon: Tasklog, database: Database) -> None:
    texts = [b"a\nb\tc", b"written #012 and #011", b"\x1b[0m\x7f", b"bad \xff"]
    database.add("1")
    daemon.run(action(database),
               settings='global(parser.escapeControlCharactersOnReceive="off")')
    daemon.log("kind[1]", *texts, b"nul \x00.", "@task end")
    # A NUL is made "#000" by rsyslog however it is set, and that is then text like any other.
    check_log(database.wait("1"), [*map(repaired, texts), "nul #000."])


def test_another_prefix_of_escapes(daemon: Tasklog, sqlite: Sqlite) -> None:
    sqlite.add("1")
    daemon.run(action(sqlite), settings='global(parser.controlCharacterEscapePrefix="\\\\")')
    daemon.log("kind[1]", "a\nb", "written #012", "@task end")
    check_log(sqlite.wait("1"), ["a\nb", "written #012"])


def test_a_line_longer_than_the_limit_is_cut_to_whole_characters(
        daemon: Tasklog, database: Database) -> None:
    limit = 2048
    database.add("1")
    daemon.run(action(database), max_message_size=str(limit))
    room = limit - len("<14>kind[1]: ")  # an odd number, so the cut is in the middle of an umlaut
    daemon.log("kind[1]", "x" * 5000, "\u00fc" * 2500, "short", "@task end")
    check_log(database.wait("1"), ["x" * room, "\u00fc" * (room // 2) + "\ufffd", "short"])
    daemon.wait_counters(4, lines=2, lines_altered=1, control=1)


def test_the_shipped_configurations_set_the_limit_to_1m() -> None:
    files = sorted(path for path in (REPO / "conf").glob("*.conf") if path.name != "journald.conf")
    assert files
    for file in files:
        assert re.search(r'^global\(maxMessageSize="1m"\)$', file.read_text(), re.M), file


# --- Tasks ----------------------------------------------------------------------------------------

@pytest.mark.xdist_group("load")
def test_a_million_lines_and_no_end(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    count = 1_000_000
    limit = 64 * 1024
    port_file = tmp_path / "port"
    sqlite.add("1")
    daemon.run(action(sqlite, taskMaxBytes="64k", idleTimeout=3),
               inputs=tcp_input("imptcp", port_file))
    texts = [f"line {number:07}" for number in range(count)]
    send_tcp(wait_for_port(port_file),
             (f"<14>Nov 24 10:31:07 host kind[1]: {text}".encode() for text in texts))

    row = sqlite.wait("1", seconds=20)
    assert (row.status, row.end_reason, row.complete) == ("FAILED", "idle", False)
    assert row.lines == count
    assert row.bytes == count * len(texts[0])
    assert row.log and limit * 3 / 4 < len(row.log) < limit + 1024
    missing = check_cut_log(row, texts, "Closed by tasklog: no line for 3s")
    assert row.summary.startswith(f"Failed: {count} lines, 0 warnings, 0 errors, Total time: ")
    daemon.wait_counters(count, lines=count, lines_missing=missing, tasks_idle=1, memory_bytes=0)


def test_an_end_without_a_start_is_a_task(daemon: Tasklog, database: Database) -> None:
    database.add("1", "2")
    daemon.run(action(database))
    daemon.log("kind[1]", "@task end")
    daemon.log("kind[2]", "@task end status=SKIPPED processed=3")
    row = database.wait("1")
    assert (row.status, row.end_reason, row.complete) == ("COMPLETED", "marker", True)
    assert row.summary == "Completed: 0 lines, 0 warnings, 0 errors, Total time: 0s"
    check_log(row, [])
    row = database.wait("2")
    assert row.status == "SKIPPED"
    assert row.summary == "Skipped: 3 successful, 0 failed, Total time: 0s"


def test_of_two_ends_the_first_counts_and_the_second_is_a_late_line(
        daemon: Tasklog, database: Database) -> None:
    database.add("1")
    daemon.run(action(database))
    daemon.log("kind[1]", "text", "@task end processed=1", "@task end status=FAILED processed=2")
    row = database.wait("1", lambda row: row.lines == 2)
    stamps(row.log, ["text", row.summary, "@task end status=FAILED processed=2"])
    assert (row.status, row.processed, row.complete) == ("COMPLETED", 1, True)
    daemon.wait_counters(3, lines=1, control=1, lines_late=1, tasks_marker=1)


UNREADABLE = [
    "@task end processed=twelve", "@task end processed=1 failed=", "@task end total=-5 processed=1",
    "@task end nonsense processed=1", '@task end text="open processed=1', "@task end status=?!",
    "@task end processed=99999999999999999999", "@task end tables=1.5", "@task end =5",
    "@task end \ufffd",
]


def test_an_end_that_cannot_be_read_ends_the_task_and_stays_in_the_log(
        daemon: Tasklog, database: Database) -> None:
    ids = [str(number) for number in range(len(UNREADABLE))]
    database.add(*ids, "good")
    daemon.run(action(database))
    for task_id, end in zip(ids, UNREADABLE):
        daemon.log(f"kind[{task_id}]", "text", end)
    daemon.log("kind[good]", "@task progress processed=x", "@task start total=1 pid=?",
               r'@task end text="all \"good\" \\ here" processed=1')
    for task_id, end in zip(ids, UNREADABLE):
        row = database.wait(task_id)
        check_log(row, ["text", end])
        assert row.status == "COMPLETED"
        assert row.lines == 2
    daemon.wait_counters(control=len(UNREADABLE) + 3, control_unreadable=len(UNREADABLE) + 2)


def send_one(path: Path, text: str) -> None:
    send(path, "kind[1]", text)


def test_lines_of_one_task_from_processes_and_threads_are_one_log(
        daemon: Tasklog, sqlite: Sqlite) -> None:
    sqlite.add("1")
    daemon.run(action(sqlite))
    texts = [f"line {number}" for number in range(300)]
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, fork) as processes, ThreadPoolExecutor(2) as threads:
        executors: list[Executor] = [processes, threads]
        for number, text in enumerate(texts):
            executors[number % 2].submit(send_one, daemon.socket, text).result(30)
    daemon.log("kind[1]", "@task end")
    check_log(sqlite.wait("1"), texts)


def test_lines_of_one_task_from_several_hosts_are_one_log(
        daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    sqlite.add("1")
    daemon.run(action(sqlite), inputs=tcp_input("imptcp", port_file))
    texts = [f"line {number}" for number in range(100)]
    form = "<14>1 2026-11-24T10:31:07Z host{} kind 1 - - {}"
    send_tcp(wait_for_port(port_file), [
        form.format(number % 3, text).encode()
        for number, text in enumerate([*texts, "@task end"])])
    row = sqlite.wait("1")
    stamps(row.log, [*texts, row.summary])
    assert row.host == "host0"


# --- Counters -------------------------------------------------------------------------------------

def test_every_message_is_in_exactly_one_counter(daemon: Tasklog, database: Database) -> None:
    database.add("1")
    daemon.run(action(database, level="notice"))
    daemon.log_raw([b"<14>" + raw for raw, _ in NOT_A_TASK.values()])
    daemon.log("kind[1]", "@task start total=3", "@task progress processed=1", severity="debug")
    daemon.log("kind[1]", "dropped", b"dropped \xff", severity="info")
    daemon.log("kind[1]", "kept", "kept", "kept", severity="notice")
    daemon.log("kind[1]", b"kept \xff", b"\x00 kept", severity="warning")
    daemon.log("kind[1]", "@task end processed=x", severity="debug")
    daemon.log("kind[1]", "late", b"late \xff", "@task end", "@task progress processed=7",
               severity="err")
    daemon.log("kind[1]", "late, but dropped", severity="debug")
    row = database.wait("1", lambda row: row.lines == 9)
    assert (row.warnings, row.errors, row.processed, row.total) == (2, 3, 1, 3)
    daemon.wait_counters(len(NOT_A_TASK) + 15, lines=3, lines_altered=2, lines_late=4,
                         lines_below_level=3, lines_not_task=len(NOT_A_TASK), control=3,
                         control_unreadable=1, lines_missing=0)
