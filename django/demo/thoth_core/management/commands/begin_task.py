# SPDX-License-Identifier: Apache-2.0
"""manage.py begin_task KIND NAME: sets a row to RUNNING and prints the task id.

What a web application does before it hands a job to another program.
"""
from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from thoth_core.models import SqlDb, Workspace
from thoth_core.tasks import begin

MODELS = {kind: model for model in (SqlDb, Workspace) for kind in model.TASKS}


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=MODELS)
        parser.add_argument("name", help="name of the database or the workspace")

    def handle(self, *args: object, **options: str) -> None:
        kind = options["kind"]
        self.stdout.write(begin(MODELS[kind].objects.get(name=options["name"]), kind))
