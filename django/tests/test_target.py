# SPDX-License-Identifier: Apache-2.0
"""The task id in the row that keeps the log."""
from __future__ import annotations

import logging
import socket
import unittest
from datetime import timezone
from unittest import mock

from django.apps import apps
from django.db import DatabaseError, transaction
from django.test import TransactionTestCase, override_settings

if not apps.is_installed("thoth_core"):
    raise unittest.SkipTest("it needs tests.client_settings")
from thoth_core.models import SqlDb, Workspace

from tasklog import sender
from tasklog.client import task_log

from .reader import reader_of


class TargetTest(TransactionTestCase):
    def setUp(self) -> None:
        self.reader = reader_of(self)
        settings = self.settings(TASKLOG_SOCKET=self.reader.path)
        settings.enable()
        self.addCleanup(settings.disable)
        self.sql_db = SqlDb.objects.create(name="shop", db_name="shop")

    def test_the_id_is_in_the_row_before_the_first_line(self) -> None:
        for kind, field in (("db_elements", "db_elements_task_id"),
                            ("table_comments", "table_comment_task_id")):
            with mock.patch("tasklog.client.Run.start", autospec=True) as start:
                start.side_effect = lambda run, at: self.assertEqual(
                    getattr(SqlDb.objects.get(), field), run.task_id)
                with task_log(kind, target=self.sql_db) as log:
                    self.assertEqual(getattr(self.sql_db, field), log.task_id)
            start.assert_called_once()

    def test_a_field_may_be_named_and_an_id_given(self) -> None:
        workspace = Workspace.objects.create(name="Sales")
        with task_log("preprocessing", target=workspace):
            pass
        with task_log("other", target=workspace, id_field="column_comment_task_id", task_id="a]b"):
            pass
        stored = Workspace.objects.get()
        self.assertRegex(str(stored.task_id), r"^\d{8}-")
        self.assertEqual(stored.column_comment_task_id, "a_b")

    def test_only_the_id_is_written(self) -> None:
        SqlDb.objects.update(db_elements_log="newer", db_host="newer")
        with task_log("db_elements", target=self.sql_db):
            pass
        stored = SqlDb.objects.get()
        self.assertEqual((stored.db_elements_log, stored.db_host), ("newer", "newer"))

    def test_no_such_field_is_a_mistake_in_the_code(self) -> None:
        for options in ({}, {"id_field": "nothing"}):
            with self.assertRaises(ValueError):
                with task_log("other", target=self.sql_db, **options):
                    self.fail("it began")

    def test_the_id_that_a_stale_save_put_back_is_set_right_before_the_end(self) -> None:
        for _ in range(2):
            stale = SqlDb.objects.get()
            with task_log("db_elements", target=self.sql_db) as log:
                stale.save()
                self.assertNotEqual(SqlDb.objects.get().db_elements_task_id, log.task_id)
            self.assertEqual(SqlDb.objects.get().db_elements_task_id, log.task_id)

    def test_the_id_of_a_later_run_stays(self) -> None:
        with task_log("db_elements", target=self.sql_db):
            with task_log("db_elements", target=SqlDb.objects.get()) as later:
                pass
        self.assertEqual(SqlDb.objects.get().db_elements_task_id, later.task_id)

    def test_trouble_with_the_database_is_logged_not_raised(self) -> None:
        with mock.patch.object(SqlDb, "save", side_effect=DatabaseError("locked")), \
                self.assertLogs("tasklog", logging.ERROR):
            with task_log("db_elements", target=self.sql_db) as log:
                log.info("x")
        self.assertEqual(self.reader.texts()[1:], ["x", "@task end"])

    @override_settings(TASKLOG_LINK_RUNS=True)
    def test_a_row_without_such_a_field_is_linked_to_its_run(self) -> None:
        runs = apps.get_model("tasklog", "TaskRun").objects
        with task_log("other", target=self.sql_db) as log:
            run = runs.get()
        self.assertEqual((run.kind, run.task_id, run.status, run.content_object),
                         ("other", log.task_id, "RUNNING", self.sql_db))
        start, end = self.reader.datagrams()
        self.assertEqual(start, "<14>1 {} {} other {} - - @task start pid={}".format(
            run.start_time.astimezone(timezone.utc).isoformat(timespec="microseconds"),
            socket.gethostname(), log.task_id, sender.own_pid()).encode())
        self.assertTrue(end.startswith(b"<14>other["))

    @override_settings(TASKLOG_LINK_RUNS=True)
    def test_a_linked_run_whose_end_cannot_be_sent_does_not_run_for_ever(self) -> None:
        self.reader.close()
        with self.assertLogs("tasklog"), mock.patch("tasklog.client.END_SECONDS", 0.01):
            with task_log("other", target=self.sql_db):
                pass
        run = apps.get_model("tasklog", "TaskRun").objects.get()
        self.assertEqual((run.status, run.complete), ("FAILED", False))
        self.assertIsNotNone(run.end_time)

    @override_settings(TASKLOG_LINK_RUNS=True)
    def test_a_mistake_in_the_code_makes_no_row(self) -> None:
        for options in ({"level": "NOPE"}, {"watch": "x"}):
            with self.assertRaises(ValueError):
                task_log("other", target=self.sql_db, **options).__enter__()
        self.assertFalse(apps.get_model("tasklog", "TaskRun").objects.exists())

    @override_settings(TASKLOG_LINK_RUNS=True)
    def test_a_row_that_keeps_the_log_is_linked_too(self) -> None:
        runs = apps.get_model("tasklog", "TaskRun").objects
        with task_log("db_elements", target=self.sql_db) as log:
            self.assertEqual(SqlDb.objects.get().db_elements_task_id, log.task_id)
        self.assertEqual(runs.of(self.sql_db).get().task_id, log.task_id)

    @override_settings(TASKLOG_LINK_RUNS=True)
    def test_an_id_that_cannot_be_sent_along_with_a_time_is_not_linked(self) -> None:
        with mock.patch("tasklog.target.apps.get_model") as model, self.assertLogs("tasklog"):
            with task_log("other", target=self.sql_db, task_id="run 1"):
                pass
        model.return_value._base_manager.create.assert_not_called()
        self.assertEqual(len(self.reader.lines()), 2)

    def test_a_transaction_that_is_open_is_warned_of(self) -> None:
        with self.assertLogs("tasklog", logging.WARNING) as told, transaction.atomic():
            with task_log("db_elements", target=self.sql_db):
                pass
        self.assertIn("in a transaction", told.output[0])
