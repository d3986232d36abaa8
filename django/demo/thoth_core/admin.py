# SPDX-License-Identifier: Apache-2.0
"""The admin of the two models: their tasks at a glance in the list, with their logs and runs on the
page of a row. TaskRunsMixin shows what tasklog writes, and keeps a form from writing it back."""
from __future__ import annotations

from typing import Any, Callable

from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest

from tasklog.admin import TaskRunsMixin
from tasklog.models import TaskRun
from tasklog.templatetags.tasklog import badge

from .models import SqlDb, Task, TaskStatus, Workspace
from .tasks import start


class TaskAdmin(TaskRunsMixin, admin.ModelAdmin):
    """For a model with TASKS: a column and a filter for the status of each."""

    def __init__(self, model: type[models.Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        tasks = model.TASKS.values()
        self.task_fields = [name for task in tasks for name in task.fields()]
        self.list_display = ["name", *(self._column(task) for task in tasks)]
        self.list_filter = [task.status for task in tasks]

    @staticmethod
    def _column(task: Task) -> Callable[[models.Model], str]:
        @admin.display(description=task.title, ordering=task.status)
        def column(obj: models.Model) -> str:
            return badge(getattr(obj, task.status))
        return column


@admin.register(SqlDb)
class SqlDbAdmin(TaskAdmin):
    search_fields = ["name", "db_host", "db_name"]
    actions = ["create_db_elements", "create_table_comments", "create_column_comments"]

    def _start(self, request: HttpRequest, queryset: QuerySet, kind: str) -> None:
        for sql_db in queryset:
            if getattr(sql_db, SqlDb.TASKS[kind].status) == TaskStatus.RUNNING:
                self.message_user(request, f"It is running for '{sql_db.name}'.", messages.WARNING)
                continue
            start(sql_db, kind)
            self.message_user(request, f"Started for '{sql_db.name}': see its run.", messages.SUCCESS)

    @admin.action(description="Create database elements")
    def create_db_elements(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._start(request, queryset, "db_elements")

    @admin.action(description="Create table comments")
    def create_table_comments(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._start(request, queryset, "table_comments")

    @admin.action(description="Create column comments")
    def create_column_comments(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._start(request, queryset, "column_comments")


@admin.register(Workspace)
class WorkspaceAdmin(TaskAdmin):
    search_fields = ["name"]

    def get_runs(self, obj: models.Model) -> Any:
        """Its tasks are a shell script and a C program, which link nothing: by the ids in the row."""
        return TaskRun.objects.filter(task_id__in=[getattr(obj, task.task_id) or ""
                                                   for task in obj.TASKS.values()])
