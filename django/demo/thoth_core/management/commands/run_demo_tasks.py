# SPDX-License-Identifier: Apache-2.0
"""manage.py run_demo_tasks [WHICH]

    rows    four tasks at a time, in threads of one process (the default)
    long    one with a log of 20 MB
    stuck   one that waits for ever, to be killed
    live    one after another, until it is killed, for those who look
"""
import itertools
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter

from django.core.management.base import BaseCommand

from thoth_core.models import SqlDb
from thoth_core.tasks import JOBS, export_invoices, import_orders, start


def run_rows() -> None:
    shop = SqlDb.objects.get(name="shop")
    archive = SqlDb.objects.get(name="archive")
    for thread in [start(shop, kind) for kind in JOBS] + [start(archive, "db_elements")]:
        thread.join()


def run_live() -> None:
    """Two at a time."""
    sandbox = SqlDb.objects.get(name="sandbox")
    before = None
    for kind in itertools.cycle(JOBS):
        thread = start(sandbox, kind)
        if before:
            before.join()
        before = thread
        time.sleep(3)


WHICH = {"rows": run_rows, "long": lambda: import_orders(180_000), "stuck": lambda: export_invoices(120),
         "live": run_live}


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("which", nargs="?", choices=WHICH, default="rows")

    def handle(self, *args: object, **options: str) -> None:
        WHICH[options["which"]]()
