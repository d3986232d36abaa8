# SPDX-License-Identifier: Apache-2.0
"""ThothAI's functions: what its workers do with them, and what reaches tasklog and the row."""
from __future__ import annotations

import gc
import logging
import unittest
from typing import Any
from unittest import mock

from django.apps import apps
from django.db.models import F
from django.test import TestCase
from django.utils import timezone

if not apps.is_installed("thoth_core"):
    raise unittest.SkipTest("it needs tests.client_settings")
from thoth_core.models import SqlDb, Workspace

from tasklog import client, compat, sender
from tasklog.compat import (
    MemoryLogHandler, create_column_comment_logger, create_db_comment_logger,
    create_table_comment_logger, update_sqldb_log, update_workspace_log)

from .reader import reader_of


class CompatTest(TestCase):
    def setUp(self) -> None:
        self.reader = reader_of(self)
        settings = self.settings(TASKLOG_SOCKET=self.reader.path)
        settings.enable()
        self.addCleanup(settings.disable)
        self.row = SqlDb.objects.create(name="shop", db_name="shop")

    def begin(self, prefix: str, task_id: str = "run-1") -> SqlDb:
        """As ThothAI's workers do."""
        sql_db = SqlDb.objects.get()
        for name, value in (("status", "RUNNING"), ("task_id", task_id),
                            ("start_time", timezone.now()), ("log", "")):
            setattr(sql_db, f"{prefix}_{name}", value)
        sql_db.save(update_fields=[f"{prefix}_{name}" for name in ("status", "task_id", "start_time",
                                                                   "log")])
        return sql_db

    @staticmethod
    def finish(sql_db: SqlDb, prefix: str, status: str) -> None:
        setattr(sql_db, f"{prefix}_end_time", timezone.now())
        setattr(sql_db, f"{prefix}_status", status)
        sql_db.save(update_fields=[f"{prefix}_status", f"{prefix}_end_time", f"{prefix}_log"])

    def tasklog_writes(self, **columns: Any) -> None:
        SqlDb.objects.filter(pk=self.row.pk).update(**columns)

    def stored(self) -> SqlDb:
        return SqlDb.objects.get()

    def sent(self) -> list[str]:
        return [text for text in self.reader.texts() if not text.startswith("@task start")]


class FlowTest(CompatTest):
    def test_a_line_that_cannot_be_formatted_is_not_lost(self) -> None:
        log, memory = create_db_comment_logger(self.begin("table_comment"))
        with mock.patch("sys.stderr"):
            log.info("%d tables", "a")
        self.assertEqual(self.reader.texts()[1:], ["%d tables ('a',)"])
        self.assertEqual(memory.get_logs(), "%d tables ('a',)")

    def test_a_worker_with_a_summary(self) -> None:
        sql_db = self.begin("table_comment")
        log, memory = create_db_comment_logger(sql_db)
        log.info("Starting with %d table(s)", 2)
        log.debug("not to be seen")
        self.assertEqual(self.reader.datagrams(), [
            b"<14>table_comments[run-1]: @task start pid=" + sender.own_pid().encode(),
            b"<14>table_comments[run-1]: Starting with 2 table(s)"])
        update_sqldb_log(sql_db, memory, "table_comment_log")
        log.error("✗ orders")
        self.tasklog_writes(table_comment_log="what tasklog has gathered")
        memory.add_summary(1, 1, 2)
        update_sqldb_log(sql_db, memory, "table_comment_log")
        self.finish(sql_db, "table_comment", "FAILED")
        self.assertEqual(self.sent(), ["✗ orders", "@task end processed=1 failed=1 total=2"])
        self.assertEqual(self.stored().table_comment_log, "what tasklog has gathered")
        self.assertEqual(self.stored().table_comment_status, "FAILED")
        lines = memory.get_logs().split("\n")
        self.assertRegex(lines[0], r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] Starting with 2 table\(s\)$")
        self.assertRegex(lines[-1], r"\] Completed: 1 successful, 1 failed, Total time: 0s$")
        self.assertEqual(lines, memory.log_messages)

    def test_a_worker_without_a_summary_ends_by_its_status(self) -> None:
        sql_db = self.begin("db_elements")
        log, memory = create_db_comment_logger(sql_db, base_logger_name="async_db_elements")
        log.info("Step 1: Creating tables")
        sql_db.db_elements_status = "COMPLETED"
        update_sqldb_log(sql_db, memory, "db_elements_log")
        self.finish(sql_db, "db_elements", "COMPLETED")
        log.info("behind the end")
        self.assertEqual(self.sent(), ["Step 1: Creating tables", "@task end status=COMPLETED",
                                       "behind the end"])

    def test_a_worker_that_logs_before_it_stores_its_id(self) -> None:
        self.tasklog_writes(db_elements_status="COMPLETED", db_elements_task_id="run-0")
        sql_db = self.stored()
        log, memory = create_db_comment_logger(sql_db, "async_db_elements")
        log.info("Starting")
        self.assertEqual(self.reader.texts(), [])
        sql_db.db_elements_status, sql_db.db_elements_task_id = "RUNNING", "run-1"
        sql_db.save(update_fields=["db_elements_status", "db_elements_task_id"])
        self.assertEqual([datagram.partition(b": ")[2][:11] for datagram in self.reader.datagrams()],
                         [b"@task start", b"Starting"])
        log.error("failed: no such host")
        update_sqldb_log(sql_db, memory, "db_elements_log")
        self.finish(sql_db, "db_elements", "FAILED")
        self.assertEqual(self.sent(), ["failed: no such host", "@task end status=FAILED"])

    def test_a_worker_that_dies_of_an_exception(self) -> None:
        def work() -> None:
            log, _ = create_db_comment_logger(self.begin("column_comment"), "async_column_comments")
            log.info("before")
            raise RuntimeError("critical")

        try:
            work()
        except RuntimeError:
            pass
        gc.collect()
        self.assertEqual(self.sent(), ["before", '@task end status=FAILED'
                                       ' text="The job has gone without an end"'])

    def test_the_workspaces_functions(self) -> None:
        workspace = Workspace.objects.create(name="Sales", table_comment_status="RUNNING",
                                             table_comment_task_id="run-1",
                                             column_comment_status="RUNNING",
                                             column_comment_task_id="run-2")
        for create, tag, field in (
                (create_table_comment_logger, b"<14>workspace_table_comments[run-1]: ", "table"),
                (create_column_comment_logger, b"<14>workspace_column_comments[run-2]: ", "column")):
            log, memory = create(workspace)
            log.info("hello")
            update_workspace_log(workspace, memory, f"{field}_comment_log")
            memory.add_summary(1, 0, 1)
            self.assertEqual(self.reader.datagrams()[1:],
                             [tag + b"hello", tag + b"@task end processed=1 failed=0 total=1"])

    def test_a_traceback_is_part_of_its_line(self) -> None:
        log, _ = create_db_comment_logger(self.begin("table_comment"))
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("orders")
        self.assertRegex(self.sent()[0], "(?s)^orders\nTraceback.*ZeroDivisionError")


class RowTest(CompatTest):
    def test_a_full_save_of_the_worker_leaves_the_log_alone(self) -> None:
        sql_db = self.begin("table_comment")
        log, memory = create_db_comment_logger(sql_db)
        log.info("x")
        update_sqldb_log(sql_db, memory)
        self.assertEqual(sql_db.table_comment_log, F("table_comment_log"))
        self.tasklog_writes(table_comment_log="newer")
        sql_db.save()
        self.assertEqual(self.stored().table_comment_log, "newer")

    def test_an_id_that_a_stale_form_put_back_is_set_right_before_the_end(self) -> None:
        for stale in ({"table_comment_task_id": "the admin's own"},
                      {"table_comment_task_id": None, "table_comment_start_time": None,
                       "table_comment_status": "IDLE"}):
            sql_db = self.begin("table_comment")
            log, memory = create_db_comment_logger(sql_db)
            log.info("x")
            self.tasklog_writes(**stale)
            memory.add_summary(1, 0, 1)
            self.assertEqual(self.stored().table_comment_task_id, "run-1")

    def test_the_id_of_a_later_run_stays(self) -> None:
        sql_db = self.begin("table_comment")
        log, memory = create_db_comment_logger(sql_db)
        log.info("x")
        self.tasklog_writes(table_comment_task_id="run-2", table_comment_start_time=timezone.now()
                            + 2 * compat.CLOCK_SLACK)
        memory.add_summary(1, 0, 1)
        self.assertEqual(self.stored().table_comment_task_id, "run-2")

    def test_trouble_with_the_database_is_logged_not_raised(self) -> None:
        sql_db = self.begin("table_comment")
        log, memory = create_db_comment_logger(sql_db)
        log.info("x")
        with mock.patch.object(SqlDb._base_manager.__class__, "using", side_effect=OSError("gone")), \
                self.assertLogs("thoth_core.async_tasks", logging.ERROR):
            memory.add_summary(1, 0, 1)
        self.assertEqual(self.sent()[-1], "@task end processed=1 failed=0 total=1")

    def test_without_a_reader_the_row_gets_what_was_collected_as_ever(self) -> None:
        self.reader.remove()
        sql_db = self.begin("table_comment")
        log, memory = create_db_comment_logger(sql_db)
        log.info("x")
        update_sqldb_log(sql_db, memory)
        self.assertRegex(str(self.stored().table_comment_log), r"^\[[^]]*\] x$")
        with mock.patch.object(client, "END_SECONDS", 0.0), self.assertLogs("tasklog", logging.ERROR):
            memory.add_summary(1, 0, 1)
        update_sqldb_log(sql_db, memory)
        self.finish(sql_db, "table_comment", "COMPLETED")
        self.assertRegex(str(self.stored().table_comment_log),
                         r"\] x\n\[[^]]*\] Completed: 1 successful, 0 failed, Total time: 0s$")

    def test_a_handler_by_itself_keeps_lines_as_ever(self) -> None:
        memory = MemoryLogHandler()
        log = logging.Logger("x")
        log.addHandler(memory)
        log.info("%d", 1)
        log.debug("no")
        self.assertRegex(memory.get_logs(), r"^\[[^]]*\] 1$")
        memory.clear_logs()
        self.assertEqual(memory.get_logs(), "")
