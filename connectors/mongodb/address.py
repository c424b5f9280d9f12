"""The address of a deployment: a host, or a connection string whose options are all known.

Options that read files of this server, weaken TLS, or send requests elsewhere (cloud roles, proxies)
are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

PORT = 27017
_STRING = re.compile(r"mongodb(?P<srv>\+srv)?://(?:(?P<login>[^@/?#]*)@)?(?P<hosts>[^@/?#]+)(?:/(?P<rest>[^#]*))?")
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:%/\s]+)(?::(?P<port>[0-9]{1,5}))?")
_READS = ("primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest")
MECHANISMS = ("SCRAM-SHA-1", "SCRAM-SHA-256", "MONGODB-X509", "DEFAULT")
_IGNORED = frozenset(
    (
        *("retrywrites", "retryreads", "w", "wtimeoutms", "journal", "appname", "compressors", "zlibcompressionlevel"),
        *("maxpoolsize", "minpoolsize", "maxidletimems", "waitqueuetimeoutms", "connecttimeoutms", "sockettimeoutms"),
        *("serverselectiontimeoutms", "heartbeatfrequencyms", "localthresholdms", "readconcernlevel", "timeoutms"),
        *("uuidrepresentation", "servermonitoringmode", "maxconnecting", "srvmaxhosts"),
    )
)
"""Options of a connection string that are ignored: this connector sets them itself."""


class BadAddress(ValueError):
    """An invalid connection string. The message contains no secret part of it; `hint` says how to correct it."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Address:
    """`hosts` has one or more; with `srv`, one name for the SRV lookup. `tls` is None if not set. Options have the
    driver's names."""

    hosts: tuple[tuple[str, int], ...]
    srv: bool = False
    database: str | None = None
    tls: bool | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def address_of(text: str) -> Address:
    """Parses a connection string: `mongodb://a:27017,b:27017/shop?replicaSet=rs`. Raises BadAddress."""
    found = _STRING.fullmatch(text.strip())
    if found is None:
        raise BadAddress(
            "It is not a connection string", "write mongodb://host:27017/database or mongodb+srv://host/database"
        )
    srv = found["srv"] is not None
    hosts = tuple(host_of(each) for each in found["hosts"].split(","))
    if srv and (len(hosts) > 1 or ":" in found["hosts"]):
        raise BadAddress("mongodb+srv takes one host without a port", "")
    path, _, query = (found["rest"] or "").partition("?")
    username, _, password = (found["login"] or "").partition(":")
    tls, options = _options(query)
    return Address(
        hosts,
        srv,
        unquote(path) or None,
        True if srv and tls is None else bool(tls),
        options,
        unquote(username) or None,
        unquote(password) or None,
    )


def host_of(text: str, port: int = PORT) -> tuple[str, int]:
    """Parses a host: `db.example.org`, `db.example.org:27018`, `[::1]:27017`. Raises BadAddress."""
    found = _HOST.fullmatch(text.strip())
    number = int(found["port"]) if found is not None and found["port"] else port
    if found is None or not 0 < number < 65536 or found["host"].endswith(".sock"):
        raise BadAddress("A host is none", "write db.example.org or db.example.org:27017")
    return found["host"].strip("[]"), number


def _options(query: str) -> tuple[bool | None, dict[str, Any]]:
    tls: bool | None = None
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        match name.lower():
            case "tls" | "ssl":
                tls = _boolean(name, value)
            case "directconnection":
                found["directConnection"] = _boolean(name, value)
            case "loadbalanced":
                found["loadBalanced"] = _boolean(name, value)
            case "replicaset":
                found["replicaSet"] = value
            case "authsource":
                found["authSource"] = value
            case "srvservicename" if re.fullmatch(r"[A-Za-z0-9-]{1,15}", value):
                found["srvServiceName"] = value
            case "readpreference" if value in _READS:
                found["readPreference"] = value
            case "maxstalenessseconds" if value.isdigit():
                found["maxStalenessSeconds"] = int(value)
            case "authmechanism" if value in MECHANISMS:
                found["authMechanism"] = value
            case other if other not in _IGNORED:
                raise BadAddress(f"Its option '{name[:60]}' is not taken, or not with that value", "remove it")
    return tls, found


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise BadAddress(f"Its option '{name[:60]}' is neither true nor false", "")
    return value.lower() == "true"
