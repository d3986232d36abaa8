# SPDX-License-Identifier: Apache-2.0
"""A sender that knows what was read from its socket."""
from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from pathlib import Path
from typing import Deque

from database import Database
from load import END, Load, Message
from rsyslogd import frame, wait_until
from tasklog import BUILD, Tasklog, action, unread_bytes


def upsert(database: Database, /, **parameters: object) -> str:
    """An action that makes its rows itself."""
    database.create_index("task_id")
    return action(database, mode="upsert", **parameters)


def finish_last(daemon: Tasklog) -> None:
    """Until what was logged is taken, not only read: a line behind it has been read, too."""
    daemon.log("kind[last]", "text")
    daemon.log("kind[last]", "text")


def spool_command(daemon: Tasklog, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUILD / "tasklog", "spool", "-d", daemon.work / "tasklog" / "task",
                           *arguments], text=True, capture_output=True, timeout=60)


class UnixSender(threading.Thread):
    """Logs through the daemon's socket and knows what was read from it: all datagrams have one
    size, so that what the kernel holds for the sender tells how many are unread. kill() stops the
    daemon first, so that nothing is read between the look and the kill. Datagrams that were not read are
    logged again; of the last one that was, nobody can know whether it was taken."""

    def __init__(self, daemon: Tasklog, load: Load) -> None:
        super().__init__(daemon=True)
        self.sent = self.doubtful = 0
        self.life = 0  # sent on this connection, so to this life of the daemon
        self.slowest = 0.0
        self.error: BaseException | None = None
        self._daemon = daemon
        self._load = load
        self._lock = threading.Lock()  # held while a datagram is sent
        self._client: socket.socket | None = None
        self._cost = 0  # what the kernel holds for one unread datagram
        self._recent: Deque[Message] = deque(maxlen=4096)  # sent on this connection
        self._again: list[Message] = []  # to be sent first; on a connection the last one first

    def run(self) -> None:
        try:
            for message in self._load.messages():
                self._log(message)
        except BaseException as error:  # for the test to see
            self.error = error

    def finish(self, seconds: float) -> None:
        self.join(seconds)
        if self.error:
            raise self.error
        assert not self.is_alive(), "the sender waits"

    def kill(self) -> None:
        os.kill(self._daemon.pid, signal.SIGSTOP)
        wait_until(self._all_still, "the daemon is stopped", 10)
        with self._lock:
            if self._client:
                self._take_back(self._client)
            self._daemon.kill9()
            if self._client:
                self._client.close()
            self._client = None

    def stop(self, counted: bool = False) -> None:
        """SIGTERM. A rsyslogd that stops reads its socket no more: all is read before, and if
        `counted`, each message of this life is in one of the action's counters."""
        with self._lock:
            if self._client:
                client = self._client
                wait_until(lambda: not unread_bytes(client), "rsyslogd reads", 30)
                if counted:
                    self._daemon.wait_counters(self.life)
            assert self._daemon.stop() == 0
            if self._client:
                self._client.close()
            self._client = None

    def _all_still(self) -> bool:
        """All of its threads."""
        stats = [path.read_text() for path in Path(f"/proc/{self._daemon.pid}/task").glob("*/stat")]
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

    def _log(self, message: Message) -> None:
        began = time.monotonic()
        while not self._try(message):
            assert time.monotonic() < began + 60, "nothing is read"
            time.sleep(0.001)
        self.slowest = max(self.slowest, time.monotonic() - began)

    def _try(self, message: Message) -> bool:
        with self._lock:
            try:
                if not self._client:
                    # imuxsock binds its socket before it asks for stamps: what comes in between gets the
                    # time at which it is read, which is later than that of what is sent after it.
                    if not self._daemon.is_activated():
                        return False
                    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                    client.setblocking(False)
                    client.connect(str(self._daemon.socket))
                    self._client = client
                    self._recent.clear()
                    self.life = 0
                    self._again.reverse()
                while self._again:
                    self._send(self._again[-1])
                    self._again.pop()
                self._send(message)
            except OSError:  # full, or nobody is there
                return False
            self.sent += 1
            return True

    def _send(self, message: Message) -> None:
        assert self._client
        self._client.send(frame(f"kind[{message.task.task_id}]", message.text))
        self._recent.append(message)
        self.life += 1
        held = unread_bytes(self._client)
        if held > 1 and (not self._cost or held < self._cost):  # 1: is just being read
            self._cost = held

    def _take_back(self, client: socket.socket) -> None:
        """Of the datagrams on this connection: which were read?"""
        unread = unread_bytes(client)
        if unread:
            assert self._cost and unread % self._cost == 0, (unread, self._cost)
            unread //= self._cost
        assert unread <= len(self._recent)
        again = [self._recent.pop() for _ in range(unread)][::-1]
        if self._recent:
            last = self._recent[-1]
            self.doubtful += 1
            last.doubtful = True
            if last.text.startswith(END):  # if it was taken, the second one is a late line
                again.insert(0, last)
                last.task.late.insert(0, last)
        # Those of an earlier kill that had not even been sent come behind.
        self._again = again + self._again[::-1]
