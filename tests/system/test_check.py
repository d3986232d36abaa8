# SPDX-License-Identifier: Apache-2.0
"""tasklog check: says what would be written where, and each mistake in one line with what to do."""
from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Callable, Iterator

import pytest

from database import FIELDS, Database, Postgresql, Sqlite
from tasklog import BUILD, EVERY_COLUMN, REPO, action

COMMAND = BUILD / "tasklog"
SECRET = "s3cret"


def check(path: Path, *prefix: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*prefix, str(COMMAND), "check", str(path)], capture_output=True, text=True,
                          timeout=60)


def rsyslog_conf(path: Path, target: Database, /, **parameters: object) -> Path:
    parameters.setdefault("key", "task_id=task_id")
    path.write_text('global(workDirectory="/var/spool/rsyslog")\nmodule(load="omtasklog")\n'
                    'ruleset(name="tasks") {\n  if $programname == "kind" then\n'
                    f'    {action(target, **parameters)}\n}}\n')
    return path


def journald_conf(path: Path, target: Database, /, **parameters: object) -> Path:
    given: dict[str, object] = {"kinds": ["kind", "other"], "database": target.url,
                                "table": target.table, "columns": EVERY_COLUMN,
                                "key": "task_id=task_id", **parameters}
    path.write_text("; from the journal\n[journal]\nsince = now\n[task]\n" + "".join(
        f"{name} = {value if isinstance(value, str) else chr(10).join(map('  {}'.format, value)).strip()}\n"  # type: ignore
        for name, value in given.items()))
    return path


Write = Callable[..., Path]


@pytest.fixture(params=[rsyslog_conf, journald_conf], ids=["rsyslog", "journald"])
def write(request: pytest.FixtureRequest) -> Write:
    return request.param  # type: ignore


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "conf"  # the name tells nothing


def refused(path: Path, *named: str, prefix: tuple[str, ...] = ()) -> str:
    """There is one mistake, told in one line with all these."""
    checked = check(path, *prefix)
    assert checked.returncode == 1, checked.stdout
    said = checked.stderr.splitlines()
    assert len(said) == 1, checked.stderr
    assert said[0].startswith(f"tasklog: {path}:")
    for text in named:
        assert text in said[0]
    assert SECRET not in checked.stdout + checked.stderr
    return said[0]


# --- What is right --------------------------------------------------------------------------------

def test_a_right_file_is_explained(conf: Path, database: Database, write: Write) -> None:
    checked = check(write(conf, database))
    assert (checked.returncode, checked.stderr) == (0, "")
    lines = checked.stdout.splitlines()
    kind = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[database.kind]
    assert re.match(f"  database  {kind} database ", lines[1])
    assert f'  table     {database.table}, mode "update"' in lines
    assert "  key       task_id      -> task_id" in lines
    for field in FIELDS:
        assert re.search(rf"^  (key|columns)? +{field} +-> {field}$", checked.stdout, re.M), field
    assert lines[-2] == "  all right"
    if write is journald_conf:
        assert lines[0] == f'section "task" ({conf})'
        assert "  kinds     kind other" in lines
        assert "  spool     /var/lib/tasklog-journald/task" in lines
    else:
        assert lines[0] == f'action "task" ({conf}:5)'
        assert "  spool     /var/spool/rsyslog/tasklog/task" in lines
    assert os.environ.get("PGPASSWORD", SECRET) not in checked.stdout.replace(database.table, "")


def test_nothing_is_written(conf: Path, database: Database, write: Write) -> None:
    database.add("a", "b")
    before = database.rows()
    assert check(write(conf, database, mode="upsert")).returncode == 0
    assert database.rows() == before


def test_included_files_are_read(tmp_path: Path, sqlite: Sqlite) -> None:
    folder = tmp_path / "rsyslog.d"
    folder.mkdir()
    rsyslog_conf(folder / "10.conf", sqlite, name="one")
    rsyslog_conf(folder / "20.conf", sqlite, name="two", table="wrong")
    rsyslog_conf(folder / "30.txt", sqlite, name="three")
    (tmp_path / "loop.conf").write_text(f'$IncludeConfig {folder}/*.conf\n')
    (tmp_path / "main.conf").write_text(f'include(file="{tmp_path}/loop.conf")\n'
                                        'include(file="/nonexistent/*.conf")\n'
                                        'include(file="/nonexistent/x.conf" optional="on")\n')
    checked = check(tmp_path / "main.conf")
    assert re.findall('^action "(.*?)".*?/(.*?)[:/]', checked.stdout, re.M)
    assert re.findall('^action "(.*?)"', checked.stdout, re.M) == ["one", "two"]
    assert checked.returncode == 1
    assert len(checked.stderr.splitlines()) == 1
    assert f'{folder}/20.conf:5: action "two"' in checked.stderr


def made_database(folder: Path, conf_text: str) -> str:
    """An SQLite file with every table and column that the configuration names; in its place then."""
    path = folder / "db.sqlite3"
    database = Sqlite(folder)
    tables: dict[str, dict[str, str]] = {}
    blocks = re.split(r"action\(|^\[", conf_text, flags=re.M)
    for block in blocks:
        table = re.search(r'^\s*(?:type="omtasklog".*?)?table ?= ?"?([a-z_]+)', block, re.M | re.S)
        if not table:
            continue
        for field, column in re.findall(r"\b([a-z_]+)=([a-z_]+)\b", re.sub("#.*", "", block)):
            if field in FIELDS:
                tables.setdefault(table[1], {})[column] = FIELDS[field][0]
    assert tables
    for name, columns in tables.items():
        text = ", ".join(f'"{column}" {type_}' for column, type_ in columns.items())
        database.execute(f'CREATE TABLE "{name}" ("id" integer PRIMARY KEY, {text})')
    database.execute("PRAGMA user_version")
    database._connection.close()
    return str(path)


@pytest.mark.parametrize("shipped", sorted((REPO / "conf").glob("*.conf")), ids=lambda p: p.name)
def test_what_is_shipped_is_right(tmp_path: Path, conf: Path, shipped: Path) -> None:
    text = shipped.read_text()
    path = made_database(tmp_path, text)
    conf.write_text(re.sub(r"sqlite:/[a-z/_]+\.sqlite3", f"sqlite:{path}", text))
    checked = check(conf)
    assert checked.stderr == ""
    assert checked.returncode == 0
    wanted = len(re.findall(r'^[^#\n]*type="omtasklog"|^kinds', text, re.M))
    assert checked.stdout.count("  all right\n") == wanted > 0


# --- What is wrong --------------------------------------------------------------------------------

def test_an_unknown_option(conf: Path, database: Database, write: Write) -> None:
    refused(write(conf, database, idleTimout="5"), 'unknown parameter "idleTimout"',
            "there are: database table key", "idleTimeout")


def test_an_unknown_field(conf: Path, database: Database, write: Write) -> None:
    refused(write(conf, database, columns=["lgo=log"]), 'unknown field "lgo"', "fields are: task_id")


def test_an_unknown_table(conf: Path, database: Database, write: Write) -> None:
    table = database.table.replace("app_task", "app_tsak")
    refused(write(conf, database, table=table), f'has no table "{table}"',
            f'it has: "{database.table}"', 'create it, or correct parameter "table"')


def test_a_missing_column(conf: Path, database: Database, write: Write) -> None:
    refused(write(conf, database, columns=["log=log", "summary=sumary"]), 'has no column "sumary"',
            'it has: "summary"', 'add it, or correct parameter "columns"')


def test_a_missing_key(conf: Path, database: Database, write: Write) -> None:
    refused(write(conf, database, key="task_id=task"), 'has no column "task"',
            'add it, or correct parameter "key"')


def test_a_wrong_type(conf: Path, database: Database, write: Write) -> None:
    refused(write(conf, database, columns=["log=processed"]), 'column "processed"', "is of type",
            "cannot take text", "accepted are: text", "change its type, or name another column")


@pytest.fixture
def role(postgresql: Postgresql) -> Iterator[str]:
    role = f"role {postgresql.schema}"
    postgresql.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD '{SECRET}'")
    postgresql.execute(f'GRANT USAGE ON SCHEMA "{postgresql.schema}" TO "{role}"')
    yield role
    postgresql.execute(f'DROP OWNED BY "{role}"')
    postgresql.execute(f'DROP ROLE "{role}"')


def test_a_missing_privilege_and_the_statement_that_gives_it(
        conf: Path, postgresql: Postgresql, write: Write, role: str) -> None:
    postgresql.execute(f'GRANT SELECT ON {postgresql.sql_table} TO "{role}"')
    write(conf, postgresql, database=postgresql.url_with(user=role, password=SECRET))
    said = refused(conf, f'role "{role}" lacks the privilege to UPDATE column')
    grant = re.search("GRANT UPDATE ON .*;", said)
    assert grant
    postgresql.execute(grant[0])
    assert check(conf).returncode == 0


def test_a_wrong_password(conf: Path, postgresql: Postgresql, write: Write) -> None:
    refused(write(conf, postgresql, database=postgresql.url_with(password=SECRET)),
            f'cannot connect to PostgreSQL database "{postgresql.database}" on host "{postgresql.host}"',
            "password authentication failed", "correct the password")


def test_an_absent_role_and_database(conf: Path, postgresql: Postgresql, write: Write) -> None:
    refused(write(conf, postgresql, database=postgresql.url_with(database="nothing")),
            'database "nothing" does not exist; create it, or correct parameter "database"')


def test_a_malformed_connection_string(conf: Path, postgresql: Postgresql, write: Write) -> None:
    refused(write(conf, postgresql, database=f"host=localhost pasword={SECRET}"), '"pasword"')


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_an_sqlite_file_that_this_user_cannot_use(
        conf: Path, sqlite: Sqlite, write: Write, mode: int) -> None:
    sqlite.path.chmod(mode)
    # Root may do anything, unless it gives that up.
    prefix = () if os.geteuid() else (
        "setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
    refused(write(conf, sqlite), f'"{sqlite.path}" cannot be written by user', "Permission denied",
            f"mode {mode:04o}", "let that user or its group write it", prefix=prefix)


def test_an_sqlite_file_that_is_not_there(conf: Path, sqlite: Sqlite, write: Write) -> None:
    absent = sqlite.path.with_name("absent.sqlite3")
    refused(write(conf, sqlite, database=f"sqlite:{absent}"), f'"{absent}" does not exist',
            'correct parameter "database"')
    assert not absent.exists()


def test_a_file_that_is_no_database(conf: Path, sqlite: Sqlite, write: Write) -> None:
    other = sqlite.path.with_name("other.sqlite3")
    other.write_text("text, and a good deal of it: " * 100)
    refused(write(conf, sqlite, database=f"sqlite:{other}"), f'"{other}"', "not a database",
            'correct parameter "database"')


def test_all_mistakes_of_an_action_are_told(conf: Path, sqlite: Sqlite) -> None:
    checked = check(rsyslog_conf(conf, sqlite, mode="x", level="y", columns=["lgo=log"]))
    said = checked.stderr.splitlines()
    assert checked.returncode == 1
    assert [re.search('parameter "(.*?)"', line)[1] for line in said] == [  # type: ignore
        "columns", "mode", "level"]
    assert all(line.startswith(f'tasklog: {conf}:5: action "task": ') for line in said)


def test_two_actions_cannot_share_a_spool(conf: Path, sqlite: Sqlite) -> None:
    conf.write_text(f"{action(sqlite)}\n{action(sqlite)}\n")
    refused(conf, ':2: action "task": another action has this name')


def test_a_file_without_targets(conf: Path) -> None:
    conf.write_text('*.* action(type="omfile" file="/var/log/x")\n# action(type="omtasklog")\n')
    refused(conf, "there is no action")


def test_a_statement_without_an_end(conf: Path) -> None:
    conf.write_text('\naction(type="omtasklog"\n')
    refused(conf, ":3: ", '")" is missing')


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    checked = check(tmp_path / "absent")
    assert checked.returncode == 1
    assert checked.stderr == f"tasklog: {tmp_path}/absent cannot be read: No such file or directory\n"
