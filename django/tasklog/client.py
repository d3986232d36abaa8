# SPDX-License-Identifier: Apache-2.0
"""Logging a task from Python: every line under its tag, a start before them and an end behind.

    with task_log("db_elements", target=sql_db, total=13) as log:
        log.info("Step 1: Creating tables")
        log.progress(processed=3)
        log.count(tables=12)

The end says COMPLETED, or FAILED if an exception leaves the block (its traceback is logged, and it
goes on its way). As a decorator, `@task_log("nightly_import")` makes each call a task; `current()` is
its logger. What other loggers say while a task runs becomes part of its log where LOGGING has a
handler of the class `tasklog.client.TaskHandler`.

Logging never raises into the job, and hardly waits: 10 ms for a line at most while the reader is behind, and
not at all when it has stalled. A line that it does not take then is dropped and counted, and the end says how
many (`unsent=`, which makes `complete` false). Only the end is tried again, for END_SECONDS at most.

It needs no Django: where lines go is Django's setting TASKLOG_SOCKET, or the environment's, or
/run/tasklog/log; "journal" is journald. `pid=` in the start lets a killed process end its tasks:
by rsyslogd it is the process's number, in a container and for the journal `self`. For `self`
rsyslogd's input needs `Annotate="on" ParseTrusted="on"`; without these the task is not watched.
"""
from __future__ import annotations

import functools
import inspect
import logging
import os
import re
import sys
import threading
import time
from contextvars import ContextVar, copy_context
from datetime import datetime
from types import TracebackType
from typing import Any, Callable

from .sender import SYSLOG_SOCKET, JournalSender, as_text, own_pid, sender_for, severity
from .sender import MARKER as MARKER_BYTES

MARKER = MARKER_BYTES.decode()
END_SECONDS = 1.0
KIND = re.compile(r"[A-Za-z0-9_.-]{1,48}", re.ASCII)
ID_BYTES = 255
TEXT_CHARACTERS = 1000  # of an end's closing line
STATUS_CHARACTERS = 32
COUNTER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,47}", re.ASCII)
COUNTS = ("processed", "failed", "total")
RESERVED = ("status", "text", "pid", "unsent")
logger = logging.getLogger("tasklog")
INFO = severity(logging.INFO)

_current: ContextVar[TaskLogger | None] = ContextVar("tasklog", default=None)
# Of what is rare: a start that is late, a line that is dropped. Reentrant, for the garbage collector may
# end a task at any moment (compat.py).
_lock = threading.RLock()
_open_runs: dict[int, Run] = {}
_plain = logging.Formatter()


def default_address() -> str:
    conf = sys.modules.get("django.conf")
    if conf is not None and conf.settings.configured:
        found = getattr(conf.settings, "TASKLOG_SOCKET", None)
        if found:
            return str(found)
    return os.environ.get("TASKLOG_SOCKET") or SYSLOG_SOCKET


def new_task_id() -> str:
    """As `tasklog run` makes them: the time, and what makes it the only one."""
    return time.strftime("%Y%m%d-%H%M%S-") + os.urandom(4).hex()


def valid_task_id(task_id: object) -> str:
    """What can stand in a tag's brackets, of any value."""
    text = re.sub(r"[\]\x00-\x1f\x7f-\x9f\ud800-\udfff]", "_", str(task_id)).strip()
    return text.encode()[:ID_BYTES].decode(errors="ignore") or new_task_id()


def checked_kind(kind: str) -> str:
    if not KIND.fullmatch(kind):
        raise ValueError(f"kind {kind!r} is not 1 to 48 of A-Z a-z 0-9 _ . -")
    return kind


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, of a file's name for example
        return text.encode(errors="backslashreplace")


def _whole(name: str, value: object) -> int | None:
    """A number for a control line; what is none is told to Django's log, and not to the job."""
    try:
        number = int(value)  # type: ignore
        if number == value or isinstance(value, str):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    logger.error("%s=%r is not a whole number: ignoring it", name, value)
    return None


def _numbers(given: dict[str, Any]) -> dict[str, int]:
    numbers = {name: _whole(name, value) for name, value in given.items() if value is not None}
    return {name: number for name, number in numbers.items() if number is not None}


def _counters(given: dict[str, Any]) -> dict[str, int]:
    """Without those whose name would mean something else in an end."""
    named = {name: value for name, value in given.items()
             if name not in RESERVED and COUNTER.fullmatch(name)}
    for name in given.keys() - named.keys():
        logger.error("a counter cannot be called %r: ignoring it", name)
    return _numbers(named)


def _status(status: str) -> str:
    """A word that the reader takes: others are made one, for an end must not say COMPLETED by mistake."""
    word = re.sub(r"[^A-Za-z0-9_-]+", "_", str(status)).strip("_")[:STATUS_CHARACTERS] or "FAILED"
    if word != status:
        logger.error("the status %r is written as %r: it must be 1 to %d of A-Z a-z 0-9 _ -", status,
                     word, STATUS_CHARACTERS)
    return word


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(what it says cannot be shown)"


def text_of(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    """Formatted, or as near to it as can be: a line that cannot be formatted is not lost."""
    try:
        return formatter.format(record)
    except Exception:
        pass
    parts = []
    for part in (record.msg, record.args):
        try:
            parts.append(part if isinstance(part, str) else repr(part))
        except Exception:
            parts.append(f"<{type(part).__name__} that cannot be shown>")
    text = " ".join(parts)
    try:
        if record.exc_info:
            text += "\n" + formatter.formatException(record.exc_info)
    except Exception:
        pass
    return text


def _quoted(text: str) -> str:
    """A value of a control line."""
    text = " ".join(text.split())[:TEXT_CHARACTERS]
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Run:
    """One run of a task: what it is called, what has been said of it, and how many lines were not
    sent. Any thread, and forked children, may log; only the process that started it ends it."""

    def __init__(self, kind: str, task_id: str | None = None, *, total: int | None = None,
                 address: str | None = None, watch: bool | int = True) -> None:
        self.kind = checked_kind(kind)
        self.task_id = new_task_id() if task_id is None else valid_task_id(task_id)
        self.ended = False
        self.end_sent = False
        self.counts: dict[str, int] = _numbers({"total": total})
        self.counters: dict[str, int] = {}
        self._sender = sender_for(address or default_address())
        self._headers = self._sender.headers(kind, self.task_id)
        if not isinstance(watch, int):
            raise ValueError(f"watch {watch!r} is not True, False or the number of a process")
        self._watch = watch
        self._opening: tuple[bytes, bytes] | None = None  # a start that is still to be sent
        self._pid = os.getpid()
        self._unsent = 0
        self._shared = -1  # an eventfd that counts what forked children could not send

    @property
    def address(self) -> str:
        return self._sender.address

    @property
    def unsent(self) -> int:
        if self._shared >= 0 and os.getpid() == self._pid:
            try:
                children = os.eventfd_read(self._shared)
            except OSError:
                children = 0
            with _lock:
                self._unsent += children
        return self._unsent

    def start(self, at: datetime | None = None) -> None:
        """`at` is sent along, as the start time that the row has already."""
        words = [MARKER, "start"]
        if "total" in self.counts:
            words.append(f"total={self.counts['total']}")
        if self._watch is True:
            journal = isinstance(self._sender, JournalSender)
            words.append("pid=self" if journal else f"pid={own_pid()}")
        elif self._watch:
            words.append(f"pid={self._watch:d}")
        header = self._headers[INFO] if at is None else \
            self._sender.stamped_header(self.kind, self.task_id, at)
        self._opening = header, " ".join(words).encode()
        _open_runs[id(self)] = self
        self._open()

    def log(self, level: int, text: str) -> bool:
        """One message, with its newlines. `level` is of Python's logging. Is it on its way?"""
        return self.send(severity(level), as_text(_encoded(text)))

    def send(self, level: int, text: bytes) -> bool:
        if (self._opening is None or self._open()) \
                and self._sender.send(self._headers[level], text):
            return True
        self.drop()
        return False

    def drop(self) -> None:
        """Counts a line that is not sent."""
        if self._shared >= 0 and os.getpid() != self._pid:
            os.eventfd_write(self._shared, 1)
            return
        with _lock:
            self._unsent += 1

    def progress(self, processed: int | None = None, failed: int | None = None,
                 total: int | None = None) -> None:
        new = _numbers({"processed": processed, "failed": failed, "total": total})
        self.counts.update(new)
        words = [MARKER, "progress", *(f"{name}={value:d}" for name, value in new.items())]
        if self._opening is None or self._open():
            # One that is not sent is no loss: the next one or the end says it again.
            self._sender.send(self._headers[INFO], " ".join(words).encode())

    def count(self, counters: dict[str, int]) -> None:
        """Adds to counters of the end."""
        for name, value in _counters(counters).items():
            self.counters[name] = self.counters.get(name, 0) + value

    def end(self, status: str | None = None, text: str | None = None, **counters: int) -> None:
        """Once; later calls do nothing."""
        if self.ended or os.getpid() != self._pid:
            return
        self.ended = True
        for name, value in _counters(counters).items():
            (self.counts if name in COUNTS else self.counters)[name] = value
        deadline = time.monotonic() + END_SECONDS
        sent = self._opening is None or self._open(END_SECONDS)
        sent = self._sender.send_surely(self._headers[INFO], self._ending(status, text),
                                        deadline - time.monotonic()) if sent else False
        self._forget()
        self.end_sent = sent
        if not sent:
            logger.error(
                "The end of task %s[%s] could not be sent to %s", self.kind, self.task_id,
                self.address)

    def leave(self) -> None:
        """Without an end: another process goes on with the task, and ends it."""
        self.ended = True
        self._forget()

    def _ending(self, status: str | None, text: str | None) -> bytes:
        words = [MARKER, "end"]
        if status is not None:
            words.append(f"status={_status(status)}")
        unsent = self.unsent
        counts = {**self.counts, **self.counters, **({"unsent": unsent} if unsent else {})}
        words += [f"{name}={value:d}" for name, value in counts.items()]
        if text:
            words.append("text=" + _quoted(text))
        return _encoded(" ".join(words))

    def _open(self, seconds: float = 0.0) -> bool:
        with _lock:
            if self._opening is None:
                return True
            if not self._sender.send_surely(*self._opening, seconds):
                return False
            self._opening = None
            return True

    def _share(self) -> None:
        """Before a fork: from now on children count here, so that the end knows."""
        if self._shared < 0 and hasattr(os, "eventfd"):
            try:
                self._shared = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            except OSError:
                pass

    def _forget(self) -> None:
        _open_runs.pop(id(self), None)
        if self._shared >= 0:
            shared, self._shared = self._shared, -1
            os.close(shared)


class TaskHandler(logging.Handler):
    """For LOGGING: what is logged while a task runs becomes part of its log. Otherwise nothing
    happens, unless the handler has a task of its own: `kind` and `task_id`, of a task that some other
    process has started and will end.

        LOGGING = {"version": 1, "root": {"handlers": ["task"], "level": "INFO"},
                   "handlers": {"task": {"class": "tasklog.client.TaskHandler"}}}

    A task is known in the thread, or asyncio task, that began it. `in_task` hands it to others.
    """

    def __init__(self, level: int | str = logging.NOTSET, *, run: Run | None = None,
                 kind: str | None = None, task_id: str | None = None,
                 address: str | None = None) -> None:
        super().__init__(level)
        if run is None and kind is not None:
            run = Run(kind, task_id if task_id is not None else str(os.getpid()), address=address)
        self.run = run

    def handle(self, record: logging.LogRecord) -> Any:
        """As logging.Handler's, but there is nothing here that a lock would have to protect."""
        if self.filters:
            passed = self.filter(record)
            if not passed:
                return passed
            if isinstance(passed, logging.LogRecord):  # Python 3.12
                record = passed
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        run = self.run
        if run is None:
            logger = _current.get()
            if logger is None:
                return
            run = logger.run
        try:
            if self.formatter is not None:
                text = self.formatter.format(record)
            elif record.exc_info or record.exc_text or record.stack_info:
                text = _plain.format(record)
            else:
                text = record.getMessage()
        except Exception:
            self.handleError(record)
            text = text_of(record, self.formatter or _plain)
        try:
            run.log(record.levelno, text)
        except Exception:
            run.drop()
            self.handleError(record)


class TaskLogger(logging.Logger):
    """The logger of one run. It is nobody's child, and no registry keeps it."""

    def __init__(self, run: Run, level: int | str = logging.INFO) -> None:
        super().__init__(f"{run.kind}[{run.task_id}]", level)
        self.run = run
        self.addHandler(TaskHandler(run=run))

    @property
    def kind(self) -> str:
        return self.run.kind

    @property
    def task_id(self) -> str:
        return self.run.task_id

    @property
    def unsent(self) -> int:
        """How many lines could not be sent."""
        return self.run.unsent

    def progress(self, processed: int | None = None, failed: int | None = None,
                 total: int | None = None) -> None:
        """How far the task is. The last values are the end's, too."""
        self.run.progress(processed, failed, total)

    def count(self, **counters: int) -> None:
        """Adds to counters of the end: `log.count(tables=1)`."""
        self.run.count(counters)

    def end(self, status: str | None = None, text: str | None = None, **counters: int) -> None:
        """Ends the task before its block does, with a status and a closing line of your own."""
        self.run.end(status, text, **counters)


def current() -> TaskLogger | None:
    """The logger of the task that runs here."""
    return _current.get()


def in_task(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, so that it belongs to the task that runs here, whatever thread calls it:
    `Thread(target=in_task(work))`."""
    context = copy_context()

    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        return context.copy().run(function, *args, **kwargs)
    return inside


class task_log:
    """A task as a context manager, or as a decorator, each call of which is a task.

    kind        the job's name
    target      the row of a Django model that keeps the log. The task id is stored in it, and so
                found by tasklog, before the first line. Do not begin it inside a transaction. The row
                is also, or only, if it has no field for the id, linked to the run in the app's own
                table, if Django's setting TASKLOG_LINK_RUNS says so (see target.py).
    id_field    the field of `target` for the task id, if it is not called after the kind
    task_id     if it is not to be made up
    total       how many items there will be
    level       what is less severe is not sent
    address     of a socket, or "journal"
    watch       True: the death of this process ends the task; a number: of that one; False: nothing
    """

    def __init__(self, kind: str, target: Any = None, *, id_field: str | None = None,
                 task_id: str | None = None, total: int | None = None,
                 level: int | str = logging.INFO, address: str | None = None,
                 watch: bool | int = True) -> None:
        self._options: dict[str, Any] = {"task_id": task_id, "total": total, "address": address,
                                         "watch": watch}
        self._kind = checked_kind(kind)
        self._target, self._id_field, self._level = target, id_field, level
        self._log: TaskLogger | None = None

    def __enter__(self) -> TaskLogger:
        if self._log is not None and not self._log.run.ended:
            raise RuntimeError("this task_log has begun a task already: make one for each")
        run = Run(self._kind, **self._options)
        self._log = TaskLogger(run, self._level)
        self._rows: list[Any] = []
        if self._target is not None:
            from .target import rows_for
            self._rows = rows_for(self._target, self._kind, self._id_field)
        for row in self._rows:
            row.store(run)
        run.start(next((row.start_time for row in self._rows if row.start_time), None))
        self._token = _current.set(self._log)
        return self._log

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        try:
            _current.reset(self._token)
        except ValueError:  # left in another context than it was entered in
            pass
        log = self._log
        assert log is not None
        for row in self._rows:
            row.restore()
        self._end(log, error)
        for row in self._rows:
            row.ended(log.run)

    @staticmethod
    def _end(log: TaskLogger, error: BaseException | None) -> None:
        if error is None or isinstance(error, SystemExit) and not error.code:
            log.end()
        elif isinstance(error, Exception):
            log.error("%s: %s", type(error).__name__, _said(error), exc_info=error)
            log.end("FAILED")
        else:  # KeyboardInterrupt, SystemExit, CancelledError: no fault of the code's
            log.end("FAILED", text=f"{type(error).__name__} {_said(error)}")

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def task() -> task_log:
            return task_log(self._kind, self._target, id_field=self._id_field, level=self._level,
                            **self._options)

        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function!r} is a generator, whose body runs when it is iterated over: write"
                            " `with task_log(…)` into it")
        if inspect.iscoroutinefunction(function):
            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with task():
                    return await function(*args, **kwargs)
            return run_async

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with task():
                return function(*args, **kwargs)
        return run


def _before_fork() -> None:
    for run in list(_open_runs.values()):
        run._share()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
