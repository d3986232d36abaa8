# SPDX-License-Identifier: Apache-2.0
"""Celery: each task's log becomes a row, by the task's own id; a retry goes on in the same log."""
import logging
from logging.handlers import SysLogHandler
from os import environ

from celery import Celery, signals

app = Celery("shop", broker=environ.get("BROKER", "redis://localhost"))

logs = {}  # in a task: logs[self.request.id].info("...")


@signals.task_prerun.connect
def start_log(task_id, task, **_):
    handler = SysLogHandler(address=environ.get("TASKLOG_SOCKET", "/run/tasklog/log"))
    handler.ident = f"{task.name}[{task_id}]: "
    logs[task_id] = logging.Logger(task.name, logging.INFO)
    logs[task_id].addHandler(handler)


@signals.task_failure.connect
def log_failure(task_id, exception, **_):
    logs[task_id].error("failed", exc_info=exception)


@signals.task_postrun.connect
def end_log(task_id, state, **_):
    log = logs.pop(task_id)
    if state != "RETRY":
        log.info("@task end status=%s", "COMPLETED" if state == "SUCCESS" else "FAILED")
    log.handlers[0].close()


@app.task(bind=True, name="import_orders")
def import_orders(self, path):
    logs[self.request.id].info("reading %s", path)
    if not path.endswith(".csv"):
        raise ValueError(f"{path} is not a CSV file")
