"""The driver's connection, with the packets checked whose lengths its parser trusts.

asyncmy reads the description of a column in C without looking at where the packet ends: lengths that a server makes up
would read this process's memory into column names, or crash it. Here the lengths are checked before it parses.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

_TEXTS = 6
"""The texts at the start of a column's description: catalog, database, table, original table, column, original
column."""
_FIXED = 13
"""Bytes after them."""
_WIDTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}
"""First byte of a text's length → bytes of the length after it; up to 0xFA it is the length itself."""


def is_whole_description(data: bytes) -> bool:
    """Whether every text of a column's description, and what follows them, is inside the packet."""
    place = 0
    for _ in range(_TEXTS):
        if place >= len(data):
            return False
        first = data[place]
        place += 1
        if first in _WIDTHS:
            width = _WIDTHS[first]
            if place + width > len(data):
                return False
            length = int.from_bytes(data[place : place + width], "little")
            place += width
        elif first > 0xFA:  # null, or no length at all
            return False
        else:
            length = first
        place += length
    return place + _FIXED <= len(data)


@cache
def connection_type() -> Any:
    """The driver's connection; its `read_packet` raises asyncmy.errors.InternalError for such a packet."""
    driver: Any = import_module("asyncmy.connection")
    protocol: Any = import_module("asyncmy.protocol")
    errors: Any = import_module("asyncmy.errors")

    async def read_packet(self: Any, packet_type: Any = protocol.MysqlPacket) -> Any:
        if packet_type is not protocol.FieldDescriptorPacket:
            return await driver.Connection.read_packet(self, packet_type)
        data = (await driver.Connection.read_packet(self, protocol.MysqlPacket)).get_all_data()
        if not is_whole_description(data):
            raise errors.InternalError("The description of a column is longer than its packet")
        return protocol.FieldDescriptorPacket(data, encoding=self._encoding)

    return type("Connection", (driver.Connection,), {"read_packet": read_packet})
