# SPDX-License-Identifier: Apache-2.0
"""Mistakes in the configuration: found by `rsyslogd -N1`, or at the start when only the database
knows. Each gives one error that names it; lines wait until it is mended."""
from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Callable, Iterator, Mapping

import pytest

from database import FIELDS, Database, Postgresql, Sqlite
from rsyslogd import DISTRIBUTION, RSYSLOGD, wait_until
from tasklog import MODULE, REPO, Tasklog, action, check_log

SECONDS = "a whole number of seconds"
SIZE = "a size"
KEY_FIELDS = "fields are: task_id kind host start_time"
ALL_FIELDS = "fields are: " + " ".join(FIELDS)

# Parameters, and what the error has to name.
WRONG: list[tuple[Mapping[str, object], str]] = [
    ({"idleTimout": "5"}, "idleTimout"),
    ({"database": None}, 'parameter "database" is required'),
    ({"table": None}, 'parameter "table" is required'),
    ({"columns": None}, 'parameter "columns" is required'),
    ({"database": ""}, 'parameter "database"'),
    ({"database": "sqlite:db.sqlite3"}, 'database "sqlite:db.sqlite3"'),
    ({"database": "postgres//localhost"}, "database's connection string"),
    ({"database": "postgresql://me:SECRET@localhost/db?sslmoed=off"}, '"sslmoed"'),
    ({"database": "host=localhost pasword=SECRET"}, '"pasword"'),
    ({"database": "host=localhost SECRET"}, "database's connection string"),
    ({"table": ""}, 'parameter "table"'),
    ({"table": "other.app_task"}, 'table "other.app_task"'),
    ({"table": "app_task."}, 'table "app_task."'),
    ({"columns": ["log=log", "stauts=status"]}, 'parameter "columns": unknown field "stauts"'),
    ({"columns": ["stauts=status"]}, ALL_FIELDS),
    ({"columns": ["log"]}, 'parameter "columns": "log" is not "field=column"'),
    ({"columns": ["log="]}, 'parameter "columns": "log=" is not "field=column"'),
    ({"columns": ["=log"]}, 'parameter "columns": unknown field ""'),
    ({"columns": ["log=text", "summary=text"]}, 'column "text" is named twice'),
    ({"columns": ["log=text"], "key": "task_id=text"}, 'column "text" is named twice'),
    ({"columns": ["log=text", "log=text"]}, 'column "text" is named twice'),
    ({"key": "id=id"}, 'parameter "key": unknown field "id"'),
    ({"key": ["task_id=a", "kind=a"]}, 'parameter "key": column "a" is named twice'),
    ({"key": "log=log"}, KEY_FIELDS),
    ({"key": "task_id"}, 'parameter "key": "task_id" is not "field=column"'),
    ({"mode": "insert"}, 'parameter "mode": "insert" is not "update" or "upsert"'),
    ({"level": "loud"}, 'parameter "level": "loud" is not one of emerg alert crit err warning'
                        ' notice info debug'),
    ({"marker": "two words"}, 'parameter "marker": "two words" is not a word'),
    ({"marker": ""}, 'parameter "marker"'),
    ({"showLevel": "yes"}, 'parameter "showLevel": "yes" is not "on" or "off"'),
    ({"spoolSync": "yes"}, 'parameter "spoolSync": "yes" is not "on" or "off"'),
    ({"trustedUids": ["1000", "no-such-user"]},
     'parameter "trustedUids": "no-such-user" is not the number or the name of a user of this machine'),
    *[({name: "2k"}, f'parameter "{name}": "2k" is not a whole number up to 1000000000')
      for name in ("senderMaxTasks", "senderMaxRate")],
    ({"spool": "tasks"}, 'parameter "spool": "tasks" is not "off" or an absolute path'),
    ({"spool": ""}, 'parameter "spool": "" is not "off" or an absolute path'),
    *[({name: "absent"}, f'parameter "{name}": no template "absent"')
      for name in ("template", "taskTemplate", "kindTemplate")],
    *[({name: value}, f'parameter "{name}": "{value}" is not {SECONDS}')
      for name in ("idleTimeout", "maxRuntime", "lateWindow", "liveInterval")
      for value in ("2h", "-1", "")],
    *[({name: value}, f'parameter "{name}": "{value}" is not {SIZE}')
      for name in ("liveBytes", "taskMaxBytes", "memoryBudget")
      for value in ("64x", "5", "-1", "99999999999999999999")],
]


@pytest.mark.parametrize("parameters, named", WRONG,
                         ids=[" ".join(f"{k}={v}" for k, v in wrong.items()) for wrong, _ in WRONG])
def test_a_static_mistake_is_one_error_of_the_check(
        daemon: Tasklog, sqlite: Sqlite, parameters: Mapping[str, object], named: str) -> None:
    checked = daemon.check(daemon.conf(action(sqlite, **parameters)))
    assert checked.returncode == 1
    # rsyslogd closes each with a line of its own that says no more than the file and the line.
    said = [line for line in checked.stderr.splitlines()
            if "config validation run" not in line and "errors occurred in file" not in line]
    assert len(said) == 1, checked.stderr
    assert named in said[0]
    assert "SECRET" not in checked.stderr


def test_several_static_mistakes_are_all_named(daemon: Tasklog, sqlite: Sqlite) -> None:
    checked = daemon.check(daemon.conf(
        action(sqlite, name="first", mode="x", liveBytes="y", columns=["lgo=log", "sum=summary"]),
        action(sqlite, name="second", level="z")))
    assert checked.returncode == 1
    for name, wrong in [("first", '"mode"'), ("first", '"liveBytes"'), ("first", '"lgo"'),
                        ("first", '"sum"'), ("second", '"level"')]:
        assert re.search(f'action "{name}": parameter .*{wrong}', checked.stderr), wrong


def test_two_actions_of_one_spool(daemon: Tasklog, sqlite: Sqlite) -> None:
    checked = daemon.check(daemon.conf(
        action(sqlite, name="first", spool="/srv/spool"), action(sqlite, name="second", spool="off"),
        action(sqlite, name="third", spool="/srv/spool"), action(sqlite, name="fourth", spool="off")))
    assert checked.returncode == 1
    assert 'action "third": parameter "spool": "/srv/spool" is action "first"\'s, too' in checked.stderr
    assert checked.stderr.count("each action needs a folder of its own") == 1


def test_no_place_for_the_spool(sqlite: Sqlite, tmp_path: Path) -> None:
    conf = tmp_path / "rsyslog.conf"
    conf.write_text(f'module(load="{MODULE}")\n{action(sqlite)}\n')
    checked = subprocess.run([RSYSLOGD, "-N1", "-f", conf], stderr=subprocess.PIPE,
                             text=True)
    assert checked.returncode == 1
    assert 'parameter "spool" is not set and neither is global(workDirectory' in checked.stderr


def test_what_is_right_passes_the_check(daemon: Tasklog, database: Database) -> None:
    checked = daemon.check(daemon.conf(
        action(database, key=["task_id=task_id", "kind=kind"], columns=["log=log"], mode="UPSERT",
               level="Warning", marker="#end", template="line", taskTemplate="line", showlevel="ON",
               kindTemplate="line", idleTimeout=0, maxRuntime=1, lateWindow=0, liveInterval=0,
               liveBytes="1k", taskMaxBytes="2g", memoryBudget="1G", spool="OFF", spoolSync="on",
               trustedUids=["0", "nobody"], senderMaxTasks=0, senderMaxRate=1000),
        settings='template(name="line" type="string" string="%msg%")'))
    assert checked.returncode == 0, checked.stderr


# --- What the check must not do -------------------------------------------------------------------

SHIPPED = sorted(path for path in (REPO / "conf").glob("*.conf") if path.name != "journald.conf")


def configurations() -> Iterator[tuple[str, Callable[[Tasklog, Database], str]]]:
    yield "right", lambda daemon, database: daemon.conf(action(database))
    yield "wrong", lambda daemon, database: daemon.conf(action(database, mode="x"))
    for path in SHIPPED:
        yield path.name, lambda *_, path=path: DISTRIBUTION + path.read_text()


@pytest.mark.parametrize("make", [make for _, make in configurations()],
                         ids=[name for name, _ in configurations()])
def test_the_check_makes_no_file_thread_or_connection(
        tmp_path: Path, database: Database, make: Callable[[Tasklog, Database], str]) -> None:
    before = {path: content(path) for path in tmp_path.iterdir()}
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-o", str(trace), "-e", "%process,%network,%file,ftruncate,fallocate"]
    with Tasklog(tmp_path / "rsyslogd", prefix=strace) as daemon:
        daemon.check(make(daemon, database))
    harmless = re.compile(
        r"(execve|exit_group|arch_prctl|set_tid_address|access|readlink|newfstatat|stat|lstat|statx"
        r"|getcwd|wait4)\(|(openat|open)\(.*O_RDONLY|\+\+\+ exited|--- SIG"
        # Newer ones ask for a name of omfile's owner.
        r'|socket\(AF_UNIX, SOCK_STREAM|connect\(\d+, \{sa_family=AF_UNIX, sun_path="/var/run/nscd/')
    calls = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    assert len(calls) > 20
    assert [call for call in calls if not harmless.match(call)] == []
    assert not any("db.sqlite3" in call for call in calls)
    shutil.rmtree(tmp_path / "rsyslogd")
    trace.unlink()
    assert {path: content(path) for path in tmp_path.iterdir()} == before


def content(path: Path) -> tuple[object, ...]:
    is_ = path.stat()
    return is_.st_ino, is_.st_mtime_ns, is_.st_ctime_ns, path.read_bytes()


# --- What only the database knows -----------------------------------------------------------------

def errors(daemon: Tasklog) -> list[str]:
    """What the module complains of in its log; errors go to stderr, too, at the end only there."""
    lines = [line.partition("omtasklog: ") for line in daemon.messages().splitlines()]
    logged = [text for source, sign, text in lines if sign and not source.startswith("rsyslogd:")]
    return logged + [text for _, sign, text in lines if sign and text not in logged]


def check_one_error(daemon: Tasklog, *named: str) -> None:
    """The module says one thing, which names this, and nothing else until the stop."""
    daemon.wait_said(named[0])
    for number in range(3):
        daemon.log(f"kind[{number}]", "text", "@task end")
    daemon.stop()
    at_stop = [error for error in errors(daemon) if "stopped with 3 results" in error]
    said = [error for error in errors(daemon) if error not in at_stop]
    assert (len(said), len(at_stop)) == (1, 1), said
    for name in named:
        assert name in said[0]


def test_an_unknown_table(daemon: Tasklog, database: Database) -> None:
    table = database.table.replace("app_task", "app_tsak")
    daemon.run(action(database, table=table))
    check_one_error(daemon, f'has no table "{table}"', f'it has: "{database.table}"')


def test_unknown_columns(daemon: Tasklog, database: Database) -> None:
    daemon.run(action(database, columns=["log=log", "summary=sumary"]))
    check_one_error(daemon, 'has no column "sumary"', 'it has: "summary"')


def test_an_unknown_key(daemon: Tasklog, database: Database) -> None:
    daemon.run(action(database, key="task_id=task"))
    check_one_error(daemon, 'has no column "task"', 'it has: "task_id"')


def test_a_column_of_the_wrong_type(daemon: Tasklog, database: Database) -> None:
    daemon.run(action(database, columns=["log=processed"]))
    check_one_error(daemon, 'column "processed"', "which cannot take text")


def test_an_upsert_that_would_lack_a_column(daemon: Tasklog, database: Database) -> None:
    daemon.run(action(database, columns=["log=log"], mode="upsert"))
    check_one_error(daemon, 'column "kind"', 'mode "upsert"')


def test_postgresql_that_does_not_let_us_in(daemon: Tasklog, postgresql: Postgresql) -> None:
    daemon.run(
        action(postgresql, name="password", database=postgresql.url_with(password="SECRET")),
        action(postgresql, name="user", database=postgresql.url_with(user="nobody2")),
        action(postgresql, name="base", database=postgresql.url_with(database="nothing")))
    daemon.wait_said(f'action "password": cannot connect to PostgreSQL database'
                     f' "{postgresql.database}" on host "{postgresql.host}" as user "{postgresql.user}": password')
    daemon.wait_said('action "user"')
    daemon.wait_said('action "base"')
    said = {re.findall('action "(.*?)"', line)[0]: line for line in errors(daemon)}
    assert len(errors(daemon)) == 3
    assert 'as user "nobody2"' in said["user"]
    assert 'database "nothing"' in said["base"]
    assert "SECRET" not in daemon.messages()


def test_a_role_without_privileges(daemon: Tasklog, postgresql: Postgresql) -> None:
    role = f"role {postgresql.schema}"
    postgresql.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'x'")
    try:
        postgresql.execute(f'GRANT USAGE ON SCHEMA "{postgresql.schema}" TO "{role}"')
        postgresql.execute(f'GRANT SELECT, UPDATE ("log") ON {postgresql.sql_table}'
                           f' TO "{role}"')
        daemon.run(action(postgresql, database=postgresql.url_with(user=role, password="x"),
                          columns=["log=log", "status=status"]))
        check_one_error(daemon, f'role "{role}"', 'UPDATE column "status"')
    finally:
        daemon.stop()
        postgresql.execute(f'DROP OWNED BY "{role}"')
        postgresql.execute(f'DROP ROLE "{role}"')


def test_an_unreachable_host(daemon: Tasklog, postgresql: Postgresql) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens
        port = str(closed.getsockname()[1])
        daemon.run(action(postgresql, database=postgresql.url_with(host="127.0.0.1", port=port)))
        daemon.wait_said('on host "127.0.0.1"')
        # It is said once, however often it is tried.
        wait_until(lambda: daemon.counters().get("database.retries", 0) >= 3, "retries")
        check_one_error(daemon, 'on host "127.0.0.1"', "Connection refused")


def test_an_sqlite_file_that_is_not_there(daemon: Tasklog, sqlite: Sqlite) -> None:
    absent = sqlite.path.with_name("absent.sqlite3")
    daemon.run(action(sqlite, database=f"sqlite:{absent}"))
    check_one_error(daemon, f'"{absent}" does not exist')
    assert not absent.exists()


def test_a_file_that_is_no_database(daemon: Tasklog, sqlite: Sqlite) -> None:
    other = sqlite.path.with_name("other.sqlite3")
    other.write_text("text, and a good deal of it: " * 100)
    daemon.run(action(sqlite, database=f"sqlite:{other}"))
    check_one_error(daemon, f'"{other}"', "not a database")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_an_sqlite_file_that_cannot_be_written(tmp_path: Path, sqlite: Sqlite, what: str) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    path = folder / "db.sqlite3"
    sqlite.backup(path)
    path.chmod(0o444 if what == "file" else 0o644)
    folder.chmod(0o755 if what == "file" else 0o555)
    # Root may write anything, unless it gives that up.
    prefix = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override", "--"]
    with Tasklog(tmp_path / "rsyslogd", prefix=prefix) as daemon:
        daemon.run(action(sqlite, database=f"sqlite:{path}"))
        check_one_error(daemon, *{
            "file": (f'"{path}" cannot be written by user', "Permission denied", "mode 0444"),
            "folder": (f'folder "{folder}/" cannot be written by user', "Permission denied",
                       "mode 0555")}[what])
    folder.chmod(0o755)


def test_what_waits_is_written_when_the_table_is_mended(
        daemon: Tasklog, sqlite: Sqlite, postgresql: Postgresql) -> None:
    """The target is looked at again every 30 seconds."""
    databases: dict[str, Database] = {"SQLite": sqlite, "PostgreSQL": postgresql}
    for database in databases.values():
        database.execute(f'ALTER TABLE {database.sql_table} RENAME COLUMN "summary" TO "x"')
        database.execute(f'ALTER TABLE {database.sql_table} DROP COLUMN "counters"')
    daemon.run(*(action(database, name=name) for name, database in databases.items()))
    for name in databases:
        daemon.wait_said(f'action "{name}": table')
    for number in range(100):
        daemon.log(f"kind[{number}]", "text", "@task end")
    for database in databases.values():
        database.execute(f'ALTER TABLE {database.sql_table} RENAME COLUMN "x" TO "summary"')
        database.add_column("counters")
        database.add(*map(str, range(100)))
    for name, database in databases.items():
        database.wait_ended(100, seconds=45)
        for row in database.rows().values():
            check_log(row, ["text"])
        daemon.wait_said(f'action "{name}": {name} database')
