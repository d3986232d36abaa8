# SPDX-License-Identifier: Apache-2.0
"""What an administrator does with the packages: install, configure, upgrade, remove, purge."""
from __future__ import annotations

import re
from pathlib import Path

from conftest import Installed
from debian_root import CONF, PACKAGES, SPOOL, DebianRoot, built, repacked, wait_until

NEWER = "99"


def newer(tmp_path: Path, package: str, changes: dict[str, str] = {}) -> Path:
    return repacked(built(package), tmp_path, changes, Version=NEWER)


def test_what_is_installed_does_nothing_before_it_is_configured(root: DebianRoot) -> None:
    root.run("rsyslogd", "-N1")
    conf = root.path(CONF).read_text()
    assert "omtasklog" in conf and not re.search(r"^[^#\n]", conf, re.M)
    assert not list(root.path("etc/systemd/system").rglob("tasklog*"))
    assert root.run("stat", "-c", "%U %G %a", "/etc/tasklog/journald.conf") == "root tasklog-journald 640\n"
    assert "systemd-journal" in root.run("id", "tasklog-journald")


def test_the_command_finds_its_parts(root: DebianRoot) -> None:
    assert root.run("tasklog", "--version").startswith("tasklog ")
    said = root.run("tasklog", "check", "/etc/tasklog/journald.conf", check=False)
    assert "/srv/thoth/db.sqlite3\" does not exist" in said
    assert "-F _tasklog tasklog" in root.run("bash", "-c", ". /usr/share/bash-completion/completions/tasklog;"
                                             " complete -p tasklog")


def test_a_line_is_completed_in_the_shell(root: DebianRoot) -> None:
    def completed(*words: str) -> list[str]:
        script = """. /usr/share/bash-completion/completions/tasklog
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            _tasklog tasklog "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\\n' "${COMPREPLY[@]}" """
        return root.run("bash", "-c", script, "bash", "tasklog", *words).split()

    assert completed("t") == ["tail"]
    assert completed("check", "") == []  # then files
    assert completed("spool", "dr") == ["drop"]
    assert completed("run", "--l") == ["--linger"]
    assert completed("run", "--kind", "x", "--to", "") == ["syslog", "journal"]
    assert completed("run", "--kind", "x", "--", "ls", "-") == []


def test_a_task_that_logger_logs_arrives(root: DebianRoot) -> None:
    root.configure()
    root.new_row("run-1")
    root.start()
    root.log("run-1", "reading files", "@task end processed=2")
    wait_until(lambda: root.row("run-1")[1] == "COMPLETED", "the task is stored")
    assert root.row("run-1")[0][:1] == ["reading files"]


def test_an_upgrade_restarts_rsyslogd_and_loses_no_line_of_open_tasks(root: DebianRoot, tmp_path: Path) -> None:
    root.configure('liveInterval="1"')
    tasks = [f"run-{i}" for i in range(3)]
    for task in tasks:
        root.new_row(task)
    root.start()
    for task in tasks:
        root.log(task, *(f"line {i}" for i in range(20)))
    wait_until(lambda: all(len(root.row(task)[0]) == 20 for task in tasks), "the lines were read")

    old = root.rsyslogd_pid()
    root.install(newer(tmp_path, "rsyslog-tasklog"))
    assert root.rsyslogd_pid() not in (0, old)
    root.wait_for_socket()
    maps = root.path(f"proc/{root.rsyslogd_pid()}/maps").read_text()
    assert "omtasklog.so" in maps and "omtasklog.so (deleted)" not in maps

    for task in tasks:
        root.log(task, "line 20", "@task end processed=21")
    for task in tasks:
        wait_until(lambda: root.row(task)[1] == "COMPLETED", "the task is stored")
        assert root.row(task)[0][:-1] == [f"line {i}" for i in range(21)]


def test_a_configuration_that_was_changed_stays_in_an_upgrade(root: DebianRoot, tmp_path: Path) -> None:
    root.configure()
    journald = root.path("etc/tasklog/journald.conf")
    journald.write_text(journald.read_text() + "; mine\n")
    before = root.path(CONF).read_text(), journald.read_text()
    root.install(newer(tmp_path, "rsyslog-tasklog", {CONF: "# newer\n"}), newer(tmp_path, "tasklog-journald"))
    assert root.run("dpkg-query", "-W", "-f", "${Version}", "rsyslog-tasklog") == NEWER
    assert (root.path(CONF).read_text(), journald.read_text()) == before
    assert root.run("stat", "-c", "%U %G %a", "/etc/tasklog/journald.conf") == "root tasklog-journald 640\n"


def test_a_configuration_that_was_not_changed_is_the_newer_one_after_an_upgrade(
        root: DebianRoot, tmp_path: Path) -> None:
    root.install(newer(tmp_path, "rsyslog-tasklog", {CONF: "# newer\n"}))
    assert root.path(CONF).read_text().endswith("# newer\n")


def test_after_a_removal_rsyslog_works_and_an_installation_goes_on_with_the_open_tasks(root: DebianRoot) -> None:
    root.configure('liveInterval="1"')
    root.new_row("run-1")
    root.start()
    root.log("run-1", "before")
    wait_until(lambda: root.row("run-1")[0] == ["before"], "the line was read")

    old = root.rsyslogd_pid()
    said = root.apt("remove", "rsyslog-tasklog")
    assert root.rsyslogd_pid() not in (0, old)
    assert f"stay in /{SPOOL}" in said
    root.run("rsyslogd", "-N1")
    root.run("logger", "still here")
    wait_until(lambda: "still here" in root.path("var/log/syslog").read_text(), "rsyslog works")

    root.install(built("rsyslog-tasklog"))
    root.wait_for_socket()
    root.log("run-1", "after", "@task end processed=1")
    wait_until(lambda: root.row("run-1")[1] == "COMPLETED", "the task is stored")
    assert root.row("run-1")[0][:-1] == ["before", "after"]


def test_a_removal_names_other_files_that_use_the_module(root: DebianRoot) -> None:
    root.path("etc/rsyslog.d/mine.conf").write_text('module(load="omtasklog")\n')
    root.path("etc/rsyslog.d/comment.conf").write_text('# module(load="omtasklog")\n')
    said = root.apt("remove", "rsyslog-tasklog")
    assert "/etc/rsyslog.d/mine.conf still uses the module omtasklog" in said
    assert "comment.conf" not in said


def test_a_purge_leaves_nothing_and_says_what_it_deletes(root: DebianRoot, installed: Installed) -> None:
    root.configure()
    root.start()
    root.log("no-such-row", "text", "@task end")
    wait_until(lambda: list(root.path(SPOOL).rglob("*.letter")), "the result is refused")
    root.path("var/lib/tasklog-journald/imports").mkdir(parents=True)
    root.path("srv/app/db.sqlite3").unlink()
    root.path("srv/app").rmdir()

    said = root.apt("purge", "--autoremove", *PACKAGES)
    assert re.search(rf"deleting /{SPOOL} \(\S+, 1 refused results\)", said)
    root.run("rsyslogd", "-N1")
    root.service("stop")
    assert sorted(root.files() - installed.files_before) == []
    assert sorted(installed.files_before - root.files()) == []


def test_the_module_does_not_go_with_another_release_of_rsyslog(root: DebianRoot, tmp_path: Path) -> None:
    root.apt("download", "rsyslog")
    (deb,) = root.root.glob("rsyslog_*.deb")
    other = repacked(deb, tmp_path, Version="8.2302.1-1")
    assert "Remv rsyslog-tasklog" in root.install(other, simulate=True)


def test_django_migrates_with_the_app(root: DebianRoot) -> None:
    root.run("python3", "-c", "import tasklog, tasklog.client")
    root.run("django-admin", "startproject", "shop", "/srv")
    with root.path("srv/shop/settings.py").open("a") as settings:
        settings.write('INSTALLED_APPS += ["tasklog"]\n')
    assert "Applying tasklog.0001_initial... OK" in root.run("python3", "/srv/manage.py", "migrate")
    root.run("python3", "/srv/manage.py", "check", "--fail-level", "ERROR")
    assert "No changes detected" in root.run("python3", "/srv/manage.py", "makemigrations", "--check", "tasklog")
    assert "tasklog/tasklog.js" in root.run("python3", "/srv/manage.py", "findstatic", "tasklog/tasklog.js")
