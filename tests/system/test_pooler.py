# SPDX-License-Identifier: Apache-2.0
"""Through pgbouncer, which lends sessions with PostgreSQL for a transaction each."""
from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import psycopg2

from database import Postgresql
from rsyslogd import wait_until
from tasklog import Tasklog, action, check_log

SESSIONS = 3


@contextmanager
def pgbouncer(postgresql: Postgresql) -> Iterator[str]:
    """Gives the connection string. Each transaction gets another session than the one before."""
    with tempfile.TemporaryDirectory(prefix="tasklog-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        conf = folder / "pgbouncer.ini"
        conf.write_text(
            "[databases]\n"
            f"{postgresql.database} = host={postgresql.host} port={postgresql.port}"
            f" user={postgresql.user} password={postgresql.password}\n"
            "[pgbouncer]\npool_mode = transaction\nauth_type = any\nserver_round_robin = 1\n"
            f"default_pool_size = {SESSIONS}\nmin_pool_size = {SESSIONS}\nlisten_addr =\n"
            f"unix_socket_dir = {folder}\nlisten_port = 6432\nlogfile =\npidfile =\n")
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        if user:
            os.chown(folder, 65534, 65534)
        url = f"host={folder} port=6432 dbname={postgresql.database} user={postgresql.user}"
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(["/usr/sbin/pgbouncer", *user, str(conf)], stdout=log,
                                       stderr=log)
        try:
            wait_until(lambda: (folder / ".s.PGSQL.6432").exists(), "pgbouncer listens")
            yield url
        finally:
            process.terminate()
            process.wait(20)


def test_sessions_that_are_lent_by_turns(daemon: Tasklog, postgresql: Postgresql) -> None:
    """Two actions write two tables by the same few sessions, which forget what they hold at times."""
    postgresql.execute(f'CREATE TABLE "{postgresql.schema}".other'
                       f' (LIKE {postgresql.sql_table} INCLUDING ALL)')
    with pgbouncer(postgresql) as url:
        given = {"database": url, "mode": "upsert", "liveInterval": 0}
        other = action(postgresql, **{**given, "name": "other",
                                      "table": f"{postgresql.schema}.other"})
        daemon.run('if $programname == "other" then {', other, "} else {",
                   action(postgresql, **given), "}")
        for number in range(30):
            for kind in ("kind", "other"):
                daemon.log(f"{kind}[{number}]", f"{kind} {number}", "@task end")
            postgresql.wait(str(number))
            if number % 10 == 9:
                with psycopg2.connect(url) as client:
                    for _ in range(SESSIONS):  # each commit goes to the next session
                        client.cursor().execute("DEALLOCATE ALL")
                        client.commit()
                client.close()
        counters = daemon.wait_counters(60, rows_stored=30, rows_refused=0)
        assert counters["database.retries"] == 0, daemon.messages()
        daemon.wait_counters(60, name="other", rows_stored=30, rows_refused=0)
        daemon.stop()
    rows = postgresql.rows()
    assert len(rows) == 30
    for number in range(30):
        check_log(rows[str(number)], [f"kind {number}"])
    others = postgresql.execute(f'SELECT task_id, log FROM "{postgresql.schema}".other')
    assert len(others) == 30
    assert all(f"] other {task_id}\n" in log for task_id, log in others)
