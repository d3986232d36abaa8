# SPDX-License-Identifier: Apache-2.0
"""The packaged rsyslogd with the module under valgrind: no leak, no access that is not allowed.

rsyslogd leaks a little of its own at its end: only what has the module in its stack is judged."""
from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from database import Postgresql, Sqlite
from tasklog import MODULE, Tasklog, action

NO_FAULTS = {"Leak_PossiblyLost", "Leak_StillReachable"}

# libpq has OpenSSL make a table of methods once a process, with the first TLS connection, and never frees
# it. What libpq allocates for us, its connections and results, is judged.
NOT_OURS = ("libcrypto.so", "libssl.so")

# The buffer of a template's string is rsyslog's, which frees it with a worker, but not with an input's thread
# that has done the work of one.
THEIR_BUFFERS = "ExtendBuf"


def faults_of_the_module(report: Path) -> list[str]:
    found = []
    for error in ElementTree.parse(report).iter("error"):
        kind = error.findtext("kind", "?")
        frames = list(error.iter("frame"))
        objects = [Path(frame.findtext("obj", "?")).name for frame in frames]
        allocated_by = next((name for name in objects if not name.startswith("vgpreload")), "")
        if kind.startswith("Leak_") and (
                allocated_by.startswith(NOT_OURS)
                or THEIR_BUFFERS in [frame.findtext("fn") for frame in frames[:3]]):
            continue
        if kind not in NO_FAULTS and MODULE.name in objects:
            what = error.findtext("xwhat/text") or error.findtext("what")
            stack = [f"{frame.findtext('fn')} {frame.findtext('file')}:{frame.findtext('line')}"
                     for frame in frames]
            found.append("\n  ".join([f"{kind}: {what}", *stack]))
    return found


@pytest.mark.xdist_group("load")
def test_a_start_a_thousand_tasks_and_a_stop(
        tmp_path: Path, sqlite: Sqlite, postgresql: Postgresql) -> None:
    report = tmp_path / "valgrind.xml"
    valgrind = ["valgrind", "--quiet", "--fair-sched=try", "--leak-check=full",
                "--show-leak-kinds=definite,indirect", "--num-callers=30", "--keep-debuginfo=yes",
                "--xml=yes", f"--xml-file={report}"]
    for database in (sqlite, postgresql):
        database.create_index("task_id")
    with Tasklog(tmp_path / "rsyslogd", prefix=valgrind) as daemon:
        conf = daemon.conf(
            *(action(database, name=database.kind, mode="upsert", liveInterval=1, taskMaxBytes="4k",
                     memoryBudget="64m") for database in (sqlite, postgresql)),
            'if $programname == "other" then {', action(sqlite, name="wrong", table="absent"),
            action(sqlite, name="refused", key="task_id=kind", columns=["log=log"]), "}")
        daemon.start(conf, check=False, seconds=60)
        for number in range(1000):
            daemon.log(f"kind[{number}]", b"line\nbad \xff", "x" * 5000,
                       "@task progress tables=2", '@task end status=DONE text="bye"')
        daemon.log("kind[1]", "late", "@task start", "again", "@task start", "again",
                   severity="err")
        daemon.log("other[1]", "text", "@task end")
        daemon.log("other", "not a task")
        for database in (sqlite, postgresql):
            database.wait_ended(999, seconds=60)
            database.wait("1", lambda row: row.status == "RUNNING", seconds=60)
            assert database.row("2").lines == 3
        assert daemon.stop(60) == 0
        for database in (sqlite, postgresql):
            assert database.row("1").log and len(database.rows()) == 1000
        assert daemon.said("refused for good")
    assert faults_of_the_module(report) == []
