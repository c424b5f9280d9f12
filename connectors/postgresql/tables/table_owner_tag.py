"""The comment on a staging or shadow table that says which load owns it, and since when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

_MARK = re.compile(r"Headrace load (\S+) of (\S+) into (.+), begun (\S+?)(?:, shape ([0-9a-f]+))?")


@dataclass(frozen=True, slots=True)
class TableOwnerTag:
    """`load_key` is the load's key in the ledger, `node` and `table` its target, `begun` an aware time, `shape` a
    digest of the target's definition at that time, where it matters."""

    load_key: str
    node: str
    table: str
    begun: datetime
    shape: str | None = None

    @classmethod
    def now(cls, load_key: str, node: str, table: str, shape: str | None = None) -> TableOwnerTag:
        """The tag for a table created now."""
        return cls(load_key, node, table, datetime.now(UTC).replace(microsecond=0), shape)

    @classmethod
    def parse(cls, comment: str | None) -> TableOwnerTag | None:
        """Parses a table's comment; None if it is not such a tag."""
        match = _MARK.fullmatch(comment or "")
        return None if match is None else cls(match[1], match[2], match[3], datetime.fromisoformat(match[4]), match[5])

    def __str__(self) -> str:
        shape = "" if self.shape is None else f", shape {self.shape}"
        return f"Headrace load {self.load_key} of {self.node} into {self.table}, begun {self.begun.isoformat()}{shape}"

    def put(self, connection: psycopg.Connection[Any], table: sql.Identifier) -> None:
        """Writes it as the comment of the table."""
        connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(str(self))))
