"""How the columns that a load fills have changed since it began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from headrace.connectors.postgresql.tables.describe import Column, Table

_NUMBERS = "SELECT attname::text, attnum FROM pg_attribute WHERE attrelid = %s::oid AND attnum > 0 AND NOT attisdropped"
_INTEGERS = ("int2", "int4", "int8")
_TEXTS = ("varchar", "text")


@dataclass(frozen=True, slots=True)
class FilledColumn:
    """A column: its number in the table (a column that is dropped and added again gets another) and its type."""

    number: int
    sql_type: str
    type_name: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None

    @property
    def as_json(self) -> dict[str, Any]:
        """As it is stored, in JSON."""
        return asdict(self)

    def widens_to(self, now: FilledColumn) -> bool:
        """Whether the new type accepts all values of the old type and reads none of them differently."""
        if self.sql_type == now.sql_type:
            return True
        if self.type_name in _INTEGERS and now.type_name in _INTEGERS:
            return _INTEGERS.index(now.type_name) > _INTEGERS.index(self.type_name)
        if self.type_name in _TEXTS and now.type_name in _TEXTS:
            return now.length is None or (self.length is not None and now.length >= self.length)
        if self.type_name == now.type_name == "numeric" and self.scale is not None:
            return now.scale == self.scale and (now.precision or 0) >= (self.precision or 0)
        return False


@dataclass(frozen=True, slots=True)
class ColumnChanges:
    """`changed`: changes after which rows loaded before and after differ, in words. `gone`: dropped columns, which the
    loaded rows have lost too."""

    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


def filled_columns(connection: psycopg.Connection[Any], table: Table, names: Sequence[str]) -> dict[str, FilledColumn]:
    """These columns of the table, as they are now."""
    numbers = dict(connection.execute(_NUMBERS, (table.oid,)).fetchall())
    found = (table.column(name) for name in names)
    return {column.name: _filled(column, numbers) for column in found if column is not None}


def column_changes(
    connection: psycopg.Connection[Any],
    table: Table,
    before: Mapping[str, FilledColumn],
    filled: Sequence[str] | None,
    *,
    same_table: bool,
) -> ColumnChanges:
    """Compares the columns `before` with the table now. `filled` are the columns that would be filled now (None: all
    that still exist). Column numbers are compared only within the `same_table`."""
    numbers = dict(connection.execute(_NUMBERS, (table.oid,)).fetchall())
    names = {number: name for name, number in numbers.items()} if same_table else {}
    changed, gone = [], []
    for name, old in before.items():
        column = table.column(name)
        if column is None:
            if (renamed := names.get(old.number)) is not None:
                changed.append(f"column {name} is called {renamed} now")
            else:
                gone.append(name)
            continue
        now = _filled(column, numbers)
        if same_table and now.number != old.number:
            changed.append(f"column {name} was dropped and added again")
        elif not old.widens_to(now):
            changed.append(f"column {name} was {old.sql_type} and is {now.sql_type}")
        elif filled is not None and name not in filled:
            changed.append(f"column {name} is not filled any more")
    changed += [f"column {name} is new" for name in filled or () if name not in before]
    return ColumnChanges(tuple(changed), tuple(f"column {name}" for name in gone))


def _filled(column: Column, numbers: Mapping[str, int]) -> FilledColumn:
    return FilledColumn(
        numbers.get(column.name, 0),
        column.sql_type,
        column.type_name,
        column.length,
        column.precision,
        column.scale,
    )
