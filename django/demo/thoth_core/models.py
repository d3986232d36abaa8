# SPDX-License-Identifier: Apache-2.0
"""The tables that tasks write their status and log into.

Names and types of the task fields are ThothAI's. It has no db_elements_log: the demo adds it.
"""
from __future__ import annotations

from typing import NamedTuple

from django.db import models


class Task(NamedTuple):
    """Which fields of a model belong to one kind of task."""

    title: str
    status: str
    task_id: str
    log: str
    start_time: str
    end_time: str

    @classmethod
    def prefixed(cls, title: str, prefix: str) -> Task:
        return cls(title, *(f"{prefix}_{field}" for field in cls._fields[1:]))

    def fields(self) -> tuple[str, ...]:
        """The names of them all."""
        return self[1:]


class TaskStatus(models.TextChoices):
    IDLE = "IDLE", "Idle"
    RUNNING = "RUNNING", "Running"
    COMPLETED = "COMPLETED", "Completed"
    FAILED = "FAILED", "Failed"


def status_field() -> models.CharField:
    return models.CharField(max_length=20, choices=TaskStatus.choices, default=TaskStatus.IDLE)


def task_id_field() -> models.CharField:
    return models.CharField(max_length=255, blank=True, null=True)


def log_field() -> models.TextField:
    return models.TextField(blank=True, null=True)


def time_field() -> models.DateTimeField:
    return models.DateTimeField(blank=True, null=True)


class SqlDb(models.Model):
    name = models.CharField(max_length=255, unique=True)
    db_host = models.CharField(max_length=255, blank=True)
    db_type = models.CharField(max_length=255, default="PostgreSQL")
    db_name = models.CharField(max_length=255)
    schema = models.CharField(max_length=255, blank=True)

    table_comment_status = status_field()
    table_comment_task_id = task_id_field()
    table_comment_log = log_field()
    table_comment_start_time = time_field()
    table_comment_end_time = time_field()

    column_comment_status = status_field()
    column_comment_task_id = task_id_field()
    column_comment_log = log_field()
    column_comment_start_time = time_field()
    column_comment_end_time = time_field()

    db_elements_status = status_field()
    db_elements_task_id = task_id_field()
    db_elements_log = log_field()
    db_elements_start_time = time_field()
    db_elements_end_time = time_field()

    TASKS = {
        "db_elements": Task.prefixed("Database elements", "db_elements"),
        "table_comments": Task.prefixed("Table comments", "table_comment"),
        "column_comments": Task.prefixed("Column comments", "column_comment"),
    }

    class Meta:
        verbose_name = "SQL Database"
        verbose_name_plural = "SQL Databases"

    def __str__(self) -> str:
        return f"{self.name} - {self.db_name}"


class Workspace(models.Model):
    name = models.CharField(max_length=255, unique=True)
    description = models.TextField(blank=True)
    sql_db = models.ForeignKey(SqlDb, on_delete=models.SET_NULL, blank=True, null=True)

    preprocessing_status = status_field()
    task_id = task_id_field()
    last_preprocess_log = log_field()
    preprocessing_start_time = time_field()
    preprocessing_end_time = time_field()

    table_comment_status = status_field()
    table_comment_task_id = task_id_field()
    table_comment_log = log_field()
    table_comment_start_time = time_field()
    table_comment_end_time = time_field()

    column_comment_status = status_field()
    column_comment_task_id = task_id_field()
    column_comment_log = log_field()
    column_comment_start_time = time_field()
    column_comment_end_time = time_field()

    TASKS = {
        "preprocessing": Task(
            "Preprocessing", "preprocessing_status", "task_id", "last_preprocess_log",
            "preprocessing_start_time", "preprocessing_end_time"),
        "workspace_table_comments": Task.prefixed("Table comments", "table_comment"),
        "workspace_column_comments": Task.prefixed("Column comments", "column_comment"),
    }

    class Meta:
        verbose_name = "Workspace"
        verbose_name_plural = "Workspaces"

    def __str__(self) -> str:
        return self.name
