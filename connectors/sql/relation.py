"""A table, a view or a query as the server describes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.connectors.column_names import nearest_name
from headrace.connectors.errors import SourceError
from headrace.ir.schema import Field

Scalar = str | int | float | bool | None
"""A value of a column as JSON has it. What JSON has no type for (a timestamp, a decimal, a uuid) is text as the server
writes it; `Dialect.literal` makes SQL of it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `field` is the type in which its values arrive, `native` the type as the server writes it.

    `sure`: every value that the server can have in it can be read as `field`. `nullable` is true where that is not
    known. `kind` is the dialect's own word for the type, by which it makes expressions and literals.
    """

    field: Field
    native: str
    kind: str
    sure: bool
    nullable: bool = True
    comment: str = ""

    @property
    def name(self) -> str:
        """The server's column."""
        return self.field.name


ALIAS = "src"
"""What every relation is called in a statement: `ORDER BY src."id"` is the column, not what is selected under its name.
"""


@dataclass(frozen=True, slots=True)
class Relation:
    """The table, view or query to read. `sql` is the FROM item: a quoted name, or a query in brackets, with the alias
    ALIAS.

    `key` are the columns that identify its rows, none of which is ever null: the primary key, or a unique index; none
    where the server knows of none. `rows` is about how many it has. `own` is what the dialect has to remember besides.
    """

    name: str
    sql: str
    columns: tuple[Column, ...]
    kind: str = "table"
    key: tuple[str, ...] = ()
    rows: int | None = None
    comment: str = ""
    own: Mapping[str, Any] = field(default_factory=dict)

    def column(self, name: str, setting: str = "column") -> Column:
        """The column by its exact name. Raises SourceError(`missing_column`)."""
        for each in self.columns:
            if each.name == name:
                return each
        raise SourceError(
            "missing_column",
            f"'{name}' ({setting}) is not a column of {self.name}.",
            nearest_name(name, [each.name for each in self.columns]),
        )


TableName = tuple[str, ...]
"""The parts of a table's name: `("public", "orders")`, `("orders",)`, `("SALES", "PUBLIC", "ORDERS")`."""

_PART = r'"(?:[^"\0]|"")+"|[^".\0]+'
_NAME = re.compile(rf"(?:{_PART})(?:\.(?:{_PART})){{0,2}}")


def table_name(text: str) -> TableName | None:
    """Parses a name of one to three parts; a part with a dot is quoted: `public."a.b"`. None if it is invalid."""
    if not _NAME.fullmatch(text):
        return None
    return tuple(
        part[1:-1].replace('""', '"') if part.startswith('"') else part.strip() for part in re.findall(_PART, text)
    )
