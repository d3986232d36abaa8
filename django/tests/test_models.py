# SPDX-License-Identifier: Apache-2.0
"""The table as tasklog meets it, and the columns that a save leaves alone."""
from __future__ import annotations

from io import StringIO
from unittest import skipUnless

from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import TestCase

from tasklog.models import TaskRun

from .models import SqlDb
from .support import START, add_run

# The fields of the contract, section 3.
FIELDS = """task_id kind host status log summary start_time end_time duration processed failed total lines bytes
warnings errors first_error counters end_reason complete updated_at""".split()


class TheTable(TestCase):
    def test_has_every_field_of_the_contract_under_its_name(self) -> None:
        columns = [field.column for field in TaskRun._meta.concrete_fields]
        self.assertLessEqual(set(FIELDS), set(columns))

    def test_takes_an_insert_that_names_only_these_fields(self) -> None:
        must_have = [field.column for field in TaskRun._meta.concrete_fields
                     if not field.null and not field.primary_key]
        self.assertLessEqual(set(must_have), set(FIELDS))
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO tasklog_taskrun (kind, task_id, start_time, status)"
                           " VALUES ('import', 'run-1', '2026-11-24 10:31:07.000001', 'RUNNING')")
        run = TaskRun.objects.get()
        self.assertTrue(run.is_running)
        self.assertEqual(run.start_time.microsecond, 1)

    def test_ends_with_the_log(self) -> None:
        with connection.cursor() as cursor:
            columns = connection.introspection.get_table_description(cursor, TaskRun._meta.db_table)
        self.assertEqual(columns[-1].name, "log")

    def test_has_one_row_a_run(self) -> None:
        add_run()
        with self.assertRaises(IntegrityError), transaction.atomic():
            add_run()
        add_run(start_time=START.replace(microsecond=1))
        add_run(kind="export")

    def test_needs_no_other_migration(self) -> None:
        call_command("makemigrations", "tasklog", check=True, dry_run=True, stdout=StringIO())

    def test_links_a_run_to_a_row_of_any_model(self) -> None:
        row = SqlDb.objects.create(name="orders")
        run = add_run(content_object=row)
        add_run(task_id="another")
        self.assertEqual(list(TaskRun.objects.of(row)), [run])
        self.addCleanup(ContentType.objects.clear_cache)
        ContentType.objects.get_for_model(SqlDb).delete()
        self.assertEqual(TaskRun.objects.count(), 2)

    @skipUnless(connection.vendor == "sqlite", "another planner looks at how many rows there are")
    def test_uses_an_index_for_the_list_and_its_filters(self) -> None:
        runs = TaskRun.objects.without_log()
        for name, query in (("start", runs), ("status", runs.filter(status="FAILED")),
                            ("kind", runs.filter(kind="import")), ("errors", runs.with_errors()),
                            ("incomplete", runs.incomplete())):
            with self.subTest(name):
                self.assertIn(f"USING INDEX tasklog_{name}", query[:50].explain())


class TaskColumns(TestCase):
    def written_by_tasklog(self, row: SqlDb) -> None:
        SqlDb.objects.filter(pk=row.pk).update(table_comment_status="COMPLETED", table_comment_log="all of it",
                                               table_comment_end_time=START)

    def test_are_left_alone_by_a_save_of_the_whole_row(self) -> None:
        SqlDb.objects.create(name="orders", table_comment_task_id="run-1", table_comment_log="begun")
        row = SqlDb.objects.get()
        self.written_by_tasklog(row)
        row.name = "invoices"
        row.save()
        row = SqlDb.objects.get()
        self.assertEqual((row.name, row.table_comment_status, row.table_comment_log, row.table_comment_end_time),
                         ("invoices", "COMPLETED", "all of it", START))

    def test_are_left_alone_by_the_second_save_of_an_object(self) -> None:
        row = SqlDb.objects.create(name="orders")
        self.written_by_tasklog(row)
        row.save()
        row.refresh_from_db()
        self.assertEqual(row.table_comment_log, "all of it")
        SqlDb.objects.filter(pk=row.pk).update(table_comment_log="more")
        row.save()
        self.assertEqual(SqlDb.objects.get().table_comment_log, "more")

    def test_are_written_if_the_application_has_changed_them(self) -> None:
        SqlDb.objects.create(name="orders", table_comment_status="FAILED")
        row = SqlDb.objects.get()
        row.table_comment_status, row.table_comment_task_id = "RUNNING", "run-2"
        row.save()
        row = SqlDb.objects.defer("table_comment_log").get()
        self.assertEqual((row.table_comment_status, row.table_comment_task_id), ("RUNNING", "run-2"))
        row.save(update_fields=["table_comment_status"])

    def test_of_two_prefixes_are_told_apart(self) -> None:
        self.assertEqual(len(SqlDb.task_column_names()), 10)
        self.assertIn("column_comment_log", SqlDb.task_column_names())
