# SPDX-License-Identifier: Apache-2.0
"""Follows pages of the documentation word for word, on a machine of their own: see pages.py for what they ask."""
from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Callable

from pages import REPO, Block, read, shows

SECONDS = 60
SOON_SECONDS = 25
ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
# What a person does in a browser after a page.
AFTERWARDS = {"first-setup.md": ("run-1", "Step 1: reading files", "Completed: 12 successful, 0 failed")}


class Failed(Exception):
    """A block did not do what the page says."""


class Follower:
    """Goes one way through pages, in a folder of a machine. What differs from machine to machine is overridden."""

    seconds = SECONDS
    stdin = ""  # what a command may ask for

    def __init__(self, way: str, root: Path, folder: str, env: dict[str, str], stays: Path) -> None:
        """`root` is where the machine's files are; what the commands say that stay goes into a file."""
        self.way, self.root, self.folder, self.env, self.stays = way, root, folder, {**ENV, **env}, stays
        self.staying: list[subprocess.Popen[str]] = []
        self.followed: list[str] = []

    def enter(self, *command: str) -> list[str]:
        """The command that runs one on the machine."""
        return ["env", "-C", self.folder, *command]

    def browse(self, *arguments: str) -> list[str]:
        """The command that looks into the admin from there."""
        return [str(REPO / "tests/system/admin.py"), *arguments]

    def run(self, commands: str, status: int = 0, shell: str = "-eu") -> str:
        return self.call(self.enter("bash", shell, "-o", "pipefail", "-c", commands), commands, status)

    def look_into_the_admin(self, task: str, *texts: str) -> None:
        try:
            self.call(self.browse(task, *texts), "the admin")
        except Failed as error:
            raise Failed(f"{error}\n{self.stays.read_text()}") from None

    def call(self, command: list[str], name: str, status: int = 0) -> str:
        done = subprocess.run(command, env=self.env, text=True, timeout=self.seconds, input=self.stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != status:
            raise Failed(f"status {done.returncode} of:\n{name}\nIt said:\n{done.stdout}")
        return done.stdout

    def page(self, name: str) -> None:
        self.blocks(read(REPO / name)[1])
        if Path(name).name in AFTERWARDS:
            self.look_into_the_admin(*AFTERWARDS[Path(name).name])

    def blocks(self, blocks: list[Block]) -> None:
        for block in blocks:
            if not block.runs(self.way):
                continue
            try:
                self.follow(block)
            except Exception as error:
                raise Failed(f"{block}: {error}") from error
            self.followed.append(str(block))

    def follow(self, block: Block) -> None:
        marks = block.marks
        if "file" in marks:
            self.write(marks["file"], block.text, "w")
        elif "add to" in marks:
            self.write(marks["add to"], "\n" + block.text, "a")
        elif "stays" in marks:
            with open(self.stays, "a") as out:
                self.staying.append(subprocess.Popen(self.enter("bash", "-euc", block.text), env=self.env, text=True,
                                                     stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT))
        elif block.language == "sh":
            again(block, lambda: self.run(block.text, int(marks.get("ends with", 0))))
        else:
            commands = block.commands()
            for number, (command, shown) in enumerate(commands, 1):
                status = int(marks.get("ends with", 0)) if number == len(commands) else 0
                again(block, lambda: compare(command, shown, self.run(command, status)))

    def write(self, name: str, text: str, mode: str) -> None:
        """As one does in an editor: owner and mode of a file stay."""
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, mode) as file:
            file.write(text)

    def stop(self) -> None:
        for process in self.staying:
            process.terminate()
            process.wait()


def again(block: Block, act: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while True:
        try:
            act()
            return
        except Failed:
            if "soon" not in block.marks or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def compare(command: str, shown: str, found: str) -> None:
    if not shows(shown, found):
        raise Failed(f"{command}\nshows:\n{found}\nand the page says:\n{shown}")
