# SPDX-License-Identifier: Apache-2.0
"""The spool's disk is full, its files are damaged, or two want it; HUP."""
from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest

from conftest import cycles
from database import Database, Sqlite
from load import Load
from rsyslogd import frame, wait_until
from senders import UnixSender, finish_last, upsert
from tasklog import BUILD, Tasklog, action, check_log, stamps


@contextmanager
def tmpfs(folder: Path, megabytes: int) -> Iterator[Path]:
    """A small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tasklog-test",
                           str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount a small disk: {done.stderr}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(disk: Path) -> None:
    with open(disk / "fill", "wb") as fill:
        free = os.statvfs(disk)
        os.posix_fallocate(fill.fileno(), 0, free.f_bavail * free.f_bsize)


@pytest.mark.long
def test_spool_disk_full(daemon: Tasklog, database: Database, chance: random.Random,
                         tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", 40) as disk:
        daemon.run(upsert(database, spool=str(disk / "spool"), memoryBudget="64m"))
        daemon.wait_said("writing to table")
        load = Load(chance, lines_per_second=4000, width=500)
        sender = UnixSender(daemon, load)
        sender.start()
        try:
            wait_until(lambda: sender.sent > 1000, "logging", 30)
            fill_up(disk)
            # Until the segment that is reserved is full, and long after.
            daemon.wait_said("takes nothing: No space left on device", 60)
            goal = sender.sent + 5000
            wait_until(lambda: sender.sent >= goal, "logging goes on", 30)
            (disk / "fill").unlink()
            daemon.wait_said("takes lines again", 30)
            goal = sender.sent + 1000
            wait_until(lambda: sender.sent >= goal, "logging goes on", 30)
            # All that was taken is safe again, but for results that have not been stored.
            wait_until(lambda: daemon.counters().get("rows.waiting") == 0, "rows are stored", 30)
            unspooled = daemon.counters()["spool.unspooled"]
            sender.kill()
            daemon.start(check=False, seconds=30)
        finally:
            load.stop()
        sender.finish(60)
        compared = load.check(database)
        daemon.wait_counters(sender.life, rows_refused=0, rows_waiting=0, lines_missing=0)
        assert unspooled > 0
        print(f"{compared}, {unspooled} not in the spool, slowest {sender.slowest * 1000:.0f} ms")
        assert daemon.stop() == 0


def log_until_full(daemon: Tasklog, disk: Path) -> None:
    before = daemon.said("takes nothing: No space left on device")
    fill_up(disk)
    for _ in range(2000):
        daemon.log("kind[fill]", "=" * 20_000)
        if daemon.said("takes nothing: No space left on device") > before:
            return
    raise AssertionError("the spool is never full")


def test_killed_while_the_disk_is_full(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    """What is lost then is told; a row that was stored stays as it is; and with room for it all is safe."""
    with tmpfs(tmp_path / "small", 100) as disk:
        daemon.run(upsert(sqlite, spool=str(disk / "spool"), memoryBudget="64m"))
        daemon.log("kind[a]", "one")
        daemon.log("kind[stored]", "one")
        log_until_full(daemon, disk)
        daemon.log("kind[a]", "two")
        daemon.log("kind[stored]", "@task end")
        check_log(sqlite.wait("stored"), ["one"])
        (disk / "fill").unlink()
        daemon.wait_said("takes lines again", 20)  # though nothing is logged
        daemon.kill9()
        daemon.start(check=False)
        daemon.log("kind[a]", "three")
        log_until_full(daemon, disk)
        daemon.log("kind[a]", "lost")
        finish_last(daemon)
        daemon.kill9()
        (disk / "fill").unlink()
        daemon.start(check=False)
        daemon.log("kind[a]", "four", "@task end")
        daemon.log("kind[fresh]", "one", "@task end")
        row = sqlite.wait("a")
        check_log(row, ["one", "two", "three", "[... lines may be missing here: the spool was full"
                        " when tasklog ended ...]", "four"])
        assert row.status == "COMPLETED" and row.end_reason == "marker" and not row.complete
        row = sqlite.wait("fresh")
        check_log(row, ["one"])
        assert row.complete
        assert sqlite.row("stored").complete
        wait_until(lambda: daemon.counters().get("tasks.open") == 1, "what fills is left", 10)
        assert daemon.stop() == 0


@pytest.mark.parametrize("where", ["beside", "on the same disk"])
def test_restarted_while_the_disk_is_full(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path,
                                          where: str) -> None:
    """What an administrator does first: nothing is lost by it, though the database may be full as well."""
    with tmpfs(tmp_path / "small", 100) as disk:
        if where == "on the same disk":
            sqlite = Sqlite(disk)
            sqlite.create()
        spool = disk / "spool"
        daemon.run(upsert(sqlite, spool=str(spool), memoryBudget="64m", liveInterval="0"))
        daemon.log("kind[a]", "one")
        daemon.log("kind[ended]", "one")
        log_until_full(daemon, disk)
        daemon.log("kind[a]", "two")
        daemon.log("kind[begun]", "one", "two")
        daemon.log("kind[ended]", "two", "@task end")
        finish_last(daemon)
        assert daemon.stop() == 0
        daemon.start(check=False)
        daemon.log("kind[a]", "three")
        assert daemon.stop() == 0
        daemon.start(check=False)
        daemon.log("kind[a]", "four")
        (disk / "fill").unlink()
        daemon.log("kind[a]", "@task end")
        daemon.log("kind[begun]", "three", "@task end")
        row = sqlite.wait("a")
        check_log(row, ["one", "two", "three", "four"])
        assert row.complete
        row = sqlite.wait("begun")
        check_log(row, ["one", "two", "three"])
        assert row.complete
        if where == "on the same disk":
            assert not sqlite.find("ended")
            done = subprocess.run([BUILD / "tasklog", "spool", "-d", spool, "retry", "--all"],
                                  capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        row = sqlite.wait("ended")
        check_log(row, ["one", "two"])
        assert row.status == "COMPLETED" and row.complete
        assert daemon.stop() == 0


def test_restarted_under_load_while_the_disk_is_full(daemon: Tasklog, database: Database,
                                                     chance: random.Random, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", 100) as disk:
        daemon.run(upsert(database, spool=str(disk / "spool"), memoryBudget="64m"))
        daemon.wait_said("writing to table")
        load = Load(chance, lines_per_second=4000, width=500, late=0)
        sender = UnixSender(daemon, load)
        sender.start()
        try:
            wait_until(lambda: sender.sent > 1000, "logging", 30)
            fill_up(disk)
            daemon.wait_said("takes nothing: No space left on device", 60)
            for _ in range(3):  # for so many lives the disk has room
                goal = sender.sent + 1000 + chance.randrange(5000)
                wait_until(lambda: sender.sent >= goal, "logging goes on", 30)
                sender.stop()
                daemon.start(check=False, seconds=30)
            (disk / "fill").unlink()
        finally:
            load.stop()
        sender.finish(60)
        print(load.check(database))
        daemon.wait_counters(sender.life, rows_refused=0, rows_waiting=0, lines_missing=0)
        assert not daemon.said("stopped while the spool takes nothing")
        assert daemon.stop() == 0


def log_open_tasks(daemon: Tasklog, texts: dict[str, list[str]]) -> None:
    number = 0
    for _ in range(60):
        for task_id, lines in texts.items():
            lines.append(f"line {number} of {task_id}" + " +" * (number % 40))
            daemon.log_raw([frame(f"kind[{task_id}]", lines[-1])])
            number += 1


@pytest.mark.parametrize("harm", ["cut", "bits"])
def test_damaged_spool(daemon: Tasklog, sqlite: Sqlite, chance: random.Random, harm: str) -> None:
    """Whatever the damage, the start succeeds, and what lies before it is there."""
    texts: dict[str, list[str]] = {f"run-{number}": [] for number in range(5)}
    daemon.run(upsert(sqlite, liveInterval="0"))
    log_open_tasks(daemon, texts)
    daemon.kill9()
    spool = daemon.work / "tasklog" / "task"
    good = daemon.folder / "good"
    shutil.copytree(spool, good)
    segments = sorted(good.glob("*.seg"))
    used = segments[-1].read_bytes().rstrip(b"\0")
    count = cycles(50)
    kept = 0
    for number in range(count):
        shutil.rmtree(spool)
        shutil.copytree(good, spool)
        segment = spool / segments[-1].name
        at = chance.randrange(len(used))
        with open(segment, "r+b") as file:
            if harm == "cut":
                file.truncate(at)
            else:
                file.seek(at)
                byte = used[at] ^ 1 << chance.randrange(8)
                file.write(bytes([byte]))
        sqlite.execute(f"DELETE FROM {sqlite.sql_table}")
        before = daemon.said("damaged in")
        daemon.start(check=False, seconds=30)
        for task_id in texts:
            daemon.log(f"kind[{task_id}]", f"after {number}", "@task end")
        sqlite.wait_ended(5, 20)
        found = 0
        for task_id, row in sqlite.rows().items():
            count_ = row.lines - 1
            stamps(row.log, [*texts[task_id][:count_], f"after {number}", row.summary])
            found += count_
        # The lines that end before the damage, and not one more than that.
        whole = sum(end <= at for end in line_ends(used, texts))
        if harm == "bits" and daemon.said("damaged in") == before:
            assert used[at] == 0  # between two records, where nothing stands
            whole = 300
        elif harm == "bits":
            assert list((spool / "damaged").iterdir())
        assert found == whole, (harm, at, found, whole)
        kept += found
        if number % 10 == 0:
            daemon.wait_counters(2 * len(texts), rows_refused=0, rows_waiting=0, lines_missing=0)
        daemon.kill9()
    print(f"{count} damaged spools ({harm}), {kept} of {count * 300} lines lay before the damage")


def line_ends(used: bytes, texts: dict[str, list[str]]) -> list[int]:
    """Where the records of all lines end: each text is the end of its record, padded to 8."""
    ends = []
    for lines in texts.values():
        for text in lines:
            raw = text.encode()
            at = next(match.end() for match in re.finditer(re.escape(raw), used)
                      if match.end() >= len(used) or used[match.end()] in b"\0" or
                      used[match.end():match.end() + 2] != b" +")
            ends.append(at)
    return ends


def test_second_rsyslogd_on_the_same_spool(daemon: Tasklog, sqlite: Sqlite,
                                           tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    daemon.run(upsert(sqlite, spool=str(spool)))
    daemon.log("kind[1]", "text")
    with Tasklog(tmp_path / "second") as second:
        second.run(action(sqlite, mode="upsert", spool=str(spool)))
        said = second.wait_said("cannot start")
        assert "is in use by another process or action" in said and str(spool) in said
        daemon.log("kind[1]", "more")
        daemon.log("kind[1]", "@task end")
        check_log(sqlite.wait("1"), ["text", "more"])
        daemon.stop()
        second.restart()
        second.log("kind[2]", "text", "@task end")
        check_log(sqlite.wait("2"), ["text"])


def test_hup(daemon: Tasklog, database: Database, chance: random.Random) -> None:
    daemon.run(upsert(database))
    load = Load(chance)
    sender = UnixSender(daemon, load)
    sender.start()
    count = cycles(50)
    try:
        for _ in range(count):
            goal = sender.sent + chance.randrange(200)
            wait_until(lambda: sender.sent >= goal, "logging", 30)
            daemon.hup()
    finally:
        load.stop()
    sender.finish(60)
    compared = load.check(database)
    daemon.wait_counters(load.sent, rows_refused=0, rows_waiting=0, lines_missing=0)
    print(f"{count} HUPs, {compared}")


def test_a_task_across_two_segments(daemon: Tasklog, sqlite: Sqlite) -> None:
    """Its first segment is gone when it is stored; what the second one has of it is no new task."""
    texts = [f"line {number} " + "x" * 8000 for number in range(3000)]
    daemon.run(upsert(sqlite, lateWindow="0", liveInterval="0"))
    daemon.log("kind[1]", *texts, "@task end")
    check_log(sqlite.wait("1", seconds=30), texts)
    daemon.log("kind[2]", "text")
    finish_last(daemon)
    segments = daemon.work / "tasklog" / "task"
    for _ in range(3):
        daemon.kill9()
        daemon.start(check=False)
        daemon.log("kind[3]", "text", "@task end")
        sqlite.wait("3")
        check_log(sqlite.row("1"), texts)
    print([path.name for path in sorted(segments.glob("*.seg"))])
    daemon.log("kind[2]", "@task end")
    check_log(sqlite.wait("2"), ["text"])
