"""The watermark of a pipeline and table: the greatest value of a column loaded so far, stored as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.tables.describe import Column, Table, split_name

_LOCK = 0x4EAD_2AD0

_DDL = """
CREATE TABLE IF NOT EXISTS _headrace.watermarks (
  pipeline_id text NOT NULL,
  target_node text NOT NULL,
  target_table text NOT NULL,
  watermark_column text NOT NULL,
  value text,
  run_id text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (pipeline_id, target_node, target_table, watermark_column)
)
"""

_READ = """
SELECT value FROM _headrace.watermarks
WHERE pipeline_id = %s AND target_node = %s AND target_table = %s AND watermark_column = %s
"""

_MOVE = """
UPDATE _headrace.watermarks SET value = %s, run_id = %s, updated_at = now()
WHERE pipeline_id = %s AND target_node = %s AND target_table = %s AND watermark_column = %s
"""

_TEXTUAL = ("text", "varchar", "bpchar")
_FINITE = {"date": "isfinite({0})", "timestamp": "isfinite({0})", "timestamptz": "isfinite({0})"} | dict.fromkeys(
    ("numeric", "float4", "float8"), "{0} NOT IN ('NaN', 'Infinity', '-Infinity')"
)
TYPES = ("int2", "int4", "int8", *_FINITE, *_TEXTUAL)
"""Types (pg_type names) that a watermark column may have."""


def create_watermarks(connection: psycopg.Connection[Any]) -> None:
    """Creates the table of watermarks, on an autocommit connection. Concurrent calls are safe."""
    there = connection.execute("SELECT to_regclass('_headrace.watermarks') IS NOT NULL").fetchone()
    if there != (True,):
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute(_DDL)


@dataclass(frozen=True, slots=True)
class Watermark:
    """The watermark of one target in one pipeline."""

    spec: LoadSpec
    column: Column

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Its row in `_headrace.watermarks`."""
        return (self.spec.pipeline_id, self.spec.target_node, self.spec.table, self.column.name)

    @property
    def ordered(self) -> sql.Composable:
        """The expression that compares the column."""
        plain = sql.Identifier(self.column.name)
        return sql.SQL('{} COLLATE "C"').format(plain) if self.column.type_name in _TEXTUAL else plain

    def begin(self, connection: psycopg.Connection[Any]) -> str | None:
        """The watermark, on an autocommit connection. If there is none yet, it starts at the greatest value in the
        table (None: the table is empty, all rows will be loaded)."""
        create_watermarks(connection)
        known = connection.execute(_READ, self.key).fetchone()
        if known is None:
            target = sql.Identifier(*split_name(self.spec.table))
            with connection.transaction():
                value = self.greatest(connection, target, sql.SQL("true"))
                values = (*self.key, value, self.spec.run_id)
                insert = "INSERT INTO _headrace.watermarks VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
                connection.execute(insert, values)
            return value
        return None if known[0] is None else str(known[0])

    def lock(self, connection: psycopg.Connection[Any]) -> str | None:
        """The watermark, locked until the caller's transaction ends. Raises TargetError(`watermark_gone`)."""
        row = connection.execute(_READ + "FOR UPDATE", self.key).fetchone()
        if row is None:
            raise TargetError(
                "watermark_gone",
                f"The watermark of {self.spec.table} was removed while rows were loaded.",
                "Retry the run.",
            )
        return None if row[0] is None else str(row[0])

    def move(self, connection: psycopg.Connection[Any], value: str) -> None:
        """Sets the watermark in the caller's transaction."""
        connection.execute(_MOVE, (value, self.spec.run_id, *self.key))

    def above(self, value: str | None) -> sql.Composable:
        """The condition that a row is above the watermark."""
        if value is None:
            return sql.SQL("true")
        return sql.SQL("{} > {}::{}").format(self.ordered, sql.Literal(value), sql.Identifier(self.column.type_name))

    def greatest(
        self, connection: psycopg.Connection[Any], table: sql.Composable, condition: sql.Composable
    ) -> str | None:
        """The greatest finite value, as text, of the rows that meet the condition; in a transaction."""
        name = sql.Identifier(self.column.name)
        finite = sql.SQL(_FINITE.get(self.column.type_name, "true")).format(name)
        connection.execute("SET LOCAL datestyle = 'ISO, YMD'")
        connection.execute("SET LOCAL timezone = 'UTC'")
        query = sql.SQL("SELECT max({})::text FROM {} WHERE {} AND {}")
        row = connection.execute(query.format(self.ordered, table, finite, condition)).fetchone()
        return None if row is None or row[0] is None else str(row[0])

    def keeping(self, connection: psycopg.Connection[Any], value: str | None) -> Callable[[pl.DataFrame], pl.DataFrame]:
        """A function that removes the rows of a batch that are certainly not above the watermark. Rows that cannot be
        compared there (another type, no value) stay, and are checked again on publication."""
        limit = None if value is None else self._read(connection, value)
        name = self.column.name

        def keep(frame: pl.DataFrame) -> pl.DataFrame:
            bound = None if value is None else _bound(self.column.type_name, frame.schema[name], value, limit)
            return frame if bound is None else frame.filter(~(pl.col(name) <= bound).fill_null(value=False))

        return keep

    def _read(self, connection: psycopg.Connection[Any], value: str) -> object:
        """The value as a Python object; None if Python cannot represent it, such as a date BC."""
        try:
            read = sql.SQL("SELECT {}::{}").format(sql.Literal(value), sql.Identifier(self.column.type_name))
            row = connection.execute(read).fetchone()
        except psycopg.DataError:
            return None
        return None if row is None else row[0]


def _bound(kind: str, dtype: pl.DataType, text: str, value: object) -> pl.Expr | None:
    """The watermark as an expression that compares exactly with a column of this dtype; None if that is not certain."""
    if kind in _TEXTUAL:
        return pl.lit(text) if dtype == pl.String else None
    if value is None:
        return None
    if kind in ("int2", "int4", "int8"):
        return pl.lit(value, dtype=pl.Int64) if dtype.is_integer() else None
    if kind == "numeric" and isinstance(dtype, pl.Decimal):
        bound = pl.lit(text).cast(dtype, strict=False)
        return bound if pl.select(bound).item() == value else None
    if kind == "float8" and dtype.is_float():
        return pl.lit(value)
    if (kind, dtype) in (("date", pl.Date()), ("timestamp", pl.Datetime("us"))):
        return pl.lit(value, dtype=dtype)
    if kind == "timestamptz" and dtype == pl.Datetime("us", "UTC"):
        return pl.lit(value).dt.convert_time_zone("UTC").cast(dtype)
    return None


def watermark_of(spec: LoadSpec, table: Table) -> Watermark:
    """The watermark of the load's target. Raises TargetError if its column cannot order rows."""
    name = spec.watermark_column
    column = None if name is None else table.column(name)
    if name is None or column is None or name not in spec.columns:
        raise TargetError(
            "watermark_column",
            f"Rows for {spec.table} are ordered by watermarkColumn, and "
            + ("none is named." if name is None else f"'{name}' is not a column that the table and the data have."),
            f"Name one of: {', '.join(spec.columns)}.",
        )
    if column.type_name not in TYPES:
        raise TargetError(
            "watermark_type",
            f"Column '{name}' of {spec.table} has type {column.sql_type}, which cannot be a watermark.",
            "It can be a number, a text, a date or a timestamp.",
        )
    return Watermark(spec, column)
