"""The database as the product meets it in tests: under its roles, made as the stack makes them. The superuser only sets
up."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from headrace.catalog.engine import upgrade
from headrace.catalog.security.database_roles import API, OWNER, RUN, derive_secret, verifier, with_login
from headrace.connectors.postgresql.load.prepare import create_schemas
from headrace.deployments.stack.database.roles import LOGINS, Limits, database_access_sql, database_sql, server_sql
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database
from headrace.deployments.stack.database.setup import DatabaseLogins, execute

LOGINS_OF_TESTS = DatabaseLogins({role: secrets.token_urlsafe(16) for role in LOGINS}, secrets.token_urlsafe(16))

_SERVERS: dict[int, str] = {}
"""The servers that have the roles, by the id of their object."""

_TEMPLATES: set[tuple[str, str]] = set()
"""The databases that are there to be copied, with their URLs."""


@dataclass(frozen=True)
class Roles:
    """The URLs of one database, by who uses them in the product."""

    superuser: str
    owner: str
    api: str
    run: str
    tenant: str
    """The runs of the tenant `default`, at their target."""
    key: str

    def of_tenant(self, tenant_id: str) -> str:
        """The runs of another tenant, at their target."""
        name = psycopg.conninfo.conninfo_to_dict(self.superuser)["dbname"]
        password = derive_secret(self.key, f"password of {tenant_id} in {name}").hex()
        salt = derive_secret(self.key, f"salt of {tenant_id} in {name}")[:16]
        with psycopg.connect(self.api, autocommit=True) as connection:
            asked = "SELECT headrace_admin.tenant_role(%s, %s)"
            found = connection.execute(asked, (tenant_id, verifier(password, salt))).fetchone()
        assert found is not None
        return with_login(self.superuser, found[0], password)


def stack_login(data_dir: Path, url: str, role: str, database: str | None = None) -> str:
    """The libpq URL of a running stack's database under another role, as the stack itself gives it to its parts."""
    password = json.loads((data_dir / "secrets.json").read_text())["databasePasswords"][role]
    given = with_login(url, role, password)
    return given if database is None else psycopg.conninfo.make_conninfo(given, dbname=database)


def run_settings(data_dir: Path, url: str) -> dict[str, str]:
    """What a worker of the stack has in its settings of the database."""
    key = json.loads((data_dir / "secrets.json").read_text())["tenantLoginKey"]
    return {"database_url": stack_login(data_dir, url, RUN), "tenant_login_key": key}


def as_superuser(url: str, statement: str) -> None:
    """Executes what only a superuser may, on the server of a login: a test's doing, never the product's."""
    with psycopg.connect(psycopg.conninfo.make_conninfo(url, user="postgres", password=""), autocommit=True) as opened:
        opened.execute(statement.encode())


def in_public(url: str) -> str:
    """The same login, with names that are not qualified in `public`."""
    return psycopg.conninfo.make_conninfo(url, options="-csearch_path=public")


def with_roles(server: EmbeddedPostgres, name: str, *, limits: Limits | None = None) -> Roles:
    """The database, made when it is not there, under Headrace's roles."""
    limits = limits or Limits()
    ensure_database(server.url("postgres"), name)
    superuser = server.url(name)
    texts = [database_sql(limits, name)]
    if _SERVERS.get(id(server)) != superuser.partition("?")[2]:
        texts.insert(0, server_sql(limits, LOGINS_OF_TESTS.verifiers))
        _SERVERS[id(server)] = superuser.partition("?")[2]
    execute(superuser, *texts)

    create_schemas(server.url(name, OWNER, LOGINS_OF_TESTS.passwords[OWNER]))
    return _roles(server, name)


def new_copy(server: EmbeddedPostgres, name: str, *, migrated: bool) -> Roles:
    """The database, recreated under Headrace's roles, with a catalog at the newest migration if `migrated`: a copy of
    one that is made once per server, which takes a quarter of the time."""
    template = "headrace_migrated" if migrated else "headrace_prepared"
    if (template, server.url(template)) not in _TEMPLATES:
        made = with_roles(server, template)
        if migrated:
            upgrade(made.owner)
        _TEMPLATES.add((template, server.url(template)))
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {name} WITH (FORCE)").format(**names))
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy").format(**names))
        connection.execute(database_access_sql(name).encode())
    return _roles(server, name)


def _roles(server: EmbeddedPostgres, name: str) -> Roles:
    def url(role: str) -> str:
        return server.url(name, role, LOGINS_OF_TESTS.passwords[role])

    made = Roles(server.url(name), url(OWNER), url(API), url(RUN), "", LOGINS_OF_TESTS.tenant_login_key)
    return Roles(made.superuser, made.owner, made.api, made.run, made.of_tenant("default"), made.key)
