# SPDX-License-Identifier: Apache-2.0
"""What the parameters of an action do."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from database import Database, Postgresql, Sqlite, has_ended
from rsyslogd import DISTRIBUTION, SEVERITIES, send_tcp, wait_for_port
from tasklog import EVERY_COLUMN, MODULE, REPO, Tasklog, action, check_cut_log, check_log, \
    counts_summary, stamps, tcp_input

# --- Tables, rows and columns ---------------------------------------------------------------------

# kind, table, key, log, prefix of the other columns: conf/thothai.conf
THOTHAI = [
    ("table_comments", "sqldb", "table_comment_task_id", "table_comment_log", "table_comment"),
    ("column_comments", "sqldb", "column_comment_task_id", "column_comment_log", "column_comment"),
    ("db_elements", "sqldb", "db_elements_task_id", None, "db_elements"),
    ("preprocessing", "workspace", "task_id", "last_preprocess_log", "preprocessing"),
    ("workspace_table_comments", "workspace", "table_comment_task_id", "table_comment_log",
     "table_comment"),
    ("workspace_column_comments", "workspace", "column_comment_task_id", "column_comment_log",
     "column_comment"),
]


def test_thothai_with_the_shipped_configuration(daemon: Tasklog, empty_database: Database) -> None:
    """Six kinds of task, on two rows of two tables."""
    database = empty_database
    schema = f"{database.schema}." if isinstance(database, Postgresql) else ""
    time_type = "timestamp with time zone" if schema else "datetime"
    for table in ("sqldb", "workspace"):
        columns = ['"name" varchar(255) NOT NULL']
        for _, of_table, key, log, prefix in THOTHAI:
            if of_table == table:
                columns += [f'"{key}" varchar(255) NULL', f'"{prefix}_status" varchar(20) NOT NULL',
                            f'"{prefix}_start_time" {time_type} NULL',
                            f'"{prefix}_end_time" {time_type} NULL']
                columns += [f'"{log}" text NULL'] if log else []
        name = database.quoted(f"{schema}thoth_core_{table}")
        database.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
        database.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})",
                         *("IDLE" if "_status" in c else table if '"name"' in c else None
                           for c in columns))
    for kind, table, key, _, _ in THOTHAI:
        database.execute(f'UPDATE {database.quoted(f"{schema}thoth_core_{table}")}'
                         f' SET "{key}" = ?', f"{kind} 1")

    conf = (REPO / "conf" / "thothai.conf").read_text()
    for theirs, ours in [("sqlite:/app/backend_db/db.sqlite3", database.url),
                         ("thoth_core_", f"{schema}thoth_core_"),
                         ("/run/tasklog/log", daemon.socket),
                         ('load="omtasklog"', f'load="{MODULE}"')]:
        assert theirs in conf
        conf = conf.replace(theirs, str(ours))
    daemon.start(DISTRIBUTION + conf)
    for kind, *_ in THOTHAI:
        daemon.log(f"{kind}[{kind} 1]", f"text of {kind}")
    for kind, *_ in THOTHAI:
        daemon.log(f"{kind}[{kind} 1]", "@task end processed=2 failed=0")

    for kind, table, key, log, prefix in THOTHAI:
        names = [f"{prefix}_status", f"{prefix}_start_time", f"{prefix}_end_time", log or "name"]
        sql = (f"SELECT {', '.join(names)} FROM {database.quoted(f'{schema}thoth_core_{table}')}"
               f' WHERE "{key}" = ? AND "{prefix}_status" = ?')
        found = daemon.wait(lambda: database.execute(sql, f"{kind} 1", "COMPLETED"),
                            f"row of {kind}")
        (_, start, end, text), = found
        assert start <= end
        if log:
            summary = re.search(r"Completed: 2 successful, 0 failed, Total time: \ds$", text)
            assert summary, text
            stamps(text, [f"text of {kind}", summary[0]])


def test_upsert_inserts_what_is_missing_and_updates_the_rest(
        daemon: Tasklog, database: Database) -> None:
    database.create_index("task_id")
    database.add("old")
    daemon.run(action(database, mode="upsert", liveInterval=1))
    for task_id in ("old", "new", "again", "again"):
        daemon.log(f"kind[{task_id}]", "@task start total=1", f"text of {task_id}", "@task end")
    daemon.log("kind[running]", "text of running")
    for task_id in ("old", "new", "again"):
        check_log(database.wait(task_id), [f"text of {task_id}"])
    daemon.wait(lambda: "running" in database.rows(), "row of a running task")
    daemon.log("kind[running]", "@task end")
    check_log(database.wait("running"), ["text of running"])
    assert len(database.rows()) == 4
    assert not daemon.said("refused")


@pytest.mark.parametrize("mode", ["update", "upsert"])
def test_a_key_of_two_columns(daemon: Tasklog, database: Database, mode: str) -> None:
    database.create_index("task_id", "kind")
    if mode == "update":
        database.add("1", kind="a")
        database.add("1", kind="b")
    daemon.run(action(database, mode=mode, key=["task_id=task_id", "kind=kind"],
                      columns=[column for column in EVERY_COLUMN if column != "kind=kind"]))
    for kind in ("a", "b"):
        daemon.log(f"{kind}[1]", f"text of {kind}", "@task end")
    sql = (f'SELECT "kind", "log", "summary" FROM {database.sql_table}'
           ' WHERE "status" = ? ORDER BY "kind"')
    daemon.wait(lambda: len(database.execute(sql, "COMPLETED")) == 2, "two rows")
    found = database.execute(sql, "COMPLETED")
    for (kind, log, summary), expected in zip(found, ("a", "b")):
        assert kind == expected
        stamps(log, [f"text of {kind}", summary])


def test_two_actions_take_the_same_lines(daemon: Tasklog, database: Database) -> None:
    other = database.table + "_2"
    database.create(table=other)
    database.add("1")
    database.execute(f"INSERT INTO {database.quoted(other)} SELECT * FROM"
                     f" {database.sql_table}")
    daemon.run(action(database, name="first"),
               action(database, name="second", table=other, showLevel="on", level="err"))
    daemon.log("kind[1]", "info")
    daemon.log("kind[1]", "error", severity="err")
    daemon.log("kind[1]", "@task end")
    check_log(database.wait("1"), ["info", "error"])
    daemon.wait(lambda: has_ended(database.rows(other)["1"]), "row of the second table")
    check_log(database.rows(other)["1"], ["ERROR: error"])
    daemon.wait_counters(3, "first", lines=2, control=1)
    daemon.wait_counters(3, "second", lines=1, lines_below_level=1, control=1)


def test_names_that_need_quoting(daemon: Tasklog, empty_database: Database) -> None:
    database = empty_database
    schema = f"{database.schema}." if isinstance(database, Postgresql) else ""
    table, column = "Order; \u00fc'", 'select "x" '
    sql_column = '"' + column.replace('"', '""') + '"'
    sql_table = database.quoted(schema + table)
    database.execute(f'CREATE TABLE {sql_table} ("Key" text, {sql_column} text, "status" text)')
    database.execute(f'INSERT INTO {sql_table} ("Key") VALUES (?)', "'; DROP TABLE x; --")
    daemon.run(action(database, table=schema + table, key="task_id=Key",
                      columns=[f"log={column}", "status=status"]))
    daemon.log("kind['; DROP TABLE x; --]", "'); DELETE FROM x; --", "@task end", "late")
    sql = f"SELECT {sql_column} FROM {sql_table} WHERE {sql_column} LIKE ?"
    (log,), = daemon.wait(lambda: database.execute(sql, "%late"), "late line")
    stamps(log, ["'); DELETE FROM x; --", "Completed: 1 line, 0 warnings, 0 errors, Total time: 0s",
                 "late"])


def test_a_row_is_written_in_one_statement(daemon: Tasklog, empty_database: Database) -> None:
    """Whoever sees that a task has completed sees all of it: a trigger counts the statements."""
    database = empty_database
    database.create()
    database.add("1")
    journal = database.table + "_journal"
    database.execute(f"CREATE TABLE {database.quoted(journal)}"
                     ' ("status" text, "log" text, "lines" text)')
    insert = f"INSERT INTO {database.quoted(journal)} VALUES (NEW.status, NEW.log, NEW.lines)"
    if isinstance(database, Sqlite):
        database.execute(f"CREATE TRIGGER note AFTER UPDATE ON app_task BEGIN {insert}; END")
    else:
        function = database.quoted(database.table + "_note")
        database.execute(f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$"
                         f"BEGIN {insert}; RETURN NEW; END $$")
        database.execute(f"CREATE TRIGGER note AFTER UPDATE ON {database.sql_table}"
                         f" FOR EACH ROW EXECUTE FUNCTION {function}()")
    daemon.run(action(database, liveInterval=0))
    daemon.log("kind[1]", *["text"] * 100, "@task end")
    row = database.wait("1")
    (status, log, lines), = database.execute(f"SELECT * FROM {database.quoted(journal)}")
    assert (status, log, lines) == ("COMPLETED", row.log, "100")


# --- Lines ----------------------------------------------------------------------------------------

def test_show_level(daemon: Tasklog, sqlite: Sqlite) -> None:
    sqlite.add("1")
    daemon.run(action(sqlite, showLevel="on", level="debug"))
    for severity in SEVERITIES:
        daemon.log("kind[1]", severity, severity=severity)
    daemon.log("kind[1]", "@task end")
    row = sqlite.wait("1")
    check_log(row, ["EMERGENCY: emerg", "ALERT: alert", "CRITICAL: crit", "ERROR: err",
                    "WARNING: warning", "notice", "info", "debug"])
    assert (row.errors, row.warnings, row.first_error) == (4, 1, "emerg")
    assert row.summary == counts_summary(row, "8 lines, 1 warning, 4 errors")


@pytest.mark.parametrize("level", SEVERITIES)
def test_level(daemon: Tasklog, sqlite: Sqlite, level: str) -> None:
    sqlite.add("1")
    daemon.run(action(sqlite, level=level))
    for severity in SEVERITIES:
        daemon.log("kind[1]", severity, severity=severity)
    daemon.log("kind[1]", "@task end", severity="debug")
    check_log(sqlite.wait("1"), list(SEVERITIES[:SEVERITIES.index(level) + 1]))


def test_another_marker(daemon: Tasklog, sqlite: Sqlite) -> None:
    sqlite.add("1")
    daemon.run(action(sqlite, marker="#\u00a7"))
    daemon.log("kind[1]", "@task end", "#\u00a7 progress processed=7", "#\u00a7end", "#\u00a7 end")
    row = sqlite.wait("1")
    check_log(row, ["@task end", "#\u00a7end"])
    assert row.processed == 7


def test_templates_of_ones_own(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    """A line as one likes it; kind and task id from the structured data."""
    sqlite.add("run 42")
    daemon.run(
        'action(type="mmpstrucdata")',
        action(sqlite, template="line", kindTemplate="kind", taskTemplate="id", showLevel="on"),
        inputs=tcp_input("imtcp", tmp_path / "port"),
        settings='template(name="line" type="string" string="%hostname% %procid% <%msg%>\\n")\n'
                 'module(load="mmpstrucdata")\n'
                 'template(name="kind" type="string" string="%$!rfc5424-sd!task@1!kind%")\n'
                 'template(name="id" type="string" string="%$!rfc5424-sd!task@1!id%")')
    form = '<{}>1 2026-11-24T10:31:07Z host app 77 - [task@1 kind="import" id="{}"] {}'
    send_tcp(wait_for_port(tmp_path / "port"), [
        form.format(*parts).encode() for parts in [
            (11, "run 42", "a\nb #012"), (14, "run 42", "\u00fc"), (14, "", "no id"),
            (14, "run 42", "@task end")]])
    row = sqlite.wait("run 42")
    assert row.log == ("ERROR: host 77 <a\nb \n>\nhost 77 <\u00fc>\n"
                       f"[2026-11-24 10:31:07] {row.summary}")
    assert row.kind == "import"
    daemon.wait_counters(4, lines=2, lines_not_task=1, control=1)
    assert "taskTemplate" in daemon.wait_said("is not a task's line")


def test_a_task_id_from_elsewhere_needs_no_brackets(daemon: Tasklog, sqlite: Sqlite) -> None:
    sqlite.add("job of me")
    daemon.run(action(sqlite, taskTemplate="id"),
               settings='template(name="id" type="string" string="job of %programname%")')
    daemon.log("me", "text", "@task end")
    row = sqlite.wait("job of me")
    check_log(row, ["text"])
    assert row.kind == "me"


def test_a_long_log_keeps_head_and_tail(daemon: Tasklog, database: Database) -> None:
    texts = [f"{number:05} \u00fc " + "x" * 90 for number in range(2000)]
    database.add("1")
    daemon.run(action(database, taskMaxBytes="20k", liveInterval=0))
    daemon.log("kind[1]", *texts, "@task end")
    row = database.wait("1")
    assert (row.status, row.complete, row.lines) == ("COMPLETED", False, 2000)
    assert row.log and 15_000 < len(row.log.encode()) < 22_000
    missing = check_cut_log(row, texts)
    daemon.wait_counters(2001, lines=2000, lines_missing=missing)
