# SPDX-License-Identifier: Apache-2.0
"""Ways in which lines come: logger(1), syslog(3)'s form, and RELP from another rsyslogd."""
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from database import Database, Sqlite
from rsyslogd import quiet_port
from tasklog import DIRECT, MEMORY, Tasklog, action, check_log

LONG = "100 kB \u00e4\u20ac\U0001F600 " * 5000
TEXTS = ["Step 1: Creating tables", "  indented: \u00fc \U0001F600",
         "Traceback:\n  File \"x\"\n\tline 1", "", "\x1b[31mred", LONG]


def logger(daemon: Tasklog, *arguments: str) -> None:
    subprocess.run(["logger", "--socket", str(daemon.socket), "--size=200k", *arguments],
                   check=True)


@pytest.mark.parametrize("options", [[], ["--rfc5424"], ["--rfc5424=notq,nohost"]],
                         ids=["local", "rfc5424", "rfc5424-short"])
def test_logger(daemon: Tasklog, sqlite: Sqlite, options: list[str]) -> None:
    sqlite.add("run-42")
    daemon.run(action(sqlite))
    tag = [*options, "-t", "db_elements[run-42]"]
    logger(daemon, *tag, "Step 1: Creating tables")
    logger(daemon, *tag, "-p", "user.err", "Error processing table orders: permission denied")
    logger(daemon, *tag, LONG.strip())
    logger(daemon, *tag, "@task end processed=12 failed=1 total=13 tables=12 columns=140")
    row = sqlite.wait("run-42")
    check_log(row, ["Step 1: Creating tables", "Error processing table orders: permission denied",
                    LONG.strip()])
    assert (row.kind, row.status, row.errors) == ("db_elements", "FAILED", 1)
    assert row.first_error == "Error processing table orders: permission denied"


def test_the_form_of_syslog3_and_a_process_that_tags_with_its_pid(
        daemon: Tasklog, sqlite: Sqlite) -> None:
    sqlite.add("1234")
    daemon.run(action(sqlite))
    for text in [*TEXTS, "@task end"]:
        daemon.log_raw([f"<14>Nov  4 10:31:07 cron.daily[1234]: {text}".encode()])
    check_log(sqlite.wait("1234"), TEXTS)


@pytest.mark.parametrize("queue", [DIRECT, MEMORY], ids=["direct", "memory"])
def test_relp_from_another_rsyslogd(
        daemon: Tasklog, database: Database, tmp_path: Path, queue: str) -> None:
    """rsyslogd's own templates will not do for the sender: one cuts tags at 32 characters, the
    other leaves the blank that stands before a text."""
    task_id = "0b9e3f0a-5a0c-4f5e-9d0a-0d8d3a6b1c2e-and-more"
    database.add(task_id)
    port = quiet_port()  # imrelp takes no port 0
    daemon.run(action(database), queue=queue,
               inputs=f'module(load="imrelp")\ninput(type="imrelp" port="{port}"'
                      ' address="127.0.0.1" ruleset="tasks" maxDataSize="1m")')
    with Tasklog(tmp_path / "sender") as sender:
        sender.run(f'action(type="omrelp" target="127.0.0.1" port="{port}"'
                   ' template="forward" action.resumeRetryCount="-1")',
                   settings='module(load="omrelp")\n'
                            'template(name="forward" type="string" string="<%PRI%>1'
                            ' %TIMESTAMP:::date-rfc3339% %HOSTNAME% %APP-NAME% %PROCID% - -'
                            ' %msg:2:$%")')
        sender.log(f"kind[{task_id}]", *TEXTS, "@task end")
        row = database.wait(task_id)
    check_log(row, TEXTS)
    assert row.host


def test_hup_disturbs_nothing(daemon: Tasklog, sqlite: Sqlite) -> None:
    texts = [f"line {number}" for number in range(200)]
    sqlite.add("1")
    daemon.run(action(sqlite))
    for number, text in enumerate(texts):
        daemon.log("kind[1]", text)
        if number % 50 == 0:
            daemon.hup()
    daemon.log("kind[1]", "@task end")
    check_log(sqlite.wait("1"), texts)
