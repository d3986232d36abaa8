# SPDX-License-Identifier: Apache-2.0
"""Celery: each task's log by the task's own id, its retries in the same log.

    from tasklog.celery import connect
    connect()                                       # beside app = Celery(…); connect(watch=True), …

What any logger says while a task runs, `get_task_logger(…)` too, becomes part of its log. A kind is the
task's name, or what `kinds` makes of it: a dictionary or a function; None leaves a task out. A retry
adds to the log and does not end it. That a worker was lost Celery's main process says, ten seconds later; with
`watch` the death of the worker's process ends the task by itself, but one that waits for its retry then
ends, too, as the process that began it goes.
"""
from __future__ import annotations

import logging
import re
from typing import Any, Callable, Mapping

from celery import signals

from .client import Run, TaskHandler, TaskLogger, _current

_open: dict[str, tuple[TaskLogger, Any]] = {}
_settings: dict[str, Any] = {}


def connect(kinds: Mapping[str, str | None] | Callable[[str], str | None] | None = None, *,
            level: int | str = logging.INFO, address: str | None = None, watch: bool = False,
            handler: bool = True) -> None:
    """Once, before workers start. `handler` False leaves loggers alone: LOGGING has a TaskHandler."""
    _settings.update(kinds=kinds, level=level, address=address, watch=watch)
    uid = "tasklog"
    signals.task_prerun.connect(_begin, dispatch_uid=uid)
    signals.task_retry.connect(_retry, dispatch_uid=uid)
    signals.task_failure.connect(_failure, dispatch_uid=uid)
    signals.task_revoked.connect(_revoked, dispatch_uid=uid)
    signals.task_postrun.connect(_end, dispatch_uid=uid)
    if handler:
        signals.after_setup_logger.connect(_add_handler, dispatch_uid=uid)
        signals.after_setup_task_logger.connect(_add_handler, dispatch_uid=uid)


def kind_of(name: str) -> str | None:
    """The kind of a task by its name; names may be longer than kinds, and their end tells more."""
    kinds = _settings.get("kinds")
    if callable(kinds):
        found = kinds(name)
    elif kinds is not None and name in kinds:
        found = kinds[name]
    else:
        found = name
    return re.sub(r"[^A-Za-z0-9_.-]", "_", found)[-48:] if found else None


def _run(sender: Any, task_id: str, watch: bool) -> Run | None:
    kind = kind_of(sender.name)
    if kind is None:
        return None
    return Run(kind, task_id, address=_settings.get("address"), watch=watch)


def _begin(task_id: str, task: Any, **unused: Any) -> None:
    run = _run(task, task_id, bool(_settings.get("watch")))
    if run is None:
        return
    log = TaskLogger(run, _settings.get("level", logging.INFO))
    _open[task_id] = (log, _current.set(log))
    if not task.request.retries:
        run.start()  # a second start would begin the log anew


def _retry(request: Any, reason: Any, **unused: Any) -> None:
    if request.id in _open:
        _open[request.id][0].warning("Retry %d: %s", request.retries + 1, reason)


def _failure(sender: Any, task_id: str, exception: BaseException, **unused: Any) -> None:
    if task_id in _open:
        _open[task_id][0].error("%s: %s", type(exception).__name__, exception, exc_info=exception)
        return
    # In the main process: the one that ran the task is gone.
    run = _run(sender, task_id, False)
    if run is not None:
        run.log(logging.ERROR, f"{type(exception).__name__}: {exception}")
        run.end("FAILED")


def _revoked(sender: Any, request: Any, terminated: bool, **unused: Any) -> None:
    run = _run(sender, request.id, False) if terminated else None  # else it never began
    if run is not None:
        run.end("FAILED", "The task was revoked")


def _end(task_id: str, state: str | None, **unused: Any) -> None:
    log, token = _open.pop(task_id, (None, None))
    if log is None:
        return
    try:
        _current.reset(token)
    except ValueError:
        _current.set(None)
    if state == "RETRY":
        if log.unsent:
            log.warning("%d lines could not be sent", log.unsent)
        log.run.leave()
    else:
        log.end(None if state == "SUCCESS" else "FAILED")


def _add_handler(logger: logging.Logger, **unused: Any) -> None:
    if not any(isinstance(handler, TaskHandler) for handler in logger.handlers):
        ours = TaskHandler()
        # Celery's own lines on how the task ended say what ours say.
        ours.addFilter(lambda record: record.name != "celery.app.trace")
        logger.addHandler(ours)
