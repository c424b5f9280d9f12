"""One connection, over asyncmy, for one thread that waits: its event loop runs only during a request.

asyncmy gives every value as text as the server writes it (`conv={}`) and parses rows in C; its loop is private to the
connection, so that no thread and no other loop is concerned. Unwanted features are switched off: several statements in
one, files of this machine, clear-text passwords without TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from headrace.connectors.specs.databases import Login, MySQL
from headrace.connectors.sql.mysql.errors import refused
from headrace.connectors.sql.mysql.packets import connection_type

T = TypeVar("T")

_SSL = 1 << 11
_MULTI_STATEMENTS = 1 << 16
_LOCAL_FILES = 1 << 7
_PREPARE = 0x16
_PREPARED_BYTES = 9
"""The fields of the response: its first byte, the statement, the counts of columns and parameters."""
_MARIADB = "MariaDB"
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))


@dataclass(frozen=True, slots=True)
class Described:
    """A column of a result, as the protocol describes it."""

    name: str
    code: int
    charset: int
    flags: int
    length: int
    decimals: int


class Wire:
    """A connection, opened by `connect`. All methods except `connect` raise the driver's errors, `faults()`."""

    def __init__(
        self,
        place: MySQL,
        login: Login,
        address: str,
        tls: ssl.SSLContext | None,
        connect_seconds: float,
        read_seconds: float,
    ) -> None:
        self._place, self._login, self._address, self._tls = place, login, address, tls
        self._connect_seconds, self._read_seconds = connect_seconds, read_seconds
        self._loop = asyncio.SelectorEventLoop()
        self._connection: Any = None
        self._cursor: Any = None
        self.speaks_tls: bool | None = None
        """Whether the server supports TLS; None before the handshake."""

    @property
    def encrypted(self) -> bool:
        """Whether the connection is under TLS."""
        return self._tls is not None

    @property
    def is_mariadb(self) -> bool:
        """Whether it is MariaDB."""
        return _MARIADB in str(self._connection.server_version)

    @property
    def version_name(self) -> str:
        """The displayed version: `8.4.3`, `10.11.19`."""
        text = str(self._connection.server_version)
        # the version prefix of MariaDB for clients that know only MySQL
        return (text.removeprefix("5.5.5-") if self.is_mariadb else text).split("-")[0]

    def connect(self) -> None:
        """Connects and logs in. Raises SourceError(`connection_failed`)."""
        try:
            self._run(asyncio.wait_for(self._connected(), self._connect_seconds))
        except TimeoutError:
            self.close()
            raise refused(TimeoutError(f"Nothing answered at {self._address} within {self._connect_seconds} s")) from (
                None
            )
        except faults() as error:
            self.close()
            raise refused(error) from None

    async def _connected(self) -> None:
        place, login = self._place, self._login
        self._connection = connection = connection_type()(
            host=self._address,
            port=place.port,
            user=login.username,
            password=login.password.get_secret_value().encode(),
            database=place.database,
            charset="utf8mb4",
            conv={},
            autocommit=None,
            local_infile=False,
            connect_timeout=self._connect_seconds,
            read_timeout=self._read_seconds,
            program_name="headrace",
            ssl=self._tls,
            auth_plugin_map={} if self._tls is not None else dict.fromkeys(_IN_THE_CLEAR, _Refusing),
        )
        connection._client_flag &= ~(_MULTI_STATEMENTS | _LOCAL_FILES)
        connection.show_warnings = _no_warnings
        try:
            await connection.connect()
        finally:
            capabilities = getattr(connection, "server_capabilities", None)
            self.speaks_tls = None if capabilities is None else bool(capabilities & _SSL)
        connected = connection._transport.get_extra_info("socket")
        if connected is not None:
            for name, value in _KEEPALIVE:
                if hasattr(socket, name):
                    connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def all(self, statement: str) -> tuple[list[tuple[Any, ...]], list[Described]]:
        """All rows of a statement, and its columns."""
        return self._run(self._all(statement))

    async def _all(self, statement: str) -> tuple[list[tuple[Any, ...]], list[Described]]:
        cursor = _driver("cursors").Cursor(self._connection)
        await cursor.execute(statement)
        fields = [_of(each) for each in getattr(cursor._result, "fields", None) or ()]
        return list(await cursor.fetchall()) if fields else [], fields

    def described(self, statement: str) -> list[Described]:
        """The columns of a statement, which the server prepares as a single one and does not run."""
        return self._run(self._described(statement))

    async def _described(self, statement: str) -> list[Described]:
        """COM_STMT_PREPARE and its answer: counts, then the parameters and the columns, each with an end."""
        connection, packet = self._connection, _driver("protocol").FieldDescriptorPacket
        await connection._execute_command(_PREPARE, statement)
        answer = await connection.read_packet()
        if len(answer.get_all_data()) < _PREPARED_BYTES:
            raise _driver("errors").InternalError("The answer to a statement is too short")
        answer.advance(5)
        columns, parameters = answer.read_uint16(), answer.read_uint16()
        for _ in range(parameters + (parameters > 0 and not connection._deprecate_eof)):
            await connection.read_packet()
        found = [await connection.read_packet(packet) for _ in range(columns)]
        if columns and not connection._deprecate_eof:
            await connection.read_packet()
        return [_of(each) for each in found]

    def begin(self, statement: str) -> None:
        """Begins to read a statement's rows, which `some` returns."""
        self._run(self._begin(statement))

    async def _begin(self, statement: str) -> None:
        self._cursor = _driver("cursors").SSCursor(self._connection)
        await self._cursor.execute(statement)
        self._connection._transport.pause_reading()

    def some(self, rows: int) -> Sequence[tuple[Any, ...]]:
        """The next `count` rows; fewer at the end."""
        return self._run(self._some(rows))

    async def _some(self, rows: int) -> list[tuple[Any, ...]]:
        """Receives bytes only while rows are requested, so that the server waits in between."""
        transport = self._connection._transport
        transport.resume_reading()
        try:
            found: list[tuple[Any, ...]] = await self._cursor.fetchmany(rows)
        finally:
            transport.pause_reading()
        return found

    def close(self) -> None:
        """Closes the connection at once, even while the server is sending."""
        if self._loop.is_closed():
            return
        with suppress(*faults()):
            self._run(self._close())
        self._loop.close()

    async def _close(self) -> None:
        connection, self._connection, self._cursor = self._connection, None, None
        transport = getattr(connection, "_transport", None)
        if transport is not None:
            transport.abort()
        if connection is not None:
            connection.close()
        for _ in range(3):  # the loop closes transports in its next iterations
            await asyncio.sleep(0)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end in this thread, even if another loop is running in it."""
        other = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self._loop.run_until_complete(coroutine)
        finally:
            asyncio._set_running_loop(other)


def _driver(module: str) -> Any:
    """A module of the driver, typed as Any because its stubs are incomplete."""
    return import_module(f"asyncmy.{module}")


def _of(field: Any) -> Described:
    return Described(field.name, field.type_code, field.charsetnr, field.flags, field.length, field.scale)


async def _no_warnings() -> None:
    """Replaces the driver's SHOW WARNINGS after each answer and its log: warnings may contain values."""


class _Refusing:
    """Replaces authentication plugins that would send the password in clear text without TLS."""

    def __init__(self, connection: Any) -> None:
        del connection

    def authenticate(self, packet: Any) -> None:
        """Does nothing."""
        del packet
        raise RuntimeError("The server asks for the password in the clear, and the connection is not encrypted")


_IN_THE_CLEAR = ("mysql_clear_password", "dialog", "mysql_old_password")


@cache
def faults() -> tuple[type[Exception], ...]:
    """The exceptions of the driver: its own, and others where a server breaks the protocol."""
    return (
        *(
            _driver("errors").MySQLError,
            OSError,
            RuntimeError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            AssertionError,
        ),
        *(ArithmeticError, MemoryError, SystemError, EOFError, struct.error),
    )
