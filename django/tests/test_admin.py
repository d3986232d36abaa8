# SPDX-License-Identifier: Apache-2.0
"""The list of runs, who may see what, and the mixin for other models' pages."""
from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.checks import run_checks
from django.db import connection
from django.db.models.signals import pre_save
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tasklog.models import TaskRun
from tasklog.templatetags.tasklog import spell

from .models import SqlDb, Workspace
from .support import START, add_run, stamped

LIST = "/admin/tasklog/taskrun/"


class Admin(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.chief = User.objects.create_superuser("chief", password="secret")
        cls.reader = User.objects.create_user("reader", is_staff=True)
        cls.reader.user_permissions.add(Permission.objects.get(codename="view_taskrun"))
        cls.stranger = User.objects.create_user("stranger", is_staff=True)

    def setUp(self) -> None:
        self.client.force_login(self.reader)

    def ids(self, **query: str) -> list[str]:
        response = self.client.get(LIST, query)
        self.assertEqual(response.status_code, 200)
        return sorted(run.task_id for run in response.context["cl"].result_list)


class TheList(Admin):
    def test_shows_each_run_at_a_glance(self) -> None:
        add_run(warnings=3, errors=7, duration=65.0, status="FAILED")
        add_run(task_id="run-2", status="RUNNING", end_time=None, duration=None, processed=5, failed=1, total=13,
                start_time=timezone.now() - timedelta(hours=2))
        response = self.client.get(LIST)
        self.assertContains(response, '<span class="tl-badge tl-is-failed">Failed</span>', html=True)
        self.assertContains(response, '<progress max="13" value="6" aria-label="Progress">6 of 13</progress>',
                            html=True)
        self.assertContains(response, "1m 5s")
        self.assertContains(response, "2h 0m ")

    def test_asks_for_no_log_and_always_as_many_queries(self) -> None:
        def queries() -> list[str]:
            with CaptureQueriesContext(connection) as captured:
                self.client.get(LIST)
            return [query["sql"] for query in captured]

        add_run(content_object=self.chief)
        few = queries()
        TaskRun.objects.bulk_create(TaskRun(kind=f"kind-{n % 7}", task_id=str(n), start_time=START, status="FAILED",
                                            content_object=self.chief, log="x") for n in range(200))
        many = queries()
        self.assertEqual(len(few), len(many))
        self.assertFalse([sql for sql in many if '"log"' in sql])

    def test_is_filtered(self) -> None:
        add_run(task_id="good")
        add_run(task_id="bad", status="FAILED", errors=2)
        add_run(task_id="cut", kind="export", complete=False, end_reason="idle")
        add_run(task_id="now", status="RUNNING", end_time=None, complete=False, start_time=timezone.now())
        self.assertEqual(self.ids(status="FAILED"), ["bad"])
        self.assertEqual(self.ids(kind="export"), ["cut"])
        self.assertEqual(self.ids(has_errors="1"), ["bad"])
        self.assertEqual(self.ids(incomplete="1"), ["cut"])
        self.assertEqual(self.ids(start_time__gte=str(timezone.now() - timedelta(hours=1))), ["now"])

    def test_is_searched_and_the_logs_only_on_demand(self) -> None:
        add_run(task_id="one", summary="Failed: out of cheese", log=stamped("the needle"))
        add_run(task_id="two")
        self.assertEqual(self.ids(q="two"), ["two"])
        self.assertEqual(self.ids(q="cheese"), ["one"])
        self.assertEqual(self.ids(q="needle"), [])
        self.assertEqual(self.ids(q="needle", in_logs="1"), ["one"])

    def test_shows_the_text_of_strangers_as_text(self) -> None:
        add_run(kind="<script>alert(1)</script>", task_id="a\u202etxt.exe\x1b[31m", status="<b>odd</b>")
        response = self.client.get(LIST)
        self.assertNotContains(response, "<script>alert")
        self.assertNotContains(response, "<b>odd")
        for hidden in "\u202e\x1b":
            self.assertNotContains(response, hidden)
        self.assertContains(response, "\u27e8U+202E\u27e9")
        self.assertContains(response, "\\x1b")

    def test_writes_nothing(self) -> None:
        self.client.force_login(self.chief)
        run = add_run()
        page = f"{LIST}{run.pk}/change/"
        self.assertEqual(self.client.post(page, {"kind": "other"}).status_code, 403)
        self.assertEqual(self.client.get(f"{LIST}add/").status_code, 403)
        self.assertEqual(self.client.post(f"{LIST}{run.pk}/delete/", {"post": "yes"}).status_code, 403)
        self.assertEqual(TaskRun.objects.get().kind, "import")


class Permissions(Admin):
    def addresses(self) -> list[str]:
        run = add_run()
        return [LIST, *(f"{LIST}{run.pk}/{page}/" for page in ("change", "log", "download"))]

    def test_let_a_reader_see(self) -> None:
        for address in self.addresses():
            self.assertEqual(self.client.get(address).status_code, 200, address)

    def test_show_a_stranger_neither_page_nor_part_nor_download(self) -> None:
        self.client.force_login(self.stranger)
        for address in self.addresses():
            self.assertEqual(self.client.get(address).status_code, 403, address)
        self.assertEqual(self.client.get(f"{LIST}999/log/").status_code, 403)

    def test_send_who_is_not_logged_in_to_the_login(self) -> None:
        self.client.logout()
        for address in self.addresses():
            self.assertRedirects(self.client.get(address), reverse("admin:login") + f"?next={address}")

    def test_answer_that_there_is_no_such_run(self) -> None:
        for page in ("log", "download"):
            self.assertEqual(self.client.get(f"{LIST}999/{page}/").status_code, 404)


class TheMixin(Admin):
    def setUp(self) -> None:
        self.client.force_login(self.chief)
        self.row = SqlDb.objects.create(name="orders", table_comment_log=stamped("<i>begun</i>"))
        self.page = f"/admin/tests/sqldb/{self.row.pk}/change/"

    def test_shows_the_last_runs_of_a_row(self) -> None:
        runs = [add_run(task_id=f"run-{n}", start_time=START + timedelta(seconds=n), content_object=self.row)
                for n in range(12)]
        add_run(task_id="foreign")
        response = self.client.get(self.page)
        self.assertContains(response, f"{LIST}{runs[11].pk}/change/")
        self.assertNotContains(response, f"{LIST}{runs[1].pk}/change/")
        self.assertNotContains(response, "foreign")
        every = response.content.decode().split('">All runs')[0].rpartition('"')[2].replace("&amp;", "&")
        self.assertEqual(len(self.client.get(every).context["cl"].result_list), 12)

    def test_shows_no_runs_to_who_may_not_see_them(self) -> None:
        add_run(content_object=self.row)
        self.stranger.user_permissions.add(Permission.objects.get(codename="change_sqldb",
            content_type__app_label="tests"))
        self.client.force_login(self.stranger)
        response = self.client.get(self.page)
        self.assertContains(response, "Task log")
        self.assertNotContains(response, "import[run-1]")

    def test_shows_the_columns_as_text_that_cannot_be_edited(self) -> None:
        response = self.client.get(self.page)
        self.assertContains(response, "&lt;i&gt;begun&lt;/i&gt;")
        self.assertNotContains(response, 'name="table_comment_')
        self.assertContains(response, 'name="name"')

    def test_leaves_the_columns_out_of_the_update(self) -> None:
        def meanwhile(sender: type, instance: SqlDb, **_: Any) -> None:
            SqlDb.objects.filter(pk=instance.pk).update(table_comment_log="all", table_comment_status="COMPLETED")

        pre_save.connect(meanwhile, sender=SqlDb)
        self.addCleanup(pre_save.disconnect, meanwhile, sender=SqlDb)
        with CaptureQueriesContext(connection) as captured:
            self.assertRedirects(self.client.post(self.page, {"name": "invoices"}), "/admin/tests/sqldb/")
        update = [query["sql"] for query in captured if query["sql"].startswith('UPDATE "tests_sqldb" SET "name"')]
        self.assertEqual(len(update), 1)
        self.assertNotIn("comment", update[0])
        self.assertIn("edited_at", update[0])
        row = SqlDb.objects.get()
        self.assertEqual((row.name, row.table_comment_log, row.table_comment_status), ("invoices", "all", "COMPLETED"))

    def test_takes_fields_of_other_names(self) -> None:
        row = Workspace.objects.create(name="a", last_log=stamped("begun"))
        page = f"/admin/tests/workspace/{row.pk}/change/"
        response = self.client.get(page)
        self.assertContains(response, "begun")
        for name in ("last_log", "state"):
            self.assertNotContains(response, f'name="{name}"')
        with CaptureQueriesContext(connection) as captured:
            self.client.post(page, {"name": "b", "last_log": "stale", "state": "stale"})
        update, = [query["sql"] for query in captured if query["sql"].startswith('UPDATE "tests_workspace"')]
        for name in ("last_log", "state"):
            self.assertNotIn(f'"{name}"', update)
        self.assertEqual(Workspace.objects.values_list("name", "last_log", "state").get(),
                         ("b", stamped("begun"), "IDLE"))

    def test_does_not_load_a_log_for_the_list_or_the_page(self) -> None:
        for address in ("/admin/tests/sqldb/", self.page):
            with CaptureQueriesContext(connection) as captured:
                self.client.get(address)
            self.assertFalse([query["sql"] for query in captured
                              if re.search(r'SELECT[^(]*"table_comment_log"', query["sql"])])

    def test_adds_a_row(self) -> None:
        self.assertRedirects(self.client.post("/admin/tests/sqldb/add/", {"name": "new"}), "/admin/tests/sqldb/")
        self.assertEqual(SqlDb.objects.get(name="new").table_comment_status, "IDLE")


class Checks(TestCase):
    def test_warn_of_an_admin_that_would_write_the_log(self) -> None:
        mine = admin.site._registry[SqlDb]
        self.addCleanup(admin.site._registry.__setitem__, SqlDb, mine)
        self.assertNotIn("tasklog.W002", [found.id for found in run_checks()])
        admin.site._registry[SqlDb] = admin.ModelAdmin(SqlDb, admin.site)
        self.assertIn("tasklog.W002", [found.id for found in run_checks()])


class Spans(TestCase):
    def test_are_spelled_as_in_the_summary(self) -> None:
        for seconds, text in ((0.04, "0.0s"), (59.9, "59.9s"), (65, "1m 5s"), (7384, "2h 3m 4s")):
            self.assertEqual(spell(timedelta(seconds=seconds)), text)
