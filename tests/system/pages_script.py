#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Follows a page of the documentation word for word, as root under the systemd of machine.sh. Which one stands in the
file job.json of the folder that is its argument, where report.json is then written."""
from __future__ import annotations

import json
import re
import shutil
import sys
import traceback
from pathlib import Path

from follower import Failed, Follower
from pages import REPO, read

folder = Path(sys.argv[1])
job = json.loads((folder / "job.json").read_text())
follower = Follower("by hand", Path("/"), str(REPO), {"PYTHONDONTWRITEBYTECODE": "1", **job["env"]}, folder / "stays")
run = follower.run


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


def main() -> None:
    error = ""
    try:
        marks = [read(REPO / name)[0].get("machine") for name in job["pages"]]
        prepare(next((mark for mark in marks if mark), ""))
        for name in job["pages"]:
            follower.page(name)
    except Failed as failed:
        error = f"{failed}\n{run('journalctl --no-pager -n 30 -u rsyslog -u tasklog-journald', shell='-u')}"
    except Exception:
        error = traceback.format_exc()
    finally:
        follower.stop()
        (folder / "report.json").write_text(json.dumps({"followed": follower.followed, "error": error}))


if __name__ == "__main__":
    main()
