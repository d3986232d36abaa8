# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: a rsyslogd with the module, and a table in each database.

`make system` runs several at a time, by tools/run-pytest. What keeps the processors busy for long is in one of two groups
(`xdist_group`), of each of which one test runs at a time, beside others that mostly wait: "load", many lines, and
"programs", many programs that take long to start. What compares a few seconds is marked `calm`, and runs beside its
like. What compares less than that, or takes away what all have, such as the PostgreSQL server, is marked `alone`."""
from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Iterator

import psycopg2
import pytest

from database import Database, Postgresql, Sqlite
from journald import Journald, Reader
from tasklog import MODULE, Tasklog


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: beside no other test")
    config.addinivalue_line("markers", "calm: beside its like only")
    config.addinivalue_line("markers", "journald(settings): what the test's journald is told besides")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What keeps one process busy for long begins first."""
    items.sort(key=lambda item: not item.get_closest_marker("xdist_group"))


@pytest.fixture(scope="session", autouse=True)
def module() -> None:
    assert MODULE.exists(), f"{MODULE} is not there: make"


@pytest.fixture(scope="session", autouse=True)
def database_of_this_process() -> None:
    """Each of the processes that run tests has a database of its own, empty as the one that all have."""
    process = os.environ.get("PYTEST_XDIST_WORKER")
    if process and "PGDATABASE" in os.environ:
        with closing(psycopg2.connect("")) as connection:
            connection.autocommit = True
            name = f"{process}_{os.getpid()}"
            connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE template0")
        os.environ["PGDATABASE"] = name


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
def journald(request: pytest.FixtureRequest) -> Iterator[Journald]:
    """A journald of the test's own."""
    if os.geteuid() != 0:
        pytest.skip("a journald of one's own needs root")
    marker = request.node.get_closest_marker("journald")
    with Journald(f"tasklog{os.getpid()}", *(marker.args if marker else ())) as journald:
        yield journald


@pytest.fixture
def reader(tmp_path: Path, journald: Journald) -> Iterator[Reader]:
    """A tasklog-journald that is neither configured nor started."""
    with Reader(tmp_path / "reader", journald) as reader:
        yield reader
