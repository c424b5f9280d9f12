"""Services over HTTPS that cannot be reached: each fault is reported with its remedy, before any credential is sent."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.network.reachability import hint_of
from headrace.connectors.registry import of_type
from tests.connectors.nowhere import credentials
from tests.connectors.sql.postgresql.shop import LOOPBACK, Certificates, certificates

__all__ = ["certificates"]

SERVICES = ["bigquery", "databricks", "snowflake"]


class Listener:
    """A port on loopback; what clients send is kept, and `speak` answers each of them."""

    def __init__(self, speak: Callable[[socket.socket], socket.socket]) -> None:
        self.heard = b""
        self._speak = speak
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listening.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError):
            client = self._speak(client)
            self.heard += client.recv(65536)
        client.close()


def plain(client: socket.socket) -> socket.socket:
    """An HTTP server where TLS is expected."""
    client.recv(65536)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    return client


@pytest.fixture
def stranger(certificates: Certificates) -> Iterator[Listener]:
    """A server whose certificate no authority of this machine signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder, "server.pem")
        chain.write_text("".join(certificates.server))
        context.load_cert_chain(chain)
    listener = Listener(lambda client: context.wrap_socket(client, server_side=True))
    yield listener
    listener.close()


def refused(kind: str, port: int, host: str = "localhost") -> SourceError:
    """The error of trying the service at `https://{host}:{port}`."""
    url, login = f"https://{host}:{port}", dict(credentials(kind))
    places: dict[str, dict[str, Any]] = {
        "snowflake": {"account": "acc", "warehouse": "W", "database": "D", "url": url},
        "databricks": {"host": host, "httpPath": "/sql/1.0/warehouses/x", "url": url},
        "bigquery": {"project": "acme", "dataset": "sales", "endpoint": url},
    }
    if kind == "bigquery":
        login["serviceAccount"] |= {"token_uri": f"{url}/token"}
    connector = of_type(kind)
    assert connector is not None
    with pytest.raises(SourceError) as error:
        connector.tried(
            Context(
                Connection("conn_1", kind, places[kind], login), Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK)
            )
        )
    assert "hunter2" not in str(error.value)
    assert "PRIVATE KEY" not in str(error.value)
    return error.value


@pytest.mark.parametrize("kind", SERVICES)
@pytest.mark.first_variant
def test_a_port_at_which_nobody_listens(kind: str) -> None:
    error = refused(kind, 1, "127.0.0.1")
    assert (error.code, error.hint) == (
        "connection_failed",
        "No server listens there: check the address and its port.",
    ), error
    assert "127.0.0.1" in error.message


@pytest.mark.parametrize("kind", SERVICES)
@pytest.mark.first_variant
def test_a_certificate_that_no_known_authority_signed(kind: str, stranger: Listener) -> None:
    error = refused(kind, stranger.port)
    assert error.code == "connection_failed", error
    assert error.hint.startswith("No authority that is known here signed the server's certificate"), error
    assert stranger.heard == b""


@pytest.mark.parametrize("kind", SERVICES)
@pytest.mark.first_variant
def test_a_server_without_tls(kind: str) -> None:
    listener = Listener(plain)
    try:
        error = refused(kind, listener.port)
    finally:
        listener.close()
    assert (error.code, error.hint) == (
        "connection_failed",
        "What listens there speaks no TLS: check the address and its port.",
    ), error


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("certificate verify failed: certificate has expired (_ssl.c:992)", "renewed"),
        ("certificate verify failed: Hostname mismatch, certificate is not valid for 'a.example'", "another server's"),
        ("invalid peer certificate: NotValidForName", "another server's"),
        ("certificate verify failed: self-signed certificate", "No authority"),
        ("[Errno 113] No route to host", "Nothing answers"),
        ("timed out", "Nothing answers"),
    ],
)
def test_each_fault_has_a_remedy_of_its_own(text: str, remedy: str) -> None:
    assert remedy in str(hint_of(text))


def test_another_fault_has_none_of_them() -> None:
    assert hint_of("the OAuth token has expired, access refused") is None
