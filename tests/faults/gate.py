# SPDX-License-Identifier: Apache-2.0
"""A way to the database server that can be closed for long: connections are then refused, and the
port stays ours. (Another's server may take the port of one that is really stopped.) What goes through
it to the server is counted."""
from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import Iterator

from rsyslogd import bound, quiet_port


class Gate:
    def __init__(self, host: str, port: int) -> None:
        self.bytes = 0  # that went to the server
        self._target = (host, port)
        number = quiet_port()
        self.port = str(number)
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()  # of _socket and _open
        self._socket = bound(number)
        self._listen()

    @contextmanager
    def shut(self) -> Iterator[None]:
        self.close()
        try:
            yield
        finally:
            self._socket = bound(int(self.port))
            self._listen()

    def close(self) -> None:
        with self._lock:
            for each in [self._socket, *self._open]:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._open.clear()

    def _listen(self) -> None:
        self._socket.listen()
        threading.Thread(target=self._serve, args=(self._socket,), daemon=True).start()

    def _serve(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(self._target)
                with self._lock:
                    if listening is not self._socket or listening.fileno() < 0:  # shut meanwhile
                        client.close()
                        server.close()
                        return
                    self._open += [client, server]
                threading.Thread(target=self._copy, args=(client, server, True),
                                 daemon=True).start()
                threading.Thread(target=self._copy, args=(server, client, False),
                                 daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if to_server:
                    self.bytes += len(data)  # one connection at a time
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
