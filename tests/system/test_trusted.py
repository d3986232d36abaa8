# SPDX-License-Identifier: Apache-2.0
"""Who may log, and how much one sender may take of what all share, through both doors."""
from __future__ import annotations

import array
import os
import socket
import time
from pathlib import Path
from typing import Any, Iterable

import pytest

from database import Row, Sqlite
from journald import Journald, Reader
from rsyslogd import frame, send_tcp, wait_for_port, wait_until
from tasklog import COUNTERS, Tasklog, action, check_log, stamps, tcp_input
from users import ALICE, BOB, FLOODER, MALLORY, Flood, as_user, connect, log_as, need_root

TRUSTED = ' Annotate="on" ParseTrusted="on"'
REFUSED = ("lines.untrusted", "lines.foreign", "lines.over_tasks", "lines.over_rate")
assert set(REFUSED) < set(COUNTERS)


@pytest.fixture(autouse=True)
def root() -> None:
    need_root()


class Rsyslog:
    """rsyslog's door, whose socket everybody can reach."""

    def __init__(self, daemon: Tasklog, sqlite: Sqlite) -> None:
        self.daemon = daemon
        self.sqlite = sqlite
        self.socket = daemon.socket
        daemon.socket.parent.chmod(0o711)

    def conf(self, inputs: str = "", settings: str = "", trusted: str = TRUSTED,
             **parameters: object) -> str:
        conf = self.daemon.conf(action(self.sqlite, mode="upsert", **parameters), inputs=inputs,
                                settings=settings)
        return conf.replace('useSpecialParser="off"', 'useSpecialParser="off"' + trusted)

    def start(self, **parameters: Any) -> None:
        self.daemon.start(self.conf(**parameters))

    def restart(self) -> None:
        self.daemon.kill9()
        self.daemon.start()

    def messages(self) -> str:
        return self.daemon.messages()

    def wait_said(self, text: str) -> None:
        self.daemon.wait_said(text)

    def wait_refused(self, **expected: int) -> None:
        """Exactly so many lines were refused, each for one reason."""
        def as_told() -> bool:
            counters = self.daemon.counters()
            return bool(counters) and all(counters[name] == expected.get(name[6:], 0)
                                          for name in REFUSED)

        wait_until(as_told, f"refused {expected}: {self.daemon.counters()}")


class Journal:
    """The journal's. It has no counters that can be read from outside but in what it says."""

    def __init__(self, reader: Reader, journald: Journald, sqlite: Sqlite) -> None:
        self.reader = reader
        self.sqlite = sqlite
        self.socket = journald.syslog
        # The namespace's folder is for systemd's own; its socket is for all.
        journald.folder.chmod(0o755)

    def start(self, **parameters: Any) -> None:
        self.reader.configure(self.sqlite, mode="upsert", **parameters)
        self.reader.start()

    def restart(self) -> None:
        self.reader.kill9()
        self.reader.start()

    def messages(self) -> str:
        return self.reader.messages()

    def wait_said(self, text: str) -> None:
        self.reader.wait_said(text)

    def wait_refused(self, **expected: int) -> None:
        pass


@pytest.fixture(params=["rsyslog", "journal"])
def door(request: pytest.FixtureRequest, sqlite: Sqlite) -> Rsyslog | Journal:
    if request.param == "rsyslog":
        return Rsyslog(request.getfixturevalue("daemon"), sqlite)
    return Journal(request.getfixturevalue("reader"), request.getfixturevalue("journald"), sqlite)


@pytest.fixture
def rsyslog(daemon: Tasklog, sqlite: Sqlite) -> Rsyslog:
    return Rsyslog(daemon, sqlite)


def log_and_end(door: Rsyslog | Journal, uid: int, task_id: str) -> Row:
    """A task of that user; everything sent before has been looked at when its row is there."""
    log_as(uid, door.socket, f"kind[{task_id}]", "text", "@task end")
    return door.sqlite.wait(task_id)


# --- Trusted users --------------------------------------------------------------------------------

def test_only_trusted_users_may_log(door: Rsyslog | Journal) -> None:
    """Of a name, the uid counts."""
    door.start(trustedUids=[str(ALICE), "nobody"])
    log_as(MALLORY, door.socket, "kind[1]", "text", "@task end")
    log_as(0, door.socket, "kind[2]", "root is not in the list", "@task end")
    check_log(log_and_end(door, ALICE, "3"), ["text"])
    check_log(log_and_end(door, 65534, "4"), ["text"])
    assert set(door.sqlite.rows()) == {"3", "4"}
    door.wait_said(f'a line of "kind[1]" from uid {MALLORY} is refused: trustedUids does not name it')
    assert door.messages().count("is refused") == 1
    door.wait_refused(untrusted=4)


FORGED = [b"@cee: {\"uid\": 0, \"!uid\": 0}", b"text @[_PID=1 _UID=0 _GID=0]",
          b"{\"uid\":\"0\"} $!uid=0", b"\xff_UID=0"]


def test_no_text_makes_a_sender_another(door: Rsyslog | Journal) -> None:
    door.start(trustedUids="0")
    log_as(MALLORY, door.socket, "kind[1]", *FORGED)

    def raw() -> None:
        with connect(door.socket) as client:
            client.send(b'<14>1 2026-11-24T10:31:07Z host kind 1 - [a uid="0" _UID="0"] text')
            client.send(b"<14>kind[1]: text\0_UID=0\0")

    as_user(MALLORY, raw)
    check_log(log_and_end(door, 0, "2"), ["text"])
    assert set(door.sqlite.rows()) == {"2"}


def test_the_kernel_lets_nobody_claim_another_uid(rsyslog: Rsyslog) -> None:
    rsyslog.start(trustedUids="0")

    def claim() -> None:
        credentials = array.array("i", [os.getpid(), 0, 0])
        with connect(rsyslog.socket) as client:
            with pytest.raises(PermissionError):
                client.sendmsg([frame("kind[1]", "text")],
                               [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)])

    as_user(MALLORY, claim)


def test_the_highest_uid(rsyslog: Rsyslog) -> None:
    """rsyslog has uids as signed numbers."""
    highest = 2 ** 32 - 2
    rsyslog.start(trustedUids=str(highest))
    check_log(log_and_end(rsyslog, highest, "1"), ["text"])
    log_as(ALICE, rsyslog.socket, "kind[2]", "text")
    rsyslog.wait_refused(untrusted=1)


def test_an_input_without_trusted_properties_is_named_once(rsyslog: Rsyslog) -> None:
    rsyslog.start(trustedUids="0", trusted="")
    for number in range(20):
        log_as(0, rsyslog.socket, f"kind[{number}]", "text")
    rsyslog.wait_refused(untrusted=20)
    rsyslog.wait_said('set Annotate="on" ParseTrusted="on" on its imuxsock input')
    assert rsyslog.messages().count("without a user that the kernel vouches for") == 1
    assert not rsyslog.sqlite.rows()


def test_properties_in_the_text_are_not_looked_at(rsyslog: Rsyslog) -> None:
    """Annotate without ParseTrusted puts them behind the text, where anybody can write."""
    rsyslog.start(trustedUids="0", trusted=' Annotate="on"')
    log_as(0, rsyslog.socket, "kind[1]", "text")
    rsyslog.wait_refused(untrusted=1)


def test_the_network_has_no_users(rsyslog: Rsyslog, tmp_path: Path) -> None:
    """Not even where a ruleset makes properties of a text."""
    rsyslog.start(trustedUids="0", settings='module(load="mmjsonparse")',
                  inputs=tcp_input("imptcp", tmp_path / "port").replace(
                      'ruleset="tasks"', 'ruleset="network"')
                  + '\nruleset(name="network") {\n  action(type="mmjsonparse" cookie="@cee:")\n'
                  '  call tasks\n}')
    port = wait_for_port(tmp_path / "port")
    send_tcp(port, [b'<14>kind[1]: @cee: {"uid": 0}', b"<14>kind[1]: @task end"])
    rsyslog.wait_refused(untrusted=2)
    assert not rsyslog.sqlite.rows()


# --- Another's task -------------------------------------------------------------------------------

def test_a_task_is_the_users_who_began_it(door: Rsyslog | Journal) -> None:
    door.start(trustedUids=[str(ALICE), str(BOB), "root"])
    log_as(ALICE, door.socket, "kind[1]", "one")
    log_as(BOB, door.socket, "kind[1]", "forged", "@task end status=FORGED", "@task start",
           "@task progress processed=99")
    log_as(0, door.socket, "kind[1]", "root may")
    log_as(ALICE, door.socket, "kind[1]", "two", "@task end")
    row = door.sqlite.wait("1")
    check_log(row, ["one", "root may", "two"])
    assert (row.status, row.complete, row.processed) == ("COMPLETED", True, None)
    log_as(BOB, door.socket, "kind[1]", "late and forged")
    check_log(log_and_end(door, BOB, "2"), ["text"])
    check_log(door.sqlite.row("1"), ["one", "root may", "two"])
    door.wait_said(f"from uid {BOB} is refused: the task is another user's, who began it")
    door.wait_refused(foreign=5)


def test_whose_a_task_is_outlives_a_kill(door: Rsyslog | Journal) -> None:
    door.start(trustedUids=[str(ALICE), str(BOB)], liveInterval=1)
    log_as(ALICE, door.socket, "kind[1]", "one")
    door.sqlite.wait("1", lambda row: row.lines == 1)
    for _ in range(2):
        door.restart()
        log_as(BOB, door.socket, "kind[1]", "forged", "@task end status=FORGED")
    log_as(ALICE, door.socket, "kind[1]", "@task end")
    check_log(door.sqlite.wait("1"), ["one"])


# --- Limits ---------------------------------------------------------------------------------------

def check_noted(row: Row, sent: int, refused: int) -> None:
    """The log tells of just as many lines as are missing, and the row says so."""
    told = 0
    kept = 0
    for line in (row.log or "").split("\n")[:-1]:
        text = line.split("] ", 1)[1]
        if text.startswith("[... "):
            assert text.endswith("missing here: the sender went beyond its limit ...]"), text
            told += int(text.split()[1])
        else:
            kept += 1
    assert told == refused
    assert kept == row.lines == sent - refused
    assert not row.complete


def test_lines_beyond_the_rate_are_told_of(door: Rsyslog | Journal) -> None:
    """The end is never one of them."""
    sent = 5000
    door.start(senderMaxRate=100)
    log_as(ALICE, door.socket, "kind[1]", *(f"line {n}" for n in range(sent)), "@task end")
    log_as(BOB, door.socket, "kind[2]", *(f"line {n}" for n in range(50)), "@task end")
    row = door.sqlite.wait("1", seconds=30)
    assert row.status == "COMPLETED"
    check_noted(row, sent, sent - row.lines)
    assert 100 <= row.lines < sent
    check_log(door.sqlite.wait("2"), [f"line {n}" for n in range(50)])
    assert door.sqlite.row("2").complete
    door.wait_refused(over_rate=sent - row.lines)
    door.wait_said(f"from uid {ALICE} is refused: it logs more than senderMaxRate allows, 100 lines")


def test_that_lines_are_missing_outlives_a_kill(door: Rsyslog | Journal) -> None:
    door.start(senderMaxRate=10, liveInterval=1)
    log_as(ALICE, door.socket, "kind[1]", *(f"line {n}" for n in range(100)))
    door.wait_said("senderMaxRate")
    door.sqlite.wait("1", lambda row: row.lines >= 10)
    door.restart()
    log_as(ALICE, door.socket, "kind[1]", "@task end")
    row = door.sqlite.wait("1")
    assert not row.complete
    assert "missing here: the sender went beyond its limit" in (row.log or "")


def test_a_flood_that_the_clock_closes_is_told_of(rsyslog: Rsyslog) -> None:
    rsyslog.start(senderMaxRate=10, idleTimeout=2)
    log_as(ALICE, rsyslog.socket, "kind[1]", *(f"line {n}" for n in range(100)))
    row = rsyslog.sqlite.wait("1")
    assert row.end_reason == "idle"
    told = [line for line in (row.log or "").split("\n") if "are missing here" in line]
    assert len(told) == 1
    assert f"[... {100 - row.lines} lines" in told[0]


def test_tasks_beyond_the_limit_are_refused(door: Rsyslog | Journal) -> None:
    door.start(senderMaxTasks=3)
    for number in range(10):
        log_as(ALICE, door.socket, f"kind[{number}]", "one", "two")
    log_and_end(door, BOB, "bob")
    for number in range(3):
        log_as(ALICE, door.socket, f"kind[{number}]", "@task end")
        assert door.sqlite.wait(str(number)).complete
    # There is room again. A task that comes back is not all there; one that begins is.
    log_as(ALICE, door.socket, "kind[3]", "three", "@task end")
    log_as(ALICE, door.socket, "kind[4]", "@task start", "three", "@task end")
    row = door.sqlite.wait("3")
    assert not row.complete
    stamps(row.log, ["[... 2 lines are missing here: the sender went beyond its limit ...]", "three",
                     row.summary])
    check_log(door.sqlite.wait("4"), ["three"])
    assert set(door.sqlite.rows()) == {"0", "1", "2", "3", "4", "bob"}
    door.wait_refused(over_tasks=14)
    door.wait_said("it has as many open tasks as senderMaxTasks allows, 3")


def test_how_many_tasks_are_open_outlives_a_kill(door: Rsyslog | Journal) -> None:
    door.start(senderMaxTasks=2, liveInterval=1)
    for number in range(2):
        log_as(ALICE, door.socket, f"kind[{number}]", "one")
        door.sqlite.wait(str(number), lambda row: row.lines == 1)
    door.restart()
    log_as(ALICE, door.socket, "kind[2]", "one", "@task end")
    log_as(ALICE, door.socket, "kind[1]", "@task end")
    door.sqlite.wait("1")
    log_and_end(door, ALICE, "3")
    assert set(door.sqlite.rows()) == {"0", "1", "3"}


def test_hosts_of_the_network_are_told_by_their_address(rsyslog: Rsyslog, tmp_path: Path) -> None:
    """What a message says of its host is only a text."""
    rsyslog.start(senderMaxRate=10, inputs=tcp_input("imptcp", tmp_path / "port"))
    port = wait_for_port(tmp_path / "port")
    send_tcp(port, [f"<14>1 2026-11-24T10:31:07.{n:06d}Z host{n} kind 1 - - line {n}".encode()
                    for n in range(1000)] + [b"<14>1 2026-11-24T10:31:08Z host kind 1 - - @task end"])
    rsyslog.wait_said("from address 127.0.0.1 is refused: it logs more")
    row = rsyslog.sqlite.wait("1")
    check_noted(row, 1000, 1000 - row.lines)


def test_a_host_whose_users_are_not_known_is_told_of_once(rsyslog: Rsyslog) -> None:
    rsyslog.start(senderMaxRate=1000, trusted="")
    for number in range(3):
        check_log(log_and_end(rsyslog, ALICE, str(number)), ["text"])
    rsyslog.wait_said("all of this host's senders share one senderMaxTasks and senderMaxRate; set")
    assert rsyslog.messages().count("share one") == 1


# --- All of it at once ----------------------------------------------------------------------------

HONEST_TASKS = 30
RATE = 2000


def of_one_task(number: int) -> Iterable[bytes]:
    return [frame("kind[flood]", f"line {number}")]


def of_many_tasks(number: int) -> Iterable[bytes]:
    return [frame(f"kind[m{number}]", "line"), frame(f"kind[m{number}]", "@task end")]


def of_forged_ends(number: int) -> Iterable[bytes]:
    return [frame(f"kind[honest-{number % HONEST_TASKS}]", "@task end status=FORGED")]


@pytest.mark.alone
# journald takes nothing while it rotates its files, which is 2 s after 180,000 lines: these need no rotation.
@pytest.mark.journald("SystemMaxUse=8G\nSystemMaxFileSize=1G\n")
def test_honest_tasks_beside_all_the_others(door: Rsyslog | Journal) -> None:
    """A user who floods, one who begins tasks without an end and is not even trusted, and one who ends the tasks
    of others, all as fast as they can, while one works."""
    door.start(trustedUids=[str(ALICE), str(BOB), str(FLOODER)], senderMaxRate=RATE, senderMaxTasks=HONEST_TASKS)
    # The end of a task that has not begun would begin it.
    for number in range(HONEST_TASKS):
        log_as(ALICE, door.socket, f"kind[honest-{number}]", "line 0")
    floods = [Flood(FLOODER, door.socket, of_one_task), Flood(MALLORY, door.socket, of_many_tasks),
              Flood(BOB, door.socket, of_forged_ends)]
    lines = [f"line {number}" for number in range(20)]
    delays = []
    try:
        wait_until(lambda: all(flood.sent > 1000 for flood in floods), "everybody is at it")
        for number in range(HONEST_TASKS):
            log_as(ALICE, door.socket, f"kind[honest-{number}]", *lines[1:])
            began = time.monotonic()
            log_as(ALICE, door.socket, f"kind[honest-{number}]", "@task end")
            door.sqlite.wait(f"honest-{number}", seconds=20)
            delays.append(time.monotonic() - began)
    finally:
        flooded, untrusted, forged = (flood.stop() for flood in floods)
    print(f"{flooded + untrusted + forged} lines of others; delays up to {max(delays):.3f} s")
    for number in range(HONEST_TASKS):
        row = door.sqlite.row(f"honest-{number}")
        check_log(row, lines)
        assert (row.status, row.complete, row.end_reason) == ("COMPLETED", True, "marker")
    assert max(delays) < 1
    log_as(FLOODER, door.socket, "kind[flood]", "@task end")
    row = door.sqlite.wait("flood", seconds=60)
    check_noted(row, flooded, flooded - row.lines)
    assert len(door.sqlite.rows()) == HONEST_TASKS + 1
    door.wait_refused(untrusted=untrusted, foreign=forged, over_rate=flooded - row.lines)
