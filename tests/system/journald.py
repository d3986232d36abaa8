# SPDX-License-Identifier: Apache-2.0
"""A real systemd-journald for a namespace of the test's own, and a tasklog-journald that reads it."""
from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Iterable, Iterator, Sequence

from database import Database
from rsyslogd import SEVERITIES, wait_until
from tasklog import BUILD, EVERY_COLUMN

JOURNALD = "/lib/systemd/systemd-journald"
READER = BUILD / "tasklog-journald"


class Journald:
    """systemd-journald of a namespace. It needs root, and a machine id, as on every Debian."""

    def __init__(self, namespace: str, settings: str = "") -> None:
        self.namespace = namespace
        self.folder = Path(f"/run/systemd/journal.{namespace}")
        self._conf = Path(f"/etc/systemd/journald@{namespace}.conf")
        self._settings = "RateLimitIntervalSec=0\n" + settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Journald:
        self.clean()
        self.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop()
        self.clean()

    def start(self, boot: str = "") -> None:
        """`boot`: an id that it takes the machine's boot for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._conf.write_text("[Journal]\n" + self._settings)
        command = [JOURNALD, self.namespace]
        if boot:
            own = self.folder / "boot_id"
            own.write_text(f"{boot[:8]}-{boot[8:12]}-{boot[12:16]}-{boot[16:20]}-{boot[20:]}\n")
            command = ["unshare", "--mount", "sh", "-c",
                       'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"', str(own),
                       *command]
        (self.folder / "io.systemd.journal").unlink(missing_ok=True)
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        wait_until(lambda: (self.folder / "io.systemd.journal").exists(), "journald has started")
        self.sync()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def clean(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._conf.unlink(missing_ok=True)
        for place in ("/var/log/journal", "/run/log/journal"):
            for folder in Path(place).glob(f"*.{self.namespace}"):
                shutil.rmtree(folder)

    def control(self, verb: str) -> None:
        subprocess.run(["journalctl", "--namespace", self.namespace, verb], check=True, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def sync(self) -> None:
        self.control("--sync")

    def rotate(self) -> None:
        self.control("--rotate")

    @property
    def syslog(self) -> Path:
        return self.folder / "dev-log"

    @property
    def native(self) -> Path:
        return self.folder / "socket"

    @contextmanager
    def stream(self, identifier: str, severity: int = 6) -> Iterator[socket.socket]:
        """A service's standard output."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            stream.connect(str(self.folder / "stdout"))
            stream.sendall(f"{identifier}\n\n{severity}\n0\n0\n0\n0\n".encode())
            self.sync()  # else it may not know whose bytes these are, and cuts lines where it does
            yield stream


def native_entry(**fields: str | bytes | int) -> bytes:
    """As the native protocol has it: a value with newlines is told with its length."""
    parts = []
    for name, given in fields.items():
        value = given if isinstance(given, bytes) else str(given).encode()
        if b"\n" in value:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n")
        else:
            parts.append(name.encode() + b"=" + value + b"\n")
    return b"".join(parts)


def task_entry(kind: str, task_id: str, text: str | bytes, severity: str = "info",
               **fields: str) -> bytes:
    return native_entry(TASK_KIND=kind, TASK_ID=task_id, MESSAGE=text,
                        PRIORITY=SEVERITIES.index(severity), **fields)


def send_native(path: Path, entries: Iterable[bytes]) -> None:
    """As sd_journal_send does it: what is too large for a datagram goes as a file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(str(path))
        for entry in entries:
            try:
                client.send(entry)
            except OSError:
                memory = os.memfd_create("entry", os.MFD_ALLOW_SEALING)
                os.write(memory, entry)
                fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
                            | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
                socket.send_fds(client, [b""], [memory])
                os.close(memory)


class Reader:
    """tasklog-journald with one target, "task"."""

    def __init__(self, folder: Path, journald: Journald) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.conf = folder / "journald.conf"
        self.log = folder / "log"
        self.state = folder / "state"
        self._journald = journald
        self._process: subprocess.Popen[bytes] | None = None
        self._notify: socket.socket | None = None
        self.notified: list[str] = []

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *unused: object) -> None:
        if self._process:
            self.kill9()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def configure(self, database: Database, kinds: Sequence[str] = ("kind",), journal: str = "",
                  **parameters: Any) -> None:
        given: dict[str, Any] = {"database": database.url, "table": database.table,
                                 "columns": EVERY_COLUMN, **parameters}
        text = f"[journal]\nnamespace = {self._journald.namespace}\n{journal}\n[task]\nkinds ="
        text += "".join(f"\n  {kind}" for kind in kinds) + "\n"
        for name, value in given.items():
            if isinstance(value, (list, tuple)):
                text += f"{name} =" + "".join(f"\n  {each}" for each in value) + "\n"
            else:
                text += f"{name} = {value}\n"
        self.conf.write_text(text)

    def start(self, seconds: float = 20.0, ready: bool = True) -> None:
        path = self.folder / "notify"
        path.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(path))
        self.notified.clear()
        threading.Thread(target=self._listen, args=(self._notify,), daemon=True).start()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [READER, "-c", self.conf], stdout=log, stderr=log,
                env={**os.environ, "STATE_DIRECTORY": str(self.state),
                     "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000"})
        if ready:
            wait_until(lambda: "READY=1" in self.notified or not self.running(), "it is ready",
                       seconds)
            assert self.running(), self.messages()

    def _listen(self, notify: socket.socket) -> None:
        with suppress(OSError):
            while data := notify.recv(4096):
                self.notified += data.decode().split("\n")

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.pid}/task")
        found = []
        for task in path.glob("*/children"):
            with suppress(OSError):
                found += [int(pid) for pid in task.read_text().split()]
        return found

    def stop(self, seconds: float = 30.0) -> int:
        assert self._process
        self._process.terminate()
        status = self._process.wait(seconds)
        self._end()
        return status

    def kill9(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait(30)
        self._end()

    def _end(self) -> None:
        self._process = None
        if self._notify:
            self._notify.close()

    def messages(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_said(self, text: str, seconds: float = 10.0) -> None:
        try:
            wait_until(lambda: text in self.messages(), f'message "{text}"', seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.messages()}") from None
