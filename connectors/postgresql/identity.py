"""Which database a connection leads to, whatever it is called: one may be reached by several names and logins."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import errors

from headrace.connectors.postgresql.connections import Database, connect

_CLUSTER = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"
_DATABASE = """
SELECT oid::bigint, pg_catalog.pg_postmaster_start_time()::text FROM pg_catalog.pg_database
WHERE datname = pg_catalog.current_database()
"""


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """Equal for two connections to one database, whose server has not been restarted between them. The order is the
    same for every run: locks are taken in it."""

    cluster: str
    """The server's system identifier, which a physical copy of it has too; empty where it is not shown."""
    database: int
    started: str
    """When the server was started, which tells it from its copies."""


def identity_of(database: Database) -> Identity:
    """Raises psycopg.Error, and TargetError for the database of a connector."""
    with connect(database, autocommit=True, connect_timeout=10) as connection:
        try:
            (cluster,) = connection.execute(_CLUSTER).fetchone() or ("",)
        except (errors.InsufficientPrivilege, errors.UndefinedFunction):
            cluster = ""
        found = connection.execute(_DATABASE).fetchone()
    if found is None:
        raise psycopg.OperationalError("the database was dropped")
    return Identity(cluster, *found)
