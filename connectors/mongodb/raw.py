"""BSON values as bytes: filters contain exactly the bytes of values that documents had."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from headrace.connectors.errors import SourceError
from headrace.connectors.mongodb.bson.layout import Malformed
from headrace.connectors.mongodb.bson.table import Table


class Value(NamedTuple):
    """A BSON value: its type and bytes."""

    kind: int
    content: bytes


def document(items: Sequence[tuple[str, Value]]) -> bytes:
    """A document of these keys and values."""
    body = b"".join(bytes([value.kind]) + name.encode() + b"\0" + value.content for name, value in items)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def sendable(items: Sequence[tuple[str, Value]]) -> Any:
    """The document for the driver, which sends the bytes unchanged."""
    from bson.raw_bson import RawBSONDocument

    return RawBSONDocument(document(items))


def literal(value: Value) -> Any:
    """A value within an expression."""
    return sendable([("$literal", value)])


def value_of(given: Any) -> Value:
    """Encodes a value of the driver."""
    import bson

    found = Table.of(bson.encode({"v": given}), [b"v"]).element(b"v", 0)
    assert found is not None
    return Value(*found)


def python_value(value: Value) -> Any:
    """Decodes to a value of the driver: dates as DatetimeMS."""
    import bson
    from bson.codec_options import CodecOptions, DatetimeConversion

    options: Any = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
    return bson.decode(document([("v", value)]), options)["v"]


def packed(values: Sequence[Value]) -> str:
    """Values as text for a position or a location."""
    return base64.b64encode(document([(str(place), value) for place, value in enumerate(values)])).decode()


def unpacked(text: object, count: int) -> list[Value]:
    """The inverse of `packed`. Raises SourceError(`bad_position`)."""
    try:
        table = Table.of(base64.b64decode(str(text), validate=True), [str(place).encode() for place in range(count)])
        found = [table.element(str(place).encode(), 0) for place in range(count)]
    except (binascii.Error, Malformed, ValueError, IndexError):
        found = [None]
    values = [Value(*each) for each in found if each is not None]
    if len(values) != count:
        raise SourceError("bad_position", "The position is invalid.", "Start a new run.")
    return values
