# SPDX-License-Identifier: Apache-2.0
"""Deletes old runs, or their logs alone. A running task's row is never touched."""
from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import QuerySet
from django.utils import timezone

from ...models import TaskRun


def count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"'{text}' is not a whole number")
    return int(text)


class Command(BaseCommand):
    help = "Deletes runs that are older than --days or beyond the newest --keep of their kind."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=count, help="delete runs that ended so many days ago or earlier")
        parser.add_argument("--keep", type=count, help="delete all but so many of each kind, the newest")
        parser.add_argument("--kind", action="append", help="of this kind only; may be given several times")
        parser.add_argument("--logs", action="store_true", help="empty the log and keep the row")
        parser.add_argument("--batch", type=count, default=500, help="so many at a time (default: 500)")
        parser.add_argument("--dry-run", action="store_true", help="only say how many it would be")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="the alias of the database")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] is None and options["keep"] is None:
            raise CommandError("Say which runs: --days, --keep or both.")
        if options["batch"] < 1:
            raise CommandError("--batch must be 1 or more.")
        ended = TaskRun.objects.using(options["database"]).filter(end_time__isnull=False)
        if options["kind"]:
            ended = ended.filter(kind__in=options["kind"])
        if options["logs"]:
            ended = ended.filter(log__isnull=False)
        chosen = old_and_surplus(ended, options["days"], options["keep"])
        total = sum(self._prune(chosen[start:start + options["batch"]], **options)
                    for start in range(0, len(chosen), options["batch"]))
        done = "would be" if options["dry_run"] else "were"
        if options["verbosity"] > 0:
            self.stdout.write(f"{total} runs {done} {'emptied of their logs' if options['logs'] else 'deleted'}.")

    def _prune(self, keys: list[int], database: str, logs: bool, dry_run: bool, **_: Any) -> int:
        """A transaction of its own, so that whoever else writes need not wait for all of them."""
        if dry_run:
            return len(keys)
        runs = TaskRun.objects.using(database).filter(pk__in=keys, end_time__isnull=False)
        with transaction.atomic(using=database):
            return runs.update(log=None) if logs else runs.delete()[1].get(TaskRun._meta.label, 0)


def old_and_surplus(ended: QuerySet, days: int | None, keep: int | None) -> list[int]:
    """The keys of the runs to be deleted."""
    keys: set[int] = set()
    if days is not None:
        try:
            before = timezone.now() - timedelta(days=days)
        except OverflowError:
            raise CommandError(f"--days {days}: there was no such day") from None
        old = ended.filter(end_time__lte=before)
        keys.update(old.order_by().values_list("pk", flat=True))
    if keep is not None:
        for kind in ended.order_by().values_list("kind", flat=True).distinct():
            newest_first = ended.filter(kind=kind).order_by("-start_time", "-pk")
            keys.update(newest_first.values_list("pk", flat=True)[keep:])
    return sorted(keys)
