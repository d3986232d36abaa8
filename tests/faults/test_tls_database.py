# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL by sslmode=verify-full, as aggregator.conf has it: a server that is not the right one gets nothing. One
error says so, and the lines wait in the spool until it is."""
from __future__ import annotations

from pathlib import Path

import pytest

from network import Network, why_not
from scale import Aggregator, DatabaseHost, make_certificates
from tasklog import Tasklog

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

NAME = "db.example.net"


@pytest.mark.parametrize("wrong, says", [
    ("ca", "certificate verify failed"), ("name", "does not match host name"),
    ("expired", "certificate verify failed"), ("plain", "does not support SSL")])
def test_lines_wait_until_the_server_is_the_right_one(tmp_path: Path, wrong: str,
                                                      says: str) -> None:
    good = make_certificates(tmp_path / "good", NAME, "aggregator-1.example.net", "other.example.net")
    bad, name = good, NAME  # what the server shows
    if wrong == "ca":
        bad = make_certificates(tmp_path / "bad", NAME)
    elif wrong == "expired":
        (good / f"{NAME}.pem").rename(good / "kept.pem")
        (good / f"{NAME}.key").rename(good / "kept.key")
        make_certificates(good, NAME, days=-1)
    elif wrong == "name":
        name = "other.example.net"
    with Network() as network:
        host = network.host(NAME)
        database = DatabaseHost(host, bad, name, tls=wrong != "plain")
        aggregator = Aggregator(tmp_path / "aggregator", network.host("aggregator-1.example.net"), good)
        try:
            conf = f"{Tasklog.unix_input(aggregator.socket)}\n"
            aggregator.run_shipped(conf)
            aggregator.wait_said(says, 20)
            aggregator.log("kind[1]", "a line", "@task end")
            assert aggregator.said(says) <= 2, aggregator.messages()
            assert not database.rows()
            database.stop_server()
            if wrong == "expired":
                database.show_files(good / "kept.pem", good / "kept.key")
            else:
                database.show(good, NAME)
            database.serve_tls()
            assert database.wait("1", seconds=60).lines == 1
        finally:
            aggregator.close()
            database.close()
