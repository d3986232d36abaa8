# SPDX-License-Identifier: Apache-2.0
"""System checks: what makes a log slow to write or lets Django overwrite it."""
from __future__ import annotations

from typing import Any, Iterable

from django.apps import apps
from django.core import checks
from django.db import connections


@checks.register(checks.Tags.database)
def check_journal(databases: Iterable[str] | None = None, **kwargs: Any) -> list[checks.Warning]:
    from .models import TaskRun

    found = []
    for alias in databases or []:
        connection = connections[alias]
        if connection.vendor != "sqlite" or connection.is_in_memory_db():
            continue
        with connection.cursor() as cursor:
            mode, = cursor.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            found.append(checks.Warning(
                f'The SQLite database "{alias}" is not in WAL mode: who reads it makes tasklog wait.',
                hint="Once: sqlite3 FILE 'PRAGMA journal_mode=WAL'. It is kept in the file.",
                obj=TaskRun, id="tasklog.W001"))
    return found


@checks.register(checks.Tags.admin)
def check_log_is_not_editable(app_configs: Any = None, **kwargs: Any) -> list[checks.Warning]:
    if not apps.is_installed("django.contrib.admin"):
        return []
    from django.contrib.admin.sites import all_sites

    from .admin import TaskRunsMixin
    from .models import KeepsLog

    return [checks.Warning(
        f"{model.__name__} keeps a log, and its admin writes the log's columns when it saves.",
        hint="Let the ModelAdmin inherit from tasklog.admin.TaskRunsMixin.",
        obj=type(model_admin), id="tasklog.W002")
        for site in all_sites for model, model_admin in site._registry.items()
        if issubclass(model, KeepsLog) and not isinstance(model_admin, TaskRunsMixin)]
