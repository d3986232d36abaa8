# SPDX-License-Identifier: Apache-2.0
"""Every command in the documentation is run, as it stands, on a machine of its own: see pages.py."""
from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from database import Sqlite
from pages import REPO, Block, PageError, pages, read, shows
from rsyslogd import frame, send_tcp, wait_for_port, wait_until
from tasklog import Tasklog, action, tcp_input

HERE = Path(__file__).parent
NAMES = [str(path.relative_to(REPO)) for path in pages()]
# Followed on the way to others.
PASSED = ("docs/first-setup.md", "docs/roles.md")
NOT_RUN_MAX = 6
BUILD_SETTINGS = ("CI", "WERROR", "CC", "CFLAGS", "LDFLAGS")


def runs(block: Block) -> bool:
    return block.runs("by hand")


def chain(name: str) -> list[str]:
    """The pages that come before, and the page."""
    before = read(REPO / name)[0].get("after")
    return [*(chain(f"docs/{before}") if before else []), name]


@pytest.mark.xdist_group("programs")
@pytest.mark.skipif(os.geteuid() != 0 or os.path.isdir("/run/systemd/system"),
                    reason="needs root on a machine that was not booted with systemd")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in PASSED])
def test_a_page_can_be_followed_word_for_word(name: str, tmp_path: Path) -> None:
    if not any(map(runs, read(REPO / name)[1])):
        return
    names = chain(name)
    env = {setting: os.environ[setting] for setting in BUILD_SETTINGS if setting in os.environ}
    (tmp_path / "job.json").write_text(json.dumps({"pages": names, "env": env}))
    done = subprocess.run(["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", HERE / "machine.sh",
                           tmp_path, HERE / "pages_script.py"], timeout=240, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    report_path = tmp_path / "report.json"
    out = (tmp_path / "out").read_text() if (tmp_path / "out").exists() else ""
    assert report_path.exists(), f"{done.stdout}\n{out}"
    report: dict[str, Any] = json.loads(report_path.read_text())
    assert not report["error"], report["error"]
    assert report["followed"] == [str(block) for page in names for block in read(REPO / page)[1] if runs(block)]


def test_pages_on_the_way_to_others_are_followed_there() -> None:
    assert {page for name in NAMES for page in chain(name)[:-1]} == set(PASSED)


def test_few_blocks_are_not_run() -> None:
    left = [f"{block}: {block.marks['not run']}" for path in pages() for block in read(path)[1]
            if "not run" in block.marks]
    assert len(left) <= NOT_RUN_MAX, left


def test_each_way_is_gone_by_a_test() -> None:
    """By hand it is gone here, and with packages by tests/packages/test_first_setup.py."""
    ways = {(path.name, block.marks["way"]) for path in pages() for block in read(path)[1] if "way" in block.marks}
    assert ways == {("first-setup.md", "by hand"), ("first-setup.md", "packages"), ("upgrades.md", "packages")}


@pytest.mark.parametrize("text", ["```\nls\n```\n", "```python\nprint()\n```\n", "<!-- not run: -->\n```sh\nls\n```\n",
                                  "```console\nls\n```\n", "Text:\n\n    ls\n", "```sh\nls\n", "<!-- son -->\n", "<!-- way: none -->\n```sh\nls\n```\n", "```text\nsudo ls\n```\n"])
def test_a_block_that_nobody_would_run_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(text)
    with pytest.raises(PageError):
        [block.commands() for block in read(path)[1]]


def test_what_is_shown_is_compared() -> None:
    assert shows("2026-11-24 10:31:07 a…z\n…\nend\n", "2025-01-02 03:04:05.678 abcz\n1\n2\nend\n")
    assert shows("", "")
    assert not shows("a", "b") and not shows("a", "a\nb") and not shows("", "a") and not shows("a…z", "a\nz")


def test_links_lead_somewhere() -> None:
    for path in pages():
        for link in re.findall(r"\]\(([^)#\s]+)\)", path.read_text()):
            assert "://" in link or (path.parent / link).exists(), f"{path.name}: {link}"


@pytest.mark.xdist_group("load")
def test_a_line_takes_on_disk_what_the_page_on_sizing_says(daemon: Tasklog, sqlite: Sqlite, tmp_path: Path) -> None:
    said = re.search(r"takes\s+its\s+text\s+and\s+(\d+)\s+bytes", (REPO / "docs/sizing.md").read_text())
    assert said
    sqlite.add("long")
    daemon.run(action(sqlite, taskMaxBytes="1g"), inputs=tcp_input("imptcp", tmp_path / "port", 'threads="1"'))
    port = wait_for_port(tmp_path / "port")
    count, text = 1_000_000, "x" * 100
    send_tcp(port, (frame("kind[long]", text) for _ in range(count)))
    wait_until(lambda: daemon.counters().get("lines", 0) >= count, "lines", 60)
    assert daemon.stop() == 0  # then files are as long as what is in them
    spool = sum(path.stat().st_size for path in (daemon.work / "tasklog/task").glob("*.seg"))
    a_line = spool / count - len(text)
    print(f"{a_line:.1f} bytes beside the text")
    assert int(said[1]) * 0.85 < a_line < int(said[1]) * 1.15
