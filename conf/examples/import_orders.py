# SPDX-License-Identifier: Apache-2.0
"""A management command of Django whose log becomes a row: <app>/management/commands/import_orders.py.

The row with the task id must be there, and committed, before the first line.
"""
import logging
from logging.handlers import SysLogHandler
from os import environ

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Reads orders from files."

    def add_arguments(self, parser):
        parser.add_argument("task_id")
        parser.add_argument("paths", nargs="+")

    def handle(self, *args, task_id, paths, **options):
        handler = SysLogHandler(address=environ.get("TASKLOG_SOCKET", "/run/tasklog/log"))
        handler.ident = f"import_orders[{task_id}]: "
        log = logging.getLogger(f"import_orders.{task_id}")
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        failed = 0
        try:
            for path in paths:
                log.info("reading %s", path)
                try:
                    with open(path, encoding="utf-8") as file:
                        log.info("%s: %d orders", path, sum(1 for _ in file))
                except OSError:
                    failed += 1
                    log.exception("%s", path)
            log.info("@task end processed=%d failed=%d total=%d", len(paths) - failed, failed,
                     len(paths))
        except BaseException:
            log.exception("gave up")
            log.info("@task end status=FAILED")
            raise
        finally:
            log.removeHandler(handler)
            handler.close()
