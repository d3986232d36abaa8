# SPDX-License-Identifier: Apache-2.0
"""Both tables."""

from django.db import migrations, models
import django.db.models.deletion


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='SqlDb',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=255, unique=True)),
                ('db_host', models.CharField(blank=True, max_length=255)),
                ('db_type', models.CharField(default='PostgreSQL', max_length=255)),
                ('db_name', models.CharField(max_length=255)),
                ('schema', models.CharField(blank=True, max_length=255)),
                ('table_comment_status', models.CharField(choices=[('IDLE', 'Idle'), ('RUNNING', 'Running'), ('COMPLETED', 'Completed'), ('FAILED', 'Failed')], default='IDLE', max_length=20)),
                ('table_comment_task_id', models.CharField(blank=True, max_length=255, null=True)),
                ('table_comment_log', models.TextField(blank=True, null=True)),
                ('table_comment_start_time', models.DateTimeField(blank=True, null=True)),
                ('table_comment_end_time', models.DateTimeField(blank=True, null=True)),
                ('column_comment_status', models.CharField(choices=[('IDLE', 'Idle'), ('RUNNING', 'Running'), ('COMPLETED', 'Completed'), ('FAILED', 'Failed')], default='IDLE', max_length=20)),
                ('column_comment_task_id', models.CharField(blank=True, max_length=255, null=True)),
                ('column_comment_log', models.TextField(blank=True, null=True)),
                ('column_comment_start_time', models.DateTimeField(blank=True, null=True)),
                ('column_comment_end_time', models.DateTimeField(blank=True, null=True)),
                ('db_elements_status', models.CharField(choices=[('IDLE', 'Idle'), ('RUNNING', 'Running'), ('COMPLETED', 'Completed'), ('FAILED', 'Failed')], default='IDLE', max_length=20)),
                ('db_elements_task_id', models.CharField(blank=True, max_length=255, null=True)),
                ('db_elements_log', models.TextField(blank=True, null=True)),
                ('db_elements_start_time', models.DateTimeField(blank=True, null=True)),
                ('db_elements_end_time', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name': 'SQL Database',
                'verbose_name_plural': 'SQL Databases',
            },
        ),
        migrations.CreateModel(
            name='Workspace',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=255, unique=True)),
                ('description', models.TextField(blank=True)),
                ('preprocessing_status', models.CharField(choices=[('IDLE', 'Idle'), ('RUNNING', 'Running'), ('COMPLETED', 'Completed'), ('FAILED', 'Failed')], default='IDLE', max_length=20)),
                ('task_id', models.CharField(blank=True, max_length=255, null=True)),
                ('last_preprocess_log', models.TextField(blank=True, null=True)),
                ('preprocessing_start_time', models.DateTimeField(blank=True, null=True)),
                ('preprocessing_end_time', models.DateTimeField(blank=True, null=True)),
                ('table_comment_status', models.CharField(choices=[('IDLE', 'Idle'), ('RUNNING', 'Running'), ('COMPLETED', 'Completed'), ('FAILED', 'Failed')], default='IDLE', max_length=20)),
                ('table_comment_task_id', models.CharField(blank=True, max_length=255, null=True)),
                ('table_comment_log', models.TextField(blank=True, null=True)),
                ('table_comment_start_time', models.DateTimeField(blank=True, null=True)),
                ('table_comment_end_time', models.DateTimeField(blank=True, null=True)),
                ('column_comment_status', models.CharField(choices=[('IDLE', 'Idle'), ('RUNNING', 'Running'), ('COMPLETED', 'Completed'), ('FAILED', 'Failed')], default='IDLE', max_length=20)),
                ('column_comment_task_id', models.CharField(blank=True, max_length=255, null=True)),
                ('column_comment_log', models.TextField(blank=True, null=True)),
                ('column_comment_start_time', models.DateTimeField(blank=True, null=True)),
                ('column_comment_end_time', models.DateTimeField(blank=True, null=True)),
                ('sql_db', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to='thoth_core.sqldb')),
            ],
            options={
                'verbose_name': 'Workspace',
                'verbose_name_plural': 'Workspaces',
            },
        ),
    ]
