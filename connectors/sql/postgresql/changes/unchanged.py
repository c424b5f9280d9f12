"""Values that an update left as they were, and that the log therefore does not have (TOAST).

The log has them where the table's replica identity is FULL. Else they are taken from the event before of the same row,
or read from the table: that is the value as of the update if the row was not written since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import polars as pl

from headrace.connectors.sql.postgresql.changes.events import OP, unchanged
from headrace.connectors.sql.postgresql.changes.transactions import XID
from headrace.connectors.sql.postgresql.session import Session
from headrace.connectors.sql.postgresql.types import quoted, type_sql
from headrace.connectors.sql.relation import ALIAS, Column, Relation

_AT_ONCE = 10_000
_ROW, _KNOWN, _LIFE = "#row", "#known", "#life"
_BEGINS = ["c", "d"]
"""Operations after which a key is another row's, or none's."""


Opened = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True)
class Filled:
    """Events with all values; `unsure` has, by column, a mask of those that may be of a later change."""

    events: pl.DataFrame
    unsure: dict[str, pl.Series]


def filled(opened: Opened, relation: Relation, key: Sequence[Column], events: pl.DataFrame) -> Filled:
    """The events of a batch with their unchanged values. `opened` gives a session besides that which reads changes, and
    is called if the table has to be asked. Raises SourceError."""
    names = [column.name for column in key]
    columns = [each for each in relation.columns if unchanged(each.name) in events.columns]
    lives = pl.col(OP).is_in(_BEGINS).cum_sum().over(names).alias(_LIFE)
    events = events.with_row_index(_ROW).with_columns(lives)
    for column in columns:
        events = _from_before(events, column.name, names)
    missing = events.filter(pl.any_horizontal(pl.lit(value=False), *(unchanged(each.name) for each in columns)))
    unsure: dict[str, pl.Series] = {}
    if missing.height:
        with opened() as session:
            found = _read(session, relation, key, missing.select(names).unique(), [each.name for each in columns])
        last = events.group_by(names, maintain_order=True).last()
        for column in columns:
            events, doubtful = _from_table(events, column.name, names, found, last)
            if doubtful.any():
                unsure[column.name] = doubtful
    return Filled(events.drop(_ROW, _LIFE), unsure)


def _from_before(events: pl.DataFrame, column: str, key: Sequence[str]) -> pl.DataFrame:
    """The value of the last event of the same row that has it."""
    flag = pl.col(unchanged(column)).fill_null(value=False)
    known = pl.when(~flag).then(pl.col(_ROW)).forward_fill().over(*key, _LIFE).alias(_KNOWN)
    events = events.with_columns(known)
    value = pl.col(column).gather(pl.col(_KNOWN).fill_null(pl.col(_ROW)))
    return events.with_columns(
        pl.when(flag).then(value).otherwise(pl.col(column)).alias(column),
        (flag & pl.col(_KNOWN).is_null()).alias(unchanged(column)),
    ).drop(_KNOWN)


def _from_table(
    events: pl.DataFrame, column: str, key: Sequence[str], found: pl.DataFrame, last: pl.DataFrame
) -> tuple[pl.DataFrame, pl.Series]:
    """The value of the table. It is that of the event for sure if the last event of the row in the batch is the last
    one that has written it, and did not change the value either."""
    flag = unchanged(column)
    newest = last.select(
        *key,
        pl.col(XID).alias("#last xid"),
        pl.col(flag).alias("#last unchanged"),
        pl.col(_LIFE).alias("#last life"),
    )
    there = found.select(*key, pl.col(column).alias("#value"), pl.col("#xmin"))
    joined = events.join(newest, on=key, how="left", maintain_order="left")
    joined = joined.join(there, on=key, how="left", maintain_order="left")
    same = pl.col("#last unchanged") & (pl.col("#last xid") == pl.col("#xmin"))
    same &= pl.col("#last life") == pl.col(_LIFE)
    doubtful = joined.select((pl.col(flag) & ~same.fill_null(value=False)).alias("d")).to_series()
    value = pl.when(pl.col(flag)).then(pl.col("#value")).otherwise(pl.col(column)).alias(column)
    return joined.with_columns(value).select(events.columns), doubtful


def _read(
    session: Session, relation: Relation, key: Sequence[Column], keys: pl.DataFrame, columns: Sequence[str]
) -> pl.DataFrame:
    """The columns of the rows with these keys, as they are now, as texts, and who wrote them."""
    names = [column.name for column in key]
    given = ", ".join(f"%s::text[]::{_array(column)}" for column in key)
    same = " AND ".join(f"{ALIAS}.{_named(name)} = k.k{at}" for at, name in enumerate(names))
    selected = ", ".join(f"{ALIAS}.{_named(name)}::text" for name in columns)
    wanted = ", ".join(f"k.t{at}" for at in range(len(names)))
    texts = ", ".join("%s::text[]" for _ in key)
    aliases = ", ".join([*(f"k{at}" for at in range(len(key))), *(f"t{at}" for at in range(len(key)))])
    table = relation.sql.replace("%", "%%")
    joined = f" FROM unnest({given}, {texts}) AS k ({aliases}) JOIN {table} ON {same}"
    statement = f"SELECT {wanted}, {ALIAS}.xmin::text::bigint, {selected}{joined}"
    rows: list[tuple[object, ...]] = []
    for start in range(0, keys.height, _AT_ONCE):
        some = [keys[start : start + _AT_ONCE].get_column(name).to_list() for name in names]
        rows += session.asked(statement, [*some, *some])
    schema = {**dict.fromkeys(names, pl.String), "#xmin": pl.Int64, **dict.fromkeys(columns, pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _named(name: str) -> str:
    """A name in quotes, in a statement with values."""
    return quoted(name).replace("%", "%%")


def _array(column: Column) -> str:
    return f"{type_sql(column.kind).replace('%', '%%')}[]"
