"""Metadata of tables, views and queries in Databricks."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connectors.column_names import nearest_name
from headrace.connectors.databricks.names import quoted, text_literal, written
from headrace.connectors.databricks.session import Session
from headrace.connectors.databricks.types import column
from headrace.connectors.errors import SourceError
from headrace.connectors.source import StreamFound
from headrace.connectors.sql.relation import ALIAS, Column, Relation, TableName

_TABLES = (
    "SELECT table_schema, table_name, table_type, data_source_format, comment FROM {catalog}.information_schema.tables "
    "WHERE table_schema <> 'information_schema'{more} ORDER BY 1, 2 LIMIT 10000"
)
_KINDS = {"VIEW": "view", "MATERIALIZED_VIEW": "materialized view", "METRIC_VIEW": "view"}


def full_name(asked: Session, name: TableName) -> TableName:
    """The name completed with the session's catalog and schema."""
    if len(name) == 3:
        return name
    where = asked.rows("SELECT current_catalog() AS c, current_schema() AS s", "the session")[0]
    return (*map(str, where[: 3 - len(name)]), *name)


def table(asked: Session, name: TableName) -> Relation:
    """A table or a view, by its full name. Raises SourceError(`missing_table`) with the nearest name."""
    said, sql = written(name), ".".join(map(quoted, name))
    rows = f" FROM {sql}"
    try:
        columns = _columns(asked, f"SELECT *{rows}", said)
    except SourceError as error:
        if error.code == "missing_table":
            raise SourceError("missing_table", f"There is no table or view {said}.", _nearest(asked, name)) from None
        raise
    kind, form, comment = _described(asked, name)
    count = int(asked.rows(f"SELECT COUNT(*) AS n{rows}", said)[0][0]) if form == "DELTA" else None
    own = {"delta": sql} if form == "DELTA" else {}
    return Relation(said, f"{sql} AS {ALIAS}", columns, kind, rows=count, comment=comment, own=own)


def query(asked: Session, text: str) -> Relation:
    """A query, which is described and not run. Raises SourceError."""
    columns = _columns(asked, text, "the query")
    names = [each.name.lower() for each in columns]
    for each in names:
        if names.count(each) > 1:
            raise SourceError("bad_query", f"A column of the query: '{each}' is there twice.", "Name each with AS.")
    return Relation("query", f"(\n{text}\n) AS {ALIAS}", columns, "query")


def streams(asked: Session, text: str) -> Sequence[StreamFound]:
    """The tables and views of the session's catalog whose name contains the text."""
    catalog = str(asked.rows("SELECT current_catalog() AS c", "the session")[0][0])
    found = asked.rows(_TABLES.format(catalog=quoted(catalog), more=""), f"the list of tables of {catalog}")
    return [
        StreamFound(
            written((schema, name)),
            {"table": written((catalog, schema, name))},
            _KINDS.get(str(kind), "table"),
            comment=str(comment or ""),
        )
        for schema, name, kind, _, comment in found
        if text.lower() in f"{schema}.{name}".lower()
    ]


def version(asked: Session, relation: Relation) -> int | None:
    """The newest version of a Delta table; None for other tables."""
    sql = relation.own.get("delta")
    if sql is None:
        return None
    return int(asked.rows(f"DESCRIBE HISTORY {sql} LIMIT 1", relation.name)[0][0])


def _columns(asked: Session, text: str, what: str) -> tuple[Column, ...]:
    """The columns of a query; the server plans it and does not run it."""
    found = asked.rows(f"DESCRIBE QUERY {text}", what)
    if not found:
        raise SourceError("bad_query", f"{what} has no columns.", "Select at least one.")
    return tuple(column(str(name), str(native), comment=str(comment or "")) for name, native, comment in found)


def _described(asked: Session, name: TableName) -> tuple[str, str, str]:
    """Kind, format and comment; `table` if the catalog has no entry."""
    more = f" AND table_schema = {text_literal(name[1])} AND table_name = {text_literal(name[2])}"
    try:
        found = asked.rows(_TABLES.format(catalog=quoted(name[0]), more=more), written(name))
    except SourceError as error:
        if error.code in ("connection_lost", "timed_out"):
            raise
        found = []  # hive_metastore has none
    if not found:
        return "table", "", ""
    _, _, kind, form, comment = found[0]
    plain = _KINDS.get(str(kind), "table")
    return plain, str(form or "").upper() if plain == "table" else "", str(comment or "")


def _nearest(asked: Session, name: TableName) -> str:
    try:
        found = asked.rows(_TABLES.format(catalog=quoted(name[0]), more=""), written(name))
    except SourceError:
        return f"There is no catalog {written(name[:1])}, or the login may not use it: GRANT USE CATALOG ON it."
    names = [written((name[0], str(row[0]), str(row[1]))) for row in found]
    return nearest_name(written(name), names) or "Check its name, or GRANT USE SCHEMA and SELECT on it."
