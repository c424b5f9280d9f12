"""Which texts are addresses that requests can be sent to: http or https, a host, perhaps a port, no user name."""

from __future__ import annotations

import ipaddress
import re

from headrace.ir.problems import fault

MAX_PORT = 65535

_PLACE = r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
PATTERN = r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][^\s#]*)?$"
"""The form of an address, for a JSON Schema, which can check neither the number of a port nor that of an IP address."""
_ADDRESS = re.compile(rf"https?://{_PLACE}(?:[/?][^\s#]*)?")
_HOST = re.compile(rf"(?:https?://)?{_PLACE}")
_NUMERIC = re.compile(r"[0-9]+.[0-9]+.[0-9]+.[0-9]+")
"""Hosts that httpx treats as an IPv4 address: the dots of its pattern are not escaped, so it matches and refuses
`1234567`."""


def is_web_address(text: str) -> bool:
    """Whether httpx can send requests to `text`, up to the name's resolution."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and text.isprintable() and _exists(found["host"], found["port"])


def is_host(text: str) -> bool:
    """Whether `text` is a host, with or without a scheme and a port."""
    found = _HOST.fullmatch(text)
    return found is not None and _exists(found["host"], found["port"])


def check_web_address(text: str) -> str:
    """Returns the address. Raises a fault (`invalid_url`) if no request can be sent to it."""
    if not is_web_address(text):
        hint = "for example https://api.example.com/v1: no user name, no '#', a port up to 65535, no braces in the host"
        raise fault("invalid_url", f"'{text}' is not an address that requests can be sent to", hint)
    return text


def _exists(host: str, port: str | None) -> bool:
    if port is not None and not 0 < int(port) <= MAX_PORT:
        return False
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        elif _NUMERIC.fullmatch(host):
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
