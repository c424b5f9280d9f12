"""`headrace db roles`: creates Headrace's roles on an existing PostgreSQL server, or prints the SQL."""

from __future__ import annotations

from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from headrace.catalog.security.database_roles import with_login
from headrace.deployments.stack.database.roles import Limits, database_sql, prefect_sql, server_sql
from headrace.deployments.stack.database.setup import load_database_logins, set_up
from headrace.deployments.stack.layout import DATABASE, PREFECT_DATABASE_SUFFIX


def sql_text(database: str, prefect: str, limits: Limits) -> str:
    """SQL for a superuser's `psql`; both databases must exist. Passwords are set separately (`\\password`)."""
    parts = (
        f"\\connect {database}",
        "BEGIN",
        server_sql(limits, {}),
        database_sql(limits, database),
        "COMMIT",
        f"\\connect {prefect}",
        "BEGIN",
        prefect_sql(prefect),
        "COMMIT",
    )
    return "\n".join(part if part.startswith("\\") else f"{part};" for part in parts) + "\n"


def names_of(url: str | None) -> tuple[str, str]:
    """The names of the URL's database and of Prefect's."""
    name = str(conninfo_to_dict(url or "").get("dbname") or DATABASE)
    return name, name + PREFECT_DATABASE_SUFFIX


def make_roles(url: str, secrets: Path, limits: Limits) -> dict[str, str]:
    """Creates roles and databases with the superuser's `url` (its database is Headrace's); passwords are kept in
    `secrets`. Returns the environment variables of Headrace's components. Raises psycopg.Error, StackError."""
    database, prefect = names_of(url)
    urls = set_up(
        lambda name: make_conninfo(url, dbname=name),
        lambda name, role, password: make_conninfo(with_login(url, role, password), dbname=name),
        load_database_logins(secrets),
        database=database,
        prefect=prefect,
        limits=limits,
    )
    return {
        "HEADRACE_OWNER_DATABASE_URL": urls.owner,
        "HEADRACE_DATABASE_URL": urls.api,
        "HEADRACE_RUN_DATABASE_URL": urls.run,
        "HEADRACE_TENANT_LOGIN_KEY": urls.tenant_login_key or "",
        "HEADRACE_PREFECT_DATABASE_URL": urls.prefect,
    }
