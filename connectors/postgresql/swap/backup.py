"""backupBeforeLoad: copies the rows of a table into a backup table before a load."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.copy.copy_rows import is_transient
from headrace.connectors.postgresql.tables.describe import describe_table, first_line

KEPT = 3
"""The number of backups kept per table."""

_INFIX = "__backup_"
_LONGEST = 63
_SHORT = 12
_SAYS = re.compile(r"Headrace backup of (.+) before (\S+)")

_BACKUPS = """
SELECT c.relname::text, obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind = 'r' AND obj_description(c.oid, 'pg_class') LIKE 'Headrace backup of %%'
ORDER BY c.oid DESC
"""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup: its table (`schema.table`), its rows, and older backups that were dropped. `rows` is None if an earlier
    attempt made it."""

    table: str
    rows: int | None
    dropped: tuple[str, ...] = ()


def back_up(database: Database, qualified: str, root_run_id: str) -> Backup:
    """Copies the current rows of the table, once per chain of runs. Raises TargetError."""
    try:
        with connect(database, connect_timeout=10) as connection:
            table = describe_table(connection, qualified)
            name = backup_name(table.name, root_run_id)
            beside = sql.Identifier(table.schema, name)
            says = f"Headrace backup of {table.qualified} before {root_run_id}"
            found: dict[str, str] = dict(connection.execute(_BACKUPS, (table.schema,)).fetchall())
            if found.get(name) == says:
                return Backup(f"{table.schema}.{name}", None)
            connection.execute("SET LOCAL row_security = off")  # an error is better than half a backup
            make = sql.SQL("CREATE TABLE {} AS SELECT * FROM {}")
            rows = connection.execute(make.format(beside, table.identifier)).rowcount
            connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(beside, sql.Literal(says)))
            dropped = _drop_old(connection, table.schema, table.qualified)
            return Backup(f"{table.schema}.{name}", rows, dropped)
    except psycopg.errors.DuplicateTable:
        raise TargetError(
            "name_taken",
            f"The backup of {qualified} cannot be made: a table of that name exists and is not a backup of it.",
            "Rename it, or drop it if nobody needs it.",
        ) from None
    except psycopg.Error as error:
        code = "database_unreachable" if is_transient(error) else "backup_failed"
        raise TargetError(code, f"The backup of {qualified} cannot be made: {first_line(error)}") from error


def backup_name(table: str, root_run_id: str) -> str:
    """`<table>__backup_<run>`, at most 63 bytes; a digest keeps shortened names apart."""
    short = root_run_id.removeprefix("run_")[:_SHORT]
    tail = _INFIX + re.sub(r"[^A-Za-z0-9_]", "_", short)
    if len((table + tail).encode()) <= _LONGEST:
        return table + tail
    digest = "_" + hashlib.sha256(table.encode()).hexdigest()[:8]
    head = table.encode()[: _LONGEST - len(tail) - len(digest)].decode(errors="ignore")
    return head + digest + tail


def _drop_old(connection: psycopg.Connection[Any], schema: str, qualified: str) -> tuple[str, ...]:
    found = connection.execute(_BACKUPS, (schema,)).fetchall()
    mine = [name for name, says in found if (match := _SAYS.fullmatch(says)) is not None and match[1] == qualified]
    for name in mine[KEPT:]:
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(schema, name)))
    return tuple(f"{schema}.{name}" for name in mine[KEPT:])
