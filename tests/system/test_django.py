# SPDX-License-Identifier: Apache-2.0
"""The table of the Django app with the shipped configuration."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from database import Database, Postgresql
from rsyslogd import DISTRIBUTION
from tasklog import MODULE, REPO, Tasklog

pytestmark = pytest.mark.xdist_group("programs")

SETTINGS = '''
INSTALLED_APPS = ["django.contrib.contenttypes", "tasklog"]
DATABASES = {"default": %r}
USE_TZ = True
'''
SHOW = '''
import django, json
django.setup()
from tasklog.models import TaskRun
from tasklog.reading import Log
print(json.dumps([[run.kind, run.task_id, run.status, run.complete, run.end_reason, run.processed, run.failed,
                   run.lines, run.warnings, run.errors, run.first_error, run.counters, run.summary, run.host != "",
                   run.end_time >= run.start_time, run.duration >= 0, run.updated_at >= run.end_time,
                   [line.partition("] ")[2] for line in Log(TaskRun.objects.filter(pk=run.pk)).last().lines]]
                  for run in TaskRun.objects.without_log().filter(end_time__isnull=False).order_by("id")]))
'''


class App:
    """A Django project that has nothing but the app."""

    def __init__(self, folder: Path, database: Database) -> None:
        if isinstance(database, Postgresql):
            settings = {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"],
                        "OPTIONS": {"options": "-c search_path=" + f'"{database.schema}"'.replace(" ", "\\ ")}}
        else:
            settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database.path)}  # type: ignore
        (folder / "project.py").write_text(SETTINGS % settings)
        self.environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "project",
                            "PYTHONPATH": f"{folder}:{REPO / 'django'}"}
        self.python("-m", "django", "migrate", "--verbosity=0")

    def python(self, *arguments: str) -> str:
        return subprocess.run([sys.executable, *arguments], env=self.environment, check=True, text=True,
                              stdout=subprocess.PIPE).stdout

    def ended(self) -> list:
        return json.loads(self.python("-c", SHOW))  # type: ignore


@pytest.fixture
def app(tmp_path: Path, empty_database: Database) -> App:
    return App(tmp_path, empty_database)


def shipped(daemon: Tasklog, database: Database) -> str:
    conf = (REPO / "conf" / "django.conf").read_text()
    schema = f"{database.schema}." if isinstance(database, Postgresql) else ""
    for theirs, ours in [("sqlite:/srv/app/db.sqlite3", database.url),
                         ('table="tasklog_taskrun"', f'table="{schema}tasklog_taskrun"'),
                         ("/run/tasklog/log", daemon.socket),
                         ('load="omtasklog"', f'load="{MODULE}"')]:
        assert theirs in conf
        conf = conf.replace(theirs, str(ours))
    return DISTRIBUTION + conf


def test_runs_become_rows(daemon: Tasklog, empty_database: Database, app: App) -> None:
    daemon.start(shipped(daemon, empty_database))
    for status in ("COMPLETED", "FAILED"):
        daemon.log("import[run-1]", "@task start total=3", "begun")
        daemon.log("import[run-1]", "it broke\nTraceback", severity="err")
        daemon.log("import[run-1]", f"@task end status={status} processed=2 failed=1 tables=12")
    daemon.log("other[run-1]", "not ours", "@task end")
    runs = daemon.wait(lambda: len(found := app.ended()) == 2 and found, "two runs", 20)
    assert not daemon.said("refused")
    for run, status in zip(runs, ("COMPLETED", "FAILED")):
        summary = run[12]
        assert re.fullmatch(r"Completed: 2 successful, 1 failed, tables: 12, Total time: \ds", summary)
        assert run == ["import", "run-1", status, True, "marker", 2, 1, 2, 0, 1, "it broke", {"tables": 12}, summary,
                       True, True, True, True, ["begun", "ERROR: it broke", "", summary]]


def test_a_running_task_has_a_row_that_is_its_own_at_the_end(
        daemon: Tasklog, empty_database: Database, app: App) -> None:
    daemon.start(shipped(daemon, empty_database))
    daemon.log("import[run-1]", "begun")
    table = empty_database.quoted("tasklog_taskrun" if not isinstance(empty_database, Postgresql)
                                  else f"{empty_database.schema}.tasklog_taskrun")
    count = f"SELECT count(*) FROM {table} WHERE status = ?"
    daemon.wait(lambda: empty_database.execute(count, "RUNNING") == [(1,)], "a running task's row", 15)
    daemon.log("import[run-1]", "@task end")
    daemon.wait(lambda: empty_database.execute(count, "COMPLETED") == [(1,)], "its end")
    assert empty_database.execute(count, "RUNNING") == [(0,)]


def test_the_section_for_the_journal_says_the_same() -> None:
    conf = (REPO / "conf" / "django.conf").read_text()
    action, _, section = conf.partition("#   [django]")
    parser = ConfigParser(interpolation=None)
    parser.read_string("[django]" + "\n".join(line[4:] for line in section.splitlines()))
    target = parser["django"]
    pairs = target["columns"].split() + target["key"].split()
    assert sorted(pairs) == sorted(re.findall(r'"([a-z_]+=[a-z_]+)"', action))
    for name in ("table", "mode", "showLevel", "liveBytes", "database"):
        assert f'{name}="{target[name]}"' in action
    for kind in target["kinds"].split():
        assert f'"{kind}"' in action
