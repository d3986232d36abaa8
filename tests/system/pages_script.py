#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Follows a page of the documentation word for word, as root under the systemd of machine.sh. Which one stands in the
file job.json of the folder that is its argument, where report.json is then written."""
from __future__ import annotations

import http.cookiejar
import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Callable

from pages import REPO, Block, read, shows

SECONDS = 60
SOON_SECONDS = 25
folder = Path(sys.argv[1])
job = json.loads((folder / "job.json").read_text())
env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
       "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **job["env"]}
staying: list[subprocess.Popen[str]] = []


class Failed(Exception):
    """A block did not do what the page says."""


def prepare(machine: str) -> None:
    """A fresh Debian: its rsyslog at work, sudo, and nothing of tasklog."""
    for unit in ("service", "socket"):
        drop_in = Path(f"/etc/systemd/system/{unit}.d/alone.conf")
        drop_in.parent.mkdir()
        drop_in.write_text("[Unit]\nDefaultDependencies=no\n")
    # The kernel's messages are the host's.
    conf = Path("/etc/rsyslog.conf")
    conf.write_text(re.sub(r'^(module\(load="imklog"\))', r"#\1", conf.read_text(), flags=re.M))
    Path("/etc/sudoers.d/build").write_text(f'Defaults env_keep += "{" ".join(job["env"])} PYTHONDONTWRITEBYTECODE"\n')
    for path in Path("/etc/rsyslog.d").glob("*tasklog*"):
        path.unlink()
    for path in Path("/var/spool/rsyslog").glob("*"):
        shutil.rmtree(path)
    run("ln -s /lib/systemd/system/rsyslog.service /etc/systemd/system/syslog.service\n"
        "systemctl daemon-reload; systemctl start rsyslog")
    if machine == "postgresql":
        shutil.rmtree("/etc/postgresql", ignore_errors=True)
        Path("/etc/postgresql").mkdir()
        run("v=$(ls /usr/lib/postgresql | sort -n | tail -n 1)\n"
            "install -d -o postgres -g postgres /srv/postgresql /run/postgresql\n"
            "pg_createcluster -p 5432 -d /srv/postgresql/data $v main -- --no-sync >/dev/null\n"
            "systemctl daemon-reload; systemctl start postgresql\n"
            "until pg_isready -q; do sleep 0.05; done")


def run(commands: str, status: int = 0, shell: str = "-eu") -> str:
    done = subprocess.run(["bash", shell, "-o", "pipefail", "-c", commands], cwd=REPO, env=env, text=True, timeout=SECONDS,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != status:
        raise Failed(f"status {done.returncode} of:\n{commands}\nIt said:\n{done.stdout}")
    return done.stdout


def write(path: Path, text: str, mode: str) -> None:
    """As one does in an editor: owner and mode of a file stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, mode) as file:
        file.write(text)


def follow(block: Block) -> None:
    marks = block.marks
    if "file" in marks:
        write(Path(marks["file"]), block.text, "w")
    elif "add to" in marks:
        write(Path(marks["add to"]), "\n" + block.text, "a")
    elif "stays" in marks:
        staying.append(subprocess.Popen(["bash", "-euc", block.text], cwd=REPO, env=env, text=True,
                                        stdin=subprocess.DEVNULL, stdout=open(folder / "stays", "a"),
                                        stderr=subprocess.STDOUT))
    elif block.language == "sh":
        again(block, lambda: run(block.text, int(marks.get("ends with", 0))))
    else:
        commands = block.commands()
        for number, (command, shown) in enumerate(commands, 1):
            status = int(marks.get("ends with", 0)) if number == len(commands) else 0
            again(block, lambda: compare(command, shown, run(command, status)))


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


# --- what a person would do in a browser ----------------------------------------------------------

def look_into_the_admin() -> None:
    """Logs in over HTTP, as the page tells, and looks for the run of the first task."""
    site = "http://127.0.0.1:8000"
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def get(url: str, **form: str) -> str:
        data = urllib.parse.urlencode(form).encode() if form else None
        return browser.open(urllib.request.Request(site + url, data, {"Referer": site + url}), timeout=20).read().decode()

    deadline = time.monotonic() + SECONDS
    while True:
        try:
            page = get("/admin/login/?next=/admin/tasklog/taskrun/")
            break
        except OSError:
            if time.monotonic() > deadline or staying[-1].poll() is not None:
                raise Failed("the admin does not answer: " + (folder / "stays").read_text()) from None
            time.sleep(0.1)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token, page
    runs = get("/admin/login/?next=/admin/tasklog/taskrun/", csrfmiddlewaretoken=token[1], username="admin",
               password="choose-a-better-one", next="/admin/tasklog/taskrun/")
    link = re.search(r'href="(/admin/tasklog/taskrun/\d+/[^"]*)"', runs)
    if not link or "run-1" not in runs:
        raise Failed(f"the admin does not list the run:\n{runs}")
    text = get(link[1])
    if "Step 1: reading files" not in text or "Completed" not in text:
        raise Failed(f"the admin does not show the log:\n{text}")


AFTERWARDS = {"first-setup.md": look_into_the_admin}


def main() -> None:
    report: dict[str, object] = {"followed": [], "error": None}
    try:
        marks = [read(REPO / name)[0].get("machine") for name in job["pages"]]
        prepare(next((mark for mark in marks if mark), ""))
        for name in job["pages"]:
            for block in read(REPO / name)[1]:
                if "not run" in block.marks or block.language == "text":
                    continue
                try:
                    follow(block)
                except Exception as error:
                    raise Failed(f"{block}: {error}") from error
                report["followed"].append(str(block))  # type: ignore[attr-defined]
            AFTERWARDS.get(Path(name).name, lambda: None)()
    except Failed as error:
        report["error"] = f"{error}\n{run('journalctl --no-pager -n 30 -u rsyslog -u tasklog-journald', shell='-u')}"
    except Exception:
        report["error"] = traceback.format_exc()
    finally:
        for process in staying:
            process.terminate()
        (folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
