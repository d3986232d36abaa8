# SPDX-License-Identifier: Apache-2.0
"""What somebody could try, see docs/threats.md: at the socket, in texts, as the database, in the spool's
folder. Who may log and how much is in test_trusted.py."""
from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest

from database import Database, Postgresql, Sqlite
from hostile_server import HARMS, HostileServer
from journald import Journald, Reader, send_native, task_entry
from rsyslogd import send, wait_until
from tasklog import BUILD, Tasklog, action, check_log
from users import MALLORY, as_user, connect, need_root

CODES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")


def check_messages(text: str) -> None:
    """Nothing in them that a terminal or a reader could take for something else."""
    assert not CODES.search(text), CODES.search(text)
    assert max(map(len, text.splitlines())) < 3000
    for line in text.splitlines():
        assert "all is well" not in line or "rsyslogd: action" in line or "omtasklog:" in line


# --- Files ----------------------------------------------------------------------------------------

def check_private(folder: Path) -> None:
    paths = [folder, *folder.rglob("*")]
    assert len(paths) > 2
    for path in paths:
        mode = path.stat().st_mode
        assert not mode & (stat.S_IRWXG | stat.S_IRWXO), f"{path}: {stat.filemode(mode)}"


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_spool_is_its_owners_alone(daemon: Tasklog, sqlite: Sqlite, no_umask: None) -> None:
    """Segments, dead letters, what was damaged; whatever the umask is."""
    daemon.run(action(sqlite), settings='global(umask="0000")')
    daemon.log("kind[no-such-row]", "text", "@task end")  # a dead letter
    daemon.log("kind[1]", "text")
    daemon.wait_counters(spool_letters=1)
    spool = daemon.work / "tasklog" / "task"
    daemon.kill9()
    segment = next(iter(sorted(spool.glob("*.seg"))))
    with open(segment, "r+b") as file:  # damage, which is put aside
        file.seek(40)
        file.write(b"\xff" * 100)
    daemon.start()
    daemon.wait_said("was damaged")
    assert (spool / "damaged").exists()
    check_private(spool)
    check_private(spool.parent)


def test_a_spool_of_the_journals_door_is_its_owners_alone(
        reader: Reader, journald: Journald, sqlite: Sqlite, no_umask: None) -> None:
    reader.configure(sqlite, mode="upsert")
    reader.start()
    send_native(journald.native, [task_entry("kind", "1", "text")])
    sqlite.wait("1", lambda row: row.lines == 1)
    check_private(reader.state / "task")


def test_nobody_reads_a_spool(daemon: Tasklog, sqlite: Sqlite) -> None:
    need_root()
    daemon.run(action(sqlite))
    daemon.log("kind[1]", "secret")
    spool = daemon.work / "tasklog" / "task"
    for folder in [spool, *spool.parents]:
        if folder == Path("/tmp"):
            break
        folder.chmod(folder.stat().st_mode | 0o111 if folder not in (spool, spool.parent) else 0o700)

    # The build's folder may be closed to others.
    command = shutil.copy(BUILD / "tasklog", daemon.socket.parent)
    daemon.socket.parent.chmod(0o755)

    def read() -> None:
        for path in (spool, spool / "lock"):
            with pytest.raises(PermissionError):
                os.listdir(path) if path == spool else path.read_bytes()
        tail = subprocess.run([command, "tail", "--spool", str(spool), "kind[1]"],
                              capture_output=True, check=False)
        assert (tail.returncode, tail.stdout) == (2, b""), tail.stderr

    as_user(MALLORY, read)


@pytest.mark.parametrize("harm", ["another's", "everybody's", "a link to it"])
def test_a_spool_that_another_could_write_is_refused(
        daemon: Tasklog, sqlite: Sqlite, tmp_path: Path, harm: str) -> None:
    need_root()
    spool = tmp_path / "spool"
    real = tmp_path / "real" if harm == "a link to it" else spool
    real.mkdir()
    if harm == "everybody's":
        real.chmod(0o777)
    else:
        os.chown(real, MALLORY, MALLORY)
    if real != spool:
        spool.symlink_to(real)
    daemon.run(action(sqlite, spool=str(spool)))
    said = daemon.wait_said("cannot start: spool")
    assert "could forge what is in it" in said
    assert not list(real.iterdir())


@pytest.mark.parametrize("name", ["db.sqlite3-journal", "db.sqlite3-wal", "db.sqlite3-shm"])
def test_links_beside_an_sqlite_file_are_not_followed(
        daemon: Tasklog, tmp_path: Path, name: str) -> None:
    """The folder is the application's, which may be taken over."""
    (tmp_path / "app").mkdir()
    sqlite = Sqlite(tmp_path / "app")
    sqlite.create()
    sqlite.add("1")
    if name != "db.sqlite3-journal":
        sqlite.execute("PRAGMA journal_mode=WAL")
    sqlite._connection.close()  # pylint: disable=protected-access
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "app" / name).symlink_to(victim)
    daemon.run(action(sqlite))
    daemon.log("kind[1]", "text", "@task end")
    daemon.wait_said("SQLite")
    daemon.wait(lambda: daemon.counters().get("rows.waiting"), "it waits")
    assert victim.read_text() == "precious"
    (tmp_path / "app" / name).unlink()
    sqlite.open()
    check_log(sqlite.wait("1", seconds=60), ["text"])
    assert victim.read_text() == "precious"


# --- Texts ----------------------------------------------------------------------------------------

HOSTILE_IDS = ["'; DROP TABLE app_task; --", '" OR 1=1 --', "$1 ? :a @b %s {0}", "</td><script>x",
               "\u202egnp.exe", "a\u2028b", "NULL", "\\x00\\'"]
HOSTILE_TEXTS = ["'); DELETE FROM app_task; --", '<img src=x onerror="alert(1)">', "\x1b]0;title\x07",
                 "\x1b[2J\x1b[31m", "C1 \u009b31m", "\u202edesrever\u2066", "%n%n%s", "$(reboot) `id`",
                 "\r[2026-11-24 10:31:07] forged line", "\ufeff\u200b", "{{7*7}}", "=1+1"]


def test_hostile_texts_are_only_texts(daemon: Tasklog, database: Database) -> None:
    """As ids, lines, status, closing text and names of counters."""
    database.add(*HOSTILE_IDS)
    daemon.run(action(database))
    for task_id in HOSTILE_IDS:
        daemon.log(f"kind[{task_id}]", *HOSTILE_TEXTS)
        daemon.log(f"kind[{task_id}]", '@task end status=OK \'x=1 "a;b"=2 text="\'); DROP TABLE app_task"')
    for task_id in HOSTILE_IDS:
        row = database.wait(task_id)
        log = row.log or ""
        for text in HOSTILE_TEXTS:
            assert f"] {text}\n" in log, text
        assert "'); DROP TABLE app_task\n" in log
    assert len(database.rows()) == len(HOSTILE_IDS)
    daemon.stop()
    check_messages(daemon.messages())


def test_hostile_texts_in_messages(daemon: Tasklog, sqlite: Sqlite) -> None:
    """A tag that is none, a row that is not there, a row that is refused."""
    sqlite.execute("CREATE TRIGGER no BEFORE UPDATE ON app_task BEGIN"
                   " SELECT RAISE(ABORT, '\x1b[31mno\n\u202eall is well'); END")
    sqlite.add("1")
    daemon.run(action(sqlite, trustedUids="4001"), action(sqlite, name="b"))
    daemon.log_raw([b"<14>k\x1b[31m\xe2\x80\xae\n: x", "<14>kind[\u202e]: @task end".encode(),
                    b"<14>kind[1]: @task end"])
    daemon.wait_said("refused for good", seconds=20)
    daemon.wait_said("is not a task's line")
    daemon.wait_said("without a user that the kernel vouches for")
    daemon.stop()
    check_messages(daemon.messages())


def test_the_screen_obeys_no_log(daemon: Tasklog, sqlite: Sqlite) -> None:
    """tail, and the commands for dead letters."""
    daemon.run(action(sqlite))
    daemon.log("kind[\u202e1]", *HOSTILE_TEXTS, "@task end")
    daemon.wait_counters(spool_letters=1)
    daemon.log("kind[2]", *HOSTILE_TEXTS)
    spool = str(daemon.work / "tasklog" / "task")

    def output(*arguments: str) -> str:
        return subprocess.run([BUILD / "tasklog", *arguments], capture_output=True, text=True, timeout=30,
                              check=False).stdout

    listed = output("spool", "-d", spool, "list")
    shown = output("spool", "-d", spool, "show", "--all")
    daemon.log("kind[2]", "@task end")
    tailed = output("tail", "--spool", spool, "-n", "100", "kind[2]")
    print(listed, shown, tailed)
    assert "forged line" in tailed and "forged line" in shown and "kind" in listed
    for text in (listed, shown, tailed):
        assert not CODES.search(text), repr(CODES.search(text))


# --- A database that means harm -------------------------------------------------------------------

def memory_kb(pid: int) -> int:
    """At its highest."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


@pytest.mark.calm
@pytest.mark.parametrize("harm", HARMS, ids=[harm.__name__ for harm in HARMS])
def test_a_database_that_means_harm(daemon: Tasklog, sqlite: Sqlite, harm: object) -> None:
    """It stops its own rows and nothing else: logging goes on, memory stays, messages are few and plain, a stop
    is quick, and the lines are still there for a better one."""
    with HostileServer(harm) as server:  # type: ignore[arg-type]
        url = f"postgresql://user:SECRET@127.0.0.1:{server.port}/db?sslmode=disable"
        daemon.run(action(sqlite, database=url))
        before = memory_kb(daemon.pid)
        daemon.wait(lambda: server.visits, "it connects")
        slowest = 0.0
        until = time.monotonic() + 6
        number = 0
        while time.monotonic() < until:
            began = time.monotonic()
            daemon.log(f"kind[{number}]", "text", "@task end")
            slowest = max(slowest, time.monotonic() - began)
            number += 1
            time.sleep(0.02)
        assert slowest < 1
        grown = memory_kb(daemon.pid) - before
        said = daemon.messages()
        began = time.monotonic()
        daemon.stop(seconds=20)
        took = time.monotonic() - began
    print(f"{harm.__name__}: {grown} kB more, stopped in {took:.1f} s, "  # type: ignore[attr-defined]
          f"{len(said.splitlines())} messages\n{said}")
    assert grown < 300_000
    assert took < 8
    assert len(said.splitlines()) < 60, said
    check_messages(daemon.messages())
    assert "SECRET" not in daemon.messages()
    sqlite.add(*map(str, range(number)))
    daemon.run(action(sqlite))
    sqlite.wait_ended(number, seconds=30)
    check_log(sqlite.row(str(number - 1)), ["text"])


def test_a_trigger_that_raises_notices_without_end(daemon: Tasklog, postgresql: Postgresql) -> None:
    """And one that raises an error of a megabyte."""
    postgresql.add("notices", "error", "neighbour")
    postgresql.execute(
        f'CREATE FUNCTION "{postgresql.schema}".shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN'
        " IF NEW.task_id = 'notices' THEN LOOP RAISE NOTICE USING MESSAGE = repeat('x', 10000); END LOOP; END IF;"
        " IF NEW.task_id = 'error' THEN RAISE EXCEPTION USING"
        " MESSAGE = repeat(E'x\\n\\x1b[31m', 100000); END IF;"
        " RETURN NEW; END $$")
    postgresql.execute(f"CREATE TRIGGER shout BEFORE UPDATE ON {postgresql.sql_table}"
                       f' FOR EACH ROW EXECUTE FUNCTION "{postgresql.schema}".shout()')
    daemon.run(action(postgresql))
    before = memory_kb(daemon.pid)
    for task_id in ("notices", "error", "neighbour"):
        daemon.log(f"kind[{task_id}]", "text", "@task end")
    check_log(postgresql.wait("neighbour", seconds=20), ["text"])
    daemon.wait_said("puts some results off", seconds=30)
    assert memory_kb(daemon.pid) - before < 100_000
    postgresql.execute(f"DROP TRIGGER shout ON {postgresql.sql_table}")
    check_log(postgresql.wait("notices", seconds=60), ["text"])
    daemon.stop()
    check_messages(daemon.messages())


# --- The password ---------------------------------------------------------------------------------

def command_lines(pid: int) -> str:
    """Of it and what it has started."""
    children = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children")
                for child in path.read_text().split()]
    return "".join(Path(f"/proc/{each}/cmdline").read_text() for each in (pid, *children))


WRONG_URLS = ["postgresql://user:{0}@127.0.0.1:1/db", "postgresql://user:{0}@127.0.0.1:bad/db",
              "host=127.0.0.1 port=1 user=u password={0} dbname=d", "password='{0} user=u",
              "postgresql://user:{0}@127.0.0.1:1/db?nonsense=1", "password={0} nonsense=1",
              "postgres://u:{0}@[::1/db"]


@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_password_is_in_no_message(daemon: Tasklog, sqlite: Sqlite, url: str, tmp_path: Path) -> None:
    url = url.format("S3CRET")
    checked = daemon.check(daemon.conf(action(sqlite, database=url)))
    assert "S3CRET" not in checked.stdout + checked.stderr
    conf = tmp_path / "checked.conf"
    conf.write_text(action(sqlite, database=url))
    command = subprocess.run([BUILD / "tasklog", "check", conf], capture_output=True, text=True,
                             timeout=60, check=False)
    assert command.returncode != 0
    assert "S3CRET" not in command.stdout + command.stderr
    if checked.returncode == 0:
        daemon.start()
        daemon.log("kind[1]", "text", "@task end")
        daemon.wait_said("127.0.0.1")
        daemon.wait(daemon.counters, "counters")
        daemon.stop()
        files = [path for path in daemon.folder.rglob("*")
                 if path.is_file() and path.name not in ("user.conf", "rsyslog.conf")]
        assert len(files) > 2
        for path in files:
            assert b"S3CRET" not in path.read_bytes(), path


def test_a_password_is_on_no_command_line(
        daemon: Tasklog, reader: Reader, journald: Journald, postgresql: Postgresql) -> None:
    postgresql.add("1")
    daemon.run(action(postgresql))
    reader.configure(postgresql)
    reader.start()
    daemon.log("kind[1]", "text", "@task end")
    check_log(postgresql.wait("1"), ["text"])
    for pid in (daemon.pid, reader.pid):
        assert postgresql.password not in command_lines(pid)
    status = "".join(reader.notified)
    assert postgresql.password not in status + reader.messages() + daemon.messages()


# --- Processes that are named ---------------------------------------------------------------------

def test_who_names_many_processes_leaves_descriptors_for_others(
        daemon: Tasklog, sqlite: Sqlite) -> None:
    daemon._prefix = ["prlimit", "--nofile=200"]  # pylint: disable=protected-access
    daemon.run(action(sqlite, mode="upsert", liveInterval=1))
    sleepers = [subprocess.Popen(["sleep", "60"]) for _ in range(250)]
    try:
        for sleeper in sleepers:
            daemon.log(f"kind[{sleeper.pid}]", f"@task start pid={sleeper.pid}")
        assert len(list(Path(f"/proc/{daemon.pid}/fd").iterdir())) < 100
        daemon.log("kind[honest]", "text", "@task end")
        check_log(sqlite.wait("honest"), ["text"])
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
    sqlite.wait_ended(251, seconds=15)


# --- The journal ----------------------------------------------------------------------------------

def test_an_entry_cannot_claim_to_be_anothers(
        reader: Reader, journald: Journald, sqlite: Sqlite) -> None:
    """Trusted fields are journald's; what a sender calls so is dropped."""
    need_root()
    reader.configure(sqlite, mode="upsert", trustedUids="0")
    reader.start()
    journald.folder.chmod(0o755)

    def forge() -> None:
        send_native(journald.native, [task_entry("kind", "1", "text", _UID="0", _PID="1",
                                                 __REALTIME_TIMESTAMP="1", OBJECT_UID="0", UID="0")])

    as_user(MALLORY, forge)
    send_native(journald.native, [task_entry("kind", "2", "text"), task_entry("kind", "2", "@task end")])
    check_log(sqlite.wait("2"), ["text"])
    assert set(sqlite.rows()) == {"2"}


def test_a_folder_keeps_others_from_the_socket(daemon: Tasklog, sqlite: Sqlite) -> None:
    """As conf/omtasklog.conf says."""
    need_root()
    daemon.run(action(sqlite))
    daemon.socket.parent.chmod(0o750)

    def knock() -> None:
        with pytest.raises(PermissionError):
            connect(daemon.socket)

    as_user(MALLORY, knock)
    send(daemon.socket, "kind[1]", "root may")
