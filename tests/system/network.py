# SPDX-License-Identifier: Apache-2.0
"""Hosts of one network, on one machine: a network namespace each, joined by a bridge in another.

    with Network() as network:
        web = network.host("web-1.example.net")
        Rsyslogd(prefix=web.prefix)
        with web.cut(): …

Each host knows the others' names (/etc/netns/…/hosts, which `ip netns exec` puts in place of /etc/hosts). The
machine's own network is not touched, and all that is made bears the name of this process. Needs root.
"""
from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Iterator

FOLDER = Path("/etc/netns")


def run(*command: str) -> None:
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def why_not() -> str | None:
    """Why there can be no namespaces here."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "network namespaces need iproute2's ip"
    name = f"tasklog{os.getpid()}try"
    made = subprocess.run(["ip", "netns", "add", name], text=True, capture_output=True)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.strip()}"
    run("ip", "netns", "del", name)
    return None


@dataclass
class Host:
    name: str
    namespace: str
    address: str
    port: str  # of the bridge, where its cable is plugged in
    bridge: str

    @property
    def prefix(self) -> list[str]:
        """Runs a command on it; its pid is the command's. It knows nothing of the tests' own PostgreSQL."""
        unset = [f"--unset={name}" for name in os.environ if name.startswith("PG")]
        return ["ip", "netns", "exec", self.namespace, "env", *unset]

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Its cable is pulled: what is sent is gone, and nobody is told."""
        run("ip", "-n", self.bridge, "link", "set", self.port, "down")
        try:
            yield
        finally:
            run("ip", "-n", self.bridge, "link", "set", self.port, "up")

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """It is heard and hears nothing: what it sends arrives, and the answers do not."""
        device = ("dev", self.port, "root", "bfifo", "limit", "1")
        run("tc", "-n", self.bridge, "qdisc", "add", *device)
        try:
            yield
        finally:
            run("tc", "-n", self.bridge, "qdisc", "del", *device)


class Network:
    _numbers = count(1)

    def __init__(self) -> None:
        self._base = f"tasklog{os.getpid()}n{next(self._numbers)}"
        self._bridge = f"{self._base}-net"
        self.hosts: list[Host] = []
        run("ip", "netns", "add", self._bridge)
        run("ip", "-n", self._bridge, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", self._bridge, "link", "set", "bridge", "up")

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *unused: object) -> None:
        for namespace in [self._bridge, *(host.namespace for host in self.hosts)]:
            subprocess.run(["ip", "netns", "del", namespace], check=False)
            shutil.rmtree(FOLDER / namespace, ignore_errors=True)

    def host(self, name: str) -> Host:
        number = len(self.hosts) + 1
        made = Host(name, f"{self._base}-{number}", f"10.99.0.{number}", f"port{number}",
                    self._bridge)
        run("ip", "netns", "add", made.namespace)
        self.hosts.append(made)
        run("ip", "-n", made.namespace, "link", "add", "eth0", "type", "veth", "peer", "name",
            made.port, "netns", self._bridge)
        run("ip", "-n", self._bridge, "link", "set", made.port, "master", "bridge", "up")
        run("ip", "-n", made.namespace, "address", "add", f"{made.address}/24", "dev", "eth0")
        run("ip", "-n", made.namespace, "link", "set", "eth0", "up")
        run("ip", "-n", made.namespace, "link", "set", "lo", "up")
        self._write_hosts()
        return made

    def _write_hosts(self) -> None:
        text = "127.0.0.1 localhost\n" + "".join(
            f"{host.address} {host.name}\n" for host in self.hosts)
        for host in self.hosts:
            folder = FOLDER / host.namespace
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hosts").write_text(text)  # in place: some have it mounted
