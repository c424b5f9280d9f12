"""Turns errors of the server and its driver into SourceErrors with a code and a hint."""

from __future__ import annotations

import re
from typing import Any

from headrace.connectors.errors import SourceError

_TRUST = "Give the PEM text of the authority that signed it in 'sslRootCert'."
_NO_TLS = (
    "The server speaks no TLS there: switch it on at the server, or set 'tls' to false within the operator's networks."
)
_DNS = "Check the name in the mongodb+srv connection string, whose SRV and TXT records are asked for."
_WANTS_TLS = "The server closed the connection: it may want TLS (set 'tls' to true), or is not MongoDB."
_MEMBERS = "Check 'replicaSet' and 'readPreference', and that its members can be reached from here."
_CONNECTING = (
    (r"hostname mismatch|doesn't match|not valid for", "Give as 'host' the name that is in the certificate."),
    (r"certificate verify failed|self.signed|unable to get local issuer", _TRUST),
    (r"wrong version number|record layer|SSL handshake failed.*(closed|EOF|reset|timed out)", _NO_TLS),
    (r"private key|certificate", "Check the PEM texts 'sslCert', 'sslKey' and 'sslRootCert'."),
    (r"SSL|TLS", "Check 'tls' and the certificates."),
    (r"DNS|SRV|NXDOMAIN|resolution|query name", _DNS),
    (r"refused", "No server listens there: check 'host' and 'port'."),
    (r"connection closed|reset", _WANTS_TLS),
    (r"replica set|No primary|not.*primary|No replica", _MEMBERS),
    (r"timed? ?out|No route|unreachable", "Nothing answers there: check 'host', 'port' and the firewalls between."),
)
_LOGIN = frozenset((18, 11, 8000, 334))
_NOT_PERMITTED = frozenset((13, 31))
_LOST = frozenset((43, 6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436, 237, 175, 136, 133))
_TIMED_OUT = frozenset((50, 262))
_MISSING = frozenset((26, 73))


def said(error: BaseException) -> str:
    """The driver's message in one line, without its settings and ids."""
    text = str(error)
    text = re.split(r", full error:|, Timeout: |, Topology Description:", text)[0]
    text = re.sub(r" ?\(configured timeouts:[^)]*\)", "", text)
    return re.sub(r"\s+", " ", text).strip()[:300].rstrip(". ")


def refused(error: BaseException, name: str) -> SourceError:
    """The error for an unreachable deployment."""
    text = said(error)
    if isinstance(error, ModuleNotFoundError):
        raise error
    hint = next((remedy for pattern, remedy in _CONNECTING if re.search(pattern, text, re.I)), "")
    return SourceError("connection_failed", f"MongoDB at {name} cannot be reached: {text}.", hint)


def failed(error: Any, what: str, name: str) -> SourceError:
    """The error of a command; `what` is the collection: `shop.orders`. `connection_lost` can be retried."""
    from pymongo import errors

    if isinstance(error, errors.ServerSelectionTimeoutError):
        return refused(error, name)
    if isinstance(error, errors.ConfigurationError | errors.InvalidURI):
        return refused(error, name)
    code = error.code if isinstance(error, errors.OperationFailure) else None
    text = said(error)
    if code in _LOGIN or re.search(r"authentication failed|bad auth", text, re.I):
        return SourceError(
            "bad_credentials",
            f"MongoDB at {name} does not let this login in: {text}.",
            "Check 'username' and 'password' in authConfig, and 'authSource': the database that the user is of.",
        )
    if code in _NOT_PERMITTED or re.search(
        r"not authorized|requires authentication|authentication required|not allowed to do action", text, re.I
    ):
        return SourceError(
            "not_permitted",
            f"{what} may not be read: {text}.",
            "Give the user the role 'read' on the database, and the connector a login that it has.",
        )
    if code in _TIMED_OUT or isinstance(error, errors.ExecutionTimeout):
        return SourceError(
            "timed_out",
            f"The server gave up on {what}: {text}.",
            "Set 'timeoutSeconds' higher, or make an index for the filter or the cursor.",
        )
    if code in _MISSING:
        return SourceError("missing_collection", f"{what} cannot be read: {text}.", "Was it renamed or dropped?")
    if code in _LOST or isinstance(error, errors.ConnectionFailure | errors.CursorNotFound):
        return SourceError(
            "connection_lost", f"The connection was lost while {what} was read: {text}.", "Try it again."
        )
    return SourceError("query_failed", f"{what} cannot be read: {text}.")
