#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make soak`: hours of load and faults, and every row is compared.

Senders (send.c) log tasks over TCP, RELP and a unix socket; a rsyslogd has two actions, one on SQLite and one
on PostgreSQL; for each a verifier (verify.c) compares the rows as tasks end, byte by byte, and deletes
them. This program injects a fault every FAULT_SECONDS, draws the balance, and looks at rsyslogd's memory,
threads and files. It stops at once, with all that there is to see kept in build/soak, when something is wrong.

The balance: what the senders have made is what the verifiers have seen, and what open tasks have logged so
far, and what is no task's. It is drawn whenever the senders hold still, and with it that of rsyslogd's life:
each message that was sent to it is in one of the actions' counters. Between two balances a row that
is not there LATE_SECONDS after its task has ended is missing.

Environment: HOURS (default 1), RATE (messages a second; default: half of what the whole of it does in the first
minute), FAULT_SECONDS (20), SEED."""
from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Callable, ContextManager, Deque, TextIO

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "faults"), str(TESTS / "system")]
from database import Database, Postgresql, Sqlite  # noqa: E402
from rsyslogd import Timeout, quiet_port  # noqa: E402
from tasklog import BUILD, COUNTERS, Tasklog, action  # noqa: E402
from test_database import POSTGRESQL_FAULTS, rss_anon  # noqa: E402
from test_spool import tmpfs  # noqa: E402

FOLDER = BUILD / "soak"
HOURS = float(os.environ.get("HOURS") or 1)
RATE = int(os.environ.get("RATE") or 0)
FAULT_SECONDS = float(os.environ.get("FAULT_SECONDS") or 20)
SEED = int(os.environ.get("SEED") or time.time_ns() % 1_000_000)

# One of TCP: of what was read from a connection nobody can know how much was taken, and a second one that is
# served meanwhile would make the module forget it.
DOORS = ("tcp", "relp", "relp", "unix")
TARGETS = ("lite", "post")  # plan.h's kinds, and the names of the actions
DISK_MB = 6000              # of the small disk, which SQLite's spool is on
BUDGET_MB = 64
LATE_SECONDS = 120.0
LONG_SECONDS = 300.0        # a life of rsyslogd in which growth would be seen
SPOOL_FILES = 32            # that its readers keep open
GROWTH_MB = 24              # in a long life, and from the first balances to the last
MOST_MB = 2 * BUDGET_MB + 96   # of rsyslogd: the budgets, and a fixed sum for each open task


class Wrong(Exception):
    """Something does not balance."""


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def floor(values: list[int]) -> float:
    """What they hardly fall below: memory is up for a while when a database has been away."""
    return statistics.quantiles(values, n=5)[0]


class Child:
    """A sender or a verifier: takes orders, and says every quarter of a second how far it is."""

    def __init__(self, name: str, *arguments: object) -> None:
        self.name = name
        self.state: dict[str, Any] = {}
        self.worst_us = 0
        self._errors = FOLDER / f"{name}.stderr"
        self._process = subprocess.Popen(list(map(str, arguments)), text=True, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=open(self._errors, "w"))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            state = json.loads(line)
            self.worst_us = max(self.worst_us, state.get("worst_us", 0))
            self.state = state

    def order(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def check(self) -> None:
        if self._process.poll() is not None:
            raise Wrong(f"{self.name} has ended with {self._process.returncode}:"
                        f" {self._errors.read_text().strip()}")

    def rss(self) -> int:
        return rss_anon(self._process.pid)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class Soak:
    def __init__(self, stack: ExitStack) -> None:
        self.chance = random.Random(SEED)
        self.daemon = stack.enter_context(Tasklog(FOLDER / "rsyslogd"))
        self.disk = stack.enter_context(tmpfs(FOLDER / "disk", DISK_MB))
        self.sqlite, self.postgresql = Sqlite(FOLDER), Postgresql()
        self.databases: list[Database] = [self.sqlite, self.postgresql]
        self.faults: Counter[str] = Counter()
        self.history: TextIO = open(FOLDER / "soak.jsonl", "w")
        self.began = time.monotonic()
        self.life_began = 0.0
        self.senders: list[Child] = []
        self.verifiers: list[Child] = []
        self.samples: list[tuple[float, int]] = []    # of this life: its age, its memory
        self.still: list[tuple[int, Counter[str], int]] = []  # at balances: memory, open files, threads
        self.lows: Deque[tuple[float, list[int]]] = deque(maxlen=int(LATE_SECONDS))
        self.unsafe: set[str] = set()  # targets with results that may be in memory alone
        self.next_sample = self.next_minute = 0.0
        self.minute_messages = 0
        self.most_rss = self.most_spool = self.redelivered = 0
        self.worst_us = 0
        self.last_counters: dict[str, int] = {}

    # --- setting up -----------------------------------------------------------------------------

    def prepare(self) -> None:
        for database in self.databases:
            database.create()
            database.create_index("task_id")
            table = database.sql_table
            database.execute(f"CREATE INDEX by_end ON {table} (id) WHERE status <> 'RUNNING'")
            database.execute(f"CREATE TABLE {self.refusals(database)} (x integer)")
        self.sqlite.execute("PRAGMA journal_mode=WAL")
        for verb in ("INSERT", "UPDATE"):
            self.sqlite.execute(
                f"CREATE TRIGGER refuse_{verb} BEFORE {verb} ON {self.sqlite.sql_table}"
                f" WHEN substr(NEW.task_id, -2) = '77' AND EXISTS (SELECT 1 FROM {self.refusals(self.sqlite)})"
                " BEGIN SELECT RAISE(ABORT, 'refused for a while'); END")
        # Its log would be full of the refusals, with their statements.
        self.postgresql.execute("ALTER SYSTEM SET log_min_messages = fatal")
        self.postgresql.execute("SELECT pg_reload_conf()")
        schema = self.postgresql.quoted(self.postgresql.schema)
        self.postgresql.execute(f"""
            CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              IF EXISTS (SELECT 1 FROM {self.refusals(self.postgresql)}) THEN
                RAISE check_violation USING MESSAGE = 'refused for a while';
              END IF; RETURN NEW; END $$""")
        self.postgresql.execute(
            f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {self.postgresql.sql_table}"
            f" FOR EACH ROW WHEN (right(NEW.task_id, 2) = '77') EXECUTE FUNCTION {schema}.refuse()")
        self.postgresql.execute(f"ALTER TABLE {self.postgresql.sql_table}"
                                " SET (vacuum_truncate = off, toast.vacuum_truncate = off)")

    def refusals(self, database: Database) -> str:
        return database.sql_table.replace("app_task", "refusals")

    def spool(self, target: str) -> Path:
        return self.disk / "spool" if target == "lite" else self.daemon.work / "tasklog" / target

    def start(self) -> None:
        tcp, relp = quiet_port(), quiet_port()
        lite, post = (action(database, name=name, mode="upsert", spool=str(self.spool(name)),
                             memoryBudget=f"{BUDGET_MB}m", liveInterval="2", lateWindow="20")
                      for name, database in zip(TARGETS, self.databases))
        unix = self.daemon.unix_input(self.daemon.socket).replace(
            "input(", 'input(useSysTimeStamp="off" ignoreTimestamp="off" ')
        conf = self.daemon.conf(
            f'if $programname == "post" then {post} else {lite}',
            inputs=f'module(load="imptcp" threads="1")\nmodule(load="imrelp")\n'
                   f'input(type="imptcp" address="127.0.0.1" port="{tcp}" ruleset="tasks")\n'
                   f'input(type="imrelp" address="127.0.0.1" port="{relp}" ruleset="tasks")')
        conf = conf.replace(self.daemon.unix_input(self.daemon.socket), unix)
        self.daemon._env["TZ"] = "UTC"
        self.daemon.start(conf)
        self.life_began = time.monotonic()
        where = {"tcp": f"tcp:{tcp}", "relp": f"relp:{relp}", "unix": f"unix:{self.daemon.socket}"}
        self.verifiers = [Child(f"verify-{name}", FOLDER / "verify", SEED, number, database.url,
                                database.sql_table, FOLDER)
                          for number, (name, database) in enumerate(zip(TARGETS, self.databases))]
        self.senders = [Child(f"send-{number}-{door}", FOLDER / "send", SEED, number, where[door])
                        for number, door in enumerate(DOORS)]
        self.until(lambda: all(child.state for child in self.children()), "children start", 10)

    def children(self) -> list[Child]:
        return self.senders + self.verifiers

    def order(self, text: str) -> None:
        for sender in self.senders:
            sender.order(text)

    # --- looking on -------------------------------------------------------------------------------

    def sent(self) -> int:
        return sum(sender.state["sent"] for sender in self.senders)

    def seen(self, what: str = "messages") -> int:
        return sum(verifier.state[what] for verifier in self.verifiers)

    def verified_low(self, sender: int) -> int:
        return min(verifier.state["low"][sender] for verifier in self.verifiers)

    def tick(self) -> None:
        for child in self.children():
            child.check()
        now = time.monotonic()
        if now >= self.next_sample:
            self.next_sample = now + 1
            self.sample(now)
        if now >= self.next_minute:
            self.next_minute = now + 60
            self.minute()

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.tick()
            time.sleep(0.05)

    def until(self, condition: Callable[[], object], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Wrong(f"{what}: not within {seconds:g} s")
            self.tick()
            time.sleep(0.05)

    def sample(self, now: float) -> None:
        if self.daemon.running():
            rss = rss_anon(self.daemon.pid)
            self.samples.append((now - self.life_began, rss))
            self.most_rss = max(self.most_rss, rss)
            if rss > MOST_MB << 20:
                raise Wrong(f"rsyslogd takes {rss / 1e6:.0f} MB of memory")
        if not all(child.state for child in self.children()) or not self.children():
            return
        self.lows.append((now, [sender.state["low"] for sender in self.senders]))
        then, lows = self.lows[0]
        if now - then < LATE_SECONDS - 5:
            return
        for number, low in enumerate(lows):
            if self.verified_low(number) < low:
                raise Wrong(f"the row of task run-{number}.{self.verified_low(number)}.… is missing,"
                            f" whose end was sent more than {LATE_SECONDS:g} s ago")

    def spool_bytes(self) -> int:
        return sum(path.stat().st_size for target in TARGETS
                   for path in self.spool(target).glob("*.seg") if path.exists())

    def letters(self) -> int:
        return sum(len(list(self.spool(target).glob("**/*.letter"))) for target in TARGETS)

    def minute(self) -> None:
        if not self.senders or not all(child.state for child in self.children()):
            return
        messages = self.seen()
        worst = max(verifier.worst_us for verifier in self.verifiers)
        for verifier in self.verifiers:
            verifier.worst_us = 0
        self.worst_us = max(self.worst_us, worst)
        spool = self.spool_bytes()
        self.most_spool = max(self.most_spool, spool)
        running = self.daemon.running()
        line = {
            "seconds": round(time.monotonic() - self.began), "sent": self.sent(),
            "messages": messages, "lines": self.seen("lines"), "rows": self.seen("tasks"),
            "rate": round((messages - self.minute_messages) / 60), "again": self.seen("again"),
            "sent_again": sum(sender.state["resent"] for sender in self.senders),
            "faults": dict(self.faults), "rss_mb": rss_anon(self.daemon.pid) >> 20 if running else 0,
            "slope_kb_min": self.slope(), "fds": sum(self.files().values()), "threads": self.threads(),
            "spool_mb": spool >> 20, "letters": self.letters(), "worst_delay_s": round(worst / 1e6, 3),
            "harness_mb": sum(child.rss() for child in self.children()) >> 20}
        self.minute_messages = messages
        self.history.write(json.dumps(line) + "\n")
        self.history.flush()
        say(f"{line['seconds']:>5} s  {line['lines']:>13,} lines {line['rows']:>10,} rows"
            f" {line['rate']:>9,}/s  faults {sum(self.faults.values()):>4}  RSS {line['rss_mb']} MB"
            f" ({line['slope_kb_min']:+} kB/min)  fds {line['fds']}  threads {line['threads']}"
            f"  spool {line['spool_mb']} MB  letters {line['letters']}"
            f"  worst delay {line['worst_delay_s']} s")

    def slope(self) -> int:
        """kB a minute, of this life but its first 20 s."""
        settled = [(age / 60, rss / 1024) for age, rss in self.samples if age > 20]
        if len(settled) < 10:
            return 0
        middle = len(settled) // 2
        pairs = zip(settled, settled[middle:])
        return round(statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs))

    def files(self) -> Counter[str]:
        """What rsyslogd has open, by kind."""
        kinds: Counter[str] = Counter()
        for path in Path(f"/proc/{self.daemon.pid}/fd").iterdir() if self.daemon.running() else ():
            with suppress(OSError):
                name = os.readlink(path)
                kinds["spool" if name.endswith((".seg", ".seg (deleted)")) else name.partition(":[")[0]] += 1
        return kinds

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.daemon.pid}/task")) if self.daemon.running() else 0

    # --- balance ------------------------------------------------------------------------------------

    def balance(self, order: str = "hold") -> None:
        """The senders hold still: of all that they have made something has become."""
        self.order(order)
        self.until(lambda: all(sender.state["mode"] == order and sender.state["still"]
                               for sender in self.senders), "the senders have sent it all", 120)
        states = [sender.state for sender in self.senders]
        total = {key: sum(state[key] for state in states) for key in
                 ("sent", "noise", "open_messages", "ended", "life", "life_noise", "life_dropped")}
        due = total["sent"] - total["noise"] - total["open_messages"]
        counters: dict[str, int] = {}

        def counted() -> bool:
            nonlocal counters
            stats = self.daemon.stats()
            counters = {key: sum(int(stats.get(target, {}).get(key, 0)) for target in TARGETS)  # type: ignore
                        for key in (*COUNTERS, "rows.waiting", "rows.refused", "lines.missing")}
            return (sum(counters[key] for key in COUNTERS) == total["life"]
                    and counters["lines.not_task"] == total["life_noise"]
                    and counters["lines.below_level"] == total["life_dropped"]
                    and counters["rows.waiting"] == 0)

        try:
            self.until(lambda: self.seen() >= due and self.seen("tasks") >= total["ended"],
                       "each task's row is there", 180)
            self.until(counted, "each message is in one counter", 30)
        finally:
            self.last_counters = counters
            self.last_total = {**total, "due": due, "seen": self.seen(), "rows": self.seen("tasks")}
        if self.seen() != due or self.seen("tasks") != total["ended"] or counters["lines.missing"]:
            raise Wrong(f"sent {due} messages of {total['ended']} ended tasks, and {self.seen()} of"
                        f" {self.seen('tasks')} are in rows; {counters}")
        self.order("taken")  # else what is in doubt may be older than what the module knows again
        self.redelivered += counters["lines.redelivered"]
        if time.monotonic() - self.life_began > 5:
            self.still.append((rss_anon(self.daemon.pid), self.files(), self.threads()))

    # --- faults ---------------------------------------------------------------------------------------

    def begin_life(self) -> None:
        self.daemon.start(check=False, seconds=60)
        self.life_began = time.monotonic()

    def end_life(self) -> None:
        settled = [rss for age, rss in self.samples if age > 60]
        if self.samples and self.samples[-1][0] > LONG_SECONDS:
            half = len(settled) // 2
            first, last = floor(settled[:half]), floor(settled[half:])
            say(f"a life of {self.samples[-1][0]:.0f} s: memory {first / 1e6:.0f} MB in its first half,"
                f" {last / 1e6:.0f} MB in its second; {self.slope():+} kB/min")
            if last - first > GROWTH_MB << 20:
                raise Wrong("memory grew")
        self.samples.clear()

    def kill(self) -> None:
        self.end_life()
        self.daemon.kill9()
        self.wait(self.chance.random() ** 4 * 4)
        self.begin_life()

    def kill_twice(self) -> None:
        self.kill()
        self.wait(self.chance.random())
        self.kill()

    def stop_under_load(self) -> None:
        self.end_life()
        if self.daemon.stop(60) != 0:
            raise Wrong("rsyslogd did not end well")
        self.begin_life()

    def restart(self) -> None:
        self.balance()
        self.stop_under_load()
        self.order("go")

    def draw_balance(self) -> None:
        self.balance()
        self.order("go")

    def hup(self) -> None:
        for _ in range(self.chance.randrange(1, 4)):
            self.daemon.hup()
            self.wait(0.3)

    def rotate(self) -> None:
        stats = self.daemon._stats_file
        stats.rename(stats.with_suffix(".old"))
        self.daemon.hup()
        self.until(stats.exists, "impstats writes a new file", 20)

    def pause_seconds(self) -> float:
        return 0.5 + self.chance.random() * 6

    def database_fault(self, fault: Callable[[], ContextManager[None]], may_end: bool) -> None:
        with fault():
            self.wait(self.pause_seconds())
            if may_end and self.may_kill() and self.chance.random() < 0.3:
                self.faults["kill meanwhile"] += 1
                self.kill()
                self.wait(self.chance.random() * 2)

    def disk_full(self) -> None:
        def resize(size: str) -> None:
            subprocess.run(["mount", "-o", f"remount,size={size}", str(self.disk)], check=True)

        for _ in range(20):  # it takes more meanwhile
            state = os.statvfs(self.disk)
            used = (state.f_blocks - state.f_bfree) * state.f_frsize
            try:
                resize(str(used + (4 << 20)))
                break
            except subprocess.CalledProcessError:
                continue
        self.wait(1 + self.pause_seconds())
        resize(f"{DISK_MB}m")
        self.wait(3)
        self.unsafe = set(TARGETS)

    def may_kill(self) -> bool:
        """With room again, the spool has what running tasks took while its disk was full. A task that ended
        then is safe when it is stored."""
        if self.unsafe:
            stats = self.daemon.stats()
            self.unsafe -= {target for target in self.unsafe
                            if int(stats.get(target, {}).get("rows.waiting", 1)) == 0}  # type: ignore
        return not self.unsafe

    def refuse(self) -> None:
        database, target = self.chance.choice(list(zip(self.databases, TARGETS)))
        database.execute(f"INSERT INTO {self.refusals(database)} VALUES (1)")
        self.wait(self.pause_seconds())
        database.execute(f"DELETE FROM {self.refusals(database)}")
        self.wait(2)  # what is just being written
        for _ in range(10):
            done = subprocess.run([BUILD / "tasklog", "spool", "-d", self.spool(target), "retry", "--all"],
                                  capture_output=True, text=True, timeout=300)
            self.wait(1)
            if done.returncode == 0 and not self.letters():
                break
        else:
            raise Wrong(f"dead letters of {target} are not taken: {done.stdout[-500:]} {done.stderr[-500:]}")

    def pick(self) -> tuple[str, Callable[[], None]]:
        deadly: dict[str, Callable[[], None]] = {
            "kill": self.kill, "kill twice": self.kill_twice, "restart": self.restart,
            "stop under load": self.stop_under_load}
        part = (time.monotonic() - self.began) / (HOURS * 3600)
        may_end = self.may_kill() and not (1 / 3 < part < 2 / 3 and HOURS * 1200 > LONG_SECONDS)
        gentle: dict[str, Callable[[], None]] = {
            "HUP": self.hup, "rotation": self.rotate, "balance": self.draw_balance,
            "refused rows": self.refuse, "spool disk full": self.disk_full,
            "SQLite locked": lambda: self.database_fault(self.sqlite.lock, may_end)}
        for name, fault in POSTGRESQL_FAULTS.items():
            gentle[f"PostgreSQL {name}"] = \
                lambda fault=fault: self.database_fault(lambda: fault(self.postgresql), may_end)  # type: ignore
        choice = {**gentle, **(deadly if may_end else {})}
        if may_end and self.chance.random() < 0.3:
            choice = deadly
        name = self.chance.choice(list(choice))
        return name, choice[name]

    # --- the whole ----------------------------------------------------------------------------------------

    def vacuum(self) -> None:
        """As autovacuum would, but in time: what is deleted here in a minute is more than any
        application deletes in a day."""
        self.postgresql.execute(f"VACUUM {self.postgresql.sql_table}")

    def measure(self) -> int:
        """Messages a second that the whole of it does, until the last row has been compared."""
        if RATE:
            self.order(f"rate {RATE // len(self.senders)}")
            self.order("go")
            return RATE
        began, before = time.monotonic(), self.seen()
        self.order("go")
        self.wait(20)
        self.balance("finish")
        most = (self.seen() - before) / (time.monotonic() - began)
        shares = [sender.state["sent"] / self.sent() for sender in self.senders]
        say(f"the most that it does is {most:,.0f} messages a second; from now on half of that: "
            + ", ".join(f"{sender.name} {most / 2 * share:,.0f}"
                        for sender, share in zip(self.senders, shares)))
        for sender, share in zip(self.senders, shares):
            sender.order(f"rate {int(most / 2 * share)}")
        self.order("go")
        return round(most / 2)

    def run(self) -> None:
        self.prepare()
        self.start()
        self.rate = self.measure()
        until = self.began + HOURS * 3600
        self.rate_began, self.rate_messages = time.monotonic(), self.seen()
        next_vacuum = 0.0
        next_fault = time.monotonic()
        while time.monotonic() < until:
            next_fault += FAULT_SECONDS * (0.5 + self.chance.random())  # from the last one's beginning
            self.wait(max(1.0, min(next_fault, until) - time.monotonic()))
            name, fault = self.pick()
            self.faults[name] += 1
            self.fault = name
            fault()
            self.fault = ""
            if time.monotonic() > next_vacuum:
                self.vacuum()
                next_vacuum = time.monotonic() + 30
        self.finish()

    def finish(self) -> None:
        self.balance("finish")
        achieved = (self.seen() - self.rate_messages) / (time.monotonic() - self.rate_began)
        self.end_life()
        for database, target in zip(self.databases, TARGETS):
            (left,), = database.execute(f"SELECT count(*) FROM {database.sql_table}")
            if left:
                raise Wrong(f"{left} rows are left in the table of {target}")
            if list(self.spool(target).glob("**/*.letter")):
                raise Wrong(f"dead letters are left in the spool of {target}")
        self.check_memory()
        self.minute()
        self.check_spool()
        say(f"{self.seen('lines'):,} lines in {self.seen('tasks'):,} rows, {achieved:,.0f} messages a second of"
            f" {self.rate:,} that were aimed at; {sum(self.faults.values())} faults: "
            + ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items())))
        say(f"balance exact; {self.redelivered:,} redelivered in the lives that were counted,"
            f" {self.seen('again'):,} rows written once more; memory at most {self.most_rss >> 20} MB, spool"
            f" {self.most_spool >> 20} MB, worst delay {self.worst_us / 1e6:.1f} s, SEED={SEED}")

    def check_memory(self) -> None:
        settled = self.still[1:] or self.still  # in its first life the module need not know any line again
        first = settled[0]
        for _, files, threads in settled:
            more = {kind: count for kind, count in (files - first[1]).items()
                    if count > (SPOOL_FILES if kind == "spool" else 2)}
            if more or threads > first[2] + 1:
                raise Wrong(f"{threads} threads, {first[2]} at first; open files, more than at first: {more}")
        if len(settled) > 5:
            third = max(2, len(settled) // 3)
            early, late = (floor([rss for rss, *_ in part]) for part in (settled[:third], settled[-third:]))
            say(f"memory at {len(settled)} balances: {early / 1e6:.0f} MB in the first third,"
                f" {late / 1e6:.0f} MB in the last")
            if late - early > GROWTH_MB << 20:
                raise Wrong(f"memory grew over lives: {settled}")

    def check_spool(self) -> None:
        """What is in it is kept only to know lines again that come a second time: nothing is taken up."""
        self.daemon.stop(60)
        before = self.daemon.said("took up")
        self.begin_life()
        self.wait(3)
        said = [line for line in self.daemon.messages().splitlines() if "took up" in line]
        if len(said) > before and "0 open tasks, 0 results" not in said[-1]:
            raise Wrong(f"the spool is not empty: {said[-1]}")
        self.daemon.stop(60)

    def keep_evidence(self, error: BaseException) -> None:
        """rsyslogd is killed, so that its spool stays as it is."""
        evidence = FOLDER / "evidence"
        evidence.mkdir()
        self.daemon.kill9()
        for child in self.children():
            child.end()
        for target in TARGETS:
            if self.spool(target).exists():
                shutil.copytree(self.spool(target), evidence / f"spool-{target}")
        facts = {"error": f"{type(error).__name__}: {error}", "seed": SEED, "fault": getattr(self, "fault", ""),
                 "faults": dict(self.faults), "counters": self.last_counters,
                 "total": getattr(self, "last_total", {}), "unsafe": sorted(self.unsafe),
                 "children": {child.name: child.state for child in self.children()}}
        (evidence / "facts.json").write_text(json.dumps(facts, indent=1))
        for database, target in zip(self.databases, TARGETS):
            rows = database.execute(f"SELECT task_id, status, lines, start_time, end_time, updated_at,"
                                    f" length(log) FROM {database.sql_table} LIMIT 1000")
            (evidence / f"rows-{target}").write_text("\n".join(map(str, rows)))


def main() -> int:
    shutil.rmtree(FOLDER / "evidence", ignore_errors=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the small disk has to be unmounted
    subprocess.run(["umount", "-lq", str(FOLDER / "disk")], stderr=subprocess.DEVNULL)
    for name in ("rsyslogd", "disk"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    for path in (*FOLDER.glob("db.sqlite3*"), *FOLDER.glob("wrong.*")):
        path.unlink()
    say(f"soak for {HOURS:g} h, a fault every {FAULT_SECONDS:g} s, SEED={SEED}")
    with ExitStack() as stack:
        soak = Soak(stack)
        try:
            soak.run()
        except (Wrong, Timeout, AssertionError, OSError, subprocess.SubprocessError, KeyboardInterrupt) as error:
            say(f"FAILED: {error}")
            soak.keep_evidence(error)
            say(f"see {FOLDER}/evidence and {FOLDER}/rsyslogd")
            return 1
        finally:
            for child in soak.children():
                child.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
