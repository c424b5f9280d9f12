"""A hostile MySQL server gets no file and no clear-text password, and causes no more than an error."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.specs.databases import Login, MySQL
from headrace.connectors.sql.mysql.connector import MYSQL
from headrace.connectors.sql.mysql.wire import Wire, faults

pytest.importorskip("asyncmy")

PASSWORD = "hunter2-and-more"
_CAPABILITIES = 0x81FFF7FE & ~(1 << 11) & ~(1 << 24)
_LOCAL_FILES = 1 << 7
_OK = b"\x00\x00\x00\x02\x00\x00\x00"


class Server:
    """Lets anybody in, and answers each command by `answer` (payloads of packets). `heard` is all that was sent."""

    def __init__(self, answer: Callable[[bytes], list[bytes]], *, asks: bytes | None = None) -> None:
        self._answer, self._asks = answer, asks
        self.heard = b""
        self.flags = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, EOFError):
            self._send(client, 0, [self._greeting()])
            login = self._packet(client)
            self.flags = struct.unpack("<I", login[:4])[0]
            sequence = 2
            if self._asks is not None:
                self._send(client, sequence, [b"\xfe" + self._asks + b"\0" + b"x" * 20 + b"\0"])
                self._packet(client)
                sequence = 4
            self._send(client, sequence, [_OK])
            while True:
                command = self._packet(client)
                self._send(client, 1, self._answer(command))

    def _greeting(self) -> bytes:
        low, high = _CAPABILITIES & 0xFFFF, _CAPABILITIES >> 16
        return b"".join(
            (
                *(b"\x0a", b"8.4.0\0", struct.pack("<I", 1), b"s" * 8, b"\0", struct.pack("<H", low), b"\xff"),
                *(struct.pack("<H", 2), struct.pack("<H", high), b"\x15", b"\0" * 10, b"s" * 12 + b"\0"),
                b"mysql_native_password\0",
            )
        )

    def _packet(self, client: socket.socket) -> bytes:
        head = self._exactly(client, 4)
        body = self._exactly(client, int.from_bytes(head[:3], "little"))
        self.heard += body
        return body

    @staticmethod
    def _exactly(client: socket.socket, count: int) -> bytes:
        got = b""
        while len(got) < count:
            piece = client.recv(count - len(got))
            if not piece:
                raise EOFError
            got += piece
        return got

    @staticmethod
    def _send(client: socket.socket, sequence: int, payloads: list[bytes]) -> None:
        for at, payload in enumerate(payloads):
            client.sendall(len(payload).to_bytes(3, "little") + bytes([(sequence + at) & 255]) + payload)

    def close(self) -> None:
        self._listening.close()


@contextmanager
def serving(answer: Callable[[bytes], list[bytes]], asks: bytes | None = None) -> Iterator[Server]:
    server = Server(answer, asks=asks)
    try:
        yield server
    finally:
        server.close()


def tried(server: Server, sslmode: str = "prefer") -> str:
    config = {"host": "127.0.0.1", "port": server.port, "database": "d", "sslmode": sslmode}
    connection = Connection("c", "mysql", config, {"username": "reader", "password": PASSWORD})
    surroundings = Surroundings(FilesRoot(Path("/nowhere")), [ip_network("127.0.0.0/8")])
    with pytest.raises(SourceError) as refused:
        MYSQL.tried(Context(connection, surroundings))
    assert PASSWORD not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("at", [b"@@SESSION.time_zone", b"SET NAMES", b"SET SESSION", b"START", b"TABLES"])
def test_a_server_that_asks_for_a_file_gets_none(tmp_path: Path, at: bytes) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the content of a file of this machine")

    def answer(command: bytes) -> list[bytes]:
        if at in command:
            return [b"\xfb" + str(secret).encode()]
        if command[:7] == b"\x03SELECT":
            return [*_result([b"UTC"])]
        return [_OK]

    with serving(answer) as server:
        reported = tried(server)
        assert server.flags & _LOCAL_FILES == 0
        assert b"the content" not in server.heard
    assert "asked for a file" in reported


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog", b"mysql_old_password"])
def test_no_password_goes_over_a_line_that_is_not_encrypted(plugin: bytes) -> None:
    for mode in ("prefer", "disable"):
        with serving(lambda _: [_OK], plugin) as server:
            reported = tried(server, mode)
            assert PASSWORD.encode() not in server.heard
        assert "in the clear" in reported


def test_without_tls_nothing_is_sent_where_it_is_asked_for() -> None:
    with serving(lambda _: [_OK]) as server:
        for mode in ("require", "verify-full"):
            assert "does not support TLS" in tried(server, mode)
        assert b"reader" not in server.heard


def _result(row: list[bytes], columns: int | None = None) -> list[bytes]:
    def text(value: bytes) -> bytes:
        return bytes([len(value)]) + value

    count = len(row) if columns is None else columns
    column = text(b"def") + text(b"") * 4 + text(b"") + struct.pack("<BHIBHBH", 12, 45, 400, 253, 0, 0, 0)
    eof = b"\xfe\x00\x00\x02\x00"
    return [bytes([count]), *([column] * count), eof, b"".join(map(text, row)), eof]


@pytest.mark.parametrize(
    "length",
    [
        b"\xfa",
        b"\xfc\xff\xff",
        b"\xfd\xff\xff\xff",
        b"\xfe" + b"\xff" * 8,
        b"\xfe" + b"\xff" * 7 + b"\x7f",
        b"\xfd\x01",
        b"\xfe",
    ],
)
@pytest.mark.parametrize("place", range(6))
def test_a_column_whose_description_is_longer_than_its_packet_is_not_read_beyond_it(place: int, length: bytes) -> None:
    """The driver's parser would read this process's memory there, or crash it."""

    def answer(command: bytes) -> list[bytes]:
        del command
        head, column, *rest = _result([b"x"])
        texts = [b"\x03def", b"\x00", b"\x00", b"\x00", b"\x00", b"\x00"]
        return [head, b"".join(texts[:place]) + length + column[-2:], *rest]

    with serving(answer) as server:
        assert "longer than its packet" in tried(server)


def test_the_answer_to_a_prepared_statement_may_be_too_short() -> None:
    with serving(lambda command: [b"\x00\x01"] if command[:1] == b"\x16" else [_OK]) as server:
        place = MySQL(host="127.0.0.1", port=server.port, database="d", sslmode="disable")
        login = Login(username="reader", password=PASSWORD)
        connection = Wire(place, login, "127.0.0.1", None, 10, 10)
        try:
            connection.connect()
            with pytest.raises(faults(), match="too short"):
                connection.described("SELECT 1")
        finally:
            connection.close()


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8), st.booleans())
@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@pytest.mark.slow
def test_whatever_a_server_answers_is_an_error_in_plain_words(payloads: list[bytes], wellformed: bool) -> None:
    def answer(command: bytes) -> list[bytes]:
        if wellformed and b"SELECT" in command:
            head = _result([b"x"])[:3]
            return [*head, *payloads]
        return [*payloads, b"\xff\x01\x00#HY000end"]

    with serving(answer) as server:
        assert tried(server)
