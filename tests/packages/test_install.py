# SPDX-License-Identifier: Apache-2.0
"""Installation by hand."""
from __future__ import annotations

import subprocess
from pathlib import Path

from debian_root import REPO


def make(target: str, root: Path) -> str:
    result = subprocess.run(["make", "-C", str(REPO), target, f"DESTDIR={root}"], check=True, text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return result.stderr


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def test_uninstall_takes_away_what_install_has_laid_but_for_what_was_changed(tmp_path: Path) -> None:
    make("install", tmp_path)
    conf = tmp_path / "etc/rsyslog.d/tasklog.conf"
    conf.write_text("# mine\n")
    other = tmp_path / "usr/local/bin/other"
    other.write_text("")
    assert {"usr/local/bin/tasklog", "etc/tasklog/journald.conf"} < files(tmp_path)

    make("install", tmp_path)
    assert conf.read_text() == "# mine\n"

    assert f"{conf} was changed, and stays" in make("uninstall", tmp_path)
    assert files(tmp_path) == {"etc/rsyslog.d/tasklog.conf", "usr/local/bin/other"}
    assert not [path for path in tmp_path.rglob("*tasklog*") if path.is_dir()]
