# SPDX-License-Identifier: Apache-2.0
"""Models of an application, as they use tasklog."""
from django.db import models

from tasklog.models import task_columns


class SqlDb(task_columns("table_comment_"), task_columns("column_comment_")):
    name = models.CharField(max_length=255)
    edited_at = models.DateTimeField(auto_now=True)


class Workspace(models.Model):
    """Has its own names for what tasklog writes."""

    name = models.CharField(max_length=255)
    last_log = models.TextField(null=True, blank=True)
    state = models.CharField(max_length=20, default="IDLE")
