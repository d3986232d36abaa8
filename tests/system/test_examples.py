# SPDX-License-Identifier: Apache-2.0
"""Each file of conf/examples at work, with rsyslogd and a row."""
from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from database import Row, Sqlite
from tasklog import BUILD, REPO, Tasklog, action, stamps

EXAMPLES = REPO / "conf/examples"
TASK_ID = "0b9e3f0a5a0c4f5e9d0a0d8d3a6b1c2e"


def environment(daemon: Tasklog) -> dict[str, str]:
    return {**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}",
            "TASKLOG_SOCKET": str(daemon.socket)}


def texts(row: Row) -> list[str]:
    assert row.log
    return re.sub(r"(?m)^\[[^]]*\] ", "", row.log).split("\n")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """In the place of the examples' /srv/app/bin/nightly-import."""
    path = tmp_path / "nightly-import"
    path.write_text("#!/bin/sh\necho imported; echo strange >&2; exit 5\n")
    path.chmod(0o755)
    return path


def check_job(row: Row) -> None:
    assert row.kind == "nightly_import"
    assert sorted(texts(row)[:2]) == ["imported", "strange"]
    assert (row.status, row.warnings, row.counters) == ("FAILED", 1, {"exit_code": 5})


def test_cron(daemon: Tasklog, sqlite: Sqlite, job: Path) -> None:
    sqlite.create_index("task_id")
    daemon.run(action(sqlite, mode="upsert"))
    line = (EXAMPLES / "cron").read_text().splitlines()[-1]
    minute, _, _, _, _, user, command = line.split(None, 6)
    assert (minute, user) == ("17", "app") and "%" not in command
    ran = subprocess.run(["/bin/sh", "-c", command.replace("/srv/app/bin/nightly-import", str(job))],
                         env=environment(daemon), capture_output=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (5, b"imported\n", b"strange\n")
    sqlite.wait_ended(1)
    row, = sqlite.rows().values()
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{8}", row.task_id)
    check_job(row)


def test_systemd(daemon: Tasklog, sqlite: Sqlite, job: Path, tmp_path: Path) -> None:
    sqlite.add(TASK_ID)
    daemon.run(action(sqlite))
    unit = (EXAMPLES / "nightly-import.service").read_text()
    unit = unit.replace("/srv/app/bin/nightly-import", str(job)) \
        .replace("/usr/local/bin/tasklog", str(BUILD / "tasklog"))
    (tmp_path / "nightly-import.service").write_text(unit)
    shutil.copy(EXAMPLES / "nightly-import.timer", tmp_path)
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(["systemd-analyze", "verify", "--man=no",
                                  str(tmp_path / "nightly-import.timer")],
                                 capture_output=True, text=True)
        assert "nightly-import" not in checked.stderr, checked.stderr
    start, = re.findall(r"(?m)^ExecStart=(.*)", unit)
    words = [word.replace("${INVOCATION_ID}", TASK_ID) for word in shlex.split(start)]
    assert subprocess.run(words, env=environment(daemon), capture_output=True).returncode == 5
    check_job(sqlite.wait(TASK_ID))


def test_shell(daemon: Tasklog, sqlite: Sqlite) -> None:
    sqlite.add("run-42")
    daemon.run(action(sqlite))
    ran = subprocess.run(["tasklog", "run", "--kind", "import", "--id", "run-42", "--",
                          str(EXAMPLES / "import.sh")], env=environment(daemon))
    assert ran.returncode == 0
    row = sqlite.wait("run-42")
    assert sorted(texts(row)[:5]) == sorted([
        "reading customers", "reading orders", "reading items", "items: 2 rows without a price",
        "items: row 7 was left out"])
    assert (row.status, row.processed, row.total) == ("COMPLETED", 3, 3)
    assert (row.warnings, row.errors) == (1, 1)
    assert row.counters == {"rows": 48210, "exit_code": 0}


def test_shell_with_logger(daemon: Tasklog, sqlite: Sqlite) -> None:
    sqlite.add("run-42")
    daemon.run(action(sqlite))
    subprocess.run([str(EXAMPLES / "preprocess.sh"), "run-42", str(daemon.socket)], check=True)
    row = sqlite.wait("run-42")
    assert (row.kind, row.status, row.processed, row.warnings) \
        == ("preprocessing", "COMPLETED", 3, 1)


def test_c(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    """syslog(3) knows one path only, so the program is made with another."""
    sqlite.add("run-42")
    daemon.run(action(sqlite))
    program = tmp_path / "column_comments"
    subprocess.run([os.environ.get("CC", "cc"), "-o", str(program),
                    str(EXAMPLES / "column_comments.c")], check=True)
    # -s writes to stderr what goes to syslog: that is what tasklog run logs here.
    ran = subprocess.run([str(BUILD / "tasklog"), "run", "--kind", "workspace_column_comments",
                          "--id", "run-42", "--socket", str(daemon.socket), "--", "sh", "-c",
                          f"{program} -s run-42 2>&1 | sed -u 's/^[^:]*: //'"],
                         capture_output=True)
    assert ran.returncode == 0
    row = sqlite.wait("run-42")
    assert (row.status, row.processed, row.failed, row.total) == ("FAILED", 4, 1, 5)
    assert texts(row)[0] == "Writing column comments of table customers"


CELERY = """
import sys
import celery_tasks
result = celery_tasks.import_orders.apply(args=[sys.argv[2]], task_id=sys.argv[1])
print(result.state)
"""


@pytest.mark.parametrize("path, status", [("orders.csv", "COMPLETED"), ("orders.txt", "FAILED")])
def test_celery(daemon: Tasklog, sqlite: Sqlite, path: str, status: str) -> None:
    sqlite.add(TASK_ID)
    daemon.run(action(sqlite))
    ran = subprocess.run([sys.executable, "-c", CELERY, TASK_ID, path], text=True,
                         capture_output=True,
                         env={**environment(daemon), "PYTHONPATH": str(EXAMPLES),
                              "BROKER": "memory://"})
    assert ran.returncode == 0, ran.stderr
    row = sqlite.wait(TASK_ID)
    assert (row.kind, row.status) == ("import_orders", status)
    assert texts(row)[0] == f"reading {path}"
    assert ("ValueError: orders.txt is not a CSV file" in texts(row)) == (status == "FAILED")


DJANGO = """
import sys
import django
from django.conf import settings
from django.core.management import call_command
settings.configure()
django.setup()
from import_orders import Command
call_command(Command(), *sys.argv[1:])
"""


def test_django(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    sqlite.add("run-42")
    daemon.run(action(sqlite))
    orders = tmp_path / "orders.csv"
    orders.write_text("1\n2\n")
    subprocess.run([sys.executable, "-c", DJANGO, "run-42", str(orders), "/nonexistent"], check=True,
                   env={**environment(daemon), "PYTHONPATH": str(EXAMPLES)})
    row = sqlite.wait("run-42")
    assert (row.kind, row.status) == ("import_orders", "FAILED")
    assert (row.processed, row.failed, row.total, row.errors) == (1, 1, 2, 1)
    assert texts(row)[:4] == [f"reading {orders}", f"{orders}: 2 orders", "reading /nonexistent",
                              "/nonexistent"]
    stamps(row.log and row.log.split("\n")[-1], [row.summary])


def test_each_example_is_tested() -> None:
    tests = Path(__file__).read_text()
    for path in EXAMPLES.iterdir():
        assert path.is_dir() or path.name in tests or path.stem in tests, path
