"""SQLAlchemy engines from libpq URLs, and the migrations of the schema `headrace`."""

from __future__ import annotations

import select
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import InvalidatePoolError

from headrace.catalog.audit.author import attach_author
from headrace.catalog.security.database_roles import grant

SCHEMA = "headrace"
"""The catalog's schema, so that `public` is the user's."""

_MIGRATION_LOCK = 0x68656164  # "head"
_CONNECT_TIMEOUT_S = 5


def make_engine(
    url: str,
    *,
    pool_size: int = 10,
    query_timeout_s: float = 0,
    pool_timeout_s: float = _CONNECT_TIMEOUT_S,
    opened: Callable[..., psycopg.Connection[Any]] = psycopg.connect,
) -> Engine:
    """Returns an engine on psycopg 3 for a libpq URL (`postgresql://user@host/db`, socket directories included).

    libpq parses the URL. An engine must not be used across a fork. A statement that takes longer than
    `query_timeout_s`, or waits for a lock half as long, is cancelled; 0 sets no limit. `opened` opens a connection like
    `psycopg.connect`. When all connections are in use, a checkout waits for up to `pool_timeout_s`.
    """

    def connect() -> psycopg.Connection[Any]:
        connection = opened(url, connect_timeout=_CONNECT_TIMEOUT_S, application_name="headrace")
        if query_timeout_s:
            connection.execute(
                "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)",
                (f"{query_timeout_s * 1000:.0f}", f"{query_timeout_s * 500:.0f}"),
            )
            connection.commit()
        return connection

    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=pool_timeout_s,
        pool_use_lifo=True,  # reuses few connections, which stay warm
        hide_parameters=True,  # values are users' data and must not be logged
    )
    event.listen(engine, "checkout", _refuse_closed)
    attach_author(engine)
    return engine


def _refuse_closed(connection: psycopg.Connection[Any], *_: object) -> None:
    """Makes the pool replace its connections if the server has closed this one, which is then readable without a query.
    Unlike a ping before every use, this costs no round trip."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if connection.closed or poll.poll(0):
        raise InvalidatePoolError("the server has closed the connection")


def upgrade(url: str, revision: str = "head") -> None:
    """Migrates the catalog to a revision, by default the newest, in one transaction. Concurrent calls wait for each
    other."""
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            if connection.scalar(text("SELECT to_regnamespace(:schema) IS NULL"), {"schema": SCHEMA}):
                connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
            command.upgrade(_config(connection), revision)
            grant(connection)
    finally:
        engine.dispose()


def downgrade(url: str, revision: str) -> None:
    """Migrates the catalog back to an earlier revision (`base`: none), for an earlier release, in one transaction. Data
    that only later revisions store is lost."""
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            command.downgrade(_config(connection), revision)
    finally:
        engine.dispose()


def current(url: str) -> str | None:
    """Returns the current revision of the database; None without one."""
    engine = make_engine(url)
    try:
        return current_of(engine)
    finally:
        engine.dispose()


def current_of(engine: Engine) -> str | None:
    """Returns the current revision of the database of an engine; None without one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA}).get_current_revision()


def revisions() -> list[str]:
    """Returns the revisions of this release, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config(None)).walk_revisions()]


def head() -> str | None:
    """Returns the newest revision of this release."""
    return ScriptDirectory.from_config(_config(None)).get_current_head()


def _config(connection: Connection | None) -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
