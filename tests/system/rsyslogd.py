# SPDX-License-Identifier: Apache-2.0
"""A private rsyslogd, the packaged one, for the system tests and the demo.

    with Rsyslogd() as daemon:
        daemon.start(f'''
            module(load="imuxsock" SysSock.Use="off")
            action(type="omfile" file="{daemon.folder}/out")
            input(type="imuxsock" socket="{daemon.socket}")
        ''')
        send(daemon.socket, "kind[id]", "hello")
        daemon.stop()

Each has a folder of its own, so several run side by side, beside the system's, and as an ordinary
user. It runs in the foreground as a child and is ended by its pid. What rsyslogd says of itself is
kept: `messages()`. Whatever waits has a deadline and raises Timeout after it; nothing sleeps and
hopes. Threads: one user at a time.

`python3 rsyslogd.py check FILE...` checks configurations made for /etc/rsyslog.d/.
"""
from __future__ import annotations

import json
import logging
import logging.handlers
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Callable, Iterable, Mapping

RSYSLOGD = os.environ.get("RSYSLOGD", "/usr/sbin/rsyslogd")
MODULES = os.environ.get("RSYSLOG_MODULES", f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/rsyslog")

# What the system's /etc/rsyslog.conf has done when it comes to /etc/rsyslog.d/.
DISTRIBUTION = 'module(load="imuxsock" SysSock.Use="off")\n'

SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
USER = 1  # the facility

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Timeout(AssertionError):
    """What was waited for did not come; the text says what that was."""


class ConfError(AssertionError):
    """rsyslogd -N1 does not like the configuration; the text is what it says."""


def wait_until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> object:
    """Polls until `condition()` is true, and returns its value."""
    deadline = time.monotonic() + seconds
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout(f"{what}: not within {seconds:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


class Rsyslogd:
    """One rsyslogd at a time, in one folder; start, stop, kill and start it as often as you like.

    folder       where everything lies; a temporary one, removed by close(), if not given
    socket       a path for input(type="imuxsock"), always short enough for the kernel
    prefix       a command that runs it in its own place, such as valgrind
    """

    def __init__(self, folder: Path | str | None = None, module_dirs: Iterable[Path | str] = (),
                 env: Mapping[str, str] | None = None, stats: bool = False,
                 prefix: Iterable[str] = ()) -> None:
        # A socket's path is at most 107 bytes, which folders of tests soon are by themselves.
        self._own = Path(tempfile.mkdtemp(prefix="rsyslogd-", dir="/tmp"))
        self.folder = Path(folder).resolve() if folder else self._own
        self.socket = self._own / "log"
        self.work = self.folder / "work"
        self.work.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None
        self._stats = stats
        self._prefix = list(prefix)
        self._env = {**os.environ, **(env or {})}
        self._module_dirs = [str(path) for path in module_dirs]
        self._conf_file = self.folder / "rsyslog.conf"
        self._user_file = self.folder / "user.conf"
        self._pid_file = self.folder / "rsyslogd.pid"
        self._stderr_file = self.folder / "stderr"
        self._messages_file = self.folder / "messages"
        self._stats_file = self.folder / "impstats"

    def __enter__(self) -> Rsyslogd:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        assert self.process, "not running"
        return self.process.pid

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_activated(self) -> bool:
        """All of its inputs and outputs, or they have failed: it writes its pid after that."""
        process = self.process
        try:
            return process is not None and self._pid_file.read_text().strip() == str(process.pid)
        except FileNotFoundError:
            return False

    # --- life ---------------------------------------------------------------------------------

    def check(self, conf: str) -> subprocess.CompletedProcess[str]:
        """rsyslogd -N1; what it says is in .stderr."""
        self._write(conf)
        return subprocess.run([*self._command(), "-N1"], env=self._env, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, capture_output=True, errors="replace")

    def start(self, conf: str | None = None, check: bool = True, seconds: float = 10.0) -> None:
        """Starts it with `conf`, or the one it had, and waits until its inputs take messages."""
        assert not self.running(), "already running"
        if conf is None:
            conf = self._user_file.read_text()
        if check:
            checked = self.check(conf)
            if checked.returncode:
                raise ConfError(checked.stderr)
        else:
            self._write(conf)
        self._pid_file.unlink(missing_ok=True)
        self._stats_file.unlink(missing_ok=True)  # else the former life's are the newest
        with open(self._stderr_file, "ab") as stderr:
            self.process = subprocess.Popen(
                [*self._command(), "-n", "-i", str(self._pid_file)], env=self._env,
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        try:
            # The pid file is written when everything is activated, but a socket may have failed.
            wait_until(lambda: self._alive() and self.is_activated(), "rsyslogd starts", seconds)
            for path in re.findall(r'^[^#\n]*\bsocket="([^"]+)"', conf, re.M | re.I):
                wait_until(lambda: self._alive() and is_open(path), f"socket {path}", seconds)
        except Timeout as error:
            self.kill9()
            raise Timeout(f"{error}\n{self.messages()}") from None

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM; returns the exit status. Later than `seconds` it is killed, and that raises."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self._ended(self.process.wait(seconds))
        except subprocess.TimeoutExpired:
            self.kill9()
            raise Timeout(f"rsyslogd stops: not within {seconds:g} s\n{self.messages()}") from None

    def kill9(self) -> None:
        """SIGKILL: nothing is saved, the socket's file stays."""
        if self.process is not None:
            self.process.kill()
            self._ended(self.process.wait())

    def restart(self, conf: str | None = None, seconds: float = 30.0) -> None:
        self.stop(seconds)
        self.start(conf)

    def hup(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    def close(self) -> None:
        """Ends it, however it is, and removes what is its own."""
        try:
            self.stop(10)
        except Timeout:
            pass
        finally:
            shutil.rmtree(self._own, ignore_errors=True)

    # --- what it says -------------------------------------------------------------------------

    def messages(self) -> str:
        """What rsyslogd said of itself in all its lives, informational messages included."""
        files = (self._stderr_file, self._messages_file)
        return "".join(f.read_text(errors="replace") for f in files if f.exists())

    def stats(self) -> dict[str, dict[str, object]]:
        """This life's newest impstats counters by name, with stats=True; written every second. Without
        rsyslog's own of an action, which come before the module's, under the same name."""
        found = {}
        if self._stats_file.exists():
            for line in self._stats_file.read_text(errors="replace").splitlines():
                _, brace, counters = line.partition("{")
                try:
                    values = json.loads(brace + counters)
                except ValueError:  # the last line may be half written
                    continue
                if values.get("origin") != "core.action":
                    found[values.pop("name")] = values
        return found

    # --- inside -------------------------------------------------------------------------------

    def _command(self) -> list[str]:
        command = [*self._prefix, RSYSLOGD, "-f", str(self._conf_file)]
        if self._module_dirs:
            command += ["-M", ":".join([*self._module_dirs, MODULES])]
        return command

    def _write(self, conf: str) -> None:
        # The user's part has a file of its own, so that the line numbers in errors are his. A
        # rsyslogd that does not process its own messages would send them to /dev/log.
        stats = (f'module(load="impstats" interval="1" format="json" resetCounters="off"'
                 f' log.syslog="off" log.file="{self._stats_file}")\n') if self._stats else ""
        self._user_file.write_text(conf)
        self._conf_file.write_text(
            f'global(workDirectory="{self.work}" processInternalMessages="on")\n'
            f'{stats}'
            f'if $inputname == "rsyslogd" then'
            f' action(type="omfile" file="{self._messages_file}")\n'
            f'include(file="{self._user_file}")\n')

    def _alive(self) -> bool:
        if not self.running():
            raise Timeout(f"rsyslogd ended with status {self.process and self.process.returncode}")
        return True

    def _ended(self, status: int) -> int:
        self.process = None
        self._pid_file.unlink(missing_ok=True)  # by the next start the number may be another's
        return status


# --- ways to log to it ----------------------------------------------------------------------------

def is_open(path: Path | str) -> bool:
    """Does somebody read the datagram socket?"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def frame(tag: str, text: str | bytes, severity: str = "info") -> bytes:
    """`<14>kind[id]: text`, what syslog(3) sends but for the time."""
    priority = USER * 8 + SEVERITIES.index(severity)
    raw = text if isinstance(text, bytes) else text.encode()
    return b"<%d>%s: %s" % (priority, tag.encode(), raw)


def send(path: Path | str, tag: str, *texts: str | bytes, severity: str = "info") -> None:
    """Sends lines of one task as datagrams, waiting while the reader is behind."""
    send_raw(path, (frame(tag, text, severity) for text in texts))


def send_raw(path: Path | str, datagrams: Iterable[bytes]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.settimeout(60)
        client.connect(str(path))
        for datagram in datagrams:
            client.send(datagram)


def python_logger(path: Path | str, kind: str, task_id: str) -> logging.Logger:
    """A logger of Python's logging as a program would set it up; not in the global registry."""
    handler = logging.handlers.SysLogHandler(address=str(path))
    handler.ident = f"{kind}[{task_id}]: "
    logger = logging.Logger(f"{kind}.{task_id}")
    logger.addHandler(handler)
    return logger


def send_tcp(port: int, datagrams: Iterable[bytes]) -> None:
    """Sends messages over one connection to imptcp or imtcp, octet-counted, so newlines survive."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        for raw in datagrams:
            client.sendall(b"%d %s" % (len(raw), raw))


def wait_for_port(port_file: Path | str, seconds: float = 10.0) -> int:
    """The port of an input with port="0" listenPortFileName=…"""
    path = Path(port_file)
    wait_until(lambda: path.exists() and path.read_text().strip(), f"port in {path}", seconds)
    return int(path.read_text())


def quiet_port() -> int:
    """A port that is free and that the kernel gives to nobody by itself, so that it is still there
    when its server comes back."""
    first = int(RANGE.read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(max(1025, first - 20_000), first)
        with suppress(OSError), bound(port):
            return port


def bound(port: int) -> socket.socket:
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return made


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] != "check":
        print("usage: rsyslogd.py check FILE...", file=sys.stderr)
        return 2
    modules = os.environ.get("MODULE_DIRS", str(Path(__file__).resolve().parents[2] / "build"))
    bad = 0
    for name in arguments[1:]:
        with Rsyslogd(module_dirs=modules.split(":")) as daemon:
            result = daemon.check(DISTRIBUTION + f'include(file="{Path(name).resolve()}")\n')
        print(f"{'FAIL' if result.returncode else 'ok'}    {name}")
        if result.returncode:
            print(result.stderr, end="")
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
