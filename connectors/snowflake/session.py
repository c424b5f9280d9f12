"""The driver: one session of one source in this process, which connects to checked addresses only.

The driver (Rust, with its own threads) opens connections itself: the account's host, and the hosts of the cloud's store
that the account names for pieces of results. All of them go through a local proxy that checks each. Its other requests
are switched off: telemetry, the request to the cloud's metadata service, proxies of the environment, profiles of the
user, kept tokens. It asks no revocation service (its default): certificates are checked against the system's
authorities."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import allowed_addresses
from headrace.connectors.network.egress_proxy import CheckedProxy
from headrace.connectors.snowflake.errors import expired, failed, refused, result_gone
from headrace.connectors.snowflake.login import Access
from headrace.connectors.snowflake.types import Typed
from headrace.connectors.sql.relation import Column, Scalar

SECONDS = 6 * 3600.0
"""The default time limit of a statement, in seconds."""
CHUNK_MB = 48
"""The size limit of a result chunk in MB; the server's default is 160."""
_LOGIN_SECONDS = 20
_ATTEMPTS = 3
_ENVIRONMENT = {"SNOWFLAKE_DISABLE_PLATFORM_DETECTION": "true"}
_process: int | None = None
"""The id of the process that loaded the driver: its threads do not survive a fork."""
_loading = threading.Lock()


@dataclass(frozen=True, slots=True)
class Statement:
    """A text with question marks as parameters, and their bound values."""

    text: str
    values: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A stored result: the rows of each of its batches, in order."""

    query_id: str
    rows: tuple[int, ...]


class Session:
    """Executes statements in one session, opened at first use and again when lost. Thread-safe. Errors are SourceErrors
    about `what`."""

    def __init__(self, access: Access, *, seconds: float = SECONDS) -> None:
        self._access, self._seconds = access, seconds
        self._lock = threading.Lock()
        self._connection: Any = None
        self._proxy: CheckedProxy | None = None
        self.made = 0
        """The number of sessions opened so far."""

    def rows(self, statement: Statement, what: str) -> list[tuple[Any, ...]]:
        """All rows of a statement with a small result. Raises SourceError."""
        with self._cursor(what) as cursor:
            cursor.execute(statement.text, statement.values or None)
            return [tuple(row) for row in cursor.fetchall()]

    def columns(self, statement: Statement, what: str) -> list[Column]:
        """The columns of a query, which is described and not run. Raises SourceError."""
        with self._cursor(what) as cursor:
            return [
                Typed.of(each.type_code, each.precision, each.scale, each.internal_size).column(
                    each.name, nullable=each.is_nullable is not False
                )
                for each in cursor.describe(statement.text, statement.values or None) or ()
            ]

    def run(self, statement: Statement, what: str) -> Result:
        """Runs a query; the server stores the result. Raises SourceError."""
        with self._cursor(what) as cursor:
            cursor.execute(statement.text, statement.values or None)
            batches = cursor.get_result_batches()
            return Result(str(cursor.sfqid), tuple(int(each.rowcount) for each in batches or ()))

    def batches(self, query_id: str, what: str, hours: float | None = None) -> list[Any]:
        """The batches of a stored result, with fresh URLs. Raises SourceError(`result_expired`), which names the
        retention in hours."""
        try:
            with self._cursor(what, raw=True) as cursor:
                cursor.query_result(query_id)
                return list(cursor.get_result_batches() or ())
        except self._errors() as error:
            if result_gone(error):
                raise expired(query_id, hours) from None
            raise self._failed(error, what) from None

    def records(self, batch: Any, what: str) -> Iterator[Any]:
        """The pyarrow RecordBatches of a batch, in the server's format. Raises SourceError."""
        import pyarrow as pa

        try:
            # The format before the driver's converters, which lose digits: 5.2 has no public API for it.
            reader = pa.RecordBatchReader._import_from_c(batch._take_arrow_stream_ptr(self._connection))
            for records in reader:
                records.validate(full=True)  # otherwise offsets are not validated and may point outside the buffers
                yield records
        except (*self._errors(), pa.ArrowException, OSError) as error:
            raise self._failed(error, what) from None

    def again(self, lost: int) -> None:
        """Drops the lost session of that number, unless another thread has done so; the next statement opens
        another."""
        with self._lock:
            if lost != self.made:
                return
            connection, self._connection = self._connection, None
        _close(connection)

    def close(self) -> None:
        """Closes the session of this process."""
        if _process in (None, os.getpid()):
            self.again(self.made)
        self._proxy = None

    @contextmanager
    def _cursor(self, what: str, *, raw: bool = False) -> Iterator[Any]:
        connection = self._connected()
        errors = self._errors()
        try:
            cursor = connection.cursor()
            try:
                yield cursor
            finally:
                cursor.close()
        except errors as error:
            if raw:
                raise
            raise self._failed(error, what) from None

    def _failed(self, error: BaseException, what: str) -> SourceError:
        if self._proxy is not None and self._proxy.refusals:
            return self._proxy.refusals.pop()
        return failed(error, what)

    def _connected(self) -> Any:
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
                self.made += 1
            return self._connection

    def _connect(self) -> Any:
        driver, access = _driver(), self._access
        allowed_addresses(access.host, access.port, access.networks)
        self._proxy = self._proxy or CheckedProxy(access.networks)
        place = access.place
        try:
            return driver.connect(
                account=place.account.partition(".snowflakecomputing.")[0],
                host=access.host,
                port=access.port,
                protocol="http" if access.plain else "https",
                warehouse=place.warehouse,
                database=place.database,
                **{name: value for name, value in (("schema", place.schema_), ("role", place.role)) if value},
                **access.secrets,
                proxy_host="127.0.0.1",
                proxy_port=self._proxy.port,
                proxy_user="headrace",
                proxy_password=self._proxy.password,
                use_proxy_env=False,
                application="headrace",
                paramstyle="qmark",
                login_timeout=_LOGIN_SECONDS,
                connect_timeout=10,
                retry_max_attempts=_ATTEMPTS,
                query_timeout=int(self._seconds) + 60,
                validate_default_parameters=True,
                client_session_keep_alive=True,
                client_store_temporary_credential=False,
                enable_server_session_keep_alive_auto_detection=False,
                session_parameters={
                    "CLIENT_TELEMETRY_ENABLED": False,
                    "QUERY_TAG": "headrace",
                    "STATEMENT_TIMEOUT_IN_SECONDS": int(self._seconds),
                    "CLIENT_RESULT_CHUNK_SIZE": CHUNK_MB,
                    "GEOGRAPHY_OUTPUT_FORMAT": "EWKT",
                    "GEOMETRY_OUTPUT_FORMAT": "EWKT",
                },
            )
        except driver.Error as error:
            if self._proxy.refusals:
                raise self._proxy.refusals.pop() from None
            if self._proxy.unreachable:
                raise self._proxy.unreachable.pop() from None
            raise refused(error, place.account, key_pair="private_key" in access.secrets) from None

    def _errors(self) -> tuple[type[BaseException], ...]:
        return (_driver().Error,)


def _driver() -> Any:
    """Imports the driver. Raises ModuleNotFoundError; SourceError in a fork of a process that has used it, where it
    would hang."""
    global _process  # noqa: PLW0603
    with _loading:
        if _process not in (None, os.getpid()):
            raise SourceError(
                "driver_forked",
                "Snowflake's driver was loaded before this process was forked from another, and cannot work here.",
                "Import snowflake.connector in the process that reads only.",
            )
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import snowflake.connector

        _process = os.getpid()
        logging.getLogger("snowflake").setLevel(logging.CRITICAL)  # errors are reported by our own messages
    return snowflake.connector


def _close(connection: Any) -> None:
    if connection is not None:
        try:
            connection.close(retry=False)
        except _driver().Error:
            pass  # it is gone already
