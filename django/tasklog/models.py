# SPDX-License-Identifier: Apache-2.0
"""The table of runs, and columns for models that keep the log of their last run themselves.

Both are written from outside, by omtasklog or tasklog-journald, at any time and without Django's
knowledge. Hence two rules. A column that they do not write must be NULL-able, for Django's defaults
are not the database's. And nothing here writes a column that it has not changed.
"""
from __future__ import annotations

from datetime import timedelta
from typing import Any, Iterable

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone

from .text import visible


class Status(models.TextChoices):
    """Those that tasklog gives itself; an end marker may say any other word."""

    RUNNING = "RUNNING", "Running"
    COMPLETED = "COMPLETED", "Completed"
    FAILED = "FAILED", "Failed"


class TaskRunQuerySet(models.QuerySet):
    def without_log(self) -> TaskRunQuerySet:
        """What every list wants: a log may have 50 MB."""
        return self.defer("log")

    def with_errors(self) -> TaskRunQuerySet:
        """The 0 is written out: SQLite uses a partial index only for what it can see to be its condition."""
        return self.filter(errors__gt=models.Func(template="0", output_field=models.BigIntegerField()))

    def incomplete(self) -> TaskRunQuerySet:
        """Ended without an end marker, or lines are missing."""
        return self.filter(complete=False, end_time__isnull=False)

    def of(self, obj: models.Model) -> TaskRunQuerySet:
        """The runs that are linked to a row of any model."""
        content_type = ContentType.objects.get_for_model(obj, for_concrete_model=False)
        return self.filter(content_type=content_type, object_id=str(obj.pk))


class TaskRun(models.Model):
    """One run of a task. conf/django.conf writes it; the link to another row is the application's."""

    kind = models.CharField(max_length=48)
    task_id = models.CharField("task id", max_length=255)
    start_time = models.DateTimeField("start")
    status = models.CharField(max_length=32)
    host = models.TextField(null=True)
    end_time = models.DateTimeField("end", null=True)
    duration = models.FloatField(null=True, help_text="Seconds.")
    processed = models.BigIntegerField(null=True)
    failed = models.BigIntegerField(null=True)
    total = models.BigIntegerField(null=True)
    lines = models.BigIntegerField(null=True)
    bytes = models.BigIntegerField(null=True)
    warnings = models.BigIntegerField(null=True)
    errors = models.BigIntegerField(null=True)
    end_reason = models.CharField(max_length=32, null=True)
    complete = models.BooleanField(null=True)
    updated_at = models.DateTimeField(null=True)
    content_type = models.ForeignKey(ContentType, models.SET_NULL, null=True, db_index=False,
                                     related_name="+")
    object_id = models.CharField(max_length=255, null=True)
    first_error = models.CharField(max_length=255, null=True)
    counters = models.JSONField(null=True)
    summary = models.TextField(null=True)
    # The last column of the table: SQLite walks through a long text to reach what stands behind it.
    log = models.TextField(null=True)

    content_object = GenericForeignKey(for_concrete_model=False)
    objects = TaskRunQuerySet.as_manager()

    class Meta:
        verbose_name = "task run"
        ordering = ["-start_time", "-id"]
        constraints = [models.UniqueConstraint(fields=["kind", "task_id", "start_time"],
                                               name="tasklog_taskrun_key")]
        # For the list in its order, for its filters, for the runs of an object and for its search.
        indexes = [
            models.Index(fields=["-start_time", "-id"], name="tasklog_start"),
            models.Index(fields=["status", "-start_time", "-id"], name="tasklog_status"),
            models.Index(fields=["kind", "-start_time", "-id"], name="tasklog_kind"),
            models.Index(fields=["task_id"], name="tasklog_task_id"),
            models.Index(fields=["content_type", "object_id", "-start_time", "-id"], name="tasklog_object"),
            models.Index(fields=["-start_time", "-id"], name="tasklog_errors",
                         condition=models.Q(errors__gt=0)),
            models.Index(fields=["-start_time", "-id"], name="tasklog_incomplete",
                         condition=models.Q(complete=False)),
        ]

    def __str__(self) -> str:
        return visible(f"{self.kind}[{self.task_id}]")

    @property
    def is_running(self) -> bool:
        return self.end_time is None and self.status == Status.RUNNING

    @property
    def elapsed(self) -> timedelta | None:
        """How long it took, or takes so far."""
        if self.is_running:
            return max(timezone.now() - self.start_time, timedelta(0))
        return None if self.duration is None else timedelta(seconds=self.duration)


class KeepsLog(models.Model):
    """The base of `task_columns`: `save()` leaves out what tasklog writes, unless it was changed here.

    Django's own `save()` writes every column, so that an object that was loaded while a task ran
    would put the log of that moment back in place of the finished one.
    """

    class Meta:
        abstract = True

    @classmethod
    def task_column_names(cls) -> list[str]:
        """status, task id, log and times of each prefix."""
        prefixes: list[str] = []
        for base in cls.__mro__:
            prefix = vars(base).get("TASK_PREFIX")
            if prefix is not None and prefix not in prefixes:
                prefixes.append(prefix)
        return [prefix + name for prefix in prefixes for name in TASK_COLUMNS]

    @classmethod
    def from_db(cls, db: str, field_names: Iterable[str], values: Iterable[Any],
                **options: Any) -> models.Model:
        obj = super().from_db(db, field_names, values, **options)
        obj._remember_task_columns()
        return obj

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        super().refresh_from_db(*args, **kwargs)
        self._remember_task_columns()

    def save(self, *args: Any, **kwargs: Any) -> None:
        plain = not args and all(kwargs.get(name) is None for name in ("update_fields", "using"))
        if plain and not self._state.adding and not kwargs.get("force_insert"):
            kwargs["update_fields"] = self._fields_to_save()
        super().save(*args, **kwargs)
        self._remember_task_columns()

    def _remember_task_columns(self) -> None:
        self._task_columns_as_loaded = {name: vars(self)[name] for name in self.task_column_names()
                                        if name in vars(self)}

    def _fields_to_save(self) -> list[str]:
        mine = vars(self)
        loaded = mine.get("_task_columns_as_loaded", {})
        return [field.name for field in self._meta.concrete_fields
                if not field.primary_key and field.attname in mine
                and not (field.name in loaded and loaded[field.name] == mine[field.name])]


TASK_COLUMNS = ("status", "task_id", "log", "start_time", "end_time")


def task_columns(prefix: str = "task_") -> type[KeepsLog]:
    """An abstract model with the columns `<prefix>status`, `task_id`, `log`, `start_time`, `end_time`.

        class SqlDb(task_columns("table_comment_"), task_columns("column_comment_")):
            name = models.CharField(max_length=255)
    """
    fields = {
        "status": models.CharField(max_length=32, default="IDLE", editable=False),
        "task_id": models.CharField(max_length=255, null=True, editable=False, db_index=True),
        "log": models.TextField(null=True, editable=False),
        "start_time": models.DateTimeField(null=True, editable=False),
        "end_time": models.DateTimeField(null=True, editable=False),
    }
    return type(KeepsLog)(f"TaskColumns_{prefix}", (KeepsLog,), {
        "__module__": __name__,
        "TASK_PREFIX": prefix,
        "Meta": type("Meta", (), {"abstract": True}),
        **{prefix + name: field for name, field in fields.items()},
    })
