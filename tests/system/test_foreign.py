# SPDX-License-Identifier: Apache-2.0
"""A module that was built for a rsyslog with other structures: rsyslog's own check does not notice."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

from database import Sqlite
from rsyslogd import frame
from tasklog import BUILD, REPO, Tasklog, action


def build_for_other_headers(folder: Path) -> Path:
    """With a message object that has one member more."""
    source = Path(os.environ.get("RSYSLOG_SRC") or REPO / "build" / "rsyslog-src")
    header = (source / "runtime" / "msg.h").read_text()
    member = "\tunsigned short\tiSeverity;"
    assert member in header
    (folder / "msg.h").write_text(header.replace(member, f"\tlong another;\n{member}"))
    made = folder / "omtasklog.so"
    library = BUILD / "libtasklog.a"  # has nothing to do with rsyslog, and is there
    subprocess.run(["make", "-C", REPO, "-s", f"B={folder}", f"CPPFLAGS=-isystem {folder}", f"LIB={library}",
                    f"--assume-old={library}", made], check=True, capture_output=True, timeout=120)
    return made


def test_it_says_so_and_takes_nothing(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    module = build_for_other_headers(tmp_path)
    sqlite.add("run-1")
    conf = daemon.conf(action(sqlite)).replace('load="omtasklog"', f'load="{module}"')
    daemon.start(conf)
    daemon.wait_said("omtasklog was built for rsyslog 8.")
    assert daemon.said("no action starts") and not daemon.said("writing to table")
    daemon.log_raw([frame("kind[run-1]", "text", "info")])
    daemon.kill9()  # its worker waits for the action
    row, = sqlite.rows().values()
    assert row.status == "IDLE"
