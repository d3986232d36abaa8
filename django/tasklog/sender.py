# SPDX-License-Identifier: Apache-2.0
"""How lines get from this process to rsyslogd or journald: one datagram each.

The kernel holds few datagrams for a reader (net.unix.max_dgram_qlen: often 10), so that a reader that
only has to wake up is behind already. For such a one a line waits, WAIT_SECONDS at most, and all lines
together WAIT_SHARE of the time, and WAIT_LINE for each that was sent, at most: a flood goes at the
reader's pace, if that is 20,000 lines a second or more. One that does not read by then has stalled:
from then on, until it reads again, nothing waits. A line that finds no room is not sent: the caller is
told, and counts it. A reader that is away is looked for once a second. Nothing here raises into the
caller.

Threads share one socket per address, which the kernel lets them: a datagram is sent whole or not at
all. The lock is held only to connect. A forked child makes a socket of its own.
"""
from __future__ import annotations

import array
import errno
import fcntl
import os
import select
import socket
import stat
import struct
import threading
import time
from datetime import datetime
from functools import partial
from typing import Callable

SYSLOG_SOCKET = "/run/tasklog/log"
JOURNAL_SOCKET = "/run/systemd/journal/socket"

WAIT_SECONDS = 0.01
WAIT_SHARE = 0.25  # beyond WAIT_SAVED, which is had for not having waited before
WAIT_LINE = 50e-6
WAIT_SAVED = 0.05
CONNECT_SECONDS = 1.0  # between two looks for a reader that is away
END_PAUSE = 0.005  # between two tries of send_surely()
BUFFER_BYTES = 4 << 20  # asked for; the kernel gives what net.core.wmem_max allows
LIMIT_BYTES = 256 << 10  # of a datagram's text; rsyslogd cuts at its maxMessageSize, in our conf 1m
MARKER = b"@task"  # what begins with it is no text
LEAST_BYTES = 1 << 10  # a datagram that is refused for its size is not split further

FACILITY_USER = 1 << 3
SEVERITY_NAMES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")

# For senders that cannot tell, and what a task's watched process is then: see `own_pid`.
INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of the kernel


def severity(level: int) -> int:
    """syslog's severity of a level of Python's logging, by its number: names may be anything."""
    if level < 20:
        return 7
    if level < 25:
        return 6
    if level < 30:
        return 5
    if level < 40:
        return 4
    if level < 50:
        return 3
    return 2


def own_pid() -> str:
    """What `pid=` has to say for the reader to find this process: in a container its own number is
    another process's outside, and only the kernel can tell."""
    try:
        initial = os.stat("/proc/self/ns/pid").st_ino == INITIAL_PID_NAMESPACE
    except OSError:
        initial = True  # not Linux, or no /proc: there are no namespaces to be in
    return str(os.getpid()) if initial else "self"


def pieces(text: bytes, limit: int) -> list[bytes]:
    """A long text in parts, cut at line ends or else between characters."""
    parts = []
    at = 0
    while len(text) - at > limit:
        end = text.rfind(b"\n", at, at + limit + 1)
        if end > at:
            parts.append(text[at:end])
            at = end + 1
            continue
        end = at + limit
        while end > at + 1 and text[end] & 0xC0 == 0x80:
            end -= 1
        parts.append(text[at:end])
        at = end
    parts.append(text[at:])
    return parts


def as_text(text: bytes) -> bytes:
    """A line is data, whoever has written it."""
    return b" " + text if text.startswith(MARKER) else text


def _has_room(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


class Sender:
    """Datagrams to one address. `send` says whether the line is on its way."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.limit = LIMIT_BYTES
        self._fd = -1
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()  # reentrant, for the garbage collector may log, too
        self._connect_at = 0.0
        self._stalled = False
        self._waited = 0.0  # what of WAIT_SAVED has been used
        self._waited_at = 0.0
        self._lines = 0  # that were sent since then
        self._write: Callable[[bytes], int] = self._connect_and_write

    def forget(self) -> None:
        """In a forked child: the parent's socket and lock are not ours."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._reset()

    # --- what differs between syslog and the journal ------------------------------------------

    def headers(self, kind: str, task_id: str) -> tuple[bytes, ...]:
        """What stands before a task's line, by severity. Made once for each task."""
        return tuple(b"<%d>%s[%s]: " % (FACILITY_USER | level, kind.encode(), task_id.encode())
                     for level in range(8))

    def stamped_header(self, kind: str, task_id: str, at: datetime) -> bytes:
        """In RFC 5424, which rsyslogd takes the time from if its input has useSpecialParser="off"."""
        return b"<%d>1 %s %s %s %s - - " % (
            FACILITY_USER | 6, at.isoformat(timespec="microseconds").encode(),
            socket.gethostname().encode(), kind.encode(), task_id.encode())

    def _datagram(self, header: bytes, text: bytes) -> bytes:
        return header + text

    def _send_too_long(self, header: bytes, text: bytes) -> bool:
        """What the kernel has refused for its size, though it is within `limit`."""
        if len(text) <= LEAST_BYTES:
            return False
        self.limit = max(LEAST_BYTES, min(LIMIT_BYTES, len(text) // 2))
        return self._send_pieces(header, text)

    # --- what both do -------------------------------------------------------------------------

    def send(self, header: bytes, text: bytes) -> bool:
        if len(text) > self.limit:
            return self._send_pieces(header, text)
        datagram = self._datagram(header, text)
        write = self._write
        try:
            write(datagram)
            self._lines += 1
            if self._stalled:
                self._stalled = False
            return True
        except BlockingIOError:
            return self._waited_for(datagram)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                return self._failed(error, write, datagram)
        return self._send_too_long(header, text)

    def send_surely(self, header: bytes, text: bytes, seconds: float) -> bool:
        """For the one line that has to arrive: tries again for so long."""
        deadline = time.monotonic() + seconds
        while not self.send(header, text):
            if time.monotonic() >= deadline:
                return False
            time.sleep(END_PAUSE)
            if self._write == self._connect_and_write:
                self._connect_at = 0.0
        return True

    def unread_bytes(self) -> int:
        """How much of what was sent has not been read at the other end."""
        if self._fd < 0:
            return 0
        SIOCOUTQ = 0x5411
        number: int
        number, = struct.unpack("i", fcntl.ioctl(self._fd, SIOCOUTQ, bytes(4)))
        return number

    def _send_pieces(self, header: bytes, text: bytes) -> bool:
        first, *others = pieces(text, self.limit)
        return all([self.send(header, part) for part in (first, *map(as_text, others))])

    def _waited_for(self, datagram: bytes) -> bool:
        """The reader is behind. Threads may get the sums wrong, by less than matters."""
        write = self._write
        if self._stalled or write == self._connect_and_write:
            return False
        now = began = time.monotonic()
        used = max(0.0, self._waited - (now - self._waited_at) * WAIT_SHARE - self._lines * WAIT_LINE)
        if used > WAIT_SAVED:
            return False
        sent, stalled = False, True
        while now < began + WAIT_SECONDS and _has_room(self._fd, began + WAIT_SECONDS - now):
            stalled = False
            try:
                write(datagram)
                sent = True
                break
            except BlockingIOError:
                now = time.monotonic()  # another sender was quicker
            except OSError:
                break
        self._waited_at = time.monotonic()
        self._waited = used + self._waited_at - began
        self._lines = int(sent)
        self._stalled = stalled
        return sent

    def _failed(self, error: OSError, write: Callable[[bytes], int], datagram: bytes) -> bool:
        if error.errno == errno.ENOBUFS:
            return False
        # The reader is away, or was started anew: perhaps a look finds it, if no other thread's has.
        with self._lock:
            if self._write == write:
                self._write = self._connect_and_write
        try:
            self._write(datagram)
            return True
        except OSError:
            return False

    def _connect_and_write(self, datagram: bytes) -> int:
        with self._lock:
            if self._write == self._connect_and_write:
                now = time.monotonic()
                if now < self._connect_at:
                    raise BlockingIOError(errno.EAGAIN, "no reader")
                self._connect_at = now + CONNECT_SECONDS
                self._connect()
                self._write = partial(os.write, self._fd)
            write = self._write
        return write(datagram)

    def _connect(self) -> None:
        # Always with the same socket: another thread may be sending, and its number must stay ours.
        if self._fd < 0:
            new = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            new.setblocking(False)
            new.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            self._fd = new.detach()
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM, fileno=self._fd)
        try:
            ours.connect(self.address)
        finally:
            ours.detach()


class JournalSender(Sender):
    """Entries in journald's own protocol: newlines stay, and no other process can claim the pid."""

    def headers(self, kind: str, task_id: str) -> tuple[bytes, ...]:
        fields = b"SYSLOG_IDENTIFIER=%s\nTASK_KIND=%s\nTASK_ID=%s\n" \
            % (kind.encode(), kind.encode(), task_id.encode())
        return tuple(b"PRIORITY=%d\n%sMESSAGE\n" % (level, fields) for level in range(8))

    def stamped_header(self, kind: str, task_id: str, at: datetime) -> bytes:
        raise ValueError("journald gives every entry a time of its own")

    def _datagram(self, header: bytes, text: bytes) -> bytes:
        return b"%s%s%s\n" % (header, len(text).to_bytes(8, "little"), text)

    def _send_too_long(self, header: bytes, text: bytes) -> bool:
        """journald takes what is too long for a datagram as a sealed file."""
        fd = -1
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM, fileno=self._fd)
        try:
            fd = os.memfd_create("tasklog", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.write(fd, self._datagram(header, text))
            F_ADD_SEALS, ALL_SEALS = 1033, 0xF
            fcntl.fcntl(fd, F_ADD_SEALS, ALL_SEALS)
            ours.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
            return True
        except OSError:
            return False
        finally:
            ours.detach()
            if fd >= 0:
                os.close(fd)


_senders: dict[str, Sender] = {}
_senders_lock = threading.Lock()


def sender_for(address: str) -> Sender:
    """The one sender of this process to a socket's path, or to "journal"."""
    found = _senders.get(address)
    if found is None:
        with _senders_lock:
            journal = address in ("journal", JOURNAL_SOCKET)
            found = _senders.setdefault(
                address, JournalSender(JOURNAL_SOCKET) if journal else Sender(address))
    return found


def _after_fork() -> None:
    global _senders_lock
    _senders_lock = threading.Lock()
    for sender in list(_senders.values()):
        sender.forget()


os.register_at_fork(after_in_child=_after_fork)


def trouble(address: str) -> str | None:
    """Why nobody can log to the socket, in words for an administrator; None if all is well."""
    try:
        mode = os.stat(address).st_mode
    except FileNotFoundError:
        return f"{address} is not there: no rsyslogd has made it, or its folder is not shared"
    except OSError as error:
        return f"{address}: {error.strerror}"
    if not stat.S_ISSOCK(mode):
        return f"{address} is not a socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            return f"{address} is there, but nobody reads it: its reader has ended, or was started " \
                   "anew while this container kept the old socket (share the folder, not the socket)"
        except OSError as error:
            return f"{address}: {error.strerror}"
    return None
