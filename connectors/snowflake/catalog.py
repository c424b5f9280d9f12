"""Metadata of tables, views and queries in Snowflake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.connectors.column_names import nearest_name
from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake.names import quoted, text_literal, written
from headrace.connectors.snowflake.session import Session, Statement
from headrace.connectors.source import StreamFound
from headrace.connectors.sql.relation import ALIAS, Relation, TableName

_TABLES = """
SELECT table_schema, table_name, table_type, row_count, comment
FROM {database}.information_schema.tables
WHERE table_schema <> 'INFORMATION_SCHEMA'{more}
ORDER BY 1, 2 LIMIT 10000
"""
_KINDS = {"BASE TABLE": "table", "VIEW": "view", "MATERIALIZED VIEW": "materialized view", "EXTERNAL TABLE": "table"}


def full_name(name: TableName, database: str, schema: str) -> TableName:
    """The name completed with the database and the schema."""
    return (*(database, schema)[: 3 - len(name)], *name)


def table(session: Session, name: TableName) -> Relation:
    """A table or a view, by its full stored name. Raises SourceError(`missing_table`) with the nearest name."""
    said = written(name)
    sql = f"{'.'.join(quoted(part) for part in name)} AS {ALIAS}"
    rows = f" FROM {sql}"
    try:
        columns = session.columns(Statement(f"SELECT *{rows}"), said)
    except SourceError as error:
        if error.code == "missing_table":
            raise SourceError("missing_table", f"There is no table or view {said}.", _nearest(session, name)) from None
        raise
    only = f" AND table_schema = {text_literal(name[1])} AND table_name = {text_literal(name[2])}"
    found = next(iter(_tables(session, name[0], only)), None)
    kind, count, comment = ("table", None, "") if found is None else (_KINDS.get(found[2], "table"), *found[3:])
    return Relation(
        said,
        sql,
        tuple(columns),
        kind,
        _key(session, name) if kind == "table" else (),
        None if count is None else int(count),
        comment or "",
    )


def query(session: Session, statement: Statement) -> Relation:
    """A query, which is described and not run; its question marks stay in its `sql`. Raises SourceError."""
    columns = session.columns(statement, "the query")
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise SourceError("bad_query", f"A column of the query: '{name}' is there twice.", "Name each with AS.")
    if not names:
        raise SourceError("bad_query", "The query has no columns.", "Select at least one.")
    return Relation("query", f"(\n{statement.text}\n) AS {ALIAS}", tuple(columns), "query")


def streams(session: Session, database: str, text: str) -> Sequence[StreamFound]:
    """The tables and views of a database that the role may see and whose name contains the text."""
    return [
        StreamFound(
            written((schema, name)),
            {"table": written((database, schema, name))},
            _KINDS.get(kind, "table"),
            rows=None if rows is None else int(rows),
            comment=comment or "",
        )
        for schema, name, kind, rows, comment in _tables(session, database, "")
        if text.lower() in f"{schema}.{name}".lower()
    ]


def _tables(session: Session, database: str, more: str) -> list[tuple[Any, ...]]:
    asked = _TABLES.format(database=quoted(database), more=more)
    return session.rows(Statement(asked), f"the list of tables of {written((database,))}")


def _nearest(session: Session, name: TableName) -> str:
    try:
        names = [written((name[0], *row[:2])) for row in _tables(session, name[0], "")]
    except SourceError:
        return f"The role may not see the database {written(name[:1])}, or there is none."
    found = nearest_name(written(name), names)
    return found or "Names are upper case unless they are in quotes; or GRANT SELECT ON it TO the role."


def _key(session: Session, name: TableName) -> tuple[str, ...]:
    """The primary key; Snowflake does not enforce it."""
    shown = f"SHOW PRIMARY KEYS IN TABLE {'.'.join(quoted(part) for part in name)}"
    try:
        rows = session.rows(Statement(shown), written(name))
    except SourceError as error:
        if error.code in ("connection_lost", "timed_out"):
            raise
        return ()  # a view, or a role that may not see it
    # created_on, database_name, schema_name, table_name, column_name, key_sequence, …
    return tuple(str(row[4]) for row in sorted(rows, key=lambda row: int(row[5])) if tuple(row[1:4]) == tuple(name))
