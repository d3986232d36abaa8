# SPDX-License-Identifier: Apache-2.0
"""manage.py tasklog_doctor: sends a test task the way that all go, and says where it stopped.

Without --row the test task is a run of its own (kind "tasklog_doctor") in the table of runs, and is
deleted afterwards. With --row app.Model:PK and --kind it is written into that row, which gets its values
back afterwards. Do that while no task of the row runs.
"""
from __future__ import annotations

import time
from argparse import ArgumentParser
from datetime import datetime, timedelta
from datetime import timezone as utc
from typing import Any, Callable

from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.utils import timezone

from tasklog.client import Run, checked_kind, default_address, new_task_id
from tasklog.sender import JOURNAL_SOCKET, JournalSender, trouble
from tasklog.target import has_field, links_runs, prefix_for

TEXT = "A test line of tasklog_doctor: ü €, \"quotes\",\nand a second line"
READ_SECONDS = 5.0
CLOCK_SECONDS = 120

NOT_READ = """\
The socket is open, but what was sent is not read. Its reader has stopped or is held up: look at
`systemctl status rsyslog`. (It also waits when its spool's disk is full.)"""

NO_ROW = """\
{reader} has read the lines, but nothing has come of them. In this order:
 - Its messages (`journalctl -u {unit}`) say "writing to table …" for the action, or the reason why not.
 - The configuration sends the kind "{kind}" to an action: `if $programname == "{kind}"`.
 - That action's database= is the one that Django uses: {database}
   and its table= is {table}. {sqlite}
 - Its key= is {key}, its mode= is {mode}. A result that was refused lies in the spool:
   `sudo tasklog spool list` says why."""

NO_END = """\
The row is written while the task runs, but its end has not come. The database may be locked
or slow: see database.retries and rows.oldest_ms in impstats, and `sudo tasklog spool list`."""

NO_LINK = """\
tasklog has written another row than the one that is linked (TASKLOG_LINK_RUNS): the input of rsyslogd
needs IgnoreTimestamp="off" and useSpecialParser="off"."""

LOST = "Lines are missing: {found!r}. A line may have been cut (maxMessageSize) or be below level=."

CLOCK = """\
The row says {found}, and it is {now}. tasklog writes times in UTC for SQLite and with their zone for
PostgreSQL: Django's USE_TZ has to be True, and the clocks of both machines right."""


class Command(BaseCommand):
    help = __doc__.partition("\n\n")[0].partition(": ")[2]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--kind", help='of the test task; default "tasklog_doctor"')
        parser.add_argument("--row", metavar="APP.MODEL:PK",
                            help="a row that keeps the log of its last run")
        parser.add_argument("--id-field", help="the row's field for the task id")
        parser.add_argument("--address", help="of the socket, or journal; default TASKLOG_SOCKET")
        parser.add_argument("--timeout", type=float, default=15.0, help="seconds to wait for the row")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="alias of the database")

    def handle(self, *args: object, **options: Any) -> None:
        self.options = options
        self.address = options["address"] or default_address()
        self.task_id = f"doctor-{new_task_id()}"
        try:
            checked_kind(options["kind"] or "tasklog_doctor")
        except ValueError as error:
            raise CommandError(f"--{error}") from None
        row: Row = RowOfModel(options, self.task_id) if options["row"] else RowOfRuns(options, self.task_id)
        self.check_socket()
        try:
            row.prepare()
            self.say(f"The row is {row}")
            run = self.send(row)
            self.wait_for_row(row, run)
            self.check_values(row)
        finally:
            row.restore()
        self.say("All is well; the test has left nothing behind", self.style.SUCCESS)

    def say(self, text: str, style: Callable[[str], str] = str) -> None:
        self.stdout.write(style(f"ok    {text}"))

    # --- the steps ----------------------------------------------------------------------------

    def check_socket(self) -> None:
        path = JOURNAL_SOCKET if self.address == "journal" else self.address
        found = trouble(path)
        if found:
            raise CommandError(f"Stopped at the socket. {found}")
        self.say(f"{path} is open")

    def send(self, row: Row) -> Run:
        run = Run(row.kind, self.task_id, total=1, address=self.address)
        run.start(row.start_time)
        sent = run.log(20, TEXT)
        run.end(processed=1, failed=0)
        sender = run._sender
        deadline = time.monotonic() + READ_SECONDS
        while sender.unread_bytes() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not sent or sender.unread_bytes():
            raise CommandError(f"Stopped at the reader. {NOT_READ}")
        self.say(f"A test task {run.kind}[{self.task_id}] was sent, and read")
        return run

    def wait_for_row(self, row: Row, run: Run) -> None:
        began = time.monotonic()
        while row.status() != "COMPLETED":
            if time.monotonic() > began + self.options["timeout"]:
                journal = isinstance(run._sender, JournalSender)
                reason = NO_LINK if row.has_a_twin() else NO_END if row.written() else NO_ROW.format(
                    kind=run.kind, reader="journald" if journal else "rsyslogd",
                    unit="tasklog-journald" if journal else "rsyslog", **row.facts())
                raise CommandError(f"Stopped before the row ({self.options['timeout']:g} s). {reason}")
            time.sleep(0.05)
        self.say(f"The row was written, {time.monotonic() - began:.1f} s after the end was sent")

    def check_values(self, row: Row) -> None:
        log = row.value("log")
        if log is not None and TEXT not in log:
            raise CommandError("Stopped at the log. " + LOST.format(found=log))
        end = row.value("end_time")
        if isinstance(end, datetime):
            now = timezone.now() if timezone.is_aware(end) else datetime.now()
            if abs(now - end) > timedelta(seconds=CLOCK_SECONDS):
                raise CommandError("Stopped at the times. " + CLOCK.format(found=end, now=now))
        if row.value("complete") is False:
            raise CommandError("Stopped at the end. The row says that lines are missing.")
        self.say("Log and times are right")


class Row:
    """Where the test task has to arrive."""

    kind: str
    model: type[models.Model]
    prefix = ""
    id_field = "task_id"
    mode = "update"
    start_time: datetime | None = None  # that is sent along

    def __init__(self, options: dict[str, Any], task_id: str) -> None:
        self.database, self.task_id = options["database"], task_id
        self.key = f"task_id={self.id_field}"

    def rows(self) -> models.QuerySet:
        return self.model._base_manager.using(self.database).filter(**{self.id_field: self.task_id})

    def has_a_twin(self) -> bool:
        """Has tasklog written another row?"""
        return False

    def prepare(self) -> None:
        raise NotImplementedError

    def restore(self) -> None:
        raise NotImplementedError

    def value(self, field: str) -> Any:
        """Of a field, if there is one."""
        name = self.prefix + field
        return self.rows().values_list(name, flat=True).first() if has_field(self.model, name) else None

    def status(self) -> str | None:
        return self.value("status")

    def written(self) -> bool:
        return self.rows().exists()

    def facts(self) -> dict[str, str]:
        connection = connections[self.database]
        settings = connection.settings_dict
        sqlite = connection.vendor == "sqlite"
        return {"table": self.model._meta.db_table, "key": self.key, "mode": self.mode,
                "database": f"sqlite:{settings['NAME']}" if sqlite else
                f"{settings['NAME']} at {settings['HOST'] or 'the local socket'}",
                "sqlite": "The reader's user may write the file and its folder." if sqlite else ""}


class RowOfRuns(Row):
    """A new one, in the table of runs."""

    mode = "upsert"

    def __init__(self, options: dict[str, Any], task_id: str) -> None:
        super().__init__(options, task_id)
        self.kind = options["kind"] or "tasklog_doctor"
        self.key = "task_id=task_id, kind=kind and start_time=start_time"
        try:
            self.model = apps.get_model("tasklog", "TaskRun")
        except LookupError:
            raise CommandError("Without the app \"tasklog\" in INSTALLED_APPS there is no table of runs:"
                               " name a --row and its --kind") from None

    def __str__(self) -> str:
        return f"a new one in {self.model._meta.db_table}"

    def prepare(self) -> None:
        if links_runs():
            self.start_time = datetime.now(utc.utc)
            self.model._base_manager.using(self.database).create(
                kind=self.kind, task_id=self.task_id, start_time=self.start_time, status="RUNNING")

    def rows(self) -> models.QuerySet:
        rows = super().rows()
        return rows if self.start_time is None else rows.filter(start_time=self.start_time)

    def has_a_twin(self) -> bool:
        return super().rows().count() > 1

    def written(self) -> bool:
        return self.rows().filter(updated_at__isnull=False).exists()

    def restore(self) -> None:
        super().rows().delete()


class RowOfModel(Row):
    """One that is there, whose values are kept."""

    def __init__(self, options: dict[str, Any], task_id: str) -> None:
        if not options["kind"]:
            raise CommandError("A --row needs the --kind of task that is written there")
        self.kind = options["kind"]
        name, _, self.pk = options["row"].partition(":")
        try:
            self.model = apps.get_model(name)
        except (LookupError, ValueError) as error:
            raise CommandError(f"--row: {error}") from None
        try:
            self.model._meta.pk.to_python(self.pk)
        except ValidationError:
            raise CommandError(f"--row: {self.pk!r} is no key of {name}") from None
        prefix = prefix_for(self.model, self.kind)
        self.id_field = options["id_field"] or f"{prefix or ''}task_id"
        if not has_field(self.model, self.id_field):
            raise CommandError(f"{name} has no field {self.id_field!r}: name it by --id-field")
        if self.id_field.endswith("task_id"):
            self.prefix = self.id_field[:-len("task_id")]
        if not has_field(self.model, f"{self.prefix}status"):
            raise CommandError(f"{name} has no field {self.prefix + 'status'!r} that could tell the end")
        self.before: dict[str, Any] | None = None
        super().__init__(options, task_id)

    def __str__(self) -> str:
        return f"number {self.pk} of {self.model._meta.db_table}"

    def own_row(self) -> models.QuerySet:
        return self.model._base_manager.using(self.database).filter(pk=self.pk)

    def prepare(self) -> None:
        before = self.own_row().values().first()
        if before is None:
            raise CommandError(f"There is no row {self}")
        if before[f"{self.prefix}status"] == "RUNNING":
            raise CommandError(f"A task is running in row {self}")
        self.before = before
        self.own_row().update(**{self.id_field: self.task_id})

    def restore(self) -> None:
        """Of the columns, as they are now, those that the test has changed."""
        if self.before is None:
            return
        ours = self.own_row().filter(**{self.id_field: self.task_id}).values().first()
        if ours is not None:
            changed = {name: value for name, value in self.before.items() if ours[name] != value}
            self.own_row().update(**changed)

    def written(self) -> bool:
        now = self.own_row().values().first()
        return any(now[name] != value for name, value in (self.before or {}).items()
                   if name != self.id_field) if now else False
