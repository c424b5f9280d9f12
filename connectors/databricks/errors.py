"""Turns errors of Databricks and its client into SourceErrors with a code and a hint."""

from __future__ import annotations

import re

from headrace.connectors.errors import SourceError
from headrace.connectors.network.reachability import hint_of

_CLASS = re.compile(r"\[([A-Z_]+)(?:\.[A-Z_0-9]+)*\]")
_MISSING = frozenset(("TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND", "NO_SUCH_CATALOG_EXCEPTION", "CATALOG_NOT_FOUND"))
_RIGHTS = frozenset(("INSUFFICIENT_PERMISSIONS", "PERMISSION_DENIED", "UC_PERMISSION_DENIED"))
_HTTP = re.compile(r"\b(?:HTTP|http-code|status)\D{0,20}(\d{3})\b|'(\d{3}) ")


def said(error: BaseException) -> str:
    """The client's message in one line, without addresses and stack traces."""
    text = str(getattr(error, "message", None) or error)
    line = re.sub(r"\s+", " ", text.partition("\n\tat ")[0]).strip()
    line = re.sub(r"\bhttps?://\S+", "its address", line)
    if cause := re.search(r"Caused by .*?'(.+)'\)+$", line):
        line = cause[1]
    return line[:400].rstrip(". ")


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; 0 without one."""
    context = getattr(error, "context", None)
    code = context.get("http-code") if isinstance(context, dict) else None
    if isinstance(code, int) and code >= 300:
        return code
    found = _HTTP.search(str(error))
    return int(found[1] or found[2]) if found else 0


def refused(error: BaseException, host: str) -> SourceError:
    """The error of a session that could not be opened."""
    status, text = status_of(error), said(error)
    found = _CLASS.search(text)
    if found and found[1] in _MISSING | _RIGHTS:
        return failed(error, f"The warehouse of {host}", server=True)
    if status in (401, 403):
        return SourceError(
            "bad_credentials",
            f"{host} does not let this login in: {text}.",
            "Check authConfig, and that the user or principal has CAN USE on the warehouse.",
        )
    if status in (400, 404):
        return SourceError(
            "unknown_warehouse",
            f"{host} has no such warehouse: {text}.",
            "Check 'httpPath' in the connector's config: /sql/1.0/warehouses/… from its connection details.",
        )
    return SourceError(
        "connection_failed",
        f"{host} cannot be reached: {text}.",
        hint_of(text) or "Check 'host', that the warehouse can start, and the firewalls between.",
    )


def failed(error: BaseException, what: str, *, server: bool) -> SourceError:
    """The error of a statement or of its rows; `server`: the server reported it. `connection_lost` can be retried."""
    text, status = said(error), status_of(error)
    found = _CLASS.search(text)
    word = found[1] if found else ""
    if word in _MISSING:
        return SourceError(
            "missing_table",
            f"{what} cannot be read: {text}.",
            "Check catalog, schema and table; or GRANT USE CATALOG, USE SCHEMA and SELECT to the login.",
        )
    if word in _RIGHTS or "does not have" in text or "permission" in text.lower():
        return SourceError(
            "not_permitted",
            f"{what} may not be read: {text}.",
            "GRANT USE CATALOG, USE SCHEMA and SELECT ON it to the login.",
        )
    if "timeout" in text.lower() or "timed out" in text.lower() or word == "STATEMENT_TIMEOUT":
        return SourceError(
            "timed_out",
            f"Databricks gave up on {what}: {text}.",
            "Set 'timeoutSeconds' higher, use a larger warehouse, or make it faster.",
        )
    if word.startswith("UNRESOLVED_COLUMN"):
        return SourceError("missing_column", f"{what} cannot be read: {text}.", "Check the names of its columns.")
    if server and status not in (429, 503) and "closed" not in text and "Invalid SessionHandle" not in text:
        return SourceError("query_failed", f"{what} cannot be read: {text}.")
    if status in (401, 403):
        return SourceError("bad_credentials", f"{what} cannot be read: {text}.", "The token is not valid any more.")
    return SourceError("connection_lost", f"The connection was lost while {what} was read: {text}.", "Try it again.")
