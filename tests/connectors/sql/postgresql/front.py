"""A proxy in front of the server, or a pooler: it speaks TLS, asks for certificates, and loses connections.

The embedded PostgreSQL is built without TLS; what is shown here is the client's part: libpq against OpenSSL.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from tests.connectors.sql.postgresql.shop import Certificates
from tests.sockets import connected, listener

_ASKS_FOR_TLS = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class Front:
    """Listens at `port` and passes on to `inner`. `cut_after`: the next connection that has brought so many bytes is
    ended, once. `came` counts connections."""

    def __init__(
        self, inner: int, certificates: Certificates | None = None, *, asks_for_certificate: bool = False
    ) -> None:
        self.inner, self.came = inner, 0
        self.cut_after: int | None = None
        self.refuse = 0
        self._context = None if certificates is None else _context(certificates, asks=asks_for_certificate)
        self._listening = listener()
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.came += 1
            if self.refuse:
                self.refuse -= 1
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError):
            if self._context is not None:
                if client.recv(8, socket.MSG_WAITALL) != _ASKS_FOR_TLS:
                    client.close()
                    return
                client.sendall(b"S")
                client = self._context.wrap_socket(client, server_side=True)
            with connected(self.inner) as server:
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()
                self._bring(server, client)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(65536):
                server.sendall(piece)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _bring(self, server: socket.socket, client: socket.socket) -> None:
        brought = 0
        with suppress(OSError):
            while piece := server.recv(65536):
                client.sendall(piece)
                brought += len(piece)
                if self.cut_after is not None and brought >= self.cut_after:
                    self.cut_after = None
                    break
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        client.close()


def _context(certificates: Certificates, *, asks: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder, "server.pem")
        chain.write_text("".join(certificates.server))
        context.load_cert_chain(chain)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=certificates.authority)
    return context
