#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench`: tasklog beside what it competes with, in one run on one machine. Figures are ratios: absolute
times mean little on a machine that others use, so the runs of a comparison take turns, ROUNDS times, and
medians are compared. Prints tables and which targets hold; writes bench.json and bench.svg to build/bench.

Environment: ROUNDS (default 5), ONLY (a comma-separated list of sections)."""
from __future__ import annotations

import json
import os
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict

import plot
from machine import (HERE, LINE_BYTES, MODULE, Daemon, Figures, Load, Measure, Postgresql, Sqlite, blast, proc_number, run_limit,
                     run_ompgsql, run_plain, run_seed, run_syslog_ng, run_tasklog, tasklog_action, wait_idle)
from network import why_not
from scale import Site

ROUNDS = int(os.environ.get("ROUNDS", "5"))
ORDER, TURN = Load(2000, 500), Load(2000, 500, True)
MANY = Load(20_000, 50)

Runs = Dict[str, Callable[[], Figures]]
results: dict[str, list[Figures]] = {}
targets: list[dict[str, Any]] = []


def say(text: str = "") -> None:
    print(text, flush=True)


def run_all(title: str, runs: Runs, rounds: int = ROUNDS) -> None:
    say(f"\n{title} (median of {rounds})")
    say(f"  {'':<44}{'messages/s':>12}{'µs rsyslogd':>12}{'µs all':>8}{'RSS MB':>8}{'disk/log':>9}")
    for _ in range(rounds):
        for name, run in runs.items():
            results.setdefault(name, []).append(run())
    for name in runs:
        figures = results[name]
        log_bytes = figures[0].messages * LINE_BYTES
        say(f"  {name:<44}{rate(name):>12,.0f}{cpu(name):>12.2f}{median(name, lambda f: f.all_cpu_us):>8.2f}"
            f"{max(f.peak_rss for f in figures) / 1e6:>8.0f}{figures[0].written / log_bytes:>9.2f}")


def median(name: str, of: Callable[[Figures], float]) -> float:
    return statistics.median(of(figures) for figures in results[name])


def rate(name: str) -> float:
    return median(name, lambda figures: figures.rate)


def cpu(name: str) -> float:
    return median(name, lambda figures: figures.cpu_us)


def target(text: str, found: float, wanted: float, at_least: bool = True) -> None:
    holds = found >= wanted if at_least else found <= wanted
    targets.append({"target": text, "found": round(found, 3), "wanted": wanted, "at_least": at_least, "holds": holds})


# --- sections -------------------------------------------------------------------------------------

def throughput(sqlite: Sqlite, postgresql: Postgresql) -> None:
    runs: Runs = {
        "rsyslogd discards": lambda: run_plain("stop", ORDER),
        "rsyslogd discards, in turn": lambda: run_plain("stop", TURN),
        "PostgreSQL alone": lambda: run_limit(postgresql, ORDER, 50),
    }
    for database in (sqlite, postgresql):
        for load in (ORDER, TURN):
            for queue in ("direct", "memory"):
                name = name_of(database, load, queue)
                runs[name] = lambda database=database, load=load, queue=queue: run_tasklog(database, load, queue)
    run_all("2,000 tasks × 500 lines by TCP", runs)
    for load, ceiling in ((ORDER, "rsyslogd discards"), (TURN, "rsyslogd discards, in turn")):
        how = "in turn" if load.interleaved else "in order"
        best = max(rate(name_of(sqlite, load, queue)) for queue in ("direct", "memory"))
        target(f"SQLite, {how}: share of what rsyslogd discards", best / rate(ceiling), 0.85)
        best = max(rate(name_of(postgresql, load, queue)) for queue in ("direct", "memory"))
        target(f"PostgreSQL, {how}: share of its own rate, or of rsyslogd's",
               best / min(rate(ceiling), rate("PostgreSQL alone")), 0.9)
        for queue, most in (("memory", 1.4), ("direct", 1.1)):
            target(f"CPU a message, {queue} queue, {how}: times discarding",
                   cpu(name_of(sqlite, load, queue)) / cpu(ceiling), most, at_least=False)


def name_of(database: Any, load: Load, queue: str) -> str:
    how = ", in turn" if load.interleaved else ""
    return f"tasklog, {database.kind}, {queue}{how}"


def competitors(postgresql: Postgresql, peers: Path) -> None:
    ours, ours_turn = "tasklog beside them", "tasklog beside them, in turn"
    run_all("The same on PostgreSQL by others", {
        ours: lambda: run_tasklog(postgresql, ORDER),
        ours_turn: lambda: run_tasklog(postgresql, TURN),
        "ompgsql, a row a line": lambda: run_ompgsql(postgresql, Load(20, 500), peers),
        "handler in Python, one UPDATE a task": lambda: run_seed(postgresql, Load(200, 500)),
        "syslog-ng, tuned": lambda: run_syslog_ng(postgresql, Load(1000, 500), peers),
        "syslog-ng, tuned, in turn": lambda: run_syslog_ng(postgresql, TURN, peers),
        "syslog-ng as it comes, in turn": lambda: run_syslog_ng(postgresql, Load(500, 500, True), peers, tuned=False),
    }, min(ROUNDS, 3))
    target("times ompgsql", rate(ours) / rate("ompgsql, a row a line"), 50)
    target("times syslog-ng as it comes, in turn", rate(ours_turn) / rate("syslog-ng as it comes, in turn"), 6)
    target("times syslog-ng, tuned, in turn", rate(ours_turn) / rate("syslog-ng, tuned, in turn"), 6)
    target("times syslog-ng, tuned, in order", rate(ours) / rate("syslog-ng, tuned"), 6)
    target("times the handler in Python", rate(ours) / rate("handler in Python, one UPDATE a task"), 8)


def shapes(sqlite: Sqlite, postgresql: Postgresql) -> None:
    run_all("20,000 tasks × 50 lines", {
        "PostgreSQL alone, batches of 200": lambda: run_limit(postgresql, MANY, 200),
        "tasklog, 20,000 × 50, postgresql": lambda: run_tasklog(postgresql, MANY),
        "tasklog, 20,000 × 50, sqlite": lambda: run_tasklog(sqlite, MANY),
    }, min(ROUNDS, 3))
    target("20,000 × 50: share of PostgreSQL's own rate",
           rate("tasklog, 20,000 × 50, postgresql") / rate("PostgreSQL alone, batches of 200"), 0.7)
    run_all("Other loads, doors and spools (SQLite)", {
        "omfile": lambda: run_plain('action(type="omfile" file="{folder}/out")', ORDER),
        "200,000 × 5": lambda: run_tasklog(sqlite, Load(200_000, 5)),
        "1 × 1,000,000": lambda: run_tasklog(sqlite, Load(1, 1_000_000)),
        "RELP": lambda: run_tasklog(sqlite, Load(400, 500), door="relp"),
        "RELP, discards": lambda: run_plain("stop", Load(400, 500), door="relp"),
        "unix socket": lambda: run_tasklog(sqlite, ORDER, door="unix"),
        "unix socket, discards": lambda: run_plain("stop", ORDER, door="unix"),
        "spool off": lambda: run_tasklog(sqlite, ORDER, spool="off"),
        "spool with sync, memory queue": lambda: run_tasklog(sqlite, Load(200, 500), "memory", spoolSync="on"),
    }, 1)


def hosts() -> None:
    """A host, an aggregator and a PostgreSQL as conf/scale has them, with TLS between each two: the host's
    figures are in results under its own name."""
    if why_not():
        say(f"\nHosts: left out, {why_not()}")
        return
    load = Load(400, 500, True)
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder, closing(Site(Path(folder), "sender.conf", 1, 1)) as site:
        ends = {"host, RELP with TLS": site.senders[0].pid, "aggregator, RELP with TLS": site.aggregators[0].pid}
        measures = {name: Measure(pid, None) for name, pid in ends.items()}
        sender = blast(load, f"unix:{site.senders[0].socket}")
        site.database.wait_ended(load.tasks, 120)
        for name, measure in measures.items():
            results[name] = [measure.stop(load.messages)]
        sender.wait()
        stored, = site.database.execute(f"SELECT sum(lines), pg_total_relation_size('{site.database.table}')"
                                        f" FROM {site.database.sql_table} GROUP BY ()")
    assert stored[0] == load.tasks * load.lines
    say(f"\nFrom a host's queue on disk by RELP with TLS: {rate('host, RELP with TLS'):,.0f} messages/s;"
        f" {cpu('host, RELP with TLS'):.2f} µs a message on the host, {cpu('aggregator, RELP with TLS'):.2f} µs on the"
        f" aggregator; {stored[1] / stored[0]:.0f} bytes a line of {LINE_BYTES} in PostgreSQL")


def open_tasks(sqlite: Sqlite) -> None:
    """Lines go round robin over all open tasks: each finds its own among a million."""
    million = 1_000_000

    def cost(tasks: int) -> tuple[float, int]:
        sqlite.create()
        with Daemon(tasklog_action(sqlite, liveInterval=0), "direct", module=MODULE) as daemon:
            blast(Load(tasks, 1, ends=False), daemon.door).wait()
            wait_idle(daemon.pid)
            rss = 1024 * proc_number(daemon.pid, "status", "VmRSS")
            measure = Measure(daemon.pid, None)
            again = Load(tasks, million // tasks, True, ends=False)
            blast(again, daemon.door).wait()
            return measure.stop(again.messages, wait_idle(daemon.pid)).cpu_us, rss

    pairs = [(cost(1), cost(million)) for _ in range(min(ROUNDS, 3))]
    one = statistics.median(pair[0][0] for pair in pairs)
    all_of_them = statistics.median(pair[1][0] for pair in pairs)
    bytes_a_task = statistics.median((pair[1][1] - pair[0][1]) / million - LINE_BYTES for pair in pairs)
    say(f"\nA message costs {one:.2f} µs with one open task, {all_of_them:.2f} µs with a million;"
        f" one takes {bytes_a_task:.0f} bytes beside its text")
    target("cost a message, 1,000,000 open tasks: times that of one", all_of_them / one, 1.5, at_least=False)
    target("bytes an open task beside its text", bytes_a_task, 300, at_least=False)


def latency(sqlite: Sqlite) -> None:
    """From the end marker's sending to the row that says so, as a reader of the database sees it."""
    half = int(rate(name_of(sqlite, ORDER, "direct")) / 2) if name_of(sqlite, ORDER, "direct") in results else 400_000

    def probe(daemon: Daemon, count: int, pause: float) -> list[float]:
        waited = []
        with closing(sqlite3.connect(sqlite.path, timeout=30, isolation_level=None)) as connection, \
                socket.create_connection(("127.0.0.1", daemon.port)) as peer:
            for number in range(count):
                header = time.strftime("<14>%b %e %T sender probe[p-") + f"{number}]: "
                peer.sendall("".join(f"{header}line {line}\n" for line in range(20)).encode())
                time.sleep(pause)
                began = time.monotonic()
                peer.sendall(f"{header}@task end\n".encode())
                while not connection.execute("SELECT 1 FROM runs WHERE task_id = ? AND status = 'COMPLETED'",
                                             (f"p-{number}",)).fetchone():
                    assert time.monotonic() < began + 30
                    time.sleep(0.0005)
                waited.append(1e3 * (time.monotonic() - began))
        return sorted(waited)

    sqlite.create()
    with Daemon(tasklog_action(sqlite), "direct", module=MODULE) as daemon:
        idle = probe(daemon, 300, 0.01)
    sqlite.create()
    with Daemon(tasklog_action(sqlite), "direct", module=MODULE) as daemon:
        sender = blast(Load(1_000_000, 500), daemon.door, half)
        try:
            time.sleep(1)
            busy = probe(daemon, 150, 0.03)
        finally:
            sender.kill()
    for how, waited, most in (("idle", idle, 25), (f"at {half:,}/s", busy, 300)):
        p50, p99 = waited[len(waited) // 2], waited[int(len(waited) * 0.99)]
        say(f"\nEnd marker to visible row, {how}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {waited[-1]:.1f} ms")
        target(f"p99 from end marker to row, ms, {how}", p99, most, at_least=False)


def forget(files: list[Path]) -> None:
    """The machine has them on disk alone, as after a reboot."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def recovery(sqlite: Sqlite) -> None:
    """1 GB of open tasks' lines, a kill, a start; beside reading the same files."""
    load = Load(2000, 3000, True, ends=False)
    sqlite.create()
    with Daemon(tasklog_action(sqlite, liveInterval=0), "direct", module=MODULE) as daemon:
        blast(load, daemon.door).wait()
        wait_idle(daemon.pid)
        daemon.rsyslogd.kill9()
        files = sorted((daemon.rsyslogd.work / "tasklog" / "task").glob("*.seg"))
        size = sum(path.stat().st_size for path in files)
        forget(files)
        began = time.monotonic()
        for path in files:
            with path.open("rb") as file:
                while file.read(1 << 20):
                    pass
        read = time.monotonic() - began
        forget(files)
        began = time.monotonic()
        daemon.rsyslogd.start(check=False, seconds=120)
        took = time.monotonic() - began
    say(f"\nA spool of {size / 1e9:.2f} GB ({size / load.messages:.0f} bytes a line of {LINE_BYTES}): read in {read:.2f} s, taken up in {took:.2f} s")
    target("recovery: share of the speed of reading the files", read / took, 0.5)


def main() -> int:
    began = time.monotonic()
    sqlite, postgresql, peers = Sqlite(HERE), Postgresql(), HERE / "peers"
    sections = {
        "throughput": lambda: throughput(sqlite, postgresql),
        "competitors": lambda: competitors(postgresql, peers),
        "shapes": lambda: shapes(sqlite, postgresql),
        "hosts": hosts,
        "open_tasks": lambda: open_tasks(sqlite),
        "latency": lambda: latency(sqlite),
        "recovery": lambda: recovery(sqlite),
    }
    only = os.environ.get("ONLY", ",".join(sections)).split(",")
    for name, section in sections.items():
        if name in only:
            section()
    say("\nTargets")
    for one in targets:
        say(f"  {'holds' if one['holds'] else 'MISSED':<7}{one['target']:<62}{one['found']:>9.2f}"
            f"  {'≥' if one['at_least'] else '≤'} {one['wanted']}")
    (HERE / "bench.json").write_text(json.dumps({
        "runs": {name: [vars(figures) | {"rate": figures.rate, "cpu_us": figures.cpu_us} for figures in all_of_them]
                 for name, all_of_them in results.items()}, "targets": targets}, indent=1))
    plot.write(HERE / "bench.svg", [(name, rate(name)) for name in results])
    say(f"\n{HERE / 'bench.json'} and bench.svg written; {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
