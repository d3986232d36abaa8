# SPDX-License-Identifier: Apache-2.0
from django.contrib import admin

from tasklog.admin import TaskRunsMixin

from .models import SqlDb, Workspace


@admin.register(SqlDb)
class SqlDbAdmin(TaskRunsMixin, admin.ModelAdmin):
    list_display = ["name"]


@admin.register(Workspace)
class WorkspaceAdmin(TaskRunsMixin, admin.ModelAdmin):
    task_fields = ["last_log", "state"]
    fieldsets = [(None, {"fields": [("name", "state")]}), ("More", {"fields": ["last_log"]})]
