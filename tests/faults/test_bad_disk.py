# SPDX-License-Identifier: Apache-2.0
"""The spool's disk refuses single calls, or the folder goes away: rsyslogd goes on, says why, and
nothing that was taken is lost.

What is promised while the disk refuses: lines are kept in memory, `spool.unspooled` counts them, and
they would not survive a kill. So a life without such lines ends by a kill here, one with them ends
its tasks first. In either case each message is in exactly one counter of its life, and each row is
exactly what was logged in all lives.
"""
from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from bad_disk import BadDisk
from conftest import cycles
from database import Database, Sqlite, has_ended
from rsyslogd import Timeout, frame, wait_until
from senders import finish_last, spool_command, upsert
from tasklog import Tasklog, check_log

# Which calls can fail how. A process cannot go on without a folder that it can open.
FUNCTIONS = {"posix_fallocate": errno.ENOSPC, "mmap": errno.ENOMEM, "openat": errno.EMFILE,
             "open": errno.EMFILE, "renameat": errno.EIO, "fdatasync": errno.EIO,
             "fsync": errno.EIO, "ftruncate": errno.EIO, "write": errno.ENOSPC,
             "linkat": errno.ENOSPC, "unlinkat": errno.EIO, "mkdir": errno.ENOSPC}
# What these leave behind nobody needs to hear of. (The folder of dead letters is opened to count them, too.)
SILENT = {"ftruncate", "unlinkat", "open"}
TEXT = " of some length" + " +" * 4000


class Story:
    """What is logged, in all lives of the daemon.

    life         messages that this life was sent
    compared     lines, so far
    rows         of which they were
    """

    def __init__(self, daemon: Tasklog, database: Database) -> None:
        self.daemon = daemon
        self.database = database
        self.life = self.compared = self.rows = 0
        self._open: dict[str, list[str]] = {}
        self._said: Counter[str] = Counter()

    def begin(self) -> None:
        """Another life."""
        self._said = Counter(self.daemon.messages().splitlines())
        self.life = 0
        self.daemon.start(check=False, seconds=30)

    def news(self) -> str:
        """What was said in this life."""
        return "\n".join(Counter(self.daemon.messages().splitlines()) - self._said)

    def wait_news(self, *any_of: str) -> None:
        """As Tasklog.wait_said."""
        try:
            wait_until(lambda: any(text in self.news() for text in any_of), "a message", 1)
        except Timeout:
            self.daemon.hup()
            try:
                wait_until(lambda: any(text in self.news() for text in any_of), "", 5)
            except Timeout:
                raise Timeout(f"none of {any_of} was said, but\n{self.news()}") from None

    def log(self, task_id: str, count: int, *, text: str = TEXT) -> None:
        lines = self._open.setdefault(task_id, [])
        fresh = [f"line {len(lines) + number} of {task_id}{text}" for number in range(count)]
        self.send(task_id, *fresh)
        lines += fresh

    def end(self, task_id: str) -> None:
        """Its row is then what was logged, and it is forgotten."""
        lines = self._open.pop(task_id)
        self.send(task_id, "@task end")
        row = self.database.wait(task_id, lambda row: has_ended(row) and row.lines == len(lines),
                                 seconds=60)
        check_log(row, lines)
        assert row.complete
        self.database.execute(f'DELETE FROM {self.database.sql_table} WHERE "task_id" = ?', task_id)
        self.compared += len(lines)
        self.rows += 1

    def end_all(self) -> None:
        for task_id in list(self._open):
            self.end(task_id)

    def send(self, task_id: str, *texts: str) -> None:
        self.daemon.log_raw(frame(f"kind[{task_id}]", text) for text in texts)
        self.life += len(texts)


def starts(story: Story) -> bool:
    """Does the action? A folder that cannot be read is a reason to say so, and not to start."""
    story.begin()
    wait_until(lambda: "cannot start" in story.news() or "took up" in story.news(),
               "the action starts, or says why not", 10)
    return "took up" in story.news()


def one_life(story: Story, number: int) -> int:
    """More than a segment holds, a row and a dead letter. What is not in the spool is ended here.
    Returns how much that was."""
    daemon = story.daemon
    for _ in range(4):
        story.log(f"first-{number}", 100)
        story.log(f"second-{number}", 100)
    story.log(f"before-{number}", 800, text=TEXT * 2)
    story.end(f"first-{number}")
    # A text that a column of 20 characters does not take.
    story.send(f"refused-{number}", f"@task end status={'X' * 30}")
    wait_until(lambda: daemon.counters().get("rows.refused"), "a dead letter", 20)
    counters = daemon.wait_counters(story.life, lines_missing=0)
    if counters["spool.unspooled"]:
        story.end_all()
        counters = daemon.wait_counters(story.life, lines_missing=0)
    return counters["spool.unspooled"]


def one_fault(story: Story, disk: BadDisk, number: int, count: int,
              error: int) -> tuple[bool, int]:
    """A life in which `count` calls fail from `number` on, and one without faults, which takes up what
    that one left. Returns whether it came to it, and how many records were not in the spool."""
    daemon = story.daemon
    daemon.kill9()
    shutil.rmtree(daemon.work / "tasklog")  # what lies there changes the number of calls
    story.begin()
    story.log(f"before-{number}", 2)
    finish_last(daemon)
    daemon.kill9()
    disk.arm(number, count, error)
    unspooled = one_life(story, number) if (started := starts(story)) else 0
    failed = "failed" in disk.calls()
    # (The first segment is made smaller then, which is no trouble.)
    if failed and disk.function not in SILENT and (unspooled or disk.function != "posix_fallocate"):
        story.wait_news(os.strerror(error), "cannot be put among the dead letters")
    assert daemon.running()
    daemon.kill9()
    disk.disarm()
    story.begin()
    story.end_all()
    if started and not unspooled:
        wait_until(lambda: f"refused-{number}" in spool_command(daemon, "list").stdout,
                   "a dead letter", 20)
    return failed, unspooled


def fail_calls(daemon: Tasklog, database: Database, folder: Path, function: str, count: int) -> int:
    """One after the other. Returns how many lines were not in the spool."""
    daemon.run(upsert(database, spoolSync="on", liveInterval="0", memoryBudget="64m",
                      lateWindow="0"))
    disk = BadDisk(folder, daemon, daemon.work / "tasklog", function)
    story = Story(daemon, database)
    lives = lost = 0
    for number in range(cycles(20)):
        failed, unspooled = one_fault(story, disk, number, count, FUNCTIONS[function])
        if not failed:
            break
        lives += 1
        lost += unspooled
    print(f"{function}: {lives} lives, {story.compared} lines, {story.rows} rows,"
          f" {lost} records not in the spool")
    assert lives > 0
    return lost


@pytest.mark.parametrize("function", [
    pytest.param(name, marks=[] if name == "posix_fallocate" else pytest.mark.long)
    for name in FUNCTIONS])
def test_the_nth_call_fails(daemon: Tasklog, postgresql: Database, tmp_path: Path,
                            function: str) -> None:
    fail_calls(daemon, postgresql, tmp_path, function, 1)


@pytest.mark.long
@pytest.mark.parametrize("function", ["posix_fallocate", "mmap", "renameat", "fdatasync"])
def test_all_calls_fail_from_the_nth_on(daemon: Tasklog, postgresql: Database, tmp_path: Path,
                                        function: str) -> None:
    lost = fail_calls(daemon, postgresql, tmp_path, function, 1_000_000)
    assert lost > 0 or cycles(20) < 20  # the first calls are those of a start that gives up


def test_the_folder_is_deleted(daemon: Tasklog, postgresql: Database) -> None:
    """Noticed with the next segment at the latest."""
    daemon.run(upsert(postgresql, liveInterval="0", lateWindow="0"))
    spool = daemon.work / "tasklog" / "task"
    story = Story(daemon, postgresql)
    story.log("first", 100)
    shutil.rmtree(spool)
    logged = 0
    while "takes nothing" not in story.news() and logged < 17 << 20:
        story.log("second", 100)
        logged += 100 * len(TEXT)
    story.wait_news("takes nothing: No such file or directory; lines are kept in memory")
    story.log("second", 500)
    for task_id in "first", "second":
        story.end(task_id)
    story.send("refused", "@task end status=" + "X" * 30)
    counters = daemon.wait_counters(story.life, lines_missing=0)
    assert counters["spool.unspooled"] > 0
    print(f"noticed after {logged >> 20} MB, {counters['spool.unspooled']} records not in the spool")
    assert daemon.stop() == 0
    story.begin()
    story.log("third", 10)
    finish_last(daemon)
    daemon.kill9()
    story.begin()
    story.end("third")
    assert daemon.stop() == 0


@pytest.mark.parametrize("sync", ["off", "on"])
def test_each_batch_is_synced(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path, sync: str) -> None:
    """A queue of type Direct has batches of one line."""
    daemon.run(upsert(sqlite, spoolSync=sync, liveInterval="0"))
    disk = BadDisk(tmp_path, daemon, daemon.work / "tasklog", "fdatasync")
    story = Story(daemon, sqlite)
    daemon.kill9()
    disk.arm()
    story.begin()
    story.log("first", 200, text="")
    finish_last(daemon)
    calls = len(disk.calls())
    daemon.kill9()
    story.begin()
    story.end("first")
    print(f"spoolSync={sync}: {calls} calls of fdatasync for 202 lines")
    assert calls >= 201 if sync == "on" else calls == 0  # of the last line nobody knows
