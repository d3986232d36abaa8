# SPDX-License-Identifier: Apache-2.0
"""The runs in the admin, read-only; and a mixin for the admin of models that have runs."""
from __future__ import annotations

from functools import cached_property
from typing import Any, Callable, Iterable, Iterator
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .models import KeepsLog, TaskRun
from .reading import Log
from .templatetags.tasklog import badge, progress, spell
from .text import visible, visible_html
from .views import LogViews, part_html

LAST_RUNS = 10
END_OF_LOG = 16 * 1024
CSS = {"all": ["tasklog/tasklog.css"]}


class VisibleValuesFilter(admin.AllValuesFieldListFilter):
    """One choice a value, and none of them hides anything."""

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        for choice in super().choices(changelist):
            yield {**choice, "display": visible(str(choice["display"]))}


class ChoiceFilter(admin.SimpleListFilter):
    """Is on or off."""

    all_of_them = "All"
    chosen = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", self.chosen)]

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        first, *others = super().choices(changelist)
        yield {**first, "display": self.all_of_them}
        yield from others


class ErrorsFilter(ChoiceFilter):
    title = "errors"
    parameter_name = "has_errors"
    chosen = "Has errors"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.with_errors() if self.value() == "1" else queryset


class CompletenessFilter(ChoiceFilter):
    title = "completeness"
    parameter_name = "incomplete"
    chosen = "Incomplete"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.incomplete() if self.value() == "1" else queryset


class SearchedTextFilter(ChoiceFilter):
    """Filters nothing: the search looks into the logs, too, which takes its time."""

    title = "searched text"
    parameter_name = "in_logs"
    all_of_them = "Ids and summaries"
    chosen = "Logs, too"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset


@admin.register(TaskRun)
class TaskRunAdmin(LogViews, admin.ModelAdmin):
    list_display = ["status_badge", "shown_kind", "shown_task_id", "start_time", "took", "progress",
                    "warnings", "errors"]
    list_display_links = ["shown_task_id"]
    list_filter = [("status", VisibleValuesFilter), ("kind", VisibleValuesFilter), "start_time",
                   ErrorsFilter, CompletenessFilter, SearchedTextFilter]
    search_fields = ["task_id", "summary"]
    search_help_text = "In task ids and summaries; in the logs, too, if the filter says so."
    list_per_page = 50
    show_full_result_count = False
    fieldsets = [("Details", {"fields": [
        "shown_kind", "shown_task_id", "shown_host", "start_time", "end_time", "took", "lines", "bytes",
        "shown_counters", "end_reason", "complete", "updated_at", "linked_object"]})]

    class Media:
        css = CSS

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: TaskRun | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: TaskRun | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).without_log()

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        fields = super().get_search_fields(request)
        return [*fields, "log"] if request.GET.get("in_logs") == "1" else fields

    @admin.display(description="status", ordering="status")
    def status_badge(self, run: TaskRun) -> SafeString:
        return badge(run.status)

    @admin.display(description="kind", ordering="kind")
    def shown_kind(self, run: TaskRun) -> SafeString:
        return visible_html(run.kind)

    @admin.display(description="task id", ordering="task_id")
    def shown_task_id(self, run: TaskRun) -> SafeString:
        return visible_html(run.task_id)

    @admin.display(description="host")
    def shown_host(self, run: TaskRun) -> SafeString:
        return visible_html(run.host) if run.host else "-"

    @admin.display(description="duration", ordering="duration")
    def took(self, run: TaskRun) -> str:
        return spell(run.elapsed)

    @admin.display(description="progress")
    def progress(self, run: TaskRun) -> str:
        return progress(run) if run.is_running else ""

    @admin.display(description="counters")
    def shown_counters(self, run: TaskRun) -> str:
        counters = run.counters if isinstance(run.counters, dict) else {}
        return visible(", ".join(f"{name}: {value}" for name, value in counters.items())) or "-"

    @admin.display(description="belongs to")
    def linked_object(self, run: TaskRun) -> str:
        obj = run.content_object if run.content_type_id else None
        if obj is None:
            return "-"
        try:
            url = reverse(f"{self.admin_site.name}:{obj._meta.app_label}_{obj._meta.model_name}_change",
                          args=[obj.pk])
        except NoReverseMatch:
            return str(obj)
        return format_html('<a href="{}">{}</a>', url, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: TaskRun | None = None) -> list[str]:
        return self.fieldsets[0][1]["fields"]


class TaskRunsMixin:
    """For the ModelAdmin of a model that has runs: shows the last ones on the page of a row.

    If the model keeps a log in columns of its own (models.task_columns), or names those that tasklog
    writes in `task_fields`, they are shown read-only and are not in the UPDATE of a save: Django writes
    read-only columns, too, and so would put back what stood there when the page was opened.
    """

    task_fields: tuple[str, ...] = ()

    class Media:
        css = CSS

    def get_task_fields(self) -> list[str]:
        own = self.model.task_column_names() if issubclass(self.model, KeepsLog) else []
        return [*own, *(name for name in self.task_fields if name not in own)]

    def get_runs(self, obj: models.Model) -> QuerySet:
        """The runs that belong to a row, if they are not those that are linked to it."""
        return TaskRun.objects.of(obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Without the logs; the page of a row reads the end of each where it lies."""
        return super().get_queryset(request).defer(*filter(self._is_text, self.get_task_fields()))

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list:
        return [*super().get_readonly_fields(request, obj), *self.get_task_fields(), *self._shown,
                "last_runs"]

    def get_exclude(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        return [*(super().get_exclude(request, obj) or []), *self.get_task_fields()]

    def get_fieldsets(self, request: HttpRequest, obj: models.Model | None = None) -> list:
        fieldsets = [(title, {**options, "fields": self._without_ours(options["fields"])})
                     for title, options in super().get_fieldsets(request, obj)]
        if obj is None:
            return fieldsets
        if self._shown:
            fieldsets.append(("Task log", {"fields": self._shown}))
        if self.admin_site.is_registered(TaskRun) and request.user.has_perm("tasklog.view_taskrun"):
            fieldsets.append(("Task runs", {"fields": ["last_runs"]}))
        return fieldsets

    def save_model(self, request: HttpRequest, obj: models.Model, form: Any, change: bool) -> None:
        """Django's save() leaves out what is not loaded."""
        if change:
            for name in self.get_task_fields():
                vars(obj).pop(self.model._meta.get_field(name).attname, None)
        super().save_model(request, obj, form, change)

    @admin.display(description="last runs")
    def last_runs(self, obj: models.Model) -> SafeString:
        runs = self.get_runs(obj).without_log()
        app = f"{self.admin_site.name}:tasklog_taskrun"
        query = {"content_type": ContentType.objects.get_for_model(obj, for_concrete_model=False).pk,
                 "object_id": obj.pk}
        return render_to_string("tasklog/runs.html", {
            "runs": runs[:LAST_RUNS], "run_url": f"{app}_change", "list_url": f"{app}_changelist",
            "query": urlencode(query)})

    @cached_property
    def _shown(self) -> list:
        return [self._log_shown(name) if self._is_text(name) else name for name in self.get_task_fields()]

    def _log_shown(self, name: str) -> Callable[[models.Model], str]:
        @admin.display(description=self.model._meta.get_field(name).verbose_name)
        def end_of_log(obj: models.Model) -> str:
            log = Log(self.model._base_manager.using(obj._state.db).filter(pk=obj.pk), name)
            part = log.last(END_OF_LOG)
            return render_to_string("tasklog/end_of_log.html", {
                "part": part, "html": part_html(part, with_ids=False)}) if part.text else "-"
        return end_of_log

    def _is_text(self, name: str) -> bool:
        return isinstance(self.model._meta.get_field(name), models.TextField)

    def _without_ours(self, fields: Iterable) -> list:
        ours = {*self.get_task_fields(), *self._shown, "last_runs"}
        return [self._without_ours(name) if isinstance(name, (list, tuple)) else name
                for name in fields if isinstance(name, (list, tuple)) or name not in ours]
