"""The client: one session of a warehouse, whose rows come as Arrow in its own answers.

The client (databricks-sql-connector) is used from its Thrift layer up. Its other parts are not used, because they open
connections themselves: telemetry, feature flags, token exchange, results in the cloud's store, proxies of the
environment. The rest connects to the workspace alone, at a checked address."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from headrace.connectors.databricks.errors import failed, refused
from headrace.connectors.databricks.login import Access
from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress_proxy import CheckedProxy

SECONDS = 6 * 3600.0
"""The default time limit of a statement, in seconds."""
_BYTES = 16 << 20
"""The approximate size of a response with rows, in bytes."""
_ROWS = 65_536
_RETRIES = {
    "_retry_stop_after_attempts_count": 2,
    "_retry_stop_after_attempts_duration": 120.0,
    "_retry_delay_min": 0.5,
    "_retry_delay_max": 5.0,
    "_retry_delay_default": 1.0,
}
_SILENT_S = 900.0


@dataclass(slots=True)
class _Cursor:
    """The attributes that the client's Thrift layer needs of the connection object, which is not used."""

    open: bool = True
    http_client: None = None
    active_command_id: Any = None

    @property
    def connection(self) -> _Cursor:
        return self

    @staticmethod
    def get_session_id_hex() -> str:
        return ""


class _Token:
    """Adds the credentials to each request."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def add_headers(self, headers: dict[str, str]) -> None:
        headers["Authorization"] = f"Bearer {self._access.token()}"


class Session:
    """Executes statements, one after the other. Errors are SourceErrors about `what`."""

    def __init__(self, client: Any, opened: Any, access: Access) -> None:
        self._client, self._opened, self._access = client, opened, access

    def rows(self, statement: str, what: str) -> list[tuple[Any, ...]]:
        """All rows of a statement with a small result. Raises SourceError."""
        return [row for table in self.tables(statement, what) for row in zip(*table.to_pydict().values(), strict=True)]

    def tables(self, statement: str, what: str, rows: int = _ROWS) -> Iterator[Any]:
        """The rows of a statement as pyarrow Tables of at most `rows` rows. Raises SourceError."""
        with _translating_errors(what, self._access):
            cursor = _Cursor()
            result = self._client.execute_command(
                statement, self._opened, rows, _BYTES, True, cursor, use_cloud_fetch=False, parameters=[]
            )
            try:
                while True:
                    table = result.results.next_n_rows(rows)
                    if table.num_rows:
                        table.validate(
                            full=True
                        )  # otherwise offsets are not validated and may point outside the buffers
                        result._next_row_index += table.num_rows  # by which lost responses are detected
                        yield table
                    elif result.has_more_rows and not result.has_been_closed_server_side:
                        result._fill_results_buffer()
                    else:
                        return
            finally:
                with suppress(*_errors()):
                    result.close()


@contextmanager
def session(access: Access, *, seconds: float = SECONDS) -> Iterator[Session]:
    """Opens a session in UTC with a statement timeout in seconds. Raises SourceError."""
    access.token()  # raises the original exceptions
    proxy = CheckedProxy(access.networks)
    client = _client(access, proxy)
    try:
        opened = client.open_session({}, access.place.catalog, access.place.schema_)
    except SourceError:
        raise
    except _errors() as error:
        if proxy.refusals:
            raise proxy.refusals.pop() from None
        if proxy.unreachable:
            raise proxy.unreachable.pop() from None
        raise refused(_redacted(error, access), access.address.host) from None
    try:
        found = Session(client, opened, access)
        for setting in ("TIME ZONE 'UTC'", f"STATEMENT_TIMEOUT = {int(seconds)}"):
            found.rows(f"SET {setting}", "the session")
        yield found
    finally:
        with suppress(*_errors()):
            client.close_session(opened)
        proxy.close()


def _client(access: Access, proxy: CheckedProxy) -> Any:
    from databricks.sql.backend.thrift_backend import ThriftDatabricksClient
    from databricks.sql.types import SSLOptions
    from urllib3.util import make_headers

    logging.getLogger("databricks").setLevel(logging.CRITICAL)  # errors are reported by our own messages
    address, path = access.checked(), access.place.http_path.lstrip("/")
    scheme, host, port = access.address.url.scheme, access.address.host, access.address.port
    bracketed = f"[{host}]" if ":" in host else host
    login: Any = _Token(access)
    unused: Any = None
    client = ThriftDatabricksClient(
        host,
        port,
        path,
        [("User-Agent", "headrace")],
        login,
        SSLOptions(),
        unused,
        _connection_uri=f"{scheme}://{bracketed}:{port}/{path}",
        _use_arrow_native_complex_types=False,
        _socket_timeout=_SILENT_S,
        **_RETRIES,
    )
    transport = client._transport
    if access.plain:
        transport.realhost = transport.realport = transport.proxy_uri = transport.proxy_auth = None
        transport.host, transport.port = address, port
    else:
        transport.realhost, transport.realport = host, port
        transport.proxy_uri = f"http://127.0.0.1:{proxy.port}"
        transport.proxy_auth = make_headers(proxy_basic_auth=f"headrace:{proxy.password}")
        transport.host, transport.port = "127.0.0.1", proxy.port
    return client


@contextmanager
def _translating_errors(what: str, access: Access) -> Iterator[None]:
    from databricks.sql.exc import ServerOperationError

    try:
        yield
    except SourceError:
        raise
    except _errors() as error:
        raise failed(_redacted(error, access), what, server=isinstance(error, ServerOperationError)) from None


def _redacted(error: BaseException, access: Access) -> BaseException:
    """The text without the credentials, which a server may echo."""
    text = str(getattr(error, "message", None) or error)
    secrets = [each for each in (access.secret, access._held[0] if access._held else "") if each]
    for secret in secrets:
        text = text.replace(secret, "***")
    clean = RuntimeError(text)
    clean.context = getattr(error, "context", None)  # type: ignore[attr-defined]
    return clean


def _errors() -> tuple[type[BaseException], ...]:
    """The exceptions of the client: its own, those of Thrift, HTTP and Arrow, and those of malformed responses."""
    import pyarrow as pa
    from databricks.sql.exc import Error
    from thrift.Thrift import TException
    from urllib3.exceptions import HTTPError

    found = (Error, TException, HTTPError, pa.ArrowException, OSError, EOFError, RuntimeError)
    return (*found, ValueError, TypeError, AttributeError, KeyError, AssertionError)
