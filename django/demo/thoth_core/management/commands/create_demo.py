# SPDX-License-Identifier: Apache-2.0
"""manage.py create_demo: the rows that the demo's tasks belong to, and a user who may see them."""
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import connection

from thoth_core.models import SqlDb, Workspace


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: object, **options: object) -> None:
        if connection.vendor == "sqlite":
            connection.cursor().execute("PRAGMA journal_mode=WAL")
        get_user_model().objects.create_superuser("demo", "demo@example.com", "demo")
        create = SqlDb.objects.create
        shop = create(name="shop", db_name="shop_production", db_host="db1.example.com")
        create(name="archive", db_name="shop_2019", db_type="MariaDB")  # no host: its task fails
        create(name="sandbox", db_name="sandbox", db_host="localhost")
        Workspace.objects.create(name="Sales", description="Questions about the shop", sql_db=shop)
