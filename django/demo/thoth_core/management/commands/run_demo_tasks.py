# SPDX-License-Identifier: Apache-2.0
"""manage.py run_demo_tasks: four tasks at a time, in threads of one process."""
from django.core.management.base import BaseCommand

from thoth_core.models import SqlDb
from thoth_core.tasks import JOBS, start


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: object, **options: object) -> None:
        shop = SqlDb.objects.get(name="shop")
        archive = SqlDb.objects.get(name="archive")
        threads = [start(shop, kind) for kind in JOBS] + [start(archive, "db_elements")]
        for thread in threads:
            thread.join()
