"""Turns errors of the server into SourceErrors with a code and a hint."""

from __future__ import annotations

import re

from headrace.connectors.errors import SourceError

_LOST = frozenset((0, 1053, 1152, 1158, 1159, 1160, 1161, 1184, 1213, 1412, 1927, 2006, 2013, 2014, 2055))
_DENIED = frozenset((1044, 1142, 1143, 1227, 1370))

NOT_PLANNED = "not_planned"
"""The error code for a readable view whose plan is not readable."""

_NO_MYSQL = "Check that MySQL or MariaDB listens there."
_CONNECTING = (
    (r"\(1045\)|Access denied for user .*using password", "Check 'username' and 'password' in authConfig."),
    (r"\(1044\)", "GRANT SELECT ON the database TO the user."),
    (r"\(1049\)", "Check 'database' in the connector's config."),
    (r"\(1130\)", "The server refuses logins from this host: CREATE USER for this host."),
    (r"\(1129\)", "The server blocks this host after errors: FLUSH HOSTS there."),
    (r"\(1040\)|\(1203\)|\(1226\)", "The server has no connection free: try again later, or raise its limit."),
    (r"\(3159\)|secure transport", "The server asks for TLS: set 'sslmode' to require or verify-full."),
    (r"does not support TLS", "Set 'sslmode' to prefer or disable, or switch TLS on at the server."),
    (r"Hostname mismatch|IP address mismatch|not valid for", "Give as 'host' the name that is in the certificate."),
    (
        r"CERTIFICATE_VERIFY_FAILED|no certificate or crl|authority",
        "Give the PEM text of the authority that signed it in 'sslRootCert'.",
    ),
    (r"KEY_VALUES_MISMATCH|PEM|client certificate", "Check the PEM texts 'sslCert' and 'sslKey'."),
    (r"in the clear", "Set 'sslmode' to verify-full."),
    (r"plugin", "Give the user mysql_native_password, caching_sha2_password, or ed25519 with its library installed."),
    (r"SSL|TLS", "Check 'sslmode' and the certificates."),
    (r"refused|Connect call failed", "No server listens there: check 'host' and 'port'."),
    (
        r"timeout|timed out|No route|unreachable|Nothing answered",
        "Nothing answers there: check 'host', 'port' and the firewalls between.",
    ),
    (r"Lost connection|sequence|packet|protocol", _NO_MYSQL),
)


def said_by(error: BaseException) -> tuple[int, str]:
    """The number and the text of a driver's error; 0 without a number."""
    arguments = error.args
    if len(arguments) >= 2 and isinstance(arguments[0], int):
        return arguments[0], str(arguments[1]).strip().rstrip(".")
    return 0, str(error).strip().rstrip(".") or type(error).__name__


def refused(error: BaseException) -> SourceError:
    """The error of a failed connection. The driver's texts contain the address and the user, never the password."""
    number, text = said_by(error)
    said = f"{text} ({number})" if 1000 <= number < 2000 or number >= 3000 else text
    hint = next((remedy for pattern, remedy in _CONNECTING if re.search(pattern, said, re.I)), _NO_MYSQL)
    return SourceError("connection_failed", f"{said}.", hint)


def failed(error: BaseException, what: str) -> SourceError:
    """The error of a statement; `what` is the relation: `shop.orders`. `connection_lost` can be retried."""
    number, said = said_by(error)
    if isinstance(error, UnicodeDecodeError):
        return SourceError(
            "bad_encoding",
            f"{what} holds text that is not UTF-8 though its column says so.",
            "Correct it there, or read a query that selects HEX(column).",
        )
    if isinstance(error, RuntimeError) and "LOAD_LOCAL" in said:
        return SourceError(
            "hostile_server",
            f"The server asked for a file of this machine while {what} was read; it was given none.",
            "No MySQL does that for a SELECT: check who runs the server that the connector points to.",
        )
    if number in _LOST:
        return SourceError(
            "connection_lost", f"The connection was lost while {what} was read: {said}.", "It can be retried."
        )
    if number in _DENIED:
        return SourceError(
            "not_permitted",
            f"{what} may not be read: {said}.",
            "GRANT SELECT ON … TO the user, or name the columns that it may read.",
        )
    match number:
        case 1317 | 1969 | 3024:
            return SourceError(
                "timed_out",
                f"The server gave up on {what}: {said}.",
                "Set 'timeoutSeconds' higher, or make the query faster.",
            )
        case 1205:
            return SourceError(
                "timed_out", f"{what} is locked by another session: {said}.", "Try again when that has ended."
            )
        case 1345:
            return SourceError(NOT_PLANNED, f"{what} may not be planned: {said}.", "GRANT SHOW VIEW ON … TO the user.")
        case 1792 | 1290 | 1223:
            return SourceError("bad_query", f"{what} writes: {said}.", "A source only reads.")
        case 1146 | 1356:
            return SourceError("missing_table", f"{what} cannot be read: {said}.", "Was it renamed or dropped?")
        case 1054:
            return SourceError(
                "missing_column", f"{what} cannot be read: {said}.", "Was the column renamed or dropped?"
            )
        case 1060:
            return SourceError(
                "bad_query", f"A column of the query is there twice: {said}.", "Name each column with AS."
            )
        case 1366 | 3854 | 1300:
            return SourceError("bad_encoding", f"{what} holds text that cannot be read: {said}.", "Correct it there.")
    return SourceError("query_failed", f"{what} cannot be read: {said}.")
