# SPDX-License-Identifier: Apache-2.0
"""The fault suite shares the harness and the fixtures of the system tests.

FAULT_CYCLES=N   how often each test injects its fault; without it as many as the project promises.
FAULT_SEED=N     repeats a run's random choices; each run prints its own.
"""
from __future__ import annotations

import importlib.util
import os
import random
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

SYSTEM = Path(__file__).resolve().parents[1] / "system"
sys.path[:0] = [str(SYSTEM), str(Path(__file__).resolve().parent)]

# Both files are named conftest, so this one is loaded under another name.
_spec = importlib.util.spec_from_file_location("system_fixtures", SYSTEM / "conftest.py")
assert _spec and _spec.loader
_system = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_system)
module, database_of_this_process, daemon, empty_database, database, sqlite, postgresql = (
    _system.module, _system.database_of_this_process, _system.daemon, _system.empty_database,
    _system.database, _system.sqlite, _system.postgresql)


def pytest_configure(config: pytest.Config) -> None:
    _system.pytest_configure(config)
    config.addinivalue_line("markers", "long: only in the full run, not in `make check`")


def cycles(promised: int) -> int:
    """How often to inject the fault."""
    return int(os.environ.get("FAULT_CYCLES", promised))


@pytest.fixture
def chance() -> Iterator[random.Random]:
    seed = int(os.environ.get("FAULT_SEED", time.time_ns() % 1_000_000))
    print(f"FAULT_SEED={seed}")
    yield random.Random(seed)
