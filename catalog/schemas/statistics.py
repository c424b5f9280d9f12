"""Statistics of a schema's columns: ranges, distinct values, most frequent values. Cached for five minutes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from psycopg import sql
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from headrace.catalog.models import DataSchema, SchemaField, SchemaStatistics
from headrace.catalog.schemas.ddl import TABLE_SCHEMA
from headrace.catalog.schemas.rows import columns_of, count_rows

KEPT_FOR = timedelta(minutes=5)
LOOKED_AT = 200_000
"""Of larger tables, a random sample of about this many rows is used, and the figures are those of the sample."""

_TOP_VALUES = 10
_MAX_VALUE_CHARS = 200

_NUMERIC = ("smallint", "integer", "bigint", "decimal", "double")
_ORDERED = ("date", "time", "timestamp", "timestamptz")
_NAMED = ("text", "varchar", "boolean")

StatisticsType = Literal["numeric", "text", "boolean", "date", "time", "timestamp", "timestamptz", "json", "uuid"]
"""The types of columns in statistics: all numbers are `numeric`, `varchar` is `text`."""


def statistics_of(session: Session, schema: DataSchema) -> SchemaStatistics:
    """Returns the statistics of a schema, at most KEPT_FOR old. An empty or missing table has empty ones."""
    known = session.get(SchemaStatistics, schema.id)
    if known is not None and datetime.now(UTC) - known.computed_at < KEPT_FOR:
        return known
    found = _computed(session.connection(), schema)
    statement = insert(SchemaStatistics).values(schema_id=schema.id, **found)
    session.execute(statement.on_conflict_do_update(index_elements=[SchemaStatistics.schema_id], set_=found))
    return SchemaStatistics(schema_id=schema.id, **found)


def _computed(connection: Connection, schema: DataSchema) -> dict[str, Any]:
    there = {column.name for column in columns_of(connection, schema.table_name)}
    rows = count_rows(connection, schema.table_name) if there else 0
    sampled = rows > LOOKED_AT
    source = sql.Identifier(TABLE_SCHEMA, schema.table_name).as_string().replace("%", "%%")
    if sampled:
        source += f" TABLESAMPLE SYSTEM ({100 * LOOKED_AT / rows:.6f}) REPEATABLE (1)"
    connection.execute(text("SET LOCAL TimeZone = 'UTC'"))
    fields = [_field(connection, source, field) for field in schema.fields if field.name in there]
    return {"row_count": rows, "sampled": sampled, "fields": fields, "computed_at": datetime.now(UTC)}


def _field(connection: Connection, source: str, field: SchemaField) -> dict[str, Any]:
    column, kind = sql.Identifier(field.name).as_string().replace("%", "%%"), field.data_type
    result: dict[str, Any] = {"name": field.name, "type": _shown_type(kind)}
    if kind in _NUMERIC:
        finite = f" FILTER (WHERE {column} NOT IN ('NaN', 'Infinity', '-Infinity'))" if kind in _NUMERIC[-2:] else ""
        result |= _one(
            connection,
            f"""
            min({column}){finite} AS min, max({column}){finite} AS max,
            round((avg({column}){finite})::numeric, 6)::float8 AS avg, count(DISTINCT {column}) AS "distinctCount"
            """,
            source,
        )
    elif kind in _ORDERED:
        ranged = f'min({column})::text AS min, max({column})::text AS max, count(DISTINCT {column}) AS "distinctCount"'
        result |= _one(connection, ranged, source)
    else:
        result |= _one(connection, f'count(DISTINCT {column}::text) AS "distinctCount"', source)
    if kind in _NAMED:
        result["topValues"] = _most_frequent(connection, source, column)
    return result


def _one(connection: Connection, columns: str, source: str) -> dict[str, Any]:
    # one JSON value, so that dates before year 1 and numbers of any size are supported
    query = f"SELECT row_to_json(found) FROM (SELECT {columns} FROM {source}) AS found"  # noqa: S608
    found: dict[str, Any] = connection.exec_driver_sql(query, {}).scalar_one()
    return found


def _most_frequent(connection: Connection, source: str, column: str) -> Sequence[str]:
    query = f"""
        SELECT left({column}::text, {_MAX_VALUE_CHARS}) FROM {source} WHERE {column} IS NOT NULL
        GROUP BY {column} ORDER BY count(*) DESC, {column} LIMIT {_TOP_VALUES}
    """  # noqa: S608
    return list(connection.exec_driver_sql(query, {}).scalars())


def _shown_type(kind: str) -> str:
    if kind in _NUMERIC:
        return "numeric"
    return "text" if kind == "varchar" else kind
