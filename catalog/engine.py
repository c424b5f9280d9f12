"""The connection to the database: engines from libpq URLs, and the migrations that prepare the schema `headrace`."""

from __future__ import annotations

import select
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import InvalidatePoolError

from catalog.authorship import attribute

SCHEMA = "headrace"
"""The catalog's schema, so that `public` is the user's."""

_MIGRATION_LOCK = 0x68656164  # "head"
_CONNECT_TIMEOUT_S = 5


def make_engine(url: str, *, pool_size: int = 10, query_timeout_s: float = 0) -> Engine:
    """An engine on psycopg 3 for a libpq URL (`postgresql://user@host/db`, socket directories and all).

    libpq itself reads the URL, so everything libpq understands works. An engine must not cross a fork. A statement that
    takes longer than `query_timeout_s`, or waits for a lock half as long, is given up; 0 waits for ever.
    """

    def connect() -> psycopg.Connection[tuple[object, ...]]:
        connection = psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_S, application_name="headrace")
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
        pool_timeout=_CONNECT_TIMEOUT_S,
        pool_use_lifo=True,  # few connections stay warm instead of all lukewarm
        hide_parameters=True,  # values are the users' data: never in a log
    )
    event.listen(engine, "checkout", _refuse_closed)
    attribute(engine)
    return engine


def _refuse_closed(connection: psycopg.Connection[Any], *_: object) -> None:
    """Makes the pool replace its connections when the server has closed this one: it can be read although nothing was
    asked. Costs no round trip, as a ping before every use would."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if connection.closed or poll.poll(0):
        raise InvalidatePoolError("the server has closed the connection")


def upgrade(url: str, revision: str = "head") -> None:
    """Brings the catalog to a migration, the newest unless told; all of it or nothing. Concurrent calls wait for each
    other."""
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            command.upgrade(_config(connection), revision)
    finally:
        engine.dispose()


def downgrade(url: str, revision: str) -> None:
    """Takes the catalog back to an earlier migration (`base`: to none), for an earlier release; all of it or nothing.
    What only the later ones could keep is lost."""
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            command.downgrade(_config(connection), revision)
    finally:
        engine.dispose()


def current(url: str) -> str | None:
    """The migration the database stands at; None when it has none."""
    engine = make_engine(url)
    try:
        return current_of(engine)
    finally:
        engine.dispose()


def current_of(engine: Engine) -> str | None:
    """`current` on an engine that is already there."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA}).get_current_revision()


def revisions() -> list[str]:
    """The migrations this release knows, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config(None)).walk_revisions()]


def head() -> str | None:
    """The newest migration this release knows."""
    return ScriptDirectory.from_config(_config(None)).get_current_head()


def _config(connection: Connection | None) -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
