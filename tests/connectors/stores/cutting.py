"""A TCP proxy that cuts connections in the middle of a response."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.sockets import connected, listener

_ENOUGH = 100_000
"""No answer without a file's content is so long."""


class Cutting:
    """`next_answers` long answers are cut."""

    def __init__(self, port: int) -> None:
        self.next_answers = 0
        self._to = port
        self._listener = listener()
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="cutting", daemon=True).start()

    def close(self) -> None:
        """Listens no more."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = connected(self._to)
            for here, there, said in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._carry, args=(here, there, said), daemon=True).start()

    def _carry(self, here: socket.socket, there: socket.socket, said: bool) -> None:
        sent = 0
        with suppress(OSError):
            while piece := here.recv(1 << 16):
                sent += len(piece)
                if said and sent > _ENOUGH and self.next_answers:
                    self.next_answers -= 1
                    break
                there.sendall(piece)
        for end in (there, here):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
