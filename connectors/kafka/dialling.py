"""Checks each address that the client connects to, at the moment of the connection.

librdkafka connects by itself to every broker that a cluster announces, and resolves their names by itself. It has a
callback for connecting that its Python package does not hand through: it is set here on the client's own configuration,
before the client knows of any broker. (The structure that this reads is that of the releases that pyproject.toml
allows.)
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import socket
import sys
from collections import deque
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network, is_allowed

_CONNECT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_HEAD = object.__basicsize__
"""Bytes of every Python object before its own fields; the first field of a client is the handle."""
_FAMILY, _V4, _V6 = 2, slice(4, 8), slice(8, 24)
"""Offsets in a `sockaddr`: the family, and the address of IPv4 and IPv6."""


class Dialling:
    """Checks one client's connections; must live as long as the client."""

    def __init__(self, client: Any, networks: Sequence[Network], *, encrypted: bool, servers: str) -> None:
        """Sets the callback, then adds the brokers to a client that was created without any. Raises
        SourceError(`not_installed`)."""
        self.refused: deque[str] = deque(maxlen=8)
        """Refused addresses."""
        library, libc, networks = _library(), ctypes.CDLL(None, use_errno=True), tuple(networks)

        def connect(handle: int, address: int, size: int, broker: bytes, opaque: int | None) -> int:
            del broker, opaque
            try:
                found = _address(ctypes.string_at(address, size))
                allowed = is_allowed(found, networks) and (encrypted or not is_allowed(found, ()))
                if not allowed:
                    self.refused.append(str(found))
                    return errno.EACCES
                failed = ctypes.get_errno() if libc.connect(handle, ctypes.c_void_p(address), size) else 0
                return 0 if failed == errno.EINPROGRESS else failed
            except BaseException:  # noqa: BLE001 - nothing may go into the client's thread
                return errno.EACCES

        self._callback = _CONNECT(connect)
        handle = ctypes.c_void_p.from_address(id(client) + _HEAD)
        library.rd_kafka_conf_set_connect_cb(library.rd_kafka_conf(handle), self._callback)
        library.rd_kafka_brokers_add(handle, servers.encode())

    def refusal(self) -> SourceError | None:
        """The error for the last refused address, if any."""
        if not self.refused:
            return None
        address = self.refused[-1]
        return SourceError(
            "address_refused",
            f"The cluster names a broker at {address}, which connectors may not reach, or not without TLS.",
            f'The operator can allow it: HEADRACE_CONNECTOR_NETWORKS=["{address}"].',
        )


def _address(data: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    family = int.from_bytes(data[:_FAMILY], sys.byteorder)
    if family == socket.AF_INET:
        return ipaddress.IPv4Address(data[_V4])
    if family == socket.AF_INET6:
        return ipaddress.IPv6Address(data[_V6])
    raise ValueError(family)


@cache
def _library() -> Any:
    """The loaded librdkafka library. Raises SourceError(`not_installed`) if its callback cannot be set."""
    import confluent_kafka

    places = Path(confluent_kafka.__file__).parent.parent.glob("confluent_kafka.libs/librdkafka*.so*")
    for place in sorted(places):
        found = ctypes.CDLL(str(place))
        if found.rd_kafka_version() == confluent_kafka.libversion()[1]:
            found.rd_kafka_conf.restype = ctypes.c_void_p
            found.rd_kafka_conf.argtypes = [ctypes.c_void_p]
            found.rd_kafka_conf_set_connect_cb.restype = None
            found.rd_kafka_conf_set_connect_cb.argtypes = [ctypes.c_void_p, _CONNECT]
            found.rd_kafka_brokers_add.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
            return found
    raise SourceError(
        "not_installed",
        "The connections of this confluent-kafka cannot be watched.",
        "Install its wheel for Linux (pip install 'headrace[kafka]'); one that was built here will not do.",
    )
