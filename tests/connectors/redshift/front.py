"""A proxy in front of the embedded PostgreSQL that makes of it what the tests need of Redshift: a double.

It speaks the protocol message by message. Types of Redshift's own are described by Redshift's numbers, the server says
that it is 8.0.2 and its encoding UNICODE, settings that PostgreSQL does not have are taken, and UNLOAD runs its SELECT
here and writes Parquet files and a manifest into a bucket. What it cannot show is Redshift itself.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from io import BytesIO
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from tests.sockets import connected, listener

OWN_SETTINGS = ("describe_field_name_in_uppercase", "enable_case_sensitive_identifier")
_UNLOAD = re.compile(
    r"UNLOAD \('(?P<select>(?:[^'\\]|''|\\.)*)'\) TO '(?P<to>(?:[^'\\]|''|\\.)*)'"
    r" IAM_ROLE (?P<role>DEFAULT|'(?:[^'\\]|''|\\.)*') FORMAT AS PARQUET MANIFEST VERBOSE"
    r" REGION AS '(?P<region>[a-z0-9-]*)' MAXFILESIZE AS 256 MB",
    re.S,
)
_ARROW = {16: pa.bool_(), 21: pa.int16(), 23: pa.int32(), 20: pa.int64(), 700: pa.float32(), 701: pa.float64()}
_PUT = Callable[[str, bytes], None]


def read_literal(text: str) -> str:
    """What a literal holds, as Redshift reads it: a quote is doubled, a backslash escapes."""
    return re.sub(r"''|\\(.)", lambda found: found[1] or "'", text, flags=re.S)


def _known_there(statement: str) -> str:
    """JSON_SERIALIZE is a word of PostgreSQL's own grammar."""
    return statement.replace("JSON_SERIALIZE(", '"json_serialize"(')


@dataclass
class Front:
    """Listens at `port`. `inner` is the libpq URL of the login that selects; `put` writes an object. `file_rows` are
    the rows of a file, `unloads` the UNLOAD statements it got, `fail_unload` breaks the next after its first file."""

    inner_port: int
    inner: str
    put: _PUT
    oids: dict[int, int]
    file_rows: int = 1000
    unloads: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    fail_unload: bool = False
    short_manifest: bool = False
    cut_after: int | None = None
    refuse: int = 0

    def __post_init__(self) -> None:
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
            if self.refuse:
                self.refuse -= 1
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), client:
            first = _exactly(client, 8)
            while first == b"\x00\x00\x00\x08\x04\xd2\x16\x2f":  # asks for TLS
                client.sendall(b"N")
                first = _exactly(client, 8)
            rest = _exactly(client, struct.unpack("!I", first[:4])[0] - 8)
            with connected(self.inner_port) as server:
                server.sendall(first + rest)
                _Connection(self, client, server).run()

    def unload(self, statement: str) -> tuple[int, str | None]:
        """Runs it; how many rows, or what the server says."""
        self.unloads.append(statement)
        found = _UNLOAD.fullmatch(statement)
        if found is None:
            return 0, f"syntax error in: {statement[:200]}"
        to = read_literal(found["to"])
        options = "-cstandard_conforming_strings=off -cescape_string_warning=off -ctimezone=UTC -cextra_float_digits=2"
        try:
            with psycopg.connect(self.inner, options=f"{options} -cdefault_transaction_read_only=on") as connection:
                cursor = connection.execute(_known_there(read_literal(found["select"])).encode())
                rows = cursor.fetchall()
                columns = [(each.name, _arrow(each)) for each in cursor.description or ()]
        except psycopg.Error as error:
            return 0, str(error).splitlines()[0]
        entries = []
        for number, start in enumerate(range(0, len(rows), self.file_rows)):
            part = rows[start : start + self.file_rows]
            arrays = [pa.array([_value(row[at], kind) for row in part], kind) for at, (_, kind) in enumerate(columns)]
            schema = pa.schema([pa.field(name, kind) for name, kind in columns])
            file = BytesIO()
            pq.write_table(pa.Table.from_arrays(arrays, schema=schema), file, row_group_size=300)
            url = f"{to}{number:04}_part_00.parquet"
            self.put(url, file.getvalue())
            meta = {"content_length": file.tell(), "record_count": len(part)}
            entries.append({"url": url, "meta": meta})
            if self.fail_unload:
                self.fail_unload = False
                return 0, "S3 Query Exception: the connection broke off"
        if self.short_manifest:
            entries = entries[:-1]
        total = sum(each["meta"]["record_count"] for each in entries)
        manifest = {"entries": entries, "schema": {}, "meta": {"record_count": total}, "author": {"name": "double"}}
        self.put(f"{to}manifest", json.dumps(manifest).encode())
        return len(rows), None


class _Connection:
    def __init__(self, front: Front, client: socket.socket, server: socket.socket) -> None:
        self._front, self._client, self._server = front, client, server
        self._status = b"I"
        self._rows = 0

    def run(self) -> None:
        threading.Thread(target=self._bring, daemon=True).start()
        with suppress(OSError, EOFError):
            while True:
                kind, body = _message(self._client)
                text = body[:-1].decode(errors="replace") if kind == b"Q" else ""
                if text.startswith("UNLOAD"):
                    self._rows, said = self._front.unload(text)
                    self._answer("UNLOAD", said)
                elif text.startswith("SET ") and text.split()[1] in OWN_SETTINGS:
                    self._front.settings.append(text)
                    self._answer("SET", None)
                else:
                    if text:
                        text = text.replace("pg_last_unload_count()", str(self._rows))
                        body = _known_there(text).encode() + b"\0"
                    self._server.sendall(_framed(kind, body))
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)

    def _answer(self, tag: str, said: str | None) -> None:
        done = _framed(b"C", tag.encode() + b"\0")
        if said is not None:
            done = _framed(b"E", b"SERROR\0CXX000\0M" + said.encode() + b"\0\0")
        self._client.sendall(done + _framed(b"Z", self._status))

    def _bring(self) -> None:
        brought = 0
        with suppress(OSError, EOFError):
            while True:
                kind, body = _message(self._server)
                if kind == b"T":
                    body = self._described(body)
                elif kind == b"S":
                    body = _said(body)
                elif kind == b"Z":
                    self._status = body
                message = _framed(kind, body)
                self._client.sendall(message)
                brought += len(message)
                if self._front.cut_after is not None and brought >= self._front.cut_after:
                    self._front.cut_after = None
                    break
        for each in (self._client, self._server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _described(self, body: bytes) -> bytes:
        """With Redshift's numbers for types of its own."""
        out, at = bytearray(body), 2
        for _ in range(struct.unpack("!H", body[:2])[0]):
            at = body.index(b"\0", at) + 1
            [oid] = struct.unpack("!I", body[at + 6 : at + 10])
            out[at + 6 : at + 10] = struct.pack("!I", self._front.oids.get(oid, oid))
            at += 18
        return bytes(out)


def _said(body: bytes) -> bytes:
    name, value, _ = body.split(b"\0")
    value = {b"server_version": b"8.0.2", b"client_encoding": b"UNICODE"}.get(name, value)
    return b"\0".join((name, value, b""))


def _arrow(column: psycopg.Column) -> pa.DataType:
    if column.type_code == 1700:
        return pa.decimal128(column.precision or 38, column.scale or 0)
    return _ARROW.get(column.type_code, pa.string())


def _value(value: Any, kind: pa.DataType) -> Any:
    return value if value is None or not pa.types.is_decimal(kind) else Decimal(value)


def _message(sock: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(sock, 5)
    return head[:1], _exactly(sock, struct.unpack("!I", head[1:])[0] - 4)


def _framed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _exactly(sock: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        piece = sock.recv(size - len(got))
        if not piece:
            raise EOFError
        got += piece
    return bytes(got)
