"""What a table that holds a load's rows for a while says of itself, in its comment: whose it is, and since when.

By this a later run knows what a dead one has left from a table of somebody else that happens to have the name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

_MARK = re.compile(r"Headrace load (\S+) of (\S+) into (.+), begun (\S+?)(?:, shape ([0-9a-f]+))?")


@dataclass(frozen=True, slots=True)
class LoadMark:
    """`load_key` is the ledger's id of the load, `node` and `table` its target, `begun` aware; `shape` a digest of the
    target's definition as it was then, where it matters."""

    load_key: str
    node: str
    table: str
    begun: datetime
    shape: str | None = None

    @classmethod
    def now(cls, load_key: str, node: str, table: str, shape: str | None = None) -> LoadMark:
        """The mark of a table that is made now."""
        return cls(load_key, node, table, datetime.now(UTC).replace(microsecond=0), shape)

    @classmethod
    def parse(cls, comment: str | None) -> LoadMark | None:
        """From a table's comment; None when that is no mark."""
        match = _MARK.fullmatch(comment or "")
        return None if match is None else cls(match[1], match[2], match[3], datetime.fromisoformat(match[4]), match[5])

    def __str__(self) -> str:
        shape = "" if self.shape is None else f", shape {self.shape}"
        return f"Headrace load {self.load_key} of {self.node} into {self.table}, begun {self.begun.isoformat()}{shape}"

    def put(self, connection: psycopg.Connection[Any], table: sql.Identifier) -> None:
        """Writes it on the table."""
        connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(str(self))))
