# SPDX-License-Identifier: Apache-2.0
"""Django's client with rsyslogd: ThothAI's workers by tasklog.compat, task_log, and the doctor, on the
demo's project in both databases."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from database import Database, Postgresql, Sqlite
from tasklog import REPO, Tasklog, action, stamps
from rsyslogd import Timeout, wait_until

pytestmark = pytest.mark.xdist_group("programs")

PREFIXES = {"table_comments": "table_comment", "column_comments": "column_comment",
            "db_elements": "db_elements"}
FIELDS = ("status", "task_id", "log", "start_time", "end_time")
RUN_FIELDS = ("status", "log", "end_time", "lines", "complete", "summary", "updated_at")
# "pid" has no meaning for rsyslogd if the tests run in a container of their own; it does here, for
# both are in it.
INITIAL_PID_NAMESPACE = f"import os, tasklog.sender as s; s.INITIAL_PID_NAMESPACE = " \
                        f"os.stat('/proc/self/ns/pid').st_ino\n"


class Project:
    """The demo's project on a database of the tests, and a rsyslogd that writes its tables."""

    _made: dict[str, bytes] = {}  # its tables and rows, by the kind of database

    def __init__(self, database: Database, daemon: Tasklog) -> None:
        self.database, self.daemon = database, daemon
        schema = ""
        self.env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.client_settings",
                    "PYTHONPATH": f"{REPO}/django:{REPO}/django/demo", "DB": database.kind,
                    "PYTHONDONTWRITEBYTECODE": "1", "TASKLOG_SOCKET": str(daemon.socket)}
        if isinstance(database, Postgresql):
            schema = f"{database.schema}."
            options = '-c search_path="{}"'.format(database.schema.replace(" ", "\\ "))
            self.env.update(DB_NAME=database.database, DB_HOST=database.host, DB_PORT=database.port,
                            DB_USER=database.user, DB_PASSWORD=database.password, PGOPTIONS=options)
        else:
            assert isinstance(database, Sqlite)
            self.env["DB_NAME"] = str(database.path)
        self.table = f"{schema}thoth_core_sqldb"
        if database.kind not in self._made:
            self.manage("migrate", "-v0")
            self.manage("create_demo")
            self._made[database.kind] = database.dump()
        else:
            database.restore(self._made[database.kind])
        actions = [f'if $programname == "{kind}" then ' + action(
            name=kind, database=database.url, table=self.table, key=f"task_id={prefix}_task_id",
            columns=[f"{field}={prefix}_{field}" for field in FIELDS if field != "task_id"],
            liveInterval=1)
            for kind, prefix in PREFIXES.items()]
        actions.append('if $programname == ["linked", "tasklog_doctor"] then ' + action(
            name="runs", database=database.url, table=f"{schema}tasklog_taskrun", mode="upsert",
            key=["kind=kind", "task_id=task_id", "start_time=start_time"],
            columns=[f"{field}={field}" for field in RUN_FIELDS]))
        # Where times that are sent along are taken.
        self.timed_socket = daemon.socket.with_name("timed")
        daemon.run("\n  else ".join(actions), inputs=daemon.unix_input(self.timed_socket)[:-1]
                   + ' IgnoreTimestamp="off")')

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run([sys.executable, str(REPO / "django/demo/manage.py"), *arguments],
                             env=self.env, text=True, capture_output=True, timeout=120)
        assert ran.returncode == 0 or arguments[0] == "tasklog_doctor", ran.stderr
        return ran

    def start(self, worker: str) -> subprocess.Popen[str]:
        code = INITIAL_PID_NAMESPACE + "import runpy, sys; sys.argv[1:] = [%r]\n" \
            "runpy.run_path(%r, run_name='__main__')" \
            % (worker, str(Path(__file__).with_name("thothai_workers.py")))
        return subprocess.Popen([sys.executable, "-c", code], env=self.env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, worker: str) -> tuple[int, str]:
        process = self.start(worker)
        _, stderr = process.communicate(timeout=60)
        return process.returncode, stderr

    def row(self, prefix: str) -> dict[str, Any]:
        names = [*(f"{prefix}_{field}" for field in FIELDS), "db_host"]
        values, = self.database.execute(
            "SELECT {} FROM {} WHERE name = ?".format(", ".join(names),
                                                      self.database.quoted(self.table)), "shop")
        return dict(zip((*FIELDS, "db_host"), values))

    def wait(self, prefix: str, last: str, seconds: float = 10.0) -> dict[str, Any]:
        """The row, once the last line of its log is as told."""
        def as_told() -> dict[str, Any] | None:
            row = self.row(prefix)
            line = (row["log"] or "").rpartition("\n")[2].partition("] ")[2]
            return row if re.fullmatch(last, line) and row["status"] != "RUNNING" else None

        try:
            return wait_until(as_told, f"{prefix}_log", seconds)  # type: ignore
        except Timeout as error:
            raise Timeout(f"{error}; it is {self.row(prefix)}\n{self.daemon.messages()}") from None


@pytest.fixture
def project(empty_database: Database, daemon: Tasklog) -> Iterator[Project]:
    project = Project(empty_database, daemon)
    yield project
    daemon.stop()


def texts(row: dict[str, Any]) -> list[str]:
    return [re.sub(r"^\[[^]]*\] ", "", line) for line in row["log"].split("\n")]


def test_the_workers_of_thothai(project: Project) -> None:
    assert project.run("all_three") == (0, "")
    tables = project.wait("table_comment", "Completed: 24 successful, 1 failed, Total time: .*")
    assert tables["status"] == "FAILED"
    assert len(stamps(tables["log"], [
        "Starting async table comment generation for DB 'shop' with 25 table(s)",
        "Processing chunk 1-10 of 25 tables", "Error in chunk 1-10: table_7:\n  permission denied",
        "Chunk 1-10 completed: 9 processed, 1 failed",
        "Processing chunk 11-20 of 25 tables", "Chunk 11-20 completed: 19 processed, 1 failed",
        "Processing chunk 21-25 of 25 tables", "Chunk 21-25 completed: 24 processed, 1 failed",
        texts(tables)[-1]])) == 9
    columns = project.wait("column_comment", "Completed: 3 successful, 0 failed, Total time: .*")
    assert columns["status"] == "COMPLETED"
    assert texts(columns)[:-1] == [f"✓ Successfully processed column: {name}"
                                   for name in ("id", "name", "e-mail")]
    # The line behind the end, too, is in the log, as ThothAI's plan had it.
    elements = project.wait("db_elements", "Successfully processed database 'shop'")
    assert elements["status"] == "COMPLETED"
    assert texts(elements)[:2] == ["Starting async database elements creation for DB 'shop'",
                                   "Step 1: Creating tables"]
    assert re.fullmatch(r"Completed: 33 lines, 1 warning, 1 error, Total time: \ds", texts(elements)[-2])
    for row in (tables, columns, elements):
        assert row["task_id"] and row["start_time"] and row["end_time"]
        assert row["start_time"] <= row["end_time"]
    assert not project.daemon.said("refused for good")


def test_a_form_of_the_admin_that_is_saved_meanwhile(project: Project) -> None:
    assert project.run("admin_saves") == (0, "")
    row = project.wait("table_comment", "Completed: 24 successful, 1 failed, Total time: .*")
    assert row["status"] == "FAILED" and row["db_host"] == "saved by the admin"
    assert len(texts(row)) == 10
    assert str(row["task_id"]).startswith("table_comments_db_")


def test_a_kill_of_the_process(project: Project) -> None:
    process = project.start("wait_for_kill")
    assert process.stdout and process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    row = project.wait("table_comment", "Failed: 501 lines.*|Failed: 500 lines.*")
    assert row["status"] == "FAILED" and row["end_time"]
    assert texts(row)[:500] == [f"line {number}" for number in range(1, 501)]
    assert re.search("died|has ended|gone", texts(row)[500])


def test_task_log(project: Project) -> None:
    assert project.run("with_task_log") == (0, "")
    row = project.wait("db_elements", r"Completed: 2 successful, 0 failed, tables: 12, Total time: \ds")
    assert row["status"] == "COMPLETED" and texts(row)[0] == "Step 1"
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{8}", row["task_id"])

    status, stderr = project.run("with_task_log_failing")
    assert status == 1 and "PermissionError: permission denied" in stderr
    row = project.wait("db_elements", r"Failed: 2 lines, 0 warnings, 1 error, Total time: \ds")
    assert row["status"] == "FAILED"
    assert texts(row)[:3] == ["Step 1", "PermissionError: permission denied",
                              "Traceback (most recent call last):"]


def test_a_run_that_is_linked_to_a_row(project: Project) -> None:
    project.env["TASKLOG_LINK_RUNS"] = "1"
    said = project.manage("tasklog_doctor", "--timeout=1").stderr
    assert 'IgnoreTimestamp="off"' in said
    project.env["TASKLOG_SOCKET"] = str(project.timed_socket)
    assert project.manage("tasklog_doctor").returncode == 0
    assert project.run("linked") == (0, "")
    table = project.database.quoted(project.table.replace("thoth_core_sqldb", "tasklog_taskrun"))

    def rows() -> list[tuple[Any, ...]]:
        return project.database.execute(f"SELECT status, object_id, lines, summary FROM {table}")

    wait_until(lambda: rows()[0][0] != "RUNNING", "the run ends")
    (*row, summary), = rows()
    assert row == ["COMPLETED", "1", 1]
    assert re.fullmatch(r"Completed: 1 line, 0 warnings, 0 errors, Total time: \ds", summary)


def test_the_doctor_with_a_run_of_its_own(project: Project) -> None:
    ran = project.manage("tasklog_doctor")
    assert ran.returncode == 0, ran.stderr
    table = project.database.quoted(project.table.replace("thoth_core_sqldb", "tasklog_taskrun"))
    assert project.database.execute(f"SELECT count(*) FROM {table}")[0][0] == 0
    said = project.manage("tasklog_doctor", "--kind=unrouted", "--timeout=1").stderr
    assert "Stopped before the row" in said and "its mode= is upsert" in said


CELERY_TASKS = """
import os, signal
from celery import Celery
from celery.utils.log import get_task_logger
from tasklog.celery import connect

folder = os.environ["FOLDER"]
app = Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": folder, "data_folder_out": folder,
                                    "polling_interval": 0.05}
connect()
log = get_task_logger("warehouse")

@app.task(name="import_orders", bind=True)
def import_orders(self, how):
    log.info("try %d", self.request.retries + 1)
    if how == "retry" and not self.request.retries:
        raise self.retry(countdown=0, exc=OSError("busy"))
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "fail":
        raise ValueError("not a CSV file")
"""


def test_a_worker_of_celery(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    """A real one, with processes that may die, and a folder for its broker."""
    (tmp_path / "orders.py").write_text(CELERY_TASKS)
    (tmp_path / "broker").mkdir()
    env = {**os.environ, "PYTHONPATH": f"{REPO}/django:{tmp_path}", "FOLDER": str(tmp_path / "broker"),
           "TASKLOG_SOCKET": str(daemon.socket)}
    hows = ("retry", "die", "fail", "work")
    sqlite.add(*hows)
    daemon.run(action(sqlite))
    for how in hows:
        subprocess.run([sys.executable, "-c", f"from orders import import_orders as task;"
                        f"task.apply_async([{how!r}], task_id={how!r})"], env=env, check=True)
    with open(tmp_path / "worker.log", "w") as output:
        worker = subprocess.Popen([sys.executable, "-m", "celery", "-A", "orders", "worker", "-c1", "-linfo",
                                   "--without-gossip", "--without-mingle", "--without-heartbeat"],
                                  env=env, stdout=output, stderr=output, cwd=tmp_path)
    try:
        sqlite.wait_ended(len(hows), 30)
    except Timeout as error:
        raise Timeout(f"{error}\n{(tmp_path / 'worker.log').read_text()}") from None
    finally:
        worker.terminate()
        worker.wait(20)
    rows = {how: (row.status, row.kind, re.sub(r"(?m)^\[[^]]*\] ", "", row.log or "").split("\n"))
            for how, row in sqlite.rows().items()}
    assert all(kind == "import_orders" for _, kind, _ in rows.values())
    assert rows["work"][0] == "COMPLETED" and rows["work"][2][:-1] == ["try 1"]
    status, _, texts = rows["retry"]
    assert status == "COMPLETED" and texts[0] == "try 1" and texts[-2] == "try 2"
    status, _, texts = rows["fail"]
    assert status == "FAILED" and texts[:2] == ["try 1", "ValueError: not a CSV file"]
    status, _, texts = rows["die"]
    assert status == "FAILED" and texts[0] == "try 1" and texts[1].startswith("WorkerLostError: ")


ROW = ("--row", "thoth_core.SqlDb:1")


def test_the_doctor_says_that_all_is_well_and_leaves_the_row_as_it_was(project: Project) -> None:
    before = project.row("table_comment")
    ran = project.manage("tasklog_doctor", *ROW, "--kind", "table_comments")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("ok  ") == 6 and "All is well" in ran.stdout
    assert project.row("table_comment") == before


def test_the_doctor_says_where_it_stopped(project: Project) -> None:
    def doctor(*arguments: str) -> str:
        ran = project.manage("tasklog_doctor", "--timeout=2", *ROW, *arguments)
        assert ran.returncode == 1, ran.stdout
        return ran.stderr

    before = project.row("table_comment")
    assert "needs the --kind" in doctor()
    assert "is not 1 to 48 of" in doctor("--kind=two words")
    assert "is no key of" in doctor("--row=thoth_core.SqlDb:abc", "--kind=table_comments")
    assert "no field 'task_id'" in doctor("--kind=unknown")
    said = doctor("--kind=unknown", "--id-field=table_comment_task_id")
    assert "Stopped before the row (2 s). rsyslogd has read" in said
    assert 'if $programname == "unknown"' in said and project.table.rpartition(".")[2] in said
    assert project.row("table_comment") == before
    os.kill(project.daemon.pid, signal.SIGSTOP)
    try:
        # What a stopped reader takes in is read later, and is nobody's then.
        assert "Stopped at the reader" in doctor("--kind=table_comments")
    finally:
        os.kill(project.daemon.pid, signal.SIGCONT)
    project.daemon.kill9()
    assert "Stopped at the socket" in doctor("--kind=table_comments")
    assert project.row("table_comment") == before
