# SPDX-License-Identifier: Apache-2.0
"""Each test has a Debian of its own in which the packages are installed. tests/packages/run makes what it lies on."""
from __future__ import annotations

from pathlib import Path
from typing import Iterator, NamedTuple

import pytest

from debian_root import FOLDER, PACKAGES, STAND_INS, DebianRoot, Failed, built


class Installed(NamedTuple):
    layers: list[Path]
    files_before: set[str]
    said: str  # by apt


@pytest.fixture(scope="session")
def installed() -> Installed:
    layers = [FOLDER / "base", FOLDER / "minimal"]
    with DebianRoot("installed", layers) as root:
        for name, script in STAND_INS.items():
            root.path(name).write_text(script)
            root.path(name).chmod(0o755)
        before = root.files()
        debs = [built(package) for package in PACKAGES]
        try:
            said = root.install(*debs)
        except Failed:  # the archive may have moved on since the base was made
            root.apt("update")
            said = root.install(*debs)
    return Installed([root.upper, *layers], before, said)


@pytest.fixture
def root(installed: Installed, request: pytest.FixtureRequest) -> Iterator[DebianRoot]:
    with DebianRoot(request.node.name, installed.layers) as root:
        yield root
