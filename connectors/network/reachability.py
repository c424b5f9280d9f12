"""Why a server cannot be reached over TLS, and how to correct it, from the texts of clients and of OpenSSL."""

from __future__ import annotations

import re

from headrace.connectors.errors import SourceError

_HINTS = (
    (r"certificate.{0,30}expired", "The server's certificate is not valid any more: have it renewed."),
    (
        r"hostname mismatch|not valid for|NotValidForName|doesn't match|does not match",
        "The certificate is another server's: use the name that is in it, and check any proxy in between.",
    ),
    (
        r"WRONG_VERSION_NUMBER|InvalidContentType|record layer failure|UNEXPECTED_EOF",
        "What listens there speaks no TLS: check the address and its port.",
    ),
    (
        r"certificate|UnknownIssuer|CaUsedAsEndEntity",
        "No authority that is known here signed the server's certificate: check the address, and any proxy in between "
        "that opens TLS.",
    ),
    (r"connection refused", "No server listens there: check the address and its port."),
    (
        r"timed? ?out|timeout|no route|unreachable",
        "Nothing answers there: check the address and the firewalls between.",
    ),
)


def hint_of(text: str) -> str | None:
    """How to correct what the text of an error describes; None for another fault."""
    return next((hint for pattern, hint in _HINTS if re.search(pattern, text, re.IGNORECASE)), None)


def unreachable(place: str, error: BaseException, otherwise: str = "Check that it can be reached.") -> SourceError:
    """The error `connection_failed` of a place that could not be connected to; `otherwise` is the hint for faults
    without one of their own."""
    said = str(getattr(error, "strerror", None) or error or type(error).__name__)[:200].rstrip(".")
    return SourceError("connection_failed", f"{place} cannot be reached: {said}.", hint_of(said) or otherwise)
