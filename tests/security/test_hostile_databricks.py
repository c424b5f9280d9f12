"""A hostile warehouse causes no more than an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.databricks.connector import DATABRICKS
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from tests.connectors.databricks.double import double
from tests.connectors.reading import rows
from tests.security.arrow_traps import outside

TOKEN = "dapi-that-nobody-may-see"


@contextmanager
def server(status: int, content: bytes, **headers: str) -> Iterator[tuple[int, list[str]]]:
    """The port of a server that answers everything so, and what it was asked."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield listening.server_port, seen
        finally:
            listening.shutdown()


def failure(port: int, credentials: dict[str, str] | None = None) -> SourceError:
    config = {"host": "h", "httpPath": "/sql/1.0/warehouses/a", "url": f"http://127.0.0.1:{port}"}
    connection = Connection("c", "databricks", config, credentials or {"token": TOKEN})
    surroundings = Surroundings(FilesRoot(Path()), [ip_network("127.0.0.1/32")])
    with pytest.raises(SourceError) as error:
        DATABRICKS.tried(Context(connection, surroundings))
    assert TOKEN not in str(error.value)
    return error.value


@pytest.mark.parametrize("content", [b"", b"<html>no</html>", b"\x80\x01\x00\x02" + b"\xff" * 40, b"{}" * 1000])
def test_answers_that_are_none(content: bytes) -> None:
    with server(200, content) as (port, _):
        assert failure(port).code == "connection_failed"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
@pytest.mark.first_variant
def test_an_answer_that_repeats_the_token_does_not_show_it(status: int) -> None:
    said = f"no: Bearer {TOKEN}"
    with server(status, said.encode(), x_databricks_reason_phrase=said, x_thriftserver_error_message=said) as (port, _):
        assert failure(port).code


def test_a_redirect_to_another_host_is_not_followed() -> None:
    with server(200, b"") as (other, reached), server(302, b"", Location=f"http://127.0.0.1:{other}/x") as (port, _):
        assert failure(port).code
        assert reached == []


def test_a_token_that_is_none() -> None:
    with server(200, b'{"access_token": 5, "expires_in": "soon"}') as (port, seen):
        assert failure(port, {"clientId": "c", "clientSecret": TOKEN}).code == "bad_credentials"
        assert seen == ["/oidc/v1/token"]


def test_offsets_that_lead_out_of_a_batch_are_not_believed() -> None:
    with double() as warehouse:
        warehouse.can("c", [("v", "string")], pa.table({"v": outside()}))
        source = warehouse.source(table="c")
        with pytest.raises(SourceError, match="offset"):
            rows(source)
