# SPDX-License-Identifier: Apache-2.0
"""The background tasks of SqlDb, made up after ThothAI's: threads of the web server's process.

A task sets its row to RUNNING with its task id, and logs. Log, status and times reach the row by
way of syslog and tasklog; nothing here writes them. What the tasks work on is invented.
"""
from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import Callable

from django.conf import settings
from django.db import connection, models
from django.utils import timezone

from tasklog.client import TaskLogger, current, task_log

from .models import SqlDb, TaskStatus

CHUNK = 10


def begin(obj: models.Model, kind: str) -> str:
    """Sets the row to RUNNING, and returns the task id that the task's lines have to bear."""
    task = obj.TASKS[kind]
    now = timezone.now()
    task_id = f"{kind}_{obj._meta.model_name}_{obj.pk}_{now.timestamp()}"
    type(obj).objects.filter(pk=obj.pk).update(**{
        task.status: TaskStatus.RUNNING,
        task.task_id: task_id,
        task.log: "",
        task.start_time: now,
        task.end_time: None,
    })
    return task_id


def start(sql_db: SqlDb, kind: str) -> threading.Thread:
    """Runs the task in a thread, as ThothAI does."""
    task_id = begin(sql_db, kind)
    thread = threading.Thread(target=run, args=(sql_db, kind, task_id), name=task_id, daemon=True)
    thread.start()
    return thread


def run(sql_db: SqlDb, kind: str, task_id: str) -> None:
    with closing(connection):
        try:
            with task_log(kind, target=sql_db, task_id=task_id) as log:
                JOBS[kind](sql_db, log)
        except Exception:
            pass  # it is the end of the log, and the row says FAILED


# --- The jobs -------------------------------------------------------------------------------------

def create_db_elements(sql_db: SqlDb, log: TaskLogger) -> None:
    log.info("Reading the catalog of database '%s'", sql_db.db_name)
    catalog = catalog_of(sql_db)

    log.progress(processed=0, failed=0, total=len(catalog))
    log.info("Step 1: Creating tables")
    for table, comment in catalog.items():
        pause()
        log.info("  Created table: %s (%s)", table, comment or "no description")
    log.info("Tables created: %d", len(catalog))

    log.info("Step 2: Creating columns for each table")
    done = failed = 0
    for number, table in enumerate(catalog, start=1):
        pause()
        log.info("Processing table %d/%d: %s", number, len(catalog), table)
        try:
            names = columns_of(table)
        except PermissionError as error:
            log.error("Error processing table %s: %s", table, error)
            failed += 1
        else:
            log.info("  Columns created: %d (%s, ...)", len(names), ", ".join(names[:3]))
            log.count(tables=1, columns=len(names))
            done += 1
        log.progress(processed=done, failed=failed)

    log.info("Step 3: Creating foreign key relationships")
    for source, target in RELATIONSHIPS:
        pause()
        log.info("  Created relationship: %s.%s_id -> %s.id", source, target.rstrip("s"), target)
        log.count(relationships=1)
    log.info("Relationships created: %d", len(RELATIONSHIPS))


def create_table_comments(sql_db: SqlDb, log: TaskLogger) -> None:
    comments = {table: text for table, text in catalog_of(sql_db).items() if table != FORBIDDEN}
    tables = list(comments)
    log.info("Writing comments for %d tables of database '%s'", len(tables), sql_db.name)
    done = 0
    for first in range(0, len(tables), CHUNK):
        chunk = tables[first:first + CHUNK]
        span = f"{first + 1}-{first + len(chunk)}"
        log.info("Processing chunk %s of %d tables", span, len(tables))
        for table in chunk:
            pause()
            if not comments[table]:
                log.warning("Table %s has no description, guessing from its columns", table)
            log.info("  %s: %s", table, comments[table] or "Who changed what, and when")
            done += 1
            log.progress(processed=done, failed=0, total=len(tables))
        log.info("Chunk %s completed: %d processed, 0 failed", span, len(chunk))


def create_column_comments(sql_db: SqlDb, log: TaskLogger) -> None:
    columns = [f"{table}.{name}" for table in ("customers", "orders", "products")
               for name in columns_of(table)]
    log.info("Writing comments for %d columns of database '%s'", len(columns), sql_db.name)
    done = failed = 0
    for column in columns:
        pause()
        if column.endswith(".note"):
            log.error("✗ %s: the model's answer is not JSON:\n    {\"comment\": \"Free text\n    "
                      "            ^ unterminated", column)
            failed += 1
        else:
            log.info("✓ %s", column)
            done += 1
        log.progress(processed=done, failed=failed, total=len(columns))


JOBS: dict[str, Callable[[SqlDb, TaskLogger], None]] = {
    "db_elements": create_db_elements,
    "table_comments": create_table_comments,
    "column_comments": create_column_comments,
}


# --- Tasks of no row ------------------------------------------------------------------------------

@task_log("import_orders")
def import_orders(count: int) -> None:
    """A log of 20 MB, if 180,000 orders are imported."""
    log = current()
    for number in range(1, count + 1):
        if number % 50_000 == 0:
            log.error("Order %d: no such customer: %d\n  DETAIL: it was deleted on 2026-03-01", number, number * 7)
        elif number % 20_000 == 0:
            log.warning("Order %d: no country, taking the customer's", number)
        else:
            log.info("Order %d: imported, with its items, addresses, payments and parcels, total %d.%02d EUR",
                     number, number % 997, number % 100)
        if number % 1000 == 0:
            log.progress(processed=number, failed=number // 50_000, total=count)


@task_log("export_invoices", total=200)
def export_invoices(count: int) -> None:
    """Gets stuck, and does not come back."""
    log = current()
    for number in range(1, count + 1):
        log.info("Invoice %d written", number)
    log.progress(processed=count)
    log.warning("Waiting for the printer")
    print("stuck", flush=True)
    time.sleep(3600)


# --- What they work on ----------------------------------------------------------------------------

FORBIDDEN = "payroll"
TABLES = {
    "customers": "People and firms that buy",
    "addresses": "Where customers live and where goods go",
    "products": "What is sold",
    "categories": "A tree of products",
    "orders": "One purchase",
    "order_items": "Products of an order",
    "invoices": "What was billed",
    "payments": "What was paid",
    "shipments": "Parcels on their way",
    "returns": "Parcels on their way back",
    FORBIDDEN: "Salaries",
    "discounts": "Price cuts <b>per customer</b> & season",
    "audit": "",
}
COLUMNS = ("id", "created_at", "updated_at", "name", "status", "note", "currency", "amount", "tax",
           "country", "city", "street", "language", "source", "deleted")
RELATIONSHIPS = (("addresses", "customers"), ("orders", "customers"), ("order_items", "orders"),
                 ("order_items", "products"), ("invoices", "orders"), ("payments", "invoices"),
                 ("shipments", "orders"), ("returns", "shipments"), ("discounts", "customers"))


def pause() -> None:
    time.sleep(settings.DEMO_PAUSE)


def catalog_of(sql_db: SqlDb) -> dict[str, str]:
    """Table names and their descriptions."""
    if not sql_db.db_host:
        raise ConnectionError('no host is set for database "%s"' % sql_db.db_name)
    return TABLES


def columns_of(table: str) -> tuple[str, ...]:
    if table == FORBIDDEN:
        raise PermissionError(f"permission denied for table {table}\n"
                              f"LINE 1: SELECT * FROM {table}\n"
                              f"                      ^")
    return COLUMNS[:8 + len(table) % 8]
