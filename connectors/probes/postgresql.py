"""Does the database take the login, and which tables does it show?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import psycopg
from pydantic import ValidationError

from connectors.base import SourceError
from connectors.catalogue.databases import Login, PostgreSQL
from connectors.egress import allowed_addresses
from connectors.probes.base import Found, Surroundings

_TIMEOUT_S = 5
_MAX_ADDRESSES = 2
_SHOWN = 10
_NO_FILE = f"{os.devnull}/none"

_TABLES = """
SELECT n.nspname::text, c.relname::text, count(*) OVER () FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
ORDER BY 1, 2 LIMIT %s
"""


def probe_postgresql(config: Mapping[str, Any], credentials: Mapping[str, Any], surroundings: Surroundings) -> Found:
    """Logs in and lists some of the tables it may read."""
    settings = PostgreSQL.model_validate(dict(config))
    login = _login(credentials)
    addresses = allowed_addresses(settings.host, settings.port, surroundings.networks)[:_MAX_ADDRESSES]
    try:
        with psycopg.connect(
            # the name for TLS, the checked address for dialling: it must not be resolved a second time
            host=",".join([settings.host] * len(addresses)),
            hostaddr=",".join(addresses),
            port=str(settings.port),
            dbname=settings.database,
            user=login.username,
            password=login.password.get_secret_value(),
            sslmode=settings.sslmode,
            connect_timeout=_TIMEOUT_S,
            options=f"-c statement_timeout={_TIMEOUT_S}s -c default_transaction_read_only=on",
            application_name="headrace",
            autocommit=True,
            # the server's own passwords, certificates and tickets are not for where a user points it
            passfile=_NO_FILE,
            sslcertmode="disable",
            gssencmode="disable",
            sslrootcert="system" if settings.sslmode == "verify-full" else None,
        ) as connection:
            rows = connection.execute(_TABLES, (_SHOWN,)).fetchall()
            version = connection.info.parameter_status("server_version") or "?"
    except psycopg.Error as error:
        raise SourceError("connection_failed", _reason(error)) from None
    count = rows[0][2] if rows else 0
    tables = f"{count:,} table{'' if count == 1 else 's'}"
    message = f"PostgreSQL {version.split()[0]}, database {settings.database}: {tables} can be read"
    return Found(message, {"tables": [f"{schema}.{table}" for schema, table, _ in rows]})


def _login(credentials: Mapping[str, Any]) -> Login:
    named = {"username" if name == "user" else name: value for name, value in credentials.items()}
    try:
        return Login.model_validate({name: value for name, value in named.items() if name in ("username", "password")})
    except ValidationError:
        raise SourceError(
            "bad_credentials", "The login is not complete.", "authConfig needs 'username' and 'password'."
        ) from None


def _reason(error: psycopg.Error) -> str:
    """Every attempt in one line each; libpq tells the address and the cause, never the password."""
    text = str(error).strip()
    return text if "\n" not in text else "; ".join(line.strip(" -") for line in text.splitlines()[:4])
