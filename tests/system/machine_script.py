#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs as root under the systemd of machine.sh: installs tasklog-journald as a service and lets units log.
What is in the rows afterwards goes, as JSON, into the folder that is its argument."""
from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

folder = Path(sys.argv[1])
repo = Path(__file__).resolve().parents[2]
srv = Path("/srv/data")
database = srv / "db.sqlite3"
report: dict[str, Any] = {}


def run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


def show(name: str) -> str:
    return run("systemctl", "show", "--value", "--property", name, "tasklog-journald").strip()


def rows() -> dict[str, dict[str, Any]]:
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    found = {row["task_id"]: dict(row) for row in connection.execute("SELECT * FROM runs")}
    connection.close()
    return found


def wait_ended(*names: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = rows()
        if all(name in found and found[name]["end_time"] for name in names):
            return
        time.sleep(0.02)
    report["late"] = names


def install() -> None:
    run("systemd-sysusers", str(repo / "conf/systemd/tasklog-journald.sysusers"))
    srv.mkdir()
    shutil.copy(Path(os.environ.get("BUILD", repo / "build")) / "tasklog-journald", "/srv/reader")
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE runs (task_id text PRIMARY KEY, status text, log text,"
                       " end_time text, end_reason text, complete bool, lines integer)")
    connection.commit()
    connection.close()
    for path in (srv, database):
        shutil.chown(path, "tasklog-journald", "tasklog-journald")
    Path("/srv/journald.conf").write_text(
        f"[task]\nkinds = kind\ndatabase = sqlite:{database}\ntable = runs\nmode = upsert\n"
        "liveInterval = 1\ncolumns = log=log status=status end_time=end_time\n"
        "  end_reason=end_reason complete=complete lines=lines\n")
    drop_in = Path("/etc/systemd/system/tasklog-journald.service.d/test.conf")
    drop_in.parent.mkdir()
    drop_in.write_text("[Unit]\nDefaultDependencies=no\nAfter=\n[Service]\nExecStart=\n"
                       "ExecStart=/srv/reader --config /srv/journald.conf\n"
                       f"ReadWritePaths={srv}\n")
    run("systemctl", "daemon-reload")


def unit(name: str, script: str, settings: str = "") -> None:
    path = Path(f"/srv/{name}.sh")
    # One logger that stays: of a process that has gone before journald looks, it does not know the unit.
    path.write_text(f"#!/bin/sh\nmkfifo /srv/{name}.fifo\nlogger -t 'kind[{name}]' </srv/{name}.fifo &\n"
                    f'exec 3>/srv/{name}.fifo\nlog() {{ echo "$1" >&3; sleep 0.1; }}\n{script}\n')
    path.chmod(0o755)
    Path(f"/etc/systemd/system/{name}.service").write_text(
        f"[Unit]\nDefaultDependencies=no\n[Service]\nType=exec\nExecStart={path}\n{settings}\n")


def start(*names: str) -> None:
    run("systemctl", "daemon-reload")
    for name in names:
        run("systemctl", "start", name)


install()
run("systemctl", "start", "tasklog-journald")
report["active"] = show("ActiveState")
report["user"] = run("ps", "-o", "user:32=", "-p", show("MainPID")).strip()

unit("segfault", 'log working\nlog "the last line"\nsleep 0.2\nkill -SEGV $$')
unit("fails", 'log working\nexit 3')
unit("killed", 'log working\nsleep 0.2\nkill -KILL $$')
unit("well", 'log working\nlog "@task end"\n')
unit("goes_on", "log working\nsleep 1000")
start("segfault", "fails", "killed", "well", "goes_on")
began = time.time()
wait_ended("segfault", "fails", "killed", "well")
report["seconds"] = time.time() - began

# The journal's limit: what it dropped is in the task's log.
unit("floods", 'i=0\nwhile [ $i -lt 100 ]; do echo "line $i" >&3; i=$((i + 1)); done\n'
     'sleep 2.5\nlog "after that"\nsleep 1\nlog "@task end"',
     "LogRateLimitIntervalSec=2\nLogRateLimitBurst=20")
start("floods")
wait_ended("floods")

# The service is killed, and started again by systemd; the task goes on.
pid = int(show("MainPID"))
os.kill(pid, signal.SIGKILL)
deadline = time.monotonic() + 20
while time.monotonic() < deadline and (show("ActiveState") != "active"
                                       or int(show("MainPID")) in (0, pid)):
    time.sleep(0.05)
report["restarts"] = int(show("NRestarts"))
run("logger", "-t", "kind[goes_on]", "after the kill")
run("logger", "-t", "kind[goes_on]", "@task end")
wait_ended("goes_on")
time.sleep(2.5)
report["status"] = show("StatusText")
run("systemctl", "stop", "goes_on")
run("systemctl", "stop", "tasklog-journald")
report["stopped"] = show("Result")
report["journal"] = run("journalctl", "-u", "tasklog-journald", "-o", "cat", "--no-pager")
report["rows"] = rows()
(folder / "report.json").write_text(json.dumps(report, indent=1))
