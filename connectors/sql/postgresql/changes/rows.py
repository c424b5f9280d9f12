"""Batches of change events: the columns of the table as its own source reads them, and those of the change."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.source import REJECT_SCHEMA, ROW, Batch, Position
from headrace.connectors.sql.columns import Chosen, Rows
from headrace.connectors.sql.postgresql.changes.events import OP, SEQUENCE
from headrace.connectors.sql.postgresql.changes.settings import ChangeSettings
from headrace.connectors.sql.postgresql.changes.transactions import AT, COMMIT, XID
from headrace.connectors.sql.postgresql.frames import typed
from headrace.connectors.sql.relation import Relation
from headrace.ir.schema import Field, Schema

UNKNOWN_VALUE = (
    "The update did not change this value, so that it is not in the log, and the row was written again since: "
    "ALTER TABLE … REPLICA IDENTITY FULL"
)
_NAMES = {"c": "insert", "u": "update", "d": "delete", "t": "truncate", "r": "snapshot"}
_SHOWN = "#shown"


class EventRows:
    """Makes the batches of one partition. `kept` are the columns of the table that are wanted, `schema` is the order
    of all columns."""

    def __init__(
        self, relation: Relation, kept: Sequence[Chosen], settings: ChangeSettings, schema: Schema, first_row: int
    ) -> None:
        self._relation, self._kept, self._first = relation, tuple(kept), first_row
        names = [field.name for field in schema]
        self._extra: dict[str, Field] = {name: field for name, field in settings.columns.items() if field.name in names}
        self._operation = settings.operation if settings.operation in names else None
        mine = {each.field.name for each in kept} | {field.name for field in self._extra.values()} | {self._operation}
        self._names = [name for name in names if name in mine]
        self._rows = Rows(kept, (), first_row, checked=False)

    def of_texts(
        self, events: pl.DataFrame, rows_done: int, position: Position, refused: dict[str, pl.Series]
    ) -> Batch:
        """The batch of events whose values are the server's texts. `refused` has, by the table's column, a mask of the
        rows whose value is not known."""
        columns = [typed(_column(events, each.column.name), each.asked).alias(each.column.name) for each in self._kept]
        raw = events.select(OP, COMMIT, XID, AT, SEQUENCE).with_columns(columns)
        return self.of_values(raw, rows_done, position, refused)

    def of_values(
        self,
        raw: pl.DataFrame,
        rows_done: int,
        position: Position,
        refused: dict[str, pl.Series] | None = None,
    ) -> Batch:
        """The batch of rows whose values are typed, with OP, COMMIT, XID, AT and SEQUENCE."""
        begin = self._first + rows_done
        batch = self._rows.batch(raw, rows_done)
        if refused:
            batch.rejects = pl.concat([batch.rejects, self._unknown(refused, begin)]).sort("row", maintain_order=True)
            batch.frame = batch.frame.filter(~pl.col(ROW).is_in(batch.rejects.get_column("row").implode()))
        at = (batch.frame.get_column(ROW) - begin).cast(pl.UInt32)
        extra = [self._metadata(name, raw).gather(at).alias(field.name) for name, field in self._extra.items()]
        if self._operation is not None:
            extra.append(raw.get_column(OP).gather(at).alias(self._operation))
        batch.frame = batch.frame.with_columns(extra).select(*self._names, ROW)
        batch.position = position
        places = raw.select(OP, COMMIT)
        batch.locate = lambda rows: self._places(places[(rows - begin).to_list()])
        return batch

    def nothing(self, rows_done: int, position: Position) -> Batch:
        """A batch without rows, for its position."""
        dtypes = {field.name: polars_dtype(field) for field in self._extra.values()}
        dtypes |= {each.field.name: polars_dtype(each.field) for each in self._kept}
        if self._operation is not None:
            dtypes[self._operation] = pl.String()
        frame = pl.DataFrame(schema={name: dtypes[name] for name in self._names} | {ROW: pl.Int64})
        return Batch(frame, 0, rows_done, position=position)

    def _metadata(self, name: str, raw: pl.DataFrame) -> pl.Series:
        if name in ("xid", "sequence"):
            return raw.get_column(XID if name == "xid" else SEQUENCE)
        if name == "committedAt":
            return raw.get_column(AT).cast(pl.Datetime("us", "UTC"))
        return _lsn(raw.get_column(COMMIT))

    def _places(self, places: pl.DataFrame) -> pl.Series:
        operation = pl.col(OP).replace_strict(_NAMES, default="?")
        said = places.with_columns(_lsn(places.get_column(COMMIT)).alias(_SHOWN), operation.alias(OP))
        return said.select(
            pl.format("{} {} at {}", pl.lit(self._relation.name), OP, pl.col(_SHOWN).fill_null("its snapshot"))
        ).to_series()

    def _unknown(self, refused: dict[str, pl.Series], begin: int) -> pl.DataFrame:
        fields = {each.column.name: each.field.name for each in self._kept}
        found = [
            pl.DataFrame({"row": mask.arg_true().cast(pl.Int64) + begin}).with_columns(
                pl.lit(fields[name]).alias("column"),
                pl.lit(None, pl.String).alias("value"),
                pl.lit(UNKNOWN_VALUE).alias("error"),
                pl.lit("unchanged_value").alias("rule"),
            )
            for name, mask in refused.items()
            if name in fields
        ]
        return pl.concat([pl.DataFrame(schema=REJECT_SCHEMA), *found])


def _column(events: pl.DataFrame, name: str) -> pl.Series:
    """A column of the table; nulls if it had none then."""
    if name in events.columns:
        return events.get_column(name)
    return pl.Series(name, [None], dtype=pl.String).new_from_index(0, events.height)


def _lsn(commits: pl.Series) -> pl.Series:
    """`0/16B3748`."""
    halves = commits.to_frame("c").select(
        (pl.col("c") // (1 << 32)).alias("high"), (pl.col("c") % (1 << 32)).alias("low")
    )
    texts = [halves.get_column(name).to_frame().select(_hexadecimal(name)).to_series() for name in ("high", "low")]
    return pl.DataFrame({"a": texts[0], "b": texts[1]}).select(pl.format("{}/{}", "a", "b")).to_series()


def _hexadecimal(name: str) -> pl.Expr:
    """Of numbers below 2^32, as upper-case hexadecimal without leading zeros."""
    digits = [((pl.col(name) // 16**place) % 16).replace_strict(_DIGITS) for place in range(7, -1, -1)]
    text = pl.concat_str(digits).str.strip_chars_start("0")
    return pl.when(text == "").then(pl.lit("0")).otherwise(text).alias(name)


_DIGITS = {number: f"{number:X}" for number in range(16)}
