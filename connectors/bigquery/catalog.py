"""Metadata of tables, views and queries in BigQuery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from headrace.connectors.bigquery.jobs import Jobs, Statement, table_path
from headrace.connectors.bigquery.names import quoted, written
from headrace.connectors.bigquery.rest import Rest, understood
from headrace.connectors.bigquery.types import Described, column
from headrace.connectors.column_names import nearest_name
from headrace.connectors.errors import SourceError
from headrace.connectors.source import StreamFound
from headrace.connectors.sql.relation import ALIAS, Relation, TableName

_KINDS = {"TABLE": "table", "SNAPSHOT": "snapshot", "VIEW": "view", "EXTERNAL": "external table"}
_KINDS["MATERIALIZED_VIEW"] = "materialized view"
_STORED = ("table", "snapshot")
_LISTED = 10_000
_COUNTED = 200
"""The number of listed tables whose rows are requested, one request each."""
_AT_ONCE = 8


def described(relation: Relation) -> dict[str, Described]:
    """Its columns as BigQuery describes them, by name."""
    return {each["name"]: each for each in relation.own["fields"]}


def stored(relation: Relation) -> str | None:
    """The path of a stored table; None if only a query can read it."""
    path = relation.own.get("path")
    return None if path is None else str(path)


def table(rest: Rest, name: TableName) -> Relation:
    """A table or a view, by its full name. Raises SourceError(`missing_table`) with the nearest name."""
    said = written(name)
    project, dataset, own = name
    try:
        found = rest.ask("GET", _table(project, dataset, own), said)
    except SourceError as error:
        if error.code == "missing_table":
            raise SourceError(error.code, f"There is no table or view {said}.", _nearest(rest, name)) from None
        raise
    with understood(said):
        return _relation(name, said, found)


def _relation(name: TableName, said: str, found: dict[str, Any]) -> Relation:
    kind = _KINDS.get(str(found.get("type")), "table")
    fields = list(found.get("schema", {}).get("fields", ()))
    if not fields:
        raise SourceError("missing_column", f"{said} has no columns.", "Add some, or name another table.")
    keys = found.get("tableConstraints", {}).get("primaryKey", {}).get("columns", ())
    counted = kind in _STORED and found.get("numRows") is not None
    return Relation(
        said,
        f"{'.'.join(map(quoted, name))} AS {ALIAS}",
        tuple(map(column, fields)),
        kind,
        tuple(map(str, keys)),
        int(found["numRows"]) if counted else None,
        str(found.get("description") or ""),
        {"fields": fields, **({"path": table_path(*name)} if kind in _STORED else {})},
    )


def query(jobs: Jobs, statement: Statement) -> Relation:
    """A query, which is not executed; `@name` stays in its `sql`. Raises SourceError."""
    with understood("the query"):
        return _query(statement, jobs.columns(statement, "the query"))


def _query(statement: Statement, fields: list[Described]) -> Relation:
    names = [str(each["name"]).lower() for each in fields]
    for each in names:
        if names.count(each) > 1:
            raise SourceError("bad_query", f"A column of the query: '{each}' is there twice.", "Name each with AS.")
    if not names:
        raise SourceError("bad_query", "The query has no columns.", "Select at least one.")
    sql = f"(\n{statement.text}\n) AS {ALIAS}"
    return Relation("query", sql, tuple(map(column, fields)), "query", own={"fields": fields})


def streams(rest: Rest, project: str, dataset: str, text: str) -> Sequence[StreamFound]:
    """The tables and views of a dataset whose name contains the text; the first ones with their number of rows."""
    with understood(f"the dataset {dataset}"):
        return _streams(rest, project, dataset, text)


def _streams(rest: Rest, project: str, dataset: str, text: str) -> Sequence[StreamFound]:
    named = [each for each in _listed(rest, project, dataset) if text.lower() in f"{dataset}.{_id(each)}".lower()]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="bigquery") as threads:
        counted = list(threads.map(lambda each: _counted(rest, project, dataset, each), named[:_COUNTED]))
    counts = {**dict.fromkeys(map(_id, named)), **dict(counted)}
    return [
        StreamFound(
            written((dataset, _id(each))),
            {"table": written((dataset, _id(each)))},
            _KINDS.get(str(each.get("type")), "table"),
            rows=counts[_id(each)],
            comment=str(each.get("friendlyName") or ""),
        )
        for each in named
    ]


def _counted(rest: Rest, project: str, dataset: str, listed: Any) -> tuple[str, int | None]:
    name = _id(listed)
    if _KINDS.get(str(listed.get("type"))) not in _STORED:
        return name, None
    try:
        rows = rest.ask("GET", _table(project, dataset, name), name).get("numRows")
    except SourceError:
        return name, None  # dropped meanwhile, or not permitted
    return name, None if rows is None else int(rows)


def _listed(rest: Rest, project: str, dataset: str) -> Iterator[Any]:
    path, page, count = f"projects/{_safe(project)}/datasets/{_safe(dataset)}/tables", "", 0
    while count < _LISTED:
        asked = {"maxResults": "1000", **({"pageToken": page} if page else {})}
        found = rest.ask("GET", path, f"the dataset {written((project, dataset))}", query=asked)
        for each in found.get("tables", ()):
            count += 1
            yield each
        page = str(found.get("nextPageToken") or "")
        if not page:
            return


def _id(listed: Any) -> str:
    return str(listed["tableReference"]["tableId"])


def _table(project: str, dataset: str, name: str) -> str:
    return f"projects/{_safe(project)}/datasets/{_safe(dataset)}/tables/{_safe(name)}"


def _safe(text: str) -> str:
    return quote(text, safe=":")


def _nearest(rest: Rest, name: TableName) -> str:
    project, dataset, _ = name
    try:
        names = [written((project, dataset, _id(each))) for each in _listed(rest, project, dataset)]
    except SourceError:
        return f"There is no dataset {written((project, dataset))}, or the service account may not see it."
    return nearest_name(written(name), names) or "Check its name; upper and lower case differ in BigQuery."
