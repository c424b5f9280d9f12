"""Turns errors of the server into SourceErrors with a code and a hint."""

from __future__ import annotations

import re

import psycopg

from headrace.connectors.errors import SourceError
from headrace.connectors.specs.databases import PostgreSQL

_LOST_STATES = ("57P01", "57P02", "57P03", "57P04", "57P05", "40001", "40P01", "55P03", "25P03", "25P04")
_LOST_CLASSES = ("08", "53", "58")

_CONNECTING = (
    (r"password authentication failed|no password supplied", "Check 'username' and 'password' in authConfig."),
    (r"role .* does not exist", "Check 'username' in authConfig."),
    (r"database .* does not exist", "Check 'database' in the connector's config."),
    (r"permission denied for database", "GRANT CONNECT ON DATABASE … TO the user."),
    (r"no pg_hba\.conf entry.*no encryption", "The server asks for TLS: set 'sslmode' to require or verify-full."),
    (r"no pg_hba\.conf entry", "The server's pg_hba.conf does not let this user in from here."),
    (
        r"certificate authentication failed|requires a valid client certificate",
        "Give 'sslCert' and 'sslKey' of the user.",
    ),
    (r"server does not support SSL", "Set 'sslmode' to prefer or disable, or switch TLS on at the server."),
    (r"certificate verify failed", "Give the PEM text of the authority that signed it in 'sslRootCert'."),
    (r"does not match host name", "Give as 'host' the name that is in the certificate."),
    (r"root certificate", "Give the PEM text of the authority in 'sslRootCert'."),
    (r"private key|certificate file|client certificate", "Check the PEM texts 'sslCert' and 'sslKey'."),
    (r"SSL|TLS", "Check 'sslmode' and the certificates."),
    (r"Connection refused", "No server listens there: check 'host' and 'port'."),
    (
        r"timeout|timed out|No route|unreachable",
        "Nothing answers there: check 'host', 'port' and the firewalls between.",
    ),
    (r"too many|remaining connection slots", "The server has no connection free: try again later, or raise its limit."),
    (r"starting up|shutting down|recovery mode", "Try again in a moment."),
    (r"server closed the connection|received invalid response", "Check that PostgreSQL listens there."),
)


def refused(error: psycopg.Error, place: PostgreSQL) -> SourceError:
    """The error of a failed connection, with every attempt. libpq's texts contain the address and the cause, never the
    password."""
    text = str(error).strip()
    said = text if "\n" not in text else "; ".join(line.strip(" \t-") for line in text.splitlines()[:4])
    hint = next((remedy for pattern, remedy in _CONNECTING if re.search(pattern, said, re.I | re.S)), "")
    del place
    return SourceError("connection_failed", said if said.endswith((".", "?")) else f"{said}.", hint)


def failed(error: psycopg.Error, what: str) -> SourceError:
    """The error of a statement; `what` is the relation: `public.orders`. `connection_lost` can be retried."""
    state, said = error.sqlstate, (error.diag.message_primary or str(error)).strip().splitlines()[0].rstrip(".")
    if state is None or state in _LOST_STATES or state[:2] in _LOST_CLASSES:
        lost = "The connection was lost" if state is None else "The server broke off"
        return SourceError("connection_lost", f"{lost} while {what} was read: {said}.", "It can be retried.")
    match state:
        case "55006":
            return SourceError("in_use", f"{what} is being read by another session: {said}.", "Try again in a moment.")
        case "57014":
            return SourceError(
                "timed_out",
                f"The server gave up on {what}: {said}.",
                "Set 'timeoutSeconds' higher, or make the query faster.",
            )
        case "42501":
            hint = "GRANT USAGE ON SCHEMA … and GRANT SELECT ON … TO the user, or name the columns that it may read."
            return SourceError("not_permitted", f"{what} may not be read: {said}.", hint)
        case "25006":
            return SourceError("bad_query", f"{what} writes: {said}.", "A source only reads.")
        case "22021" | "22P05":
            return SourceError(
                "bad_encoding",
                f"{what} holds text that is not in the database's encoding: {said}.",
                "Correct it there.",
            )
        case "42P01":
            return SourceError("missing_table", f"{what} cannot be read: {said}.", "Was it renamed or dropped?")
        case "42703":
            return SourceError(
                "missing_column", f"{what} cannot be read: {said}.", "Was the column renamed or dropped?"
            )
    return SourceError("query_failed", f"{what} cannot be read: {said}.", error.diag.message_hint or "")
