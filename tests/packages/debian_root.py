# SPDX-License-Identifier: Apache-2.0
"""A Debian in a folder, in which packages are installed and rsyslogd runs, without a systemd or booted with its own."""
from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests" / "system"))
from rsyslogd import wait_until  # noqa: E402

FOLDER = REPO / "build" / "packages"
PACKAGES = ["rsyslog-tasklog", "tasklog", "tasklog-journald", "python3-django-tasklog"]
CONF = "etc/rsyslog.d/tasklog.conf"
SPOOL = "var/spool/rsyslog/tasklog"

# What systemd does with rsyslog where there is one: invoke-rc.d finds this in its place, and is allowed to use it.
STAND_INS = {
    "etc/init.d/rsyslog": """#!/bin/sh
daemon="--pidfile /run/rsyslogd.pid --exec /usr/sbin/rsyslogd"
case $1 in
    start) start-stop-daemon --start $daemon ;;
    stop) start-stop-daemon --stop --retry 20 --remove-pidfile $daemon ;;
    try-restart) [ ! -e /run/rsyslogd.pid ] || { "$0" stop && "$0" start; } ;;
esac
""",
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 0\n",
}


class Failed(AssertionError):
    """A command that had to succeed; the text is what it says."""


class DebianRoot:
    """An overlay above other layers, the uppermost first; what is done in it is gone with it."""

    def __init__(self, name: str, layers: list[Path]) -> None:
        place = FOLDER / "overlays" / name
        self.upper, self.root = place / "upper", place / "root"
        for folder in (self.upper, self.root, place / "work"):
            folder.mkdir(parents=True)
        options = f"lowerdir={':'.join(map(str, layers))},upperdir={self.upper},workdir={place / 'work'}"
        _run("mount", "-t", "overlay", "overlay", "-o", options, self.root)
        _run("mount", "--rbind", "/proc", self.root / "proc")
        _run("mount", "--bind", FOLDER / "archives", self.root / "var/cache/apt/archives")

    def __enter__(self) -> DebianRoot:
        return self

    def __exit__(self, *unused: object) -> None:
        if self.rsyslogd_pid():
            self.service("stop")
        _run("umount", "--recursive", self.root)

    # --- commands -----------------------------------------------------------------------------

    def run(self, *command: object, check: bool = True, stdin: str = "") -> str:
        """Runs a command in it; what it says, on both ways out, is returned."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive",
                       "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/root"}
        result = subprocess.run(["chroot", str(self.root), *map(str, command)], env=environment,
                                input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                timeout=300)
        if check and result.returncode:
            raise Failed(f"{' '.join(map(str, command))}: exit status {result.returncode}\n{result.stdout}")
        return result.stdout

    def apt(self, *arguments: object) -> str:
        return self.run("apt-get", "-y", "--no-install-recommends", "-o", "APT::Sandbox::User=root", *arguments)

    def install(self, *debs: Path, simulate: bool = False) -> str:
        """Installs package files; configuration that was changed stays, as who is asked would have it."""
        for deb in debs:
            shutil.copy(deb, self.root / "tmp")
        said = self.apt("install", "-o", "Dpkg::Options::=--force-confold", *(["--simulate"] if simulate else []),
                        *(f"/tmp/{deb.name}" for deb in debs))
        for deb in debs:
            (self.root / "tmp" / deb.name).unlink()
        return said

    def files(self) -> set[str]:
        """All paths, but for those that every installation and every log changes."""
        found = self.run("find", "/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/var/cache/apt",
                         "-o", "-path", "/var/log", "-o", "-path", "/var/lib/dpkg", ")", "-prune", "-o",
                         "-print")
        return set(found.splitlines())

    def path(self, name: str) -> Path:
        return self.root / name

    # --- rsyslogd -----------------------------------------------------------------------------

    def service(self, verb: str) -> None:
        self.run("/etc/init.d/rsyslog", verb)

    def rsyslogd_pid(self) -> int:
        try:
            return int(self.path("run/rsyslogd.pid").read_text())
        except FileNotFoundError:
            return 0

    def configure(self, idle: str = "") -> None:
        """The shipped sample, in place, with the table that it wants; `idle` goes into its action."""
        sample = self.path("usr/share/tasklog/minimal.conf").read_text()
        assert 'table="app_import"' in sample
        self.path(CONF).write_text(sample.replace('table="app_import"', f'table="app_import" {idle}'))
        self.path("srv/app").mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path("srv/app/db.sqlite3"))) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS app_import (task_id TEXT UNIQUE, log TEXT, status TEXT,"
                             " started_at TEXT, ended_at TEXT)")

    def start(self) -> None:
        self.run("rsyslogd", "-N1")
        self.service("start")
        self.wait_for_socket()

    def wait_for_socket(self) -> None:
        wait_until(self.path("run/tasklog/log").exists, "rsyslogd listens", 20)

    def log(self, task: str, *lines: str) -> None:
        for line in lines:
            self.run("logger", "--socket-errors=on", "-u", "/run/tasklog/log", "-t", f"nightly_import[{task}]",
                     "--", line)

    # --- rows ---------------------------------------------------------------------------------

    def new_row(self, task: str) -> None:
        with closing(sqlite3.connect(self.path("srv/app/db.sqlite3"))) as database, database:
            database.execute("INSERT INTO app_import (task_id) VALUES (?)", [task])

    def row(self, task: str) -> tuple[Any, ...]:
        """Log, without the times of its lines, and status."""
        with closing(sqlite3.connect(self.path("srv/app/db.sqlite3"))) as database:
            log, status = database.execute("SELECT log, status FROM app_import WHERE task_id = ?",
                                           [task]).fetchone()
        return [line.partition("] ")[2] for line in (log or "").splitlines()], status


class BootedRoot(DebianRoot):
    """It runs its own systemd, with a network of its own."""

    def __enter__(self) -> BootedRoot:
        pid_file = self.upper.parent / "pid"
        self.machine = subprocess.Popen([str(REPO / "tests/system/machine.sh"), "--boot", str(self.root), str(pid_file)],
                                        stdin=subprocess.DEVNULL)
        wait_until(lambda: self.machine.poll() is not None or pid_file.exists() and pid_file.read_text(), "it boots", 60)
        assert self.machine.returncode is None, "it does not boot"
        self.systemd = int(pid_file.read_text())
        wait_until(self.is_up, "its systemd is up", 120)
        return self

    def __exit__(self, *unused: object) -> None:
        os.kill(self.systemd, signal.SIGKILL)
        self.machine.wait(timeout=60)
        _run("umount", "--recursive", self.root)

    def enter(self, *command: str, own_network: bool = True) -> list[str]:
        """The command that runs one in it; `own_network` or the host's."""
        return ["nsenter", "-t", str(self.systemd), "-m", "-u", "-i", "-p", *(["-n"] if own_network else []), "--", *command]

    def is_up(self) -> bool:
        done = subprocess.run(self.enter("systemctl", "is-system-running"), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        return done.stdout.strip() in ("running", "degraded")


def _run(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True, stdin=subprocess.DEVNULL)


def built(package: str) -> Path:
    debs = list((REPO / "build" / "deb").glob(f"{package}_*.deb"))
    assert len(debs) == 1, f"{package}: {debs or 'is not built: make deb'}"
    return debs[0]


def repacked(deb: Path, folder: Path, changes: dict[str, str] = {}, **fields: str) -> Path:
    """The package with other fields in its control file, and lines behind those of its files."""
    tree = folder / f"{deb.name}.tree"
    _run("dpkg-deb", "-R", deb, tree)
    control = tree / "DEBIAN" / "control"
    lines = [line if (name := line.partition(":")[0]) not in fields else f"{name}: {fields[name]}"
             for line in control.read_text().splitlines()]
    control.write_text("\n".join(lines) + "\n")
    for name, more in changes.items():
        with (tree / name).open("a") as file:
            file.write(more)
    new = folder / f"{deb.name.partition('_')[0]}_{fields.get('Version', 'other')}.deb"
    _run("dpkg-deb", "--root-owner-group", "-b", tree, new)
    return new
