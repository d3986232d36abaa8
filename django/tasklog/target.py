# SPDX-License-Identifier: Apache-2.0
"""The row of a Django model that keeps a task's log: how it gets, and keeps, the task's id.

tasklog finds the row by the id, so it must be committed before the first line. A full `save()` of an
object that was loaded earlier, as an admin's form does it, puts the id of a former run back; before
the end it is set right. Trouble with the database is logged to "tasklog", never raised: the job goes on.
"""
from __future__ import annotations

import logging
import re
from datetime import datetime, timezone
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import models, transaction

from .client import Run
from .sender import JournalSender

logger = logging.getLogger("tasklog")


def has_field(model: type[models.Model], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


def prefix_for(model: type[models.Model], kind: str) -> str | None:
    """What the fields for a kind of task begin with: `table_comment_` for "table_comments"."""
    for prefix in (f"{kind}_", f"{kind[:-1]}_" if kind.endswith("s") else "", ""):
        if has_field(model, f"{prefix}task_id"):
            return prefix
    return None


def rows_for(obj: models.Model, kind: str, id_field: str | None) -> list[Target | LinkedRun]:
    """The object's own, if it keeps a log, and that of the run, if runs are linked to objects. Raises
    ValueError if there is none: that is a mistake in the code."""
    model = type(obj)
    rows: list[Target | LinkedRun] = []
    if id_field is not None:
        if not has_field(model, id_field):
            raise ValueError(f"{model.__name__} has no field {id_field!r}")
        rows.append(Target(obj, id_field))
    elif (prefix := prefix_for(model, kind)) is not None:
        rows.append(Target(obj, f"{prefix}task_id"))
    if links_runs():
        rows.append(LinkedRun(obj, apps.get_model("tasklog", "TaskRun")))
    if not rows:
        raise ValueError(f"{model.__name__} has no field for the task id of {kind!r}: name it by id_field,"
                         " or let runs be linked to rows (TASKLOG_LINK_RUNS)")
    return rows


def links_runs() -> bool:
    """Django's setting. It tells that each kind that is logged with a target is written to the table of
    runs, too, and that the input of rsyslogd takes the times that are sent along, by IgnoreTimestamp="off"
    and useSpecialParser="off": else a linked run stays RUNNING for ever, and the one that tasklog
    writes has no link."""
    return bool(getattr(settings, "TASKLOG_LINK_RUNS", False))


def warn_of_transaction(obj: models.Model, task_id: str, using: str | None) -> None:
    if transaction.get_connection(using).in_atomic_block:
        logger.warning("Task %s of %r begins in a transaction: tasklog does not see its row before"
                       " that is committed", task_id, obj)


class LinkedRun:
    """A row of the app's table of runs that says which object the run is of. The row is the one that
    tasklog then writes, for the start line bears its start time, which is a part of its key."""

    def __init__(self, obj: models.Model, model: type[models.Model]) -> None:
        self.obj, self.model = obj, model
        self.start_time: datetime | None = None

    def store(self, run: Run) -> None:
        if isinstance(run._sender, JournalSender) or not re.fullmatch(r"[!-~]{1,128}", run.task_id):
            logger.warning("Run %s[%s] cannot be linked to %r: its start time has to be sent along, which"
                           " neither the journal nor such an id allows", run.kind, run.task_id, self.obj)
            return
        from django.contrib.contenttypes.models import ContentType
        try:
            now = datetime.now(timezone.utc)
            made = self.model._base_manager.create(
                kind=run.kind, task_id=run.task_id, start_time=now, status="RUNNING",
                content_type=ContentType.objects.get_for_model(self.obj, for_concrete_model=False),
                object_id=str(self.obj.pk))
            self.start_time = now
            warn_of_transaction(self.obj, run.task_id, made._state.db)
        except Exception:
            logger.exception("Run %s[%s] could not be linked to %r", run.kind, run.task_id, self.obj)

    def restore(self) -> None:
        """Nobody else writes the row."""

    def ended(self, run: Run) -> None:
        """Whose end could not be sent: nobody else will say that it has ended."""
        if self.start_time is None or run.end_sent or not run.ended:
            return
        try:
            self.model._base_manager.filter(
                kind=run.kind, task_id=run.task_id, start_time=self.start_time, end_time=None).update(
                    status="FAILED", end_time=datetime.now(timezone.utc), complete=False)
        except Exception:
            logger.exception("Run %s[%s] could not be ended in its row", run.kind, run.task_id)


class Target:
    """A row that keeps the log itself."""

    start_time = None

    def __init__(self, obj: models.Model, id_field: str) -> None:
        self.obj, self.id_field = obj, id_field
        self._before: object = None

    def store(self, run: Run) -> None:
        self.task_id = run.task_id
        try:
            self._before = self._stored()
            setattr(self.obj, self.id_field, run.task_id)
            self.obj.save(update_fields=[self.id_field])
            warn_of_transaction(self.obj, run.task_id, self._database())
        except Exception:
            logger.exception("The id of task %s could not be stored in %r", run.task_id, self.obj)

    def restore(self) -> None:
        """If the row has the id of the run before this one again, it gets ours back. The id of a run
        that began later stays."""
        try:
            if self._stored() == self._before != self.task_id:
                self._row().filter(**{self.id_field: self._before}) \
                    .update(**{self.id_field: self.task_id})
        except Exception:
            logger.exception("The id of task %s could not be looked at in %r", self.task_id, self.obj)

    def ended(self, run: Run) -> None:
        """Status and end are tasklog's, or the application's."""

    def _database(self) -> Any:
        return self.obj._state.db

    def _row(self) -> models.QuerySet:
        return type(self.obj)._base_manager.using(self._database()).filter(pk=self.obj.pk)

    def _stored(self) -> Any:
        return self._row().values_list(self.id_field, flat=True).first()
