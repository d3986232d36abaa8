# SPDX-License-Identifier: Apache-2.0
"""conf/scale at work: its files as they are shipped, but for the folders that they name, on hosts of a Network,
with certificates that its own script makes and a PostgreSQL that is reached by TLS."""
from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions

from database import Postgresql
from network import Host, Network
from rsyslogd import DISTRIBUTION, Rsyslogd, Timeout, wait_until
from tasklog import BUILD, REPO, Tasklog

CONF = REPO / "conf/scale"
PASSWORD = "s3cret"


def make_certificates(folder: Path, *names: str, days: int = 825) -> Path:
    subprocess.run([CONF / "make-certificates", folder, *names], check=True,
                   env={**os.environ, "DAYS": str(days)})
    return folder


class Tls:
    """The folder that stands for one host's /etc/tasklog."""

    def __init__(self, folder: Path, certificates: Path, name: str) -> None:
        self.folder = folder
        (folder / "tls").mkdir(parents=True, exist_ok=True)
        self.trust(certificates)
        self.be(certificates, name)

    def trust(self, certificates: Path) -> None:
        shutil.copy(certificates / "ca.pem", self.folder / "tls/ca.pem")

    def be(self, certificates: Path, name: str) -> None:
        for end in ("pem", "key"):
            shutil.copy(certificates / f"{name}.{end}", self.folder / f"tls/host.{end}")


def shipped(name: str, etc: Path, socket: Path) -> str:
    """A file of conf/scale as the distribution's rsyslog.conf would include it, in these folders."""
    text = (CONF / name).read_text()
    assert "/etc/tasklog/" in text
    return DISTRIBUTION + text.replace("/etc/tasklog/", f"{etc}/") \
        .replace("/run/tasklog/log", str(socket))


class Sender(Rsyslogd):
    """A host that has one of the senders' files."""

    def __init__(self, folder: Path, host: Host, certificates: Path, conf: str) -> None:
        super().__init__(folder, prefix=host.prefix, stats=True)
        self.host = host
        self.tls = Tls(folder / "etc", certificates, host.name)
        self._conf = f'global(localHostname="{host.name}")\n' \
            + shipped(conf, self.tls.folder, self.socket)

    def run(self) -> None:
        self.start(self._conf)


class Aggregator(Tasklog):
    def __init__(self, folder: Path, host: Host, certificates: Path) -> None:
        super().__init__(folder, prefix=host.prefix)
        self.host = host
        self.tls = Tls(folder / "etc", certificates, host.name)
        passfile = self.tls.folder / "pgpass"
        passfile.write_text(f"*:*:*:*:{PASSWORD}\n")
        passfile.chmod(0o600)

    def run_shipped(self, more: str = "") -> None:
        self.start(shipped("aggregator.conf", self.tls.folder, self.socket) + more)

    def fresh_counters(self) -> dict[str, int]:
        """Its action's counters, as they are written next."""
        now = time.time()
        wait_until(lambda: self._stats_file.exists() and self._stats_file.stat().st_mtime > now,
                   "counters are written")
        return self.counters("tasks")


class DatabaseHost(Postgresql):
    """A PostgreSQL server on a host of its own, with the database, role and table that aggregator.conf names. The
    tests look into it through a socket."""

    def __init__(self, host: Host, certificates: Path, certificate: str | None = None,
                 tls: bool = True) -> None:
        self.host_ = host
        self._folder = Path(tempfile.mkdtemp(prefix="pghost-", dir="/tmp"))
        self._data = self._folder / "data"
        self._bin = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self._process: subprocess.Popen[bytes] | None = None
        self._tls = tls
        self.schema, self.table = "public", "tasklog_taskrun"
        shutil.chown(self._folder, "postgres", "postgres")
        self._as_postgres(self._bin / "initdb", "-A", "trust", "-U", "postgres", "-N",
                          "-E", "UTF8", "--locale=C", self._data)
        self.show(certificates, certificate or host.name)
        kind = "hostssl" if tls else "hostnossl"
        (self._data / "pg_hba.conf").write_text(
            f"local all all trust\n{kind} tasks tasklog all scram-sha-256\n")
        self.start_server()
        with closing(self._connect("postgres")) as connection:
            cursor = connection.cursor()
            cursor.execute(f"CREATE ROLE tasklog LOGIN PASSWORD '{PASSWORD}'")
            cursor.execute("CREATE DATABASE tasks OWNER tasklog")
        self._connection = self._connect()
        self.create()
        self.execute(f"ALTER TABLE {self.sql_table} OWNER TO tasklog")
        self.create_index("kind", "task_id", "start_time")

    def show(self, certificates: Path, name: str) -> None:
        """From the next start on the server shows this certificate."""
        self.show_files(certificates / f"{name}.pem", certificates / f"{name}.key")

    def show_files(self, certificate: Path, key: Path) -> None:
        for source, end in ((certificate, "pem"), (key, "key")):
            path = self._folder / f"server.{end}"
            shutil.copy(source, path)
            shutil.chown(path, "postgres", "postgres")
            path.chmod(0o600)

    def serve_tls(self) -> None:
        """Starts again, as it should be."""
        self._tls = True
        self._connection.close()
        (self._data / "pg_hba.conf").write_text(
            "local all all trust\nhostssl tasks tasklog all scram-sha-256\n")
        self.start_server()
        self._connection = self._connect()

    def start_server(self) -> None:
        settings = {"listen_addresses": "*", "unix_socket_directories": self._folder,
                    "fsync": "off", "ssl": "on" if self._tls else "off",
                    "ssl_cert_file": self._folder / "server.pem",
                    "ssl_key_file": self._folder / "server.key"}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [*self.host_.prefix, *self._drop(), self._bin / "postgres", "-D", self._data,
                 *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(self._answers, "the server answers", 30)
        except Timeout as error:
            raise Timeout(f"{error}\n{self.log()}") from None

    def stop_server(self) -> None:
        if self._process:
            self._process.send_signal(2)  # fast
            self._process.wait(30)
            self._process = None

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def close(self) -> None:
        self._connection.close()
        self.stop_server()
        shutil.rmtree(self._folder, ignore_errors=True)

    @staticmethod
    def _drop() -> list[str]:
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]

    def _as_postgres(self, *command: object) -> None:
        done = subprocess.run([*self._drop(), *map(str, command)], text=True, capture_output=True,
                              cwd="/")
        assert done.returncode == 0, done.stderr

    def _connect(self, database: str = "tasks") -> psycopg2.extensions.connection:
        connection: Any = psycopg2.connect(host=str(self._folder), port=5432, user="postgres", dbname=database)
        connection.autocommit = True
        return connection

    def _answers(self) -> bool:
        assert self._process and self._process.poll() is None, self.log()
        try:
            self._connect("postgres").close()
        except psycopg2.OperationalError:
            return False
        return True


class Site:
    """Hosts, aggregators and a database host, all running."""

    def __init__(self, folder: Path, conf: str, hosts: int, aggregators: int) -> None:
        names = [f"web-{number + 1}.example.net" for number in range(hosts)]
        sinks = [f"aggregator-{number + 1}.example.net" for number in range(aggregators)]
        self._network = Network()
        self._open: list[Sender | Aggregator | DatabaseHost] = []
        certificates = make_certificates(folder / "ca", *names, *sinks, "db.example.net")
        try:
            self.database = DatabaseHost(self._network.host("db.example.net"), certificates)
            self._open.append(self.database)
            self.aggregators = [Aggregator(folder / name, self._network.host(name), certificates)
                                for name in sinks]
            self.senders = [Sender(folder / name, self._network.host(name), certificates, conf)
                            for name in names]
            self._open += [*self.senders, *self.aggregators]
            for aggregator in self.aggregators:
                aggregator.run_shipped()
            for sender in self.senders:
                sender.run()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for each in reversed(self._open):
            each.close()
        self._network.__exit__()

    def redelivered(self) -> int:
        """In the aggregators' last lives."""
        return sum(each.fresh_counters()["lines.redelivered"] for each in self.aggregators)
