"""Creates the roles, logins and databases of a PostgreSQL server as its superuser."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from headrace.catalog.security.database_roles import API, OWNER, PREFECT, RUN, verifier
from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.database.roles import LOGINS, Limits, database_sql, prefect_sql, server_sql
from headrace.deployments.stack.database.server import ensure_database
from headrace.deployments.stack.private_files import read_json, write_private_json

_PASSWORDS, _TENANT_LOGIN_KEY = "databasePasswords", "tenantLoginKey"


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """The database URL (libpq) of each component. `tenant_login_key` is None when there are no separate roles: then all
    URLs except Prefect's are equal."""

    owner: str
    api: str
    run: str
    prefect: str
    tenant_login_key: str | None = None


@dataclass(frozen=True, slots=True)
class DatabaseLogins:
    """Passwords by role, and the secret from which the passwords of tenants are derived."""

    passwords: Mapping[str, str]
    tenant_login_key: str

    @property
    def verifiers(self) -> dict[str, str]:
        """The passwords as SCRAM verifiers, by role."""
        return {role: verifier(password, secrets.token_bytes(16)) for role, password in self.passwords.items()}


def load_database_logins(path: Path) -> DatabaseLogins:
    """The logins in `path`; missing ones are generated."""
    document = read_json(path) or {}
    found = document.get(_PASSWORDS)
    kept = dict(found) if isinstance(found, dict) else {}
    passwords = {role: str(kept.get(role) or secrets.token_urlsafe(32)) for role in LOGINS}
    key = str(document.get(_TENANT_LOGIN_KEY) or secrets.token_urlsafe(32))
    if document.get(_PASSWORDS) != passwords or document.get(_TENANT_LOGIN_KEY) != key:
        write_private_json(path, document | {_PASSWORDS: passwords, _TENANT_LOGIN_KEY: key})
    return DatabaseLogins(passwords, key)


_OLDEST_VERSION = 160000
"""In older versions a role with CREATEROLE, which is needed to create tenants' roles, may become any role."""


def set_up(
    superuser: Callable[[str], str],
    login: Callable[[str, str, str], str],
    logins: DatabaseLogins,
    *,
    database: str,
    prefect: str,
    limits: Limits | None = None,
) -> DatabaseUrls:
    """Creates roles and databases; objects that an earlier release created as the superuser get the roles as owners.
    `superuser` returns the superuser's URL of a database, `login` the URL of a database, role and password. Raises
    psycopg.Error, StackError."""
    limits = limits or Limits()
    ensure_database(superuser("postgres"), database)
    ensure_database(superuser("postgres"), prefect)
    execute(superuser(database), server_sql(limits, logins.verifiers), database_sql(limits, database))
    execute(superuser(prefect), prefect_sql(prefect))

    def url(name: str, role: str) -> str:
        return login(name, role, logins.passwords[role])

    return DatabaseUrls(
        url(database, OWNER), url(database, API), url(database, RUN), url(prefect, PREFECT), logins.tenant_login_key
    )


def execute(url: str, *texts: str) -> None:
    """Executes SQL texts in one transaction and one round trip. Raises StackError for PostgreSQL before 16."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        if connection.info.server_version < _OLDEST_VERSION:
            raise HeadraceError(
                f"PostgreSQL {connection.info.server_version // 10000} has no roles that make roles safely.",
                "Use PostgreSQL 16 or newer, or one role for everything (see docs/database.md).",
            )
        connection.execute(";\n".join(texts).encode())
