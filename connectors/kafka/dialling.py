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
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network, is_allowed

_CONNECT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_PLACE = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32)
"""A list of partitions, a topic, and a partition."""
_HEAD = object.__basicsize__
"""Bytes of every Python object before its own fields; the first field of a client is the handle."""
_FAMILY, _V4, _V6 = 2, slice(4, 8), slice(8, 24)
"""Offsets in a `sockaddr`: the family, and the address of IPv4 and IPv6."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """Where a client may connect to; `refused` are the addresses that it was kept from."""

    networks: tuple[Network, ...]
    encrypted: bool
    refused: deque[str]

    def allow(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        """Whether it may; remembers an address that it may not."""
        allowed = is_allowed(address, self.networks) and (self.encrypted or not is_allowed(address, ()))
        if not allowed:
            self.refused.append(str(address))
        return allowed


_rules: dict[int, _Rules] = {}
"""By the address of the client's object, which is what librdkafka hands to the callback."""


class Dialling:
    """Checks one client's connections. A client whose Dialling is gone connects to nothing any more."""

    def __init__(self, client: Any, networks: Sequence[Network], *, encrypted: bool, servers: str) -> None:
        """Sets the callback, then adds the brokers to a client that was created without any. Raises
        SourceError(`not_installed`)."""
        self._library = _library()
        self._rules = _Rules(tuple(networks), encrypted, deque(maxlen=8))
        _rules[id(client)] = self._rules
        weakref.finalize(self, _forget, id(client), self._rules)
        self._handle = ctypes.c_void_p.from_address(id(client) + _HEAD)
        self._library.rd_kafka_conf_set_connect_cb(self._library.rd_kafka_conf(self._handle), _connect)
        self._library.rd_kafka_brokers_add(self._handle, servers.encode())

    @property
    def refused(self) -> deque[str]:
        """Refused addresses."""
        return self._rules.refused

    def assign(self, topic: str, partition: int, offset: int) -> int:
        """Lets the client, a consumer, read a partition from an offset; returns librdkafka's code of an error, 0 if it
        does. Raises RuntimeError if it is closed.

        `Consumer.assign` keeps Python's lock while librdkafka's main thread does it. That thread may wait for a broker
        that is connecting, whose thread waits for the lock, because it has to call `_connect`: none would ever go on.
        """
        if not self._handle.value:
            raise RuntimeError("The consumer is closed")
        library, name = self._library, topic.encode()
        places = library.rd_kafka_topic_partition_list_new(1)
        try:
            library.rd_kafka_topic_partition_list_add(places, name, partition)
            library.rd_kafka_topic_partition_list_set_offset(places, name, partition, offset)
            return int(library.rd_kafka_assign(self._handle, places))
        finally:
            library.rd_kafka_topic_partition_list_destroy(places)

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


def _forget(client: int, rules: _Rules) -> None:
    if _rules.get(client) is rules:  # another client may be at the same place by now
        del _rules[client]


def _connect_checked(handle: int, address: int, size: int, broker: bytes, client: int | None) -> int:
    """Connects a socket to an address that the client may connect to; returns an errno, or 0."""
    del broker
    try:
        rules = _rules.get(client or 0)
        if rules is None or not rules.allow(_address(ctypes.string_at(address, size))):
            return errno.EACCES
        failed = ctypes.get_errno() if _libc.connect(handle, ctypes.c_void_p(address), size) else 0
        return 0 if failed == errno.EINPROGRESS else failed
    except BaseException:  # noqa: BLE001 - nothing may go into the client's thread
        return errno.EACCES


_libc = ctypes.CDLL(None, use_errno=True)
_connect = _CONNECT(_connect_checked)
"""One for all clients, which is never freed: a client's threads may call it until the client is destroyed, and that may
be after everything else that belonged to it."""


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
            found.rd_kafka_topic_partition_list_new.restype = ctypes.c_void_p
            found.rd_kafka_topic_partition_list_new.argtypes = [ctypes.c_int]
            found.rd_kafka_topic_partition_list_add.restype = ctypes.c_void_p
            found.rd_kafka_topic_partition_list_add.argtypes = _PLACE
            found.rd_kafka_topic_partition_list_set_offset.argtypes = [*_PLACE, ctypes.c_int64]
            found.rd_kafka_topic_partition_list_destroy.restype = None
            found.rd_kafka_topic_partition_list_destroy.argtypes = [ctypes.c_void_p]
            found.rd_kafka_assign.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
            return found
    raise SourceError(
        "not_installed",
        "The connections of this confluent-kafka cannot be watched.",
        "Install its wheel for Linux (pip install 'headrace[kafka]'); one that was built here will not do.",
    )
