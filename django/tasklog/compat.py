# SPDX-License-Identifier: Apache-2.0
"""ThothAI's log_handler, by the same names: `from tasklog.compat import …` in place of the import of
`thoth_core.thoth_ai.thoth_workflow.log_handler`, and nothing else.

The lines go to tasklog as they are logged, under the task id that the worker has stored in its row;
nothing rewrites the row's log from here. The fields are those that begin as the field of the log
does, and the kind is the logger's base name without "async_": `async_table_comments` logs as
`table_comments` into `table_comment_log`. (A Workspace's kinds are `workspace_…`, as in
conf/thothai.conf.) The task ends when a summary is added, when the object is saved with another
status than RUNNING, or, as FAILED, when its logger is thrown away without either.

If no line could be sent, because no tasklog is there, the functions do what ThothAI's did.
"""
from __future__ import annotations

import logging
import sys
import time
from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.signals import post_save
from django.utils import timezone

from .client import KIND, Run, _plain, text_of
from .target import has_field, prefix_for

RUNNING = "RUNNING"
WAITING_LINES = 1000  # before there is a task id
CLOCK_SLACK = timedelta(seconds=10)  # between a start time of the application's and tasklog's

fallback = logging.getLogger("thoth_core.async_tasks")


class MemoryLogHandler(logging.Handler):
    """Sends what is logged, and keeps it too, for `get_logs()`."""

    def __init__(self, level: int = logging.INFO) -> None:
        super().__init__(level)
        self.start_time = timezone.now()
        self.setFormatter(logging.Formatter("[%(asctime)s] %(message)s", "%Y-%m-%d %H:%M:%S"))
        self.log_messages: list[str] = []
        self._obj: models.Model | None = None
        self._kind = ""
        self._prefix: str | None = None
        self._run: Run | None = None
        self._waiting: list[tuple[int, str]] = []
        self._delivers = False

    def follow(self, obj: models.Model, kind: str, prefix: str | None) -> None:
        """From now on the lines belong to the task whose id is in the object."""
        self._obj, self._kind, self._prefix = obj, kind, prefix
        post_save.connect(self._saved, sender=type(obj))

    # --- as a handler -------------------------------------------------------------------------

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = text_of(record, _plain)
            try:
                self.log_messages.append(self.format(record))
            except Exception:
                self.log_messages.append(text)
                self.handleError(record)
            if self._begun() is not None:
                self._log(record.levelno, text)
            elif self._obj is not None and len(self._waiting) < WAITING_LINES:
                self._waiting.append((record.levelno, text))
        except Exception:
            self.handleError(record)

    def get_logs(self) -> str:
        return "\n".join(self.log_messages)

    def clear_logs(self) -> None:
        self.log_messages.clear()

    def add_summary(self, processed: int, failed: int, total: int) -> None:
        """Ends the task. The line itself is tasklog's."""
        minutes, seconds = divmod(int((timezone.now() - self.start_time).total_seconds()), 60)
        duration = f"{minutes}m {seconds}s" if minutes else f"{seconds}s"
        text = f"Completed: {processed} successful, {failed} failed, Total time: {duration}"
        self.log_messages.append(self.format(logging.LogRecord("async_task", logging.INFO, "", 0, text,
                                                               None, None)))
        run = self._begun(anyway=True)
        if run is not None and not run.ended:
            self.keep_row()
            run.end(processed=processed, failed=failed, total=total)

    def __del__(self) -> None:
        run = getattr(self, "_run", None)
        # As the process ends, the watch of it does this.
        if run is not None and not run.ended and not sys.is_finalizing():
            run.end("FAILED", "The job has gone without an end")

    def begin(self) -> None:
        """If it has not begun: the id that the object has now is the task's."""
        self._begun(anyway=True)

    # --- the run ------------------------------------------------------------------------------

    def delivers(self) -> bool:
        """Is there a tasklog that takes the lines?"""
        return self._delivers

    def know_prefix(self, prefix: str) -> None:
        """From the name of the log's field, if the base name did not tell."""
        if self._prefix is None and self._obj is not None \
                and has_field(type(self._obj), f"{prefix}task_id"):
            self._prefix = prefix

    def keep_row(self) -> None:
        """A full save of an object that was loaded earlier, or the admin's action that started the
        worker, may have put another id in place of ours: then tasklog would not find the row."""
        run, obj = self._run, self._obj
        if run is None or obj is None or run.ended:
            return
        id_field, start = f"{self._prefix}task_id", f"{self._prefix}start_time"
        try:
            rows = type(obj)._base_manager.using(obj._state.db).filter(pk=obj.pk)
            started = getattr(obj, start, None)
            if started is not None:  # a run that began later keeps its own
                rows = rows.filter(Q(**{start: None}) | Q(**{f"{start}__lt": started + CLOCK_SLACK}))
            others = rows.exclude(**{id_field: run.task_id})
            if others.exists():
                others.update(**{id_field: run.task_id})
        except Exception as error:
            fallback.error("Failed to keep the task id of %r: %s", obj, error)

    def _begun(self, anyway: bool = False) -> Run | None:
        """The run of the id that the object has now. A worker that makes its logger before it stores
        the id has the former run's until its status is RUNNING."""
        if self._obj is None or self._prefix is None or not KIND.fullmatch(self._kind):
            return None
        task_id = getattr(self._obj, f"{self._prefix}task_id", None)
        if not task_id:
            return None
        if self._run is not None and self._run.task_id == task_id:
            return self._run
        if not anyway and getattr(self._obj, f"{self._prefix}status", None) != RUNNING:
            return self._run
        if self._run is not None and not self._run.ended:
            self._run.end("FAILED", "The job went on under another task id")
        self._run = Run(self._kind, str(task_id))
        self._run.start()
        waiting, self._waiting = self._waiting, []
        for level, text in waiting:
            self._log(level, text)
        return self._run

    def _log(self, level: int, text: str) -> None:
        assert self._run
        if self._run.log(level, text):
            self._delivers = True

    def _saved(self, instance: models.Model, **unused: Any) -> None:
        if instance is not self._obj:
            return
        try:
            status = getattr(instance, f"{self._prefix}status", None)
            run = self._begun()
            if run is not None and not run.ended and status not in (None, "", RUNNING):
                self.keep_row()
                run.end(str(status))
        except Exception as error:
            fallback.error("Failed to end the task of %r: %s", instance, error)


# --- ThothAI's functions --------------------------------------------------------------------------

def _create(obj: models.Model, kind: str, name: str) -> tuple[logging.Logger, MemoryLogHandler]:
    # Not getLogger(): that keeps every logger for ever.
    logger = logging.Logger(f"{name}_{obj.pk}_{time.time()}", logging.INFO)
    handler = MemoryLogHandler(logging.INFO)
    handler.follow(obj, kind, prefix_for(type(obj), kind.replace("workspace_", "", 1)))
    logger.addHandler(handler)
    return logger, handler


def _kind(base_logger_name: str) -> str:
    return base_logger_name[6:] if base_logger_name.startswith("async_") else base_logger_name


def _update(obj: models.Model, handler: MemoryLogHandler, field_name: str) -> None:
    try:
        if field_name.endswith("log"):
            handler.know_prefix(field_name[:-3])
        handler.begin()
        if handler.delivers():
            # tasklog writes the column. Whoever saves this object leaves in it what is there.
            if has_field(type(obj), field_name):
                setattr(obj, field_name, F(field_name))
            handler.keep_row()
        else:
            setattr(obj, field_name, handler.get_logs())
            obj.save(update_fields=[field_name])
    except Exception as error:
        fallback.error("Failed to update the log of %r: %s", obj, error)


def create_table_comment_logger(
        workspace: models.Model, base_logger_name: str = "async_table_comments",
) -> tuple[logging.Logger, MemoryLogHandler]:
    return _create(workspace, f"workspace_{_kind(base_logger_name)}", base_logger_name)


def create_column_comment_logger(
        workspace: models.Model, base_logger_name: str = "async_column_comments",
) -> tuple[logging.Logger, MemoryLogHandler]:
    return _create(workspace, f"workspace_{_kind(base_logger_name)}", base_logger_name)


def create_db_comment_logger(
        sql_db: models.Model, base_logger_name: str = "async_table_comments",
) -> tuple[logging.Logger, MemoryLogHandler]:
    return _create(sql_db, _kind(base_logger_name), f"{base_logger_name}_db")


def update_workspace_log(workspace: models.Model, memory_handler: MemoryLogHandler,
                         field_name: str = "table_comment_log") -> None:
    _update(workspace, memory_handler, field_name)


def update_sqldb_log(sql_db: models.Model, memory_handler: MemoryLogHandler,
                     field_name: str = "table_comment_log") -> None:
    _update(sql_db, memory_handler, field_name)
