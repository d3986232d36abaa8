# SPDX-License-Identifier: Apache-2.0
"""What is run side by side: rsyslogd with one or another action, the peers, the load; and what is read of it."""
from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import psycopg2

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests" / "system"))
from rsyslogd import Rsyslogd, wait_until  # noqa: E402

BUILD = REPO / os.environ.get("B", "build")
HERE = BUILD / "bench"
BLAST = HERE / "blast"
TEXT_BYTES = 60
LINE_BYTES = 22 + TEXT_BYTES  # in the log, with its stamp
MODULE = BUILD / "omtasklog.so"

MEMORY = ('queue.type="FixedArray" queue.size="200000" queue.dequeueBatchSize="1024"'
          ' queue.workerThreads="1" queue.timeoutEnqueue="600000"')
DIRECT = 'queue.type="Direct"'
QUEUES = {"memory": MEMORY, "direct": DIRECT}
FIELDS = ("kind", "status", "log", "summary", "start_time", "end_time", "lines")


@dataclass(frozen=True)
class Load:
    """Tasks that blast logs."""

    tasks: int
    lines: int
    interleaved: bool = False
    ends: bool = True

    def __str__(self) -> str:
        return f"{self.tasks:,} × {self.lines:,}" + (" in turn" if self.interleaved else "")

    @property
    def messages(self) -> int:
        return self.tasks * (self.lines + self.ends)

    def options(self) -> list[str]:
        return ["-t", str(self.tasks), "-l", str(self.lines), "-b", str(TEXT_BYTES),
                *(["-i"] if self.interleaved else []), *([] if self.ends else ["-e"])]


@dataclass
class Figures:
    """Of one run."""

    seconds: float        # until the last row is committed, or the last message was taken
    messages: int
    cpu: dict[str, float]  # seconds of rsyslogd's threads, by name
    database_cpu: float = 0.0
    peak_rss: int = 0     # bytes
    written: int = 0      # bytes

    @property
    def rate(self) -> float:
        return self.messages / self.seconds

    @property
    def cpu_us(self) -> float:
        """A message, without the thread that writes to the database."""
        return 1e6 * sum(value for name, value in self.cpu.items() if name != "tasklog-writer") / self.messages

    @property
    def all_cpu_us(self) -> float:
        return 1e6 * (sum(self.cpu.values()) + self.database_cpu) / self.messages


# --- databases ------------------------------------------------------------------------------------

class Sqlite:
    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "db.sqlite3"
        self.url = f"sqlite:{self.path}"

    def create(self) -> None:
        for path in self.path.parent.glob("db.sqlite3*"):
            path.unlink()
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE runs (id integer PRIMARY KEY AUTOINCREMENT, task_id varchar(255) UNIQUE,"
                               " kind varchar(48), status varchar(20), log text, summary text, start_time datetime,"
                               " end_time datetime, lines integer)")

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, timeout=60)) as connection:
            return connection.execute(sql, values).fetchall()

    def cpu(self) -> float:
        return 0.0  # it is in rsyslogd


class Postgresql:
    """The server of pg_virtualenv."""

    kind = "postgresql"

    def __init__(self) -> None:
        self.connection = psycopg2.connect("")
        self.connection.autocommit = True
        self.url = " ".join(f"{name}={os.environ[variable]}" for name, variable in (
            ("host", "PGHOST"), ("port", "PGPORT"), ("user", "PGUSER"), ("password", "PGPASSWORD"),
            ("dbname", "PGDATABASE")) if variable in os.environ)

    def create(self) -> None:
        self.query("DROP TABLE IF EXISTS runs, loglines, aggregated")
        self.query("CREATE TABLE runs (id bigserial PRIMARY KEY, task_id varchar(255) UNIQUE, kind varchar(48),"
                   " status varchar(20), log text, summary text, start_time timestamptz, end_time timestamptz,"
                   " lines integer)")
        self.query("CREATE TABLE loglines (received timestamptz, tag text, message text)")
        self.query("CREATE TABLE aggregated (task_id text, log text)")
        self.query("CHECKPOINT")

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql.replace("?", "%s"), values)
            return cursor.fetchall() if cursor.description else []

    def cpu(self) -> float:
        """Of all of its processes, those that have ended among them."""
        pid = self.query("SELECT pg_backend_pid()")[0][0]
        main = int(stat_of(pid)[1])
        own = 0.0
        for path in Path("/proc").glob("[0-9]*"):
            fields = stat_of(int(path.name))
            if fields and (int(path.name) == main or int(fields[1]) == main):
                own += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                if int(path.name) == main:
                    own += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        return own


Database = Any  # Sqlite | Postgresql


def stat_of(pid: int) -> list[str]:
    """/proc/PID/stat behind the name: state, parent, …; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


# --- a process that is looked at ------------------------------------------------------------------

def thread_seconds(pid: int) -> dict[str, float]:
    """Processor time by the names of threads."""
    seconds: dict[str, float] = {}
    for path in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (path / "comm").read_text().strip()
            seconds[name] = seconds.get(name, 0.0) + int((path / "schedstat").read_text().split()[0]) / 1e9
        except OSError:
            continue
    return seconds


def proc_number(pid: int, file: str, name: str) -> int:
    return int(re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.M)[1])  # type: ignore


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Measure:
    """From its making to stop()."""

    def __init__(self, pid: int, database: Database | None) -> None:
        self.pid, self.database = pid, database
        self.cpu = thread_seconds(pid)
        self.database_cpu = database.cpu() if database else 0.0
        self.written = proc_number(pid, "io", "write_bytes")
        self.began = time.monotonic()

    def stop(self, messages: int, ended: float | None = None) -> Figures:
        seconds = (ended or time.monotonic()) - self.began
        cpu = {name: value - self.cpu.get(name, 0.0) for name, value in thread_seconds(self.pid).items()}
        database_cpu = self.database.cpu() - self.database_cpu if self.database else 0.0
        return Figures(seconds, messages, cpu, database_cpu, 1024 * proc_number(self.pid, "status", "VmHWM"),
                       proc_number(self.pid, "io", "write_bytes") - self.written)


def wait_idle(pid: int) -> float:
    """Until the process does nothing; returns since when."""
    since, last = time.monotonic(), sum(thread_seconds(pid).values())
    while time.monotonic() < since + 0.1:
        time.sleep(0.005)
        now = sum(thread_seconds(pid).values())
        if now > last + 0.0005:
            since, last = time.monotonic(), now
    return since


def wait_rows(database: Database, condition: str, count: int, seconds: float = 300.0) -> None:
    """Looks at the last one first, for counting costs the database more; each few milliseconds, so that the
    look does not make the run longer than it was."""
    deadline = time.monotonic() + seconds
    while not (database.query("SELECT 1 FROM runs WHERE task_id = ? AND " + condition, f"run-{count - 1}")
               and database.query("SELECT count(*) FROM runs WHERE " + condition)[0][0] >= count):
        assert time.monotonic() < deadline, f"not {count} rows within {seconds:g} s"
        time.sleep(0.005)


def blast(load: Load, door: str, rate: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen([BLAST, *load.options(), "-r", str(rate), door], stdout=subprocess.DEVNULL, text=True)


# --- rsyslogd -------------------------------------------------------------------------------------

INPUTS = {
    "tcp": 'module(load="imptcp")\ninput(type="imptcp" address="127.0.0.1" port="{port}" ruleset="tasks")',
    "relp": 'module(load="imrelp")\ninput(type="imrelp" address="127.0.0.1" port="{port}" ruleset="tasks")',
    "unix": 'module(load="imuxsock" SysSock.Use="off")\ninput(type="imuxsock" socket="{socket}" ruleset="tasks"'
            ' useSpecialParser="off" RateLimit.Interval="0")',
}


class Daemon:
    """A rsyslogd with one action and one input; `head` is what the action needs before it."""

    def __init__(self, body: str, queue: str, door: str = "tcp", module: object = "", head: str = "") -> None:
        self.rsyslogd = Rsyslogd()
        self.port = free_port()
        self.door = f"unix:{self.rsyslogd.socket}" if door == "unix" else f"{door}:{self.port}"
        self.rsyslogd.start(
            'global(maxMessageSize="64k")\n' + (f'module(load="{module}")\n' if module else "")
            + f'{head}ruleset(name="tasks" {QUEUES[queue]}) {{ {body.replace("{folder}", str(self.rsyslogd.folder))} }}\n'
            + INPUTS[door].format(port=self.port, socket=self.rsyslogd.socket), check=False)
        if door != "unix":
            wait_until(lambda: listens(self.port), "the port")

    @property
    def pid(self) -> int:
        return self.rsyslogd.pid

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *unused: object) -> None:
        self.rsyslogd.kill9()
        self.rsyslogd.close()


def tasklog_action(database: Database, **parameters: object) -> str:
    columns = ", ".join(f'"{name}={name}"' for name in FIELDS)
    more = " ".join(f'{name}="{value}"' for name, value in parameters.items())
    return (f'action(type="omtasklog" name="task" action.resumeRetryCount="-1" database="{database.url}" table="runs"'
            f' mode="upsert" columns=[{columns}] {more})')


def run_tasklog(database: Database, load: Load, queue: str = "direct", door: str = "tcp",
                **parameters: object) -> Figures:
    database.create()
    with Daemon(tasklog_action(database, **parameters), queue, door, MODULE) as daemon:
        measure = Measure(daemon.pid, database)
        sender = blast(load, daemon.door)
        wait_rows(database, "status = 'COMPLETED'", load.tasks)
        figures = measure.stop(load.messages)
        sender.wait()
    lines, = database.query("SELECT sum(lines) FROM runs WHERE status = 'COMPLETED'")[0]
    assert lines == load.tasks * load.lines, f"{lines} lines of {load.tasks * load.lines}"
    return figures


def run_plain(body: str, load: Load, queue: str = "memory", door: str = "tcp") -> Figures:
    """What has no rows: until rsyslogd has nothing to do."""
    with Daemon(body, queue, door) as daemon:
        measure = Measure(daemon.pid, None)
        sender = blast(load, daemon.door)
        sender.wait()
        return measure.stop(load.messages, wait_idle(daemon.pid))


# --- the peers ------------------------------------------------------------------------------------

def run_ompgsql(database: Postgresql, load: Load, peers: Path) -> Figures:
    """A row a line: it knows nothing else. A batch of its queue is a transaction."""
    database.create()
    module = next(peers.rglob("ompgsql.so"))
    template = ('template(name="insert" type="list" option.stdsql="on") { constant(value="INSERT INTO loglines VALUES'
                " ('\") property(name=\"timereported\" dateFormat=\"pgsql\") constant(value=\"','\")"
                ' property(name="syslogtag") constant(value="\',\'") property(name="msg") constant(value="\')") }\n')
    env = os.environ
    body = (f'action(type="ompgsql" server="{env["PGHOST"]}" port="{env["PGPORT"]}" user="{env["PGUSER"]}"'
            f' pass="{env.get("PGPASSWORD", "")}" db="{env["PGDATABASE"]}" template="insert" queue.type="LinkedList"'
            ' queue.dequeueBatchSize="1024")')
    with Daemon(body, "memory", module=module, head=template) as daemon:
        measure = Measure(daemon.pid, database)
        blast(load, daemon.door).wait()
        wait_until(lambda: database.query("SELECT count(*) FROM loglines")[0][0] >= load.messages, "all lines", 120)
        return measure.stop(load.messages)


SYSLOG_NG = """@version: 3.35
options {{ stats-freq(0); keep-hostname(yes); use-dns(no); }};
source s_tcp {{ network(ip("127.0.0.1") port({port}) transport(tcp) {window}); }};
parser p_tasks {{
  grouping-by(key("$PROGRAM[$PID]") scope(global) timeout(600) trigger("$MESSAGE" eq "@task end")
              inject-mode(aggregate-only)
              aggregate(value("LOG" "$(implode '\\n' $(context-values '[${{YEAR}}-${{MONTH}}-${{DAY}} ${{HOUR}}:${{MIN}}:${{SEC}}] ${{MESSAGE}}'))") value("TASK" "$PID")));
}};
destination d_sql {{
  sql(type(pgsql) host("{host}") port("{db_port}") username("{user}") password("{password}") database("{name}")
      table("aggregated") columns("task_id", "log") values("$TASK", "$LOG") null("@NULL@") {batch});
}};
log {{ source(s_tcp); parser(p_tasks); filter {{ "$TASK" ne "" }}; destination(d_sql); }};
"""


def run_syslog_ng(database: Postgresql, load: Load, peers: Path, tuned: bool = True) -> Figures:
    """`tuned`: with a larger window for its source, and its rows in transactions."""
    database.create()
    folder = HERE / "syslog-ng"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    libraries = [peers / "usr/lib/x86_64-linux-gnu", *(path.parent for path in peers.rglob("libsyslog-ng-*.so.0"))]
    port, env = free_port(), os.environ
    (folder / "conf").write_text(SYSLOG_NG.format(
        port=port, host=env["PGHOST"], db_port=env["PGPORT"], user=env["PGUSER"],
        password=env.get("PGPASSWORD", ""), name=env["PGDATABASE"],
        window="log-iw-size(100000) log-fetch-limit(1000)" if tuned else "",
        batch="flags(explicit-commits) batch-lines(100) log-fifo-size(1000000)" if tuned else ""))
    process = subprocess.Popen(
        [peers / "usr/sbin/syslog-ng", "-F", "-f", folder / "conf", "-R", folder / "persist", "-p", folder / "pid",
         "-c", folder / "ctl", f"--module-path={next(peers.rglob('libafsocket.so')).parent}"],
        env={**env, "LD_LIBRARY_PATH": ":".join(map(str, libraries)), "LD_PRELOAD": str(HERE / "dbd_here.so"),
             "DBD_FOLDER": str(next(peers.rglob("libdbdpgsql.so")).parent)}, stderr=(folder / "stderr").open("wb"))
    try:
        wait_until(lambda: process.poll() is not None or listens(port), "syslog-ng listens")
        assert process.poll() is None, (folder / "stderr").read_text()
        measure = Measure(process.pid, database)
        blast(load, f"tcp:{port}").wait()
        wait_until(lambda: database.query("SELECT count(*) FROM aggregated")[0][0] >= load.tasks, "all rows", 120)
        return measure.stop(load.messages)
    finally:
        process.kill()
        process.wait()


SEED = """
import logging, sys, time
import psycopg2

class MemoryLogHandler(logging.Handler):
    def __init__(self):
        super().__init__()
        self.logs = []
    def emit(self, record):
        self.logs.append(self.format(record))

tasks, lines, bytes = map(int, sys.argv[1:])
filler = "orders customer column created invoice 4711 skipped payments value done " * 4
connection = psycopg2.connect("")
began = time.perf_counter()
for task in range(tasks):
    log = logging.Logger("task")
    handler = MemoryLogHandler()
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(message)s", "%Y-%m-%d %H:%M:%S"))
    log.addHandler(handler)
    for line in range(lines):
        log.info("line %d %s", line, filler[:bytes - 10])
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE runs SET status = %s, log = %s, end_time = now(), lines = %s WHERE task_id = %s",
                       ("COMPLETED", "\\n".join(handler.logs), lines, "run-%d" % task))
        assert cursor.rowcount == 1
print(time.perf_counter() - began, time.process_time())
"""


def run_seed(database: Postgresql, load: Load) -> Figures:
    """The handler that tasklog takes the place of: in the job's own process, one UPDATE a task."""
    database.create()
    database.query("INSERT INTO runs (task_id, status) SELECT 'run-' || number, 'RUNNING'"
                   " FROM generate_series(0, ?) number", load.tasks - 1)
    cpu = database.cpu()
    said = subprocess.run(["/usr/bin/python3", "-c", SEED, str(load.tasks), str(load.lines), str(TEXT_BYTES)],
                          check=True, capture_output=True, text=True).stdout.split()
    return Figures(float(said[0]), load.tasks * load.lines, {"python": float(said[1])}, database.cpu() - cpu)


def run_limit(database: Postgresql, load: Load, batch: int) -> Figures:
    """PostgreSQL's own: the same rows, ready made."""
    database.create()
    cpu = database.cpu()
    said = subprocess.run([HERE / "store_limit", database.url, "runs", str(load.tasks), str(load.lines),
                           str(TEXT_BYTES), str(batch)], check=True, capture_output=True, text=True).stdout
    return Figures(float(said), load.messages, {}, database.cpu() - cpu)
