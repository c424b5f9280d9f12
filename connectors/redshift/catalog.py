"""Metadata of tables, views and queries in Redshift. A query is described, not executed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace.connectors.column_names import nearest_name
from headrace.connectors.errors import SourceError
from headrace.connectors.redshift.session import RedshiftSession
from headrace.connectors.redshift.types import Typed, quoted, text_literal
from headrace.connectors.source import StreamFound
from headrace.connectors.sql.relation import ALIAS, Relation, TableName

_TABLES = """
SELECT table_schema, table_name, table_type, COALESCE(remarks, '') FROM svv_tables
WHERE table_schema NOT IN ('pg_catalog', 'pg_internal', 'pg_automv', 'information_schema')
ORDER BY 1, 2 LIMIT 10000
"""
_KINDS = {"BASE TABLE": "table", "VIEW": "view", "EXTERNAL TABLE": "external table"}
_ROWS = re.compile(r" rows=([0-9]+) ")


def full_name(name: TableName, database: str, schema: str) -> TableName:
    """Splits a name into schema and table. Raises SourceError(`missing_table`) for another database."""
    if len(name) == 3 and name[0] != database:
        raise SourceError(
            "missing_table", f"{'.'.join(name)} is in another database than {database}.", "Make a connector for that."
        )
    return (schema, name[0]) if len(name) == 1 else name[-2:]


def cased(name: TableName) -> bool:
    """Whether a name contains upper-case letters, which quotes alone do not preserve."""
    return any(part != part.lower() for part in name)


def table(session: RedshiftSession, name: TableName) -> Relation:
    """A table or a view by its exact schema and name. Raises SourceError: `missing_table`, `not_permitted`."""
    schema, own = name
    where = f" WHERE table_schema = {text_literal(schema)} AND table_name = {text_literal(own)}"
    of_table = f" FROM svv_tables{where}"
    found = session.of(f"SELECT table_type, COALESCE(remarks, ''){of_table}")
    if not found:
        names = [f"{each[0]}.{each[1]}" for each in session.of(_TABLES)]
        asked = f"{schema}.{own}"
        hint = nearest_name(asked, names) or "Or this login may not see it: GRANT USAGE ON SCHEMA and SELECT to it."
        raise SourceError("missing_table", f"There is no table or view {asked}.", hint)
    sql = f"{quoted(schema)}.{quoted(own)} AS {ALIAS}"
    rows = f" FROM {sql}"
    of_columns = f" FROM svv_columns{where}"
    more = session.of(f"SELECT column_name, is_nullable, COALESCE(remarks, ''){of_columns}")
    known = {str(column): (nullable != "NO", str(comment)) for column, nullable, comment in more}
    columns = tuple(
        Typed(oid, modifier).column(
            column, nullable=known.get(column, (True, ""))[0], comment=known.get(column, (1, ""))[1]
        )
        for column, oid, modifier in session.planned(f"SELECT *{rows}")
    )
    kind, comment = found[0]
    # keys are not enforced: the user declares what identifies a row, and it is checked
    own_words = {"cased": cased((schema, own, *(column.name for column in columns)))}
    return Relation(
        f"{schema}.{own}", sql, columns, _KINDS.get(kind, "table"), (), planned_rows(session, rows), comment, own_words
    )


def query(session: RedshiftSession, text: str) -> Relation:
    """A query with its values; the server plans it and does not run it. Raises SourceError."""
    found = session.planned(text)
    names = [name for name, _, _ in found]
    for name in names:
        if name == "?column?" or names.count(name) > 1:
            wrong = "has no name" if name == "?column?" else f"'{name}' is there twice"
            raise SourceError("bad_query", f"A column of the query {wrong}.", "Name each column with AS.")
    if not names:
        raise SourceError("bad_query", "The query has no columns.", "Select at least one.")
    sql = f"(\n{text}\n) AS {ALIAS}"
    columns = tuple(Typed(oid, modifier).column(name) for name, oid, modifier in found)
    return Relation("query", sql, columns, "query", (), planned_rows(session, f" FROM {sql}"))


def planned_rows(session: RedshiftSession, tail: str) -> int | None:
    """The planner's estimate of the rows; `tail` is the statement from FROM on."""
    plan = session.of(f"EXPLAIN SELECT 1{tail}")
    found = _ROWS.search(str(plan[0][0])) if plan else None
    return int(found[1]) if found is not None else None


def streams(session: RedshiftSession, text: str) -> Sequence[StreamFound]:
    """The tables and views that the login may see and whose name contains the text."""
    return [
        StreamFound(
            f"{schema}.{name}", {"table": f"{_part(schema)}.{_part(name)}"}, _KINDS.get(kind, "table"), comment=said
        )
        for schema, name, kind, said in session.of(_TABLES)
        if text.lower() in f"{schema}.{name}".lower()
    ]


def _part(name: str) -> str:
    return quoted(name) if any(mark in name for mark in '."{') or name != name.strip() else name
