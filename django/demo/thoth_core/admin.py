# SPDX-License-Identifier: Apache-2.0
"""The admin of the two models: their tasks at a glance in the list, in full on the page of a row.

All task fields are read-only, and saving a row leaves their columns alone: they are written from
outside, at any time.
"""
from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Callable

from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html

from .models import SqlDb, Task, TaskStatus, Workspace
from .tasks import start

Show = Callable[[models.Model], str]


def clock(when: datetime) -> str:
    return date_format(timezone.localtime(when), "Y-m-d H:i:s")


def spell(span: timedelta) -> str:
    if span < timedelta(minutes=1):
        return f"{span.total_seconds():.1f} s"
    return str(timedelta(seconds=round(span.total_seconds())))


def task_id(obj: models.Model, task: Task) -> str:
    return getattr(obj, task.task_id) or ""


def badge(obj: models.Model, task: Task) -> str:
    status = getattr(obj, task.status)
    label = getattr(obj, f"get_{task.status}_display")()
    return format_html('<span class="task-badge task-{}">{}</span>', status.lower(), label)


def times(obj: models.Model, task: Task) -> str:
    """Start, end and duration."""
    started, ended = getattr(obj, task.start_time), getattr(obj, task.end_time)
    if not started:
        return ""
    if not ended:
        return format_html("{} –", clock(started))
    return format_html("{} – {} ({})", clock(started), clock(ended).split()[1],
                       spell(ended - started))


def summary(obj: models.Model, task: Task) -> str:
    """The last line of an ended task's log, without its time."""
    if not getattr(obj, task.end_time):
        return ""
    return (getattr(obj, task.log) or "").rpartition("\n")[2].partition("] ")[2]


def log(obj: models.Model, task: Task) -> str:
    text = getattr(obj, task.log)
    return format_html('<pre class="task-log">{}</pre>', text) if text else ""


class TaskAdmin(admin.ModelAdmin):
    """For a model with TASKS: adds list columns, filters and a fieldset for each of them."""

    fields_of_its_own: tuple[str, ...] = ()
    fieldsets = None

    class Media:
        css = {"all": ["thoth_core/tasks.css"]}

    def __init__(self, model: type[models.Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        self.tasks: dict[str, Task] = model.TASKS
        self.list_display = ["name", *(self._column(task) for task in self.tasks.values())]
        self.list_filter = [task.status for task in self.tasks.values()]
        fieldsets, readonly = [(None, {"fields": self.fields_of_its_own})], []
        for task in self.tasks.values():
            shown = [self._shows(task, *what) for what in (
                ("Status", badge), ("Task id", task_id), ("Time", times), ("Summary", summary),
                ("Log", log))]
            fieldsets.append((task.title, {"fields": shown}))
            readonly += shown
        self.fieldsets, self.readonly_fields = fieldsets, readonly

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Without the logs, which may be long; the page of a row loads each as it shows it."""
        return super().get_queryset(request).defer(*(task.log for task in self.tasks.values()))

    def save_model(self, request: HttpRequest, obj: models.Model, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=form.changed_data)
        else:
            obj.save()

    @staticmethod
    def _column(task: Task) -> Show:
        @admin.display(description=task.title, ordering=task.status)
        def column(obj: models.Model) -> str:
            return format_html('{}<div class="task-times">{}</div>', badge(obj, task),
                               times(obj, task))
        return column

    @staticmethod
    def _shows(task: Task, title: str, content: Callable[[models.Model, Task], str]) -> Show:
        @admin.display(description=title)
        def field(obj: models.Model) -> str:
            return content(obj, task) or "-"
        return field


@admin.register(SqlDb)
class SqlDbAdmin(TaskAdmin):
    fields_of_its_own = ("name", "db_type", "db_host", "db_name", "schema")
    search_fields = ["name", "db_host", "db_name"]
    actions = ["create_db_elements", "create_table_comments", "create_column_comments"]

    def _start(self, request: HttpRequest, queryset: QuerySet, kind: str) -> None:
        for sql_db in queryset:
            if getattr(sql_db, SqlDb.TASKS[kind].status) == TaskStatus.RUNNING:
                self.message_user(request, f"It is running for '{sql_db.name}'.", messages.WARNING)
                continue
            start(sql_db, kind)
            self.message_user(request, f"Started for '{sql_db.name}'. Load the page again to see"
                                       f" how it gets on.", messages.SUCCESS)

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
    fields_of_its_own = ("name", "description", "sql_db")
    search_fields = ["name"]
