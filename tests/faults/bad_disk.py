# SPDX-License-Identifier: Apache-2.0
"""A disk that fails: rsyslogd with fail_nth.c preloaded, which is built here."""
from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from tasklog import Tasklog

SOURCE = Path(__file__).with_name("fail_nth.c")


class BadDisk:
    """Calls of one function for files below the daemon's spool folder, counted and made to fail."""

    def __init__(self, folder: Path, daemon: Tasklog, spool: Path, function: str) -> None:
        self._library = folder / "fail_nth.so"
        self._log = folder / "calls"
        self._daemon = daemon
        self._spool = spool
        self.function = function
        if not self._library.exists():
            subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2",
                            "-shared", "-fPIC", "-o", self._library, SOURCE, "-ldl"], check=True)

    def arm(self, first: int | None = None, count: int = 1, error: int = errno.EIO) -> None:
        """For the daemon's next start: from the `first` call on `count` calls fail; None: they are
        only counted."""
        self._log.unlink(missing_ok=True)
        self._daemon._env.update(LD_PRELOAD=str(self._library), FAIL_FOLDER=str(self._spool),
                                 FAIL_FUNCTION=self.function, FAIL_LOG=str(self._log))
        self._daemon._env.pop("FAIL_FROM", None)
        if first is not None:
            self._daemon._env.update(FAIL_FROM=str(first), FAIL_COUNT=str(count),
                                     FAIL_ERRNO=str(error))

    def disarm(self) -> None:
        self._daemon._env.pop("LD_PRELOAD", None)

    def calls(self) -> list[str]:
        """One "call" or "failed" for each."""
        return self._log.read_text().split() if self._log.exists() else []
