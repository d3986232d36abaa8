# SPDX-License-Identifier: Apache-2.0
"""A way to the database server that can be closed for long: connections are then refused, and the
port stays ours. (Another's server may take the port of one that is really stopped.)"""
from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import Iterator


class Gate:
    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._socket = self._bound(0)
        self.port = str(self._socket.getsockname()[1])
        self._open: list[socket.socket] = []
        self._listen()

    @contextmanager
    def shut(self) -> Iterator[None]:
        self._end()
        self._socket = self._bound(int(self.port))  # bound and not listening: refused
        try:
            yield
        finally:
            self._listen()

    def close(self) -> None:
        self._end()

    @staticmethod
    def _bound(port: int) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        return bound

    def _listen(self) -> None:
        self._socket.listen()
        threading.Thread(target=self._serve, args=(self._socket,), daemon=True).start()

    def _end(self) -> None:
        for each in [self._socket, *self._open]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _serve(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(self._target)
                self._open += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
