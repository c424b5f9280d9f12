"""A hostile server gets no credentials of other servers, and causes no more than an error."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from headrace.connectors.bigquery.connector import BIGQUERY
from headrace.connectors.bigquery.dialect import BigQueryDialect
from headrace.connectors.bigquery.rest import Rest
from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from tests.security.arrow_traps import outside

TOKEN = "ya29.a-token-that-nobody-may-see"
Answer = Callable[[BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]]


@contextmanager
def server(answer: Answer) -> Iterator[tuple[int, list[str]]]:
    """The port of a server that gives tokens and answers everything else so, and what it was asked."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append(f"{self.command} {self.path} {body.decode()}")
            status, headers, content = (200, {}, json.dumps({"access_token": TOKEN}).encode())
            if self.path != "/token":
                status, headers, content = answer(self)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield listening.server_port, seen
        finally:
            listening.shutdown()


@pytest.fixture(scope="module")
def key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def context(port: int, key: str, settings: dict[str, Any]) -> Context:
    place = f"http://127.0.0.1:{port}"
    account = {"client_email": "a@b", "private_key": key, "token_uri": f"{place}/token"}
    config = {"project": "p", "dataset": "d", "endpoint": place, "storageEndpoint": place}
    connection = Connection("c", "bigquery", config, {"serviceAccount": account})
    return Context(connection, Surroundings(FilesRoot(Path()), [ip_network("127.0.0.1/32")]), settings)


def failure(port: int, key: str, settings: dict[str, Any]) -> SourceError:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("headrace.connectors.bigquery.rest.PAUSES", ())
        with pytest.raises(SourceError) as error:
            BIGQUERY.tried(context(port, key, settings))
    assert TOKEN not in str(error.value)
    assert "PRIVATE KEY" not in str(error.value)
    return error.value


EMPTY_LISTS = (b"", b'{"error": {"errors": 5}}', b'{"status": {"errorResult": 5}, "schema": {"fields": 1}}')
TABLES = {"tables": [{"tableReference": {"tableId": "t"}, "type": "TABLE"}]}


@pytest.mark.parametrize("settings", [{}, {"table": "t"}, {"query": "SELECT 1 AS x"}])
@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"<html>", b"[]", b"null", b'{"tables": 5, "schema": 5, "statistics": 5}'),
        *(b'{"tables": [5], "schema": {"fields": [5]}}', b'{"schema": {"fields": [{"name": "x"}]}, "tables": [{}]}'),
        *(b'{"status": {"errorResult": 5}, "schema": {"fields": 1}}', b'{"error": {"errors": 5}}', b"\xff\xfe"),
    ],
)
@pytest.mark.first_variant
def test_answers_of_another_shape(content: bytes, key: str, settings: dict[str, Any]) -> None:
    def answer(asked: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        listing = asked.path.partition("?")[0].endswith("/tables")
        return 200, {}, json.dumps(TABLES).encode() if listing and settings else content

    with server(answer) as (port, _):
        if not settings and content in EMPTY_LISTS:
            return
        assert failure(port, key, settings).code


def test_a_redirect_is_not_followed(key: str) -> None:
    with server(lambda _: (302, {"Location": "http://169.254.169.254/computeMetadata/v1/"}, b"{}")) as (port, seen):
        BIGQUERY.check(context(port, key, {}))
    assert len([each for each in seen if "/tables" in each]) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@pytest.mark.first_variant
def test_an_answer_that_repeats_the_token_does_not_show_it(key: str, status: int) -> None:
    said = json.dumps({"error": {"message": f"no: Bearer {TOKEN}", "errors": [{"reason": "x"}]}}).encode()
    with server(lambda _: (status, {}, said)) as (port, _):
        assert failure(port, key, {}).code


def test_an_endless_answer_is_not_read(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.connectors.bigquery.rest._ANSWER_BYTES", 1000)
    with server(lambda _: (200, {}, b" " * 100_000)) as (port, _):
        assert "too long" in failure(port, key, {}).message


@pytest.mark.parametrize("project", ["p/../../x", "p?a=b", "p#f", "p\r\nX: y", "é"])
@pytest.mark.first_variant
def test_a_project_stays_one_part_of_the_path(key: str, project: str) -> None:
    with server(lambda _: (200, {}, b"{}")) as (port, seen):
        given = context(port, key, {})
        config = {**given.connection.config, "project": project}
        found = Context(Connection("c", "bigquery", config, given.connection.credentials), given.surroundings)
        BIGQUERY.check(found)
    [asked] = [each for each in seen if "/token" not in each]
    assert asked.startswith("GET /bigquery/v2/projects/")
    assert asked.partition("?")[0].count("/") == 7


def test_offsets_that_lead_out_of_a_batch_are_not_believed(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a server that is not Google's: Arrow's buffers are otherwise read wherever their offsets point."""
    batch = pa.RecordBatch.from_arrays([outside()], names=["s"])
    dialect = BigQueryDialect.of(context(9, key, {}))

    class Schema:
        serialized_schema = batch.schema.serialize().to_pybytes()

    class Records:
        serialized_record_batch = b""

    class Piece:
        row_count, arrow_schema, arrow_record_batch = 2, Schema, Records

    class Answers(list[Any]):
        def cancel(self) -> None: ...

    class Channel:
        def unary_stream(self, *_: Any, **__: Any) -> Any:
            return lambda *_, **__: Answers([Piece])

    monkeypatch.setattr(dialect.storage, "_connected", Channel)
    monkeypatch.setattr(dialect.storage, "_metadata", lambda *_: ())
    monkeypatch.setattr(pa.ipc, "read_record_batch", lambda *_: batch)
    with pytest.raises(SourceError, match="cannot be understood"):
        list(dialect.storage.batches("s", 0, "t", 0.0))


def test_the_rest_client_has_no_key_in_its_repr(key: str) -> None:
    assert "PRIVATE" not in repr(vars(Rest(BigQueryDialect.of(context(9, key, {})).rest._access)))
