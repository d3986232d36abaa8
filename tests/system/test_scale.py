# SPDX-License-Identifier: Apache-2.0
"""The files of conf/scale are what rsyslogd takes. At work they are in tests/faults/test_scale.py."""
from __future__ import annotations

from pathlib import Path

import pytest

from rsyslogd import Rsyslogd
from scale import Tls, make_certificates, shipped
from tasklog import BUILD


@pytest.mark.parametrize("name", ["aggregator.conf", "sender.conf", "sender-sharded.conf"])
def test_rsyslogd_takes_it(tmp_path: Path, name: str) -> None:
    tls = Tls(tmp_path / "etc", make_certificates(tmp_path / "ca", "host"), "host")
    with Rsyslogd(module_dirs=[BUILD]) as daemon:
        done = daemon.check(shipped(name, tls.folder, daemon.socket))
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
