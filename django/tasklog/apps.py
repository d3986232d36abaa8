# SPDX-License-Identifier: Apache-2.0
"""The app's configuration. Its checks are in checks.py."""
from django.apps import AppConfig


class TasklogConfig(AppConfig):
    name = "tasklog"
    verbose_name = "Task logs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401  registers them
