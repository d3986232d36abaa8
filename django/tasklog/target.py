# SPDX-License-Identifier: Apache-2.0
"""The row of a Django model that keeps a task's log: how it gets, and keeps, the task's id.

tasklog finds the row by the id, so it must be committed before the first line. A full `save()` of an
object that was loaded earlier, as an admin's form does it, puts the id of a former run back; before
the end it is set right. Trouble with the database is logged to "tasklog", never raised: the job goes on.
"""
from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models, transaction

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


class Target:
    """One row. Raises ValueError if the model has no field for the id: that is a mistake in the code."""

    def __init__(self, obj: models.Model, kind: str, id_field: str | None = None) -> None:
        model = type(obj)
        if id_field is None:
            prefix = prefix_for(model, kind)
            if prefix is None:
                raise ValueError(f"{model.__name__} has no field for the task id of {kind!r}: name it"
                                 " by id_field")
            id_field = f"{prefix}task_id"
        elif not has_field(model, id_field):
            raise ValueError(f"{model.__name__} has no field {id_field!r}")
        self.obj, self.id_field = obj, id_field

    def store(self, task_id: str) -> None:
        self.task_id = task_id
        try:
            self._before = self._stored()
            setattr(self.obj, self.id_field, task_id)
            self.obj.save(update_fields=[self.id_field])
            if transaction.get_connection(self._database()).in_atomic_block:
                logger.warning("Task %s begins in a transaction: tasklog does not see its id in %r"
                               " before that is committed", task_id, self.obj)
        except Exception:
            logger.exception("The id of task %s could not be stored in %r", task_id, self.obj)

    def restore(self) -> None:
        """If the row has the id of the run before this one again, it gets ours back. The id of a run
        that began later stays."""
        try:
            if self._stored() == self._before != self.task_id:
                self._row().filter(**{self.id_field: self._before}) \
                    .update(**{self.id_field: self.task_id})
        except Exception:
            logger.exception("The id of task %s could not be looked at in %r", self.task_id, self.obj)

    def _database(self) -> Any:
        return self.obj._state.db

    def _row(self) -> models.QuerySet:
        return type(self.obj)._base_manager.using(self._database()).filter(pk=self.obj.pk)

    def _stored(self) -> Any:
        return self._row().values_list(self.id_field, flat=True).first()
