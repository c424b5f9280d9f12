"""Messages for people about database errors, without sockets, statements, parameters or library addresses."""

from __future__ import annotations

import re

import psycopg

_NO_CONNECTION = "PostgreSQL has no connection free: its max_connections, or the limit of the role, is reached"
_STARTING = "PostgreSQL is starting or shutting down"
_LOST = "The connection to PostgreSQL was lost"
_SILENT = "PostgreSQL does not answer"

_WORDED = (
    (re.compile(r"too many clients|remaining connection slots|too many connections", re.I), _NO_CONNECTION),
    (re.compile(r"database system is|not yet accepting connections|in recovery mode", re.I), _STARTING),
    (
        re.compile(
            r"terminating connection|server closed the connection|connection is lost|connection is closed"
            r"|connection has been closed|no connection to the server|SSL connection has been closed|Broken pipe"
            r"|Connection reset|could not receive data|could not send data|consuming input failed",
            re.I,
        ),
        _LOST,
    ),
    (
        re.compile(
            r"Connection refused|No such file or directory|No route to host|Network is unreachable"
            r"|timeout expired|connection timeout|could not connect",
            re.I,
        ),
        _SILENT,
    ),
    (re.compile(r"password authentication failed|no password supplied", re.I), "PostgreSQL refused the login"),
    (
        re.compile(r"could not translate host name|Name or service not known", re.I),
        "The host of PostgreSQL is not known",
    ),
    (re.compile(r"QueuePool limit"), "Every connection of this process is in use"),
)
_PASSING = frozenset({_NO_CONNECTION, _STARTING, _LOST, _SILENT})

_PREFIX = re.compile(r"^(?:connection failed: )?(?:connection to server .*? failed: )?(?:FATAL|ERROR|PANIC):\s+")
_CONNECTING = re.compile(r"^(?:connection failed: )?connection to server (?:at|on) .*? failed: ")
_LIBRARY = re.compile(r"\s*\(Background on this error at: \S+\)")
_PATH = re.compile(r'"?(?:/[^\s/"]+)+/\.s\.PGSQL\.\d+"?')


def error_message(error: BaseException) -> str:
    """One sentence about the error, without a full stop."""
    origin = getattr(error, "orig", None)
    if isinstance(origin, BaseException):
        error = origin
    text = str(error).strip()
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    if not isinstance(error, psycopg.Error) or error.sqlstate is None or error.sqlstate[:2] in ("08", "53", "57"):
        message = _known_message(primary or text)
        if message is not None:
            return message
    line = primary or (text.splitlines() or [type(error).__name__])[0]
    line = _PREFIX.sub("", _CONNECTING.sub("", _LIBRARY.sub("", line)))
    return _PATH.sub("its socket", line) or type(error).__name__


def is_temporary_refusal(error: BaseException) -> bool:
    """Whether a refused connection may succeed soon. A refused login will not."""
    return (
        isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and _known_message(str(error)) in _PASSING
    )


def _known_message(text: str) -> str | None:
    return next((message for pattern, message in _WORDED if pattern.search(text)), None)
