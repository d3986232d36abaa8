# SPDX-License-Identifier: Apache-2.0
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The log is the last column on purpose: see models.py."""

    initial = True
    dependencies = [("contenttypes", "0002_remove_content_type_name")]

    operations = [
        migrations.CreateModel(
            name="TaskRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False,
                                           verbose_name="ID")),
                ("kind", models.CharField(max_length=48)),
                ("task_id", models.CharField(max_length=255, verbose_name="task id")),
                ("start_time", models.DateTimeField(verbose_name="start")),
                ("status", models.CharField(max_length=32)),
                ("host", models.TextField(null=True)),
                ("end_time", models.DateTimeField(null=True, verbose_name="end")),
                ("duration", models.FloatField(help_text="Seconds.", null=True)),
                ("processed", models.BigIntegerField(null=True)),
                ("failed", models.BigIntegerField(null=True)),
                ("total", models.BigIntegerField(null=True)),
                ("lines", models.BigIntegerField(null=True)),
                ("bytes", models.BigIntegerField(null=True)),
                ("warnings", models.BigIntegerField(null=True)),
                ("errors", models.BigIntegerField(null=True)),
                ("end_reason", models.CharField(max_length=32, null=True)),
                ("complete", models.BooleanField(null=True)),
                ("updated_at", models.DateTimeField(null=True)),
                ("content_type", models.ForeignKey(
                    db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL,
                    related_name="+", to="contenttypes.contenttype")),
                ("object_id", models.CharField(max_length=255, null=True)),
                ("first_error", models.CharField(max_length=255, null=True)),
                ("counters", models.JSONField(null=True)),
                ("summary", models.TextField(null=True)),
                ("log", models.TextField(null=True)),
            ],
            options={
                "verbose_name": "task run",
                "ordering": ["-start_time", "-id"],
                "constraints": [models.UniqueConstraint(
                    fields=("kind", "task_id", "start_time"), name="tasklog_taskrun_key")],
                "indexes": [
                    models.Index(fields=["-start_time", "-id"], name="tasklog_start"),
                    models.Index(fields=["status", "-start_time", "-id"], name="tasklog_status"),
                    models.Index(fields=["kind", "-start_time", "-id"], name="tasklog_kind"),
                    models.Index(fields=["task_id"], name="tasklog_task_id"),
                    models.Index(fields=["content_type", "object_id", "-start_time", "-id"],
                                 name="tasklog_object"),
                    models.Index(condition=models.Q(errors__gt=0), fields=["-start_time", "-id"],
                                 name="tasklog_errors"),
                    models.Index(condition=models.Q(complete=False), fields=["-start_time", "-id"],
                                 name="tasklog_incomplete"),
                ],
            },
        ),
    ]
