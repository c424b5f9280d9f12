"""The database of a connector record as a target, connected to like the source `postgresql`; never a catalog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from headrace.connectors.connector import Connection
from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.network.egress import Network
from headrace.connectors.postgresql.error_messages import is_temporary_refusal
from headrace.connectors.sql.postgresql.errors import refused
from headrace.connectors.sql.postgresql.login import Access, door_of

TYPE = "postgresql"
"""The type of the connector records that a target may name."""

# How texts become values is the session's business; what a role has set for its own sessions would change it. A
# database with a catalog of Headrace has the tables of all its tenants, whatever the login may do there.
_BEGIN = """
SELECT pg_catalog.set_config('datestyle', 'ISO, MDY', false),
       pg_catalog.set_config('intervalstyle', 'postgres', false),
       pg_catalog.set_config('timezone', 'UTC', false),
       EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'headrace' AND c.relname = 'pipeline_ir_versions')
"""
_OPTIONS = ("autocommit", "connect_timeout", "application_name", "prepare_threshold")


@dataclass(frozen=True, slots=True)
class NamedDatabase:
    """The database of one connector record; `key` is the record's id."""

    key: str
    access: Access = field(compare=False)

    @property
    def place(self) -> str:
        """Where it is, for people: `shop on db.example.com:5432`."""
        where = self.access.place
        return f"{where.database} on {where.host}:{where.port}"

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection, with the session settings that values are written under. Raises psycopg.Error where trying
        again may help, else TargetError: `unknown_host`, `address_refused`, `connection_failed`, `catalog_database`."""
        known = {name: value for name, value in options.items() if name in _OPTIONS}
        autocommit = bool(known.pop("autocommit", False))
        try:
            connection = self.access.dial(autocommit=True, **known)
        except SourceError as error:
            raise TargetError(error.code, error.message, error.hint) from None
        except psycopg.Error as error:
            if is_temporary_refusal(error):
                raise
            found = refused(error, self.access.place)
            text = f"The database {self.place} (connector {self.key}) cannot be used: {found.message}"
            raise TargetError(found.code, text, found.hint) from None
        try:
            *_, is_catalog = connection.execute(_BEGIN).fetchone() or (True,)
            if is_catalog:
                raise TargetError(
                    "catalog_database",
                    f"The database {self.place} (connector {self.key}) has a catalog of Headrace in it, and the tables "
                    "of its tenants.",
                    "Leave `connection` out to load into a table of one of your schemas, or name another database.",
                )
            connection.autocommit = autocommit
        except BaseException:
            connection.close()
            raise
        return connection


def named_database(record: Connection, networks: Sequence[Network]) -> NamedDatabase:
    """The database of a connector record with decrypted credentials; does not connect. Raises TargetError:
    `wrong_connection`, `bad_credentials`, `bad_option`."""
    if record.type != TYPE:
        raise TargetError(
            "wrong_connection",
            f"A target loads through a connector of type {TYPE}; {record.id} is of type {record.type}.",
            "Name another one in the target's `connection`.",
        )
    try:
        return NamedDatabase(record.id, door_of(record, networks))
    except SourceError as error:
        raise TargetError(error.code, f"The connector {record.id}: {error.message}", error.hint) from None
