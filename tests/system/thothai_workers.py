# SPDX-License-Identifier: Apache-2.0
"""ThothAI's workers as test_django_client.py runs them: what they store and log, in the same order,
with the functions of tasklog.compat. `python3 thothai_workers.py WORKER` in the demo's project."""
from __future__ import annotations

import sys
import threading
import time

import django

django.setup()

from django.utils import timezone  # noqa: E402
from thoth_core.models import SqlDb  # noqa: E402

from tasklog.client import task_log  # noqa: E402
from tasklog.compat import create_db_comment_logger, update_sqldb_log  # noqa: E402

TABLES = [f"table_{number}" for number in range(25)]


def begin(prefix: str, kind: str) -> SqlDb:
    sql_db = SqlDb.objects.get(name="shop")
    now = timezone.now()
    fields = {"status": "RUNNING", "task_id": f"{kind}_db_{sql_db.id}_{now.timestamp()}",
              "start_time": now, "end_time": None, "log": ""}
    for name, value in fields.items():
        setattr(sql_db, f"{prefix}_{name}", value)
    sql_db.save(update_fields=[f"{prefix}_{name}" for name in fields])
    return sql_db


def finish(sql_db: SqlDb, prefix: str, status: str, memory: object) -> None:
    setattr(sql_db, f"{prefix}_end_time", timezone.now())
    setattr(sql_db, f"{prefix}_status", status)
    update_sqldb_log(sql_db, memory, f"{prefix}_log")
    sql_db.save(update_fields=[f"{prefix}_status", f"{prefix}_end_time", f"{prefix}_log"])


def table_comments(pause: float = 0.0) -> None:
    """In chunks; one table fails."""
    sql_db = begin("table_comment", "table_comments")
    log, memory = create_db_comment_logger(sql_db)
    log.info(f"Starting async table comment generation for DB '{sql_db.name}' with {len(TABLES)} table(s)")
    processed = failed = 0
    for first in range(0, len(TABLES), 10):
        chunk = TABLES[first:first + 10]
        span = f"{first + 1}-{first + len(chunk)}"
        log.info(f"Processing chunk {span} of {len(TABLES)} tables")
        for table in chunk:
            time.sleep(pause)
            if table == "table_7":
                log.error(f"Error in chunk {span}: {table}:\n  permission denied")
                failed += 1
            else:
                processed += 1
        update_sqldb_log(sql_db, memory, "table_comment_log")
        log.info(f"Chunk {span} completed: {processed} processed, {failed} failed")
    memory.add_summary(processed, failed, len(TABLES))
    finish(sql_db, "table_comment", "COMPLETED" if failed == 0 else "FAILED", memory)


def column_comments() -> None:
    """The log is updated once, after the last column."""
    sql_db = begin("column_comment", "column_comments")
    log, memory = create_db_comment_logger(sql_db, base_logger_name="async_column_comments")
    for column in ("id", "name", "e-mail"):
        log.info(f"✓ Successfully processed column: {column}")
    update_sqldb_log(sql_db, memory, "column_comment_log")
    memory.add_summary(3, 0, 3)
    finish(sql_db, "column_comment", "COMPLETED", memory)


def db_elements() -> None:
    """Tables, columns, relationships; no summary."""
    sql_db = begin("db_elements", "db_elements")
    log, memory = create_db_comment_logger(sql_db, base_logger_name="async_db_elements")
    log.info(f"Starting async database elements creation for DB '{sql_db.name}'")
    log.info("Step 1: Creating tables")
    for table in TABLES:
        log.info(f"  Created table: {table}")
    update_sqldb_log(sql_db, memory, "db_elements_log")
    log.info("Step 2: Creating columns for each table")
    for table in TABLES[:3]:
        try:
            if table == "table_1":
                raise PermissionError(f"permission denied for table {table}")
            log.info(f"  Columns of {table}: 3")
        except PermissionError as error:
            log.error(f"Error processing table {table}: {error}")
    log.info("Step 3: Creating foreign key relationships")
    log.warning("Error creating relationship: no such column")
    finish(sql_db, "db_elements", "COMPLETED", memory)
    log.info(f"Successfully processed database '{sql_db.name}'")


def all_three() -> None:
    """As ThothAI does: threads of one process."""
    threads = [threading.Thread(target=work) for work in (table_comments, column_comments, db_elements)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def wait_for_kill() -> None:
    sql_db = begin("table_comment", "table_comments")
    log, _ = create_db_comment_logger(sql_db)
    for number in range(1, 501):
        log.info(f"line {number}")
    print("ready", flush=True)
    time.sleep(60)


def admin_saves() -> None:
    """A form of the admin that was loaded before the run is saved in its middle, whole."""
    form = SqlDb.objects.get(name="shop")
    thread = threading.Thread(target=table_comments, args=(0.1,))
    thread.start()
    time.sleep(1.2)
    form.db_host = "saved by the admin"
    form.save()
    thread.join()


def with_task_log() -> None:
    sql_db = SqlDb.objects.get(name="shop")
    with task_log("db_elements", target=sql_db, total=2) as log:
        log.info("Step 1")
        log.count(tables=12)
        log.progress(processed=2)


def with_task_log_failing() -> None:
    with task_log("db_elements", target=SqlDb.objects.get(name="shop")) as log:
        log.info("Step 1")
        raise PermissionError("permission denied")


def linked() -> None:
    """Of a kind that the row has no fields for."""
    with task_log("linked", target=SqlDb.objects.get(name="shop")) as log:
        log.info("Step 1")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
