# SPDX-License-Identifier: Apache-2.0
"""A newcomer: a minimal Debian, the packages, and docs/first-setup.md word for word, up to the run in the admin; later an
upgrade while tasks are open, and in the end a purge."""
from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Iterator

import pytest

from debian_root import FOLDER, REPO, BootedRoot, repacked, wait_until
from follower import Follower
from pages import read

DATABASE = "/srv/thoth/db.sqlite3"
NEWER = "99"


class Newcomer(Follower):
    """Has no source tree, only the packages, and answers "yes" when apt asks."""

    seconds = 600
    stdin = "y\n"

    def __init__(self, machine: BootedRoot, stays: Path) -> None:
        super().__init__("packages", machine.root, "/root", {}, stays)
        self.machine = machine
        self.debs = machine.path("root/build/deb")
        self.debs.mkdir(parents=True)

    def enter(self, *command: str) -> list[str]:
        """Only apt needs the world."""
        network = not any("apt install" in word for word in command)
        return self.machine.enter(*super().enter(*command), own_network=network)

    def browse(self, *arguments: str) -> list[str]:
        return ["nsenter", "-t", str(self.machine.systemd), "-n", "--", *super().browse(*arguments)]

    def log(self, task: str, *lines: str) -> None:
        self.run("\n".join(f"logger --socket-errors=on -u /run/tasklog/log -t 'import[{task}]' -- '{line}'"
                           for line in lines))

    def row(self, task: str) -> tuple[str, list[str]]:
        """Status, and log without times."""
        found = self.run(f"sqlite3 {DATABASE} \"SELECT status, log FROM tasklog_taskrun WHERE task_id = '{task}'\"")
        status, _, log = found.partition("|")
        return status, [line.partition("] ")[2] for line in log.splitlines()]

    def rsyslogd(self) -> int:
        return int(self.run("systemctl show --value --property MainPID rsyslog"))


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    with BootedRoot("newcomer", [FOLDER / "minimal"]) as machine:
        newcomer = Newcomer(machine, tmp_path / "stays")
        for deb in (REPO / "build/deb").glob("*.deb"):
            shutil.copy(deb, newcomer.debs)
        yield newcomer
    newcomer.stop()


def packages_are_newer(newcomer: Newcomer, tmp_path: Path) -> list[str]:
    """In the place of all packages lie their successors; their names are returned."""
    names = []
    for deb in list(newcomer.debs.iterdir()):
        names.append(deb.name.partition("_")[0])
        if names[-1].endswith("-dbgsym"):
            fields = {"Depends": f"{names[-1].removesuffix('-dbgsym')} (= {NEWER})"}
        else:
            fields = {}
        shutil.move(repacked(deb, tmp_path, Version=NEWER, **fields), newcomer.debs)
        deb.unlink()
    return sorted(names)


@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="needs a machine that was not booted with systemd")
def test_a_newcomer_follows_the_page_with_packages_and_an_upgrade_and_a_purge_keep_their_word(
        newcomer: Newcomer, tmp_path: Path) -> None:
    newcomer.page("docs/first-setup.md")

    # Upgrade, in the midst of tasks.
    tasks = [f"open-{i}" for i in range(3)]
    lines = [f"line {i}" for i in range(20)]
    for task in tasks:
        newcomer.log(task, *lines)
    for task in tasks:
        wait_until(lambda: newcomer.row(task) == ("RUNNING", lines), "the lines were read", 30)
    names, old = packages_are_newer(newcomer, tmp_path), newcomer.rsyslogd()
    newcomer.blocks([block for block in read(REPO / "docs/upgrades.md")[1] if "way" in block.marks])
    versions = newcomer.run(f"dpkg-query -W -f '${{Version}}\\n' {' '.join(names)}")
    assert versions.split() == [NEWER] * len(names)
    assert newcomer.rsyslogd() not in (0, old)
    maps = newcomer.run(f"cat /proc/{newcomer.rsyslogd()}/maps")
    assert "omtasklog.so" in maps and "omtasklog.so (deleted)" not in maps
    for task in tasks:
        newcomer.log(task, "line 20", "@task end processed=21")
    for task in tasks:
        wait_until(lambda: newcomer.row(task)[0] == "COMPLETED", "the task is stored", 30)
        assert newcomer.row(task)[1][:-1] == [*lines, "line 20"]
        newcomer.look_into_the_admin(task, *lines, "line 20", "Completed: 21 successful")

    # Purge, in the midst of a task.
    newcomer.log("purged", "text")
    wait_until(lambda: newcomer.row("purged")[0] == "RUNNING", "the line was read", 30)
    newcomer.run(f"sudo apt purge {' '.join(names)}")
    shutil.rmtree(newcomer.debs)
    left = newcomer.run("find / /run -xdev -path /srv/thoth -prune -o -path /var/cache/apt -prune -o"
                        " -name '*tasklog*' -print")
    assert left == ""
    newcomer.run("rsyslogd -N1; systemctl restart rsyslog; logger 'still here'")
    wait_until(lambda: "still here" in newcomer.run("cat /var/log/syslog"), "rsyslog works", 30)
    assert "tasklog" not in newcomer.run("systemctl list-unit-files --no-pager; dpkg-query -W")
