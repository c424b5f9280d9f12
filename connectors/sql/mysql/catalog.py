"""Metadata of a table or view from the information schema, and of a query from the protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.connectors.column_names import nearest_name
from headrace.connectors.errors import SourceError
from headrace.connectors.source import StreamFound
from headrace.connectors.sql.mysql.errors import NOT_PLANNED
from headrace.connectors.sql.mysql.session import Session
from headrace.connectors.sql.mysql.types import Typed, quoted, text_literal
from headrace.connectors.sql.mysql.wire import Described
from headrace.connectors.sql.relation import ALIAS, Column, Relation, TableName

_KINDS = {"BASE TABLE": "table", "VIEW": "view", "SYSTEM VERSIONED": "table", "SYSTEM VIEW": "view"}
_OWN = "('mysql', 'information_schema', 'performance_schema', 'sys')"

_TABLE = """
SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, TABLE_ROWS, TABLE_COMMENT
FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {table}
ORDER BY CAST(TABLE_NAME AS BINARY) = CAST({table} AS BINARY) DESC LIMIT 1
"""
_NAMES = """
SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES
WHERE TABLE_SCHEMA NOT IN {own} ORDER BY TABLE_SCHEMA = {schema} DESC, 1 LIMIT 2000
"""
_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_MAXIMUM_LENGTH,
       COLLATION_NAME, IS_NULLABLE = 'YES', COLUMN_COMMENT
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {table} ORDER BY ORDINAL_POSITION
"""
_INDEXES = """
SELECT INDEX_NAME, COLUMN_NAME, NON_UNIQUE = 0, SUB_PART IS NULL AND INDEX_TYPE = 'BTREE', NULLABLE <> 'YES'
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {table}
ORDER BY INDEX_NAME = 'PRIMARY' DESC, INDEX_NAME, SEQ_IN_INDEX
"""
_JSON = """
SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
WHERE CONSTRAINT_SCHEMA = {schema} AND TABLE_NAME = {table} AND CHECK_CLAUSE LIKE 'json_valid(%)'
"""
_STREAMS = """
SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, t.TABLE_ROWS, t.TABLE_COMMENT
FROM information_schema.TABLES t
WHERE t.TABLE_SCHEMA NOT IN {own} AND t.TABLE_TYPE <> 'SEQUENCE'
  AND LOCATE(LOWER({text}), LOWER(CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME))) > 0
ORDER BY 1, 2 LIMIT 10000
"""
_PRIMARY = """
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS
WHERE INDEX_NAME = 'PRIMARY' AND TABLE_SCHEMA NOT IN {own} ORDER BY 1, 2, SEQ_IN_INDEX
"""

_BYTES = frozenset(
    (
        *("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector", "geometry", "point"),
        *("linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection"),
        *("geomcollection",),
    )
)
_TEXTS = frozenset(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "inet4", "inet6"))
_KNOWN = frozenset(
    (
        *("tinyint", "smallint", "mediumint", "int", "bigint", "year", "decimal", "float", "double", "bit"),
        *("date", "time", "datetime", "timestamp", "json", "uuid", "enum", "set"),
    )
)
_SIGNED = frozenset(("tinyint", "smallint", "mediumint", "int", "bigint"))
_CODES = {
    **{0: "decimal", 246: "decimal", 1: "tinyint", 2: "smallint", 9: "mediumint", 3: "int", 8: "bigint"},
    **{4: "float", 5: "double", 7: "timestamp", 17: "timestamp", 10: "date", 14: "date", 11: "time", 19: "time"},
    **{12: "datetime", 18: "datetime", 13: "year", 16: "bit", 245: "json", 255: "bytes", 247: "enum", 248: "set"},
}
"""Types by their protocol codes; others are texts or bytes."""
_UNSIGNED, _ENUM, _SET = 32, 256, 2048
_BINARY = 63
"""The character set number of binary data."""


def table(session: Session, name: TableName, database: str) -> Relation:
    """A table or a view. Raises SourceError: `missing_table`, `not_permitted`."""
    if len(name) > 2:
        raise SourceError("bad_table", f"{'.'.join(name)} has three parts.", "Write database.table.")
    schema, asked = (name[0] if len(name) == 2 else database), name[-1]
    named = {"schema": text_literal(schema), "table": text_literal(asked), "own": _OWN}
    found = session.rows(_TABLE.format(**named))
    if not found:
        names = [str(row[0]) for row in session.rows(_NAMES.format(**named))]
        raise SourceError(
            "missing_table",
            f"There is no table or view {schema}.{asked} that this login may see.",
            nearest_name(f"{schema}.{asked}", names),
        )
    schema, own, kind, rows, comment = found[0]
    named |= {"schema": text_literal(schema), "table": text_literal(own)}
    columns = session.rows(_COLUMNS.format(**named))
    indexes = session.rows(_INDEXES.format(**named))
    valid_json = _checked_as_json(session, named) if any(row[1] == "longtext" for row in columns) else frozenset()
    place = f"{quoted(schema)}.{quoted(own)}"
    relation = Relation(
        f"{schema}.{own}",
        f"{place} AS {ALIAS}",
        tuple(_column(row, valid_json) for row in columns),
        _KINDS.get(kind, "table"),
        _key(indexes),
        None if rows is None else int(rows),
        "" if kind == "VIEW" else comment,
        {
            "place": place,
            "indexes": _leading(indexes),
            "collations": {row[0]: row[6] for row in columns if row[6] is not None},
        },
    )
    # missing permissions are reported now
    every, rows_of = ", ".join(quoted(row[0]) for row in columns) or "1", f" FROM {relation.sql}"
    session.described(f"SELECT {every}{rows_of}")
    return relation


def query(session: Session, text: str) -> Relation:
    """A query with its values; the server plans it and does not run it. Raises SourceError."""
    sql = f"(\n{text}\n) AS {ALIAS}"
    all_of = f" FROM {sql}"
    columns = tuple(_described(each) for each in session.described(f"SELECT *{all_of}"))
    # explained unchanged: as a subquery the server would execute one that has no table
    return Relation("query", sql, columns, "query", (), planned_rows(session, text))


def planned_rows(session: Session, statement: str) -> int | None:
    """The optimizer's estimate of a statement's rows; None without the permission."""
    try:
        rows = session.explained(statement)
    except SourceError as error:
        if error.code != NOT_PLANNED:
            raise
        return None
    counts: dict[str, float] = {}
    for row in rows:
        if row["select_type"] in ("SIMPLE", "PRIMARY", "UNION") and row["rows"] is not None:
            share = float(row["filtered"]) / 100 if row.get("filtered") is not None else 1.0
            counts[row["id"]] = counts.get(row["id"], 1.0) * int(row["rows"]) * share
    return round(sum(counts.values())) if counts else 1  # without a table


def streams(session: Session, text: str) -> list[StreamFound]:
    """The tables and views that the login may see and whose name contains the text."""
    keys: dict[tuple[str, str], list[str]] = {}
    for schema, name, column in session.rows(_PRIMARY.format(own=_OWN)):
        keys.setdefault((schema, name), []).append(column)
    return [
        StreamFound(
            f"{schema}.{name}",
            {"table": f"{_part(schema)}.{_part(name)}"},
            _KINDS.get(kind, "table"),
            rows=None if rows is None else int(rows),
            key=tuple(keys.get((schema, name), ())),
            comment="" if kind == "VIEW" else comment,
        )
        for schema, name, kind, rows, comment in session.rows(_STREAMS.format(own=_OWN, text=text_literal(text)))
    ]


def _part(name: str) -> str:
    plain = not any(mark in name for mark in '."{') and name == name.strip()
    return name if plain else '"' + name.replace('"', '""') + '"'


def _column(row: Sequence[Any], valid_json: frozenset[str]) -> Column:
    name, kind, native, digits, decimals, characters, _, nullable, comment = row
    if name in valid_json:
        kind = "json"
    if kind in _SIGNED and "unsigned" in native:
        kind += " unsigned"
    elif kind in _BYTES:
        kind = "bytes"
    sized = kind in ("char", "varchar") and characters is not None
    if kind in _TEXTS or not any(kind.startswith(each) for each in (*_KNOWN, "bytes")):
        kind = "text"
    typed = Typed(
        kind,
        None if digits is None else int(digits),
        None if decimals is None else int(decimals),
        int(characters) if sized else None,
    )
    return typed.column(
        name, "vector" if native.startswith("vector") else native, nullable=nullable == "1", comment=comment or ""
    )


def _described(each: Described) -> Column:
    """The type of a query's column."""
    kind = _CODES.get(each.code)
    if kind is None:
        kind = "bytes" if each.charset == _BINARY else "text"
    kind = "enum" if each.flags & _ENUM else "set" if each.flags & _SET else kind
    unsigned = bool(each.flags & _UNSIGNED)
    digits = each.length - (each.decimals > 0) - (not unsigned) if kind == "decimal" else None
    if kind in _SIGNED and unsigned:
        kind += " unsigned"
    return Typed(kind, digits, each.decimals).column(each.name, kind)


def _key(indexes: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    """The primary key, or the shortest unique index whose columns are never null and can be read in order."""
    parts: dict[str, list[str]] = {}
    unfit: set[str] = set()
    for index, column, unique, whole, never_null in indexes:
        parts.setdefault(index, []).append(column)
        if column is None or "0" in (unique, whole, never_null):
            unfit.add(index)
    fit = [columns for index, columns in parts.items() if index not in unfit]
    if "PRIMARY" in parts and "PRIMARY" not in unfit:
        return tuple(parts["PRIMARY"])
    fit.sort(key=len)
    return tuple(fit[0]) if fit else ()


def _leading(indexes: Sequence[Sequence[Any]]) -> dict[str, str]:
    """For each column, an index that begins with it."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for index, column, _, whole, _ in indexes:
        if index not in seen and column is not None and whole == "1":
            found.setdefault(column, index)
        seen.add(index)
    return found


def _checked_as_json(session: Session, named: Mapping[str, str]) -> frozenset[str]:
    """The JSON columns of MariaDB: longtext with a check."""
    if not session.wire.is_mariadb:
        return frozenset()
    clauses = (str(row[0]) for row in session.rows(_JSON.format(**named)))
    names = (re.fullmatch(r"json_valid\(`((?:[^`]|``)+)`\)", clause) for clause in clauses)
    return frozenset(found[1].replace("``", "`") for found in names if found)
