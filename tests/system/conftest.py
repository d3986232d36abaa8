# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: a rsyslogd with the module, and a table in each database."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator

import pytest

from database import Database, Postgresql, Sqlite
from journald import Journald, Reader
from tasklog import MODULE, Tasklog


@pytest.fixture(scope="session", autouse=True)
def module() -> None:
    assert MODULE.exists(), f"{MODULE} is not there: make"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Tasklog]:
    with Tasklog(tmp_path / "rsyslogd") as daemon:
        yield daemon


def make_database(kind: str, folder: Path) -> Database:
    return Sqlite(folder) if kind == "sqlite" else Postgresql()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of its own, without a table."""
    database = make_database(request.param, tmp_path)
    yield database
    database.close()


@pytest.fixture
def database(empty_database: Database) -> Database:
    """A database with the table that the module's action writes."""
    empty_database.create()
    return empty_database


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Sqlite]:
    """For what has nothing to do with the kind of database."""
    database = Sqlite(tmp_path)
    database.create()
    yield database
    database.close()


@pytest.fixture
def postgresql() -> Iterator[Postgresql]:
    database = Postgresql()
    database.create()
    yield database
    database.close()


@pytest.fixture
def journald() -> Iterator[Journald]:
    """A journald of the test's own."""
    if os.geteuid() != 0:
        pytest.skip("a journald of one's own needs root")
    with Journald(f"tasklog{os.getpid()}") as journald:
        yield journald


@pytest.fixture
def reader(tmp_path: Path, journald: Journald) -> Iterator[Reader]:
    """A tasklog-journald that is neither configured nor started."""
    with Reader(tmp_path / "reader", journald) as reader:
        yield reader
