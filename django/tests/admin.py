# SPDX-License-Identifier: Apache-2.0
from django.contrib import admin

from tasklog.admin import TaskRunsMixin

from .models import SqlDb


@admin.register(SqlDb)
class SqlDbAdmin(TaskRunsMixin, admin.ModelAdmin):
    list_display = ["name"]
