# SPDX-License-Identifier: Apache-2.0
"""manage.py tasklog_prune."""
from __future__ import annotations

from datetime import timedelta
from io import StringIO

from django.core.management import CommandError, call_command
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasklog.models import TaskRun

from .support import add_run


def prune(*arguments: str) -> str:
    out = StringIO()
    call_command("tasklog_prune", *arguments, stdout=out)
    return out.getvalue()


class Prune(TestCase):
    """Six runs of each of two kinds, one to six days old, and one that has run for ten days."""

    def setUp(self) -> None:
        for kind in ("import", "export"):
            for days in range(1, 7):
                begun = timezone.now() - timedelta(days=days)
                add_run(kind=kind, task_id=str(days), start_time=begun, end_time=begun)
        add_run(task_id="running", status="RUNNING", start_time=timezone.now() - timedelta(days=10), end_time=None)

    def left(self, **which: str) -> list[str]:
        return sorted(TaskRun.objects.filter(**which).values_list("task_id", flat=True))

    def test_deletes_by_age(self) -> None:
        self.assertEqual(prune("--days=4"), "6 runs were deleted.\n")
        self.assertEqual(self.left(kind="export"), ["1", "2", "3"])
        self.assertEqual(self.left(kind="import"), ["1", "2", "3", "running"])

    def test_keeps_the_newest_of_each_kind(self) -> None:
        prune("--keep=2")
        self.assertEqual(self.left(kind="export"), ["1", "2"])
        self.assertEqual(self.left(kind="import"), ["1", "2", "running"])
        prune("--keep=0")
        self.assertEqual(self.left(), ["running"])

    def test_takes_age_count_and_kind_together(self) -> None:
        self.assertEqual(prune("--days=6", "--keep=4", "--kind=export"), "2 runs were deleted.\n")
        self.assertEqual(len(self.left(kind="import")), 7)

    def test_deletes_in_batches(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            prune("--keep=0", "--batch=5")
        self.assertEqual(len([query for query in captured if query["sql"].startswith("DELETE")]), 3)
        self.assertFalse([query for query in captured if '"log"' in query["sql"]])

    def test_only_says_what_it_would_do(self) -> None:
        self.assertEqual(prune("--keep=0", "--dry-run"), "12 runs would be deleted.\n")
        self.assertEqual(TaskRun.objects.count(), 13)

    def test_empties_logs_and_keeps_the_rows(self) -> None:
        self.assertEqual(prune("--days=4", "--logs"), "6 runs were emptied of their logs.\n")
        self.assertEqual(TaskRun.objects.count(), 13)
        self.assertEqual(TaskRun.objects.filter(log=None).count(), 6)
        self.assertEqual(prune("--days=4", "--logs"), "0 runs were emptied of their logs.\n")

    def test_asks_for_a_choice(self) -> None:
        for arguments in ((), ("--batch=0", "--days=1"), ("--days=-1",), ("--days=x",)):
            with self.assertRaises(CommandError):
                prune(*arguments)
