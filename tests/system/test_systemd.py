# SPDX-License-Identifier: Apache-2.0
"""tasklog-journald as a service of a real systemd, which runs in namespaces of its own."""
from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tasklog import BUILD, REPO

UNIT = REPO / "conf/systemd/tasklog-journald.service"


def test_the_unit_is_hardened() -> None:
    text = subprocess.run(["systemd-analyze", "security", "--offline=true", UNIT], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    level = re.search(r"exposure level for tasklog-journald.service: ([0-9.]+)", text)
    assert level and float(level[1]) <= 2.0, text


def test_the_unit_is_well_formed(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/sbin/tasklog-journald", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], stderr=subprocess.PIPE,
                          text=True)
    assert "tasklog-journald.service" not in done.stderr, done.stderr


@pytest.mark.calm
@pytest.mark.skipif(os.geteuid() != 0 or os.path.isdir("/run/systemd/system"),
                    reason="needs root on a machine that was not booted with systemd")
def test_the_service(tmp_path: Path) -> None:
    here = Path(__file__).parent
    done = subprocess.run([here / "machine.sh", tmp_path, here / "machine_script.py", UNIT],
                          timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "BUILD": str(BUILD)})
    out = (tmp_path / "out").read_text() if (tmp_path / "out").exists() else ""
    path = tmp_path / "report.json"
    assert path.exists(), f"{done.stdout}\n{out}"
    report: dict[str, Any] = json.loads(path.read_text())
    rows: dict[str, dict[str, Any]] = report["rows"]
    assert "late" not in report, report
    assert report["active"] == "active" and report["user"] == "tasklog-journald"

    for name, why in (("segfault", "failed with result signal"),
                      ("fails", "failed with result exit-code"),
                      ("killed", "failed with result signal")):
        row = rows[name]
        assert (row["status"], row["end_reason"], row["complete"]) == ("FAILED", "died", 0), row
        assert f"Closed by tasklog: unit {name}.service {why}" in row["log"]
    assert "the last line\n" in rows["segfault"]["log"]
    assert report["seconds"] < 5, report["seconds"]
    assert (rows["well"]["status"], rows["well"]["complete"]) == ("COMPLETED", 1)

    row = rows["floods"]
    match = re.search(r"\[\.\.\. (\d+) messages of this unit are missing here", row["log"])
    assert match, row["log"]
    assert int(match[1]) + row["lines"] >= 100, row["log"]
    assert (row["status"], row["complete"]) == ("COMPLETED", 0)

    row = rows["goes_on"]
    assert report["restarts"] == 1 and row["status"] == "COMPLETED" and row["lines"] == 2, row
    assert re.match(r"1 target: 0 tasks open, 0 results waiting, \d+ stored", report["status"])
    assert report["stopped"] == "success", report["journal"]
