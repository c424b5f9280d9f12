"""A TLS proxy for a broker without TLS."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from contextlib import suppress

from tests.sockets import connected, listener


class TlsFront:
    """Takes connections with a certificate and passes what they say on to a port of this machine, set by `to`."""

    def __init__(self, certificate: str, key: str) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w") as shown, tempfile.NamedTemporaryFile("w") as secret:
            shown.write(certificate)
            secret.write(key)
            shown.flush()
            secret.flush()
            self._context.load_cert_chain(shown.name, secret.name)
        self._listening = listener()
        self.port = int(self._listening.getsockname()[1])
        self.to = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with (
            suppress(OSError),
            self._context.wrap_socket(plain, server_side=True) as client,
            connected(self.to) as broker,
        ):
            threading.Thread(target=self._pass, args=(broker, client), daemon=True).start()
            self._pass(client, broker)

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
