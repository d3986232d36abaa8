# SPDX-License-Identifier: Apache-2.0
"""tasklog tail: follows a task in the spool of a rsyslogd that takes its lines."""
from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Iterator

import pytest

from database import Sqlite
from rsyslogd import wait_until
from tasklog import BUILD, STAMP, Tasklog, action, stamps

COMMAND = BUILD / "tasklog"
ENDED = 0, 1
NO_SPOOL, NO_TASK = 2, 3


class Tail:
    """A running `tasklog tail`; each line of its output with the time at which it came."""

    def __init__(self, *arguments: object, env: dict[str, str] | None = None) -> None:
        self.lines: list[tuple[float, str]] = []
        self.process = subprocess.Popen([COMMAND, "tail", *map(str, arguments)], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, **(env or {})})
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line[:-1]))

    def __enter__(self) -> Tail:
        return self

    def __exit__(self, *unused: object) -> None:
        self.process.kill()
        self.end()

    @property
    def output(self) -> str:
        return "\n".join(line for _, line in self.lines)

    @property
    def texts(self) -> list[str]:
        return [STAMP.sub("", line) for _, line in self.lines]

    def wait_shown(self, text: str, seconds: float = 10.0) -> float:
        """When it was shown."""
        return float(wait_until(  # type: ignore
            lambda: next((at for at, line in self.lines if line.endswith(text)), None),
            f"{text!r} on the screen", seconds))

    def end(self, seconds: float = 10.0) -> int:
        status = self.process.wait(seconds)
        self._thread.join()
        assert self.process.stderr
        if not self.process.stderr.closed:
            self.said = self.process.stderr.read()
            self.process.stderr.close()
            self.process.stdout.close()  # type: ignore
        return status


def once(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, "tail", *map(str, arguments)], text=True, capture_output=True,
                          timeout=20, env={**os.environ, **env})


@pytest.fixture
def spool(daemon: Tasklog, sqlite: Sqlite) -> Iterator[Path]:
    """Of a daemon that runs."""
    sqlite.add("one", "two")
    daemon.run(action(sqlite))
    yield daemon.work / "tasklog" / "task"


@pytest.mark.alone
def test_lines_appear_at_once_and_it_ends_with_the_task(
        daemon: Tasklog, sqlite: Sqlite, spool: Path) -> None:
    delays = []
    with Tail("--spool", spool, "--wait", 10, "kind[one]") as tail:
        daemon.log("kind[one]", "first")
        tail.wait_shown("first")
        for number in range(30):
            began = time.monotonic()
            daemon.log("kind[one]", f"text {number}")
            delays.append(tail.wait_shown(f"text {number}") - began)
        daemon.log("kind[one]", "two\n  lines", "@task progress processed=3", "@task end")
        assert tail.end() == 0
        assert tail.said == ""
    delays.sort()
    print(f"shown after {delays[15] * 1000:.0f} ms (median), {delays[-1] * 1000:.0f} ms (most)")
    assert delays[-1] < 0.2
    row = sqlite.wait("one")
    assert tail.output == row.log
    stamps(row.log, ["first", *(f"text {n}" for n in range(30)), "two\n  lines", row.summary])


@pytest.mark.parametrize("ending, status", [
    ("@task end", 0), ("@task end failed=1", 1), ("@task end status=CANCELLED", 1),
    ('@task end status=COMPLETED text="well done"', 0), ("@task start", 1)])
def test_the_exit_status_is_the_tasks(
        daemon: Tasklog, spool: Path, ending: str, status: int) -> None:
    daemon.log("kind[one]", "text")
    with Tail("--spool", spool, "kind[one]") as tail:
        tail.wait_shown("text")
        daemon.log("kind[one]", ending)
        assert tail.end() == status


def test_a_task_that_is_closed_by_the_clock(daemon: Tasklog, sqlite: Sqlite) -> None:
    sqlite.add("one")
    daemon.run(action(sqlite, idleTimeout=1))
    daemon.log("kind[one]", "text")
    with Tail("--spool", daemon.work / "tasklog", "kind[one]") as tail:
        assert tail.end() == 1
    assert tail.output == sqlite.wait("one").log
    assert "Closed by tasklog: no line for 1s" in tail.output


def test_two_tasks_do_not_mix(daemon: Tasklog, sqlite: Sqlite, spool: Path) -> None:
    with Tail("--spool", spool, "--wait", 10, "-n", "all", "kind[one]") as one, \
            Tail("--spool", spool, "--wait", 10, "-n", "all", "kind[two]") as two:
        for number in range(500):
            daemon.log_raw([b"<14>kind[one]: one %d" % number, b"<14>kind[two]: two %d" % number,
                            b"<14>kin[one]: no", b"<14>kind[on]: no"])
        daemon.log("kind[one]", "@task end")
        assert one.end() == 0
        daemon.log("kind[two]", "@task end failed=2")
        assert two.end() == 1
    for tail, name in (one, "one"), (two, "two"):
        assert tail.texts[:-1] == [f"{name} {number}" for number in range(500)]
        assert tail.output == sqlite.wait(name).log


def test_kills_of_rsyslogd_lose_and_double_nothing(
        daemon: Tasklog, sqlite: Sqlite, spool: Path) -> None:
    with Tail("--spool", spool, "--wait", 10, "-n", "all", "kind[one]") as tail:
        for life in range(4):
            daemon.log("kind[one]", *(f"{life} {number}" for number in range(200)))
            daemon.kill9() if life % 2 == 0 else daemon.stop()
            daemon.start()
        daemon.log("kind[one]", "@task end")
        assert tail.end() == 0
        assert tail.said == ""
    assert tail.texts[:-1] == [f"{life} {number}" for life in range(4) for number in range(200)]
    assert tail.output == sqlite.wait("one").log


@pytest.mark.xdist_group("load")
def test_a_log_of_many_segments(daemon: Tasklog, sqlite: Sqlite, spool: Path) -> None:
    """Some 100 MB: segments come and, the other tasks being done, go."""
    lines = 1000
    with Tail("--spool", spool, "--wait", 10, "-n", "all", "kind[one]") as tail:
        daemon.log("kind[one]", "begin")
        for number in range(lines):
            daemon.log("kind[one]" if number % 10 == 0 else f"kind[{number}]",
                       f"{number} " + "x" * 100_000)
            if number % 10:
                daemon.log(f"kind[{number}]", "@task end")
        daemon.log("kind[one]", "@task end")
        assert tail.end(60) == 0
        assert tail.said == ""
    assert [text.split()[0] for text in tail.texts[1:-1]] == [
        str(number) for number in range(0, lines, 10)]


# --- What is there already ------------------------------------------------------------------------

def test_the_last_lines_are_shown(daemon: Tasklog, spool: Path) -> None:
    daemon.log("kind[one]", *(f"text {number}" for number in range(30)))
    for arguments, first in ([], 20), (["-n", 3], 27), (["-n", "all"], 0), (["-n", 0], 30):
        with Tail("--spool", spool, *arguments, "kind[one]") as tail:
            if first < 30:
                tail.wait_shown("text 29")
            else:
                time.sleep(0.3)
        assert tail.texts == [f"text {number}" for number in range(first, 30)]


def test_a_task_that_has_ended_is_shown_and_that_is_all(daemon: Tasklog, spool: Path) -> None:
    daemon.log("kind[one]", "text", "@task end failed=1 processed=2")
    for more in [], ["--wait", 10]:
        shown = once("--spool", spool, *more, "kind[one]")
        assert (shown.returncode, shown.stderr) == (1, "")
        assert [STAMP.sub("", line) for line in shown.stdout.splitlines()] == [
            "text", "Completed: 2 successful, 1 failed, Total time: 0s"]


def test_only_the_newest_run_counts(daemon: Tasklog, spool: Path) -> None:
    daemon.log("kind[one]", "old", "@task end", "late", "@task start", "new")
    with Tail("--spool", spool, "kind[one]") as tail:
        tail.wait_shown("new")
        daemon.log("kind[one]", "@task end")
        assert tail.end() == 0
    assert tail.texts[:-1] == ["new"]


def test_spools_are_looked_for(daemon: Tasklog, sqlite: Sqlite) -> None:
    """Each folder below the one that is named, also such as come later."""
    sqlite.add("one", "two")
    (daemon.work / "tasklog").mkdir()
    with Tail("--wait", 20, "kind[two]:", env={"TASKLOG_SPOOL": str(daemon.work / "tasklog")}) as tail:
        daemon.start(daemon.conf(
            f'if $programname == "other" then {action(sqlite, name="first")}',
            f'if $programname == "kind" then {action(sqlite, name="second")}'))
        daemon.log("other[one]", "other")
        daemon.log("kind[two]", "text", "@task end")
        assert tail.end() == 0
    assert tail.texts[0] == "text"


def test_terminals_obey_no_task(daemon: Tasklog, spool: Path) -> None:
    daemon.log("kind[one]", b"\x1b]0;title\x07\tred \xff", "@task end")
    shown = once("--spool", spool, "kind[one]")
    assert STAMP.sub("", shown.stdout.splitlines()[0]) == "^[]0;title^G\tred \ufffd"


def test_nothing_is_changed(daemon: Tasklog, spool: Path) -> None:
    daemon.log("kind[one]", "text", "@task end")
    daemon.stop()

    def content() -> dict[str, tuple[int, int, bytes]]:
        return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
                for path in spool.rglob("*") if path.is_file()}

    before = content()
    assert len(before) >= 2
    assert once("--spool", spool, "kind[one]").returncode == 0
    assert content() == before


# --- What is not there ----------------------------------------------------------------------------

@pytest.mark.alone
def test_a_task_that_is_not_there(daemon: Tasklog, spool: Path) -> None:
    began = time.monotonic()
    shown = once("--spool", spool, "kind[none]")
    assert (shown.returncode, shown.stdout) == (NO_TASK, "")
    assert shown.stderr == "tasklog: no spool knows of the task kind[none]\n"
    assert time.monotonic() - began < 1
    assert once("--spool", spool, "--wait", 1, "kind[none]").returncode == NO_TASK
    assert 1 < time.monotonic() - began < 4


def test_a_spool_that_is_not_there(tmp_path: Path) -> None:
    shown = once("--spool", tmp_path / "absent", "kind[none]")
    assert shown.returncode == NO_SPOOL
    assert f"{tmp_path}/absent cannot be read: No such file" in shown.stderr
    assert once("--spool", tmp_path, "kind[none]").returncode == NO_SPOOL


@pytest.mark.parametrize("arguments", [
    [], ["kind"], ["kind[]"], ["[id]"], ["kind[id"], ["kind[id]", "more"], ["-n", "x", "kind[id]"],
    ["--wait", "-1", "kind[id]"], ["--unknown", "kind[id]"]])
def test_a_wrong_call(arguments: list[str]) -> None:
    shown = once(*arguments)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr
