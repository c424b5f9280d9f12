"""`docs/exactness.md`: what becomes of each value that the tests send from a source's server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from tests.connectors.bigquery import values as bigquery
from tests.connectors.databricks import values as databricks
from tests.connectors.mongodb import values as mongodb
from tests.connectors.redshift import values as redshift
from tests.connectors.sent_values import ERROR
from tests.connectors.snowflake import values as snowflake
from tests.connectors.sql.mysql import values as mysql
from tests.connectors.sql.postgresql import values as postgresql

Values = Mapping[str, Sequence[tuple[Any, Any]]]

_HEAD = """# Exactness of databases as sources

Written by `make docs` from the values that the tests store in a server of the system, read, and compare. A value
arrives as shown, or its row is an error row that quotes it: no value that the server keeps is rounded, shifted or cut.
Declare the column as `text` in the node's `fields` to load what would be an error row: it then arrives as the server
writes it. Null arrives as null.

"A double" is a server of the tests in the place of one that cannot run there; the page of connectors has [what was
shown of each](connectors.md). Values of Snowflake, BigQuery and Databricks are sent in the form that the service
documents, and the service's own client reads them.
"""

_SENT = "The values of `{}`, as the service sends them."
_MONGODB = """The values of `{}`, as Extended JSON, and what they are in fields of several types.
The left column has the type of the field: a value's own type may differ from document to document."""

_MOST = 60
"""Characters of a value that are shown."""


def exactness() -> str:
    """The page."""
    systems: list[tuple[str, str, Values, object]] = [
        ("PostgreSQL", "sql/postgresql", postgresql.VALUES, postgresql.ERROR),
        ("MySQL and MariaDB", "sql/mysql", mysql.VALUES, mysql.ERROR),
        ("Redshift (a double)", "redshift", redshift.VALUES, redshift.ERROR),
    ]
    sent: list[tuple[str, str, Values]] = [
        (
            "Snowflake (a double)",
            "snowflake",
            {
                kind: [(shown, expected) for shown, _, expected in column.values]
                for kind, column in snowflake.COLUMNS.items()
            },
        ),
        ("BigQuery (a double)", "bigquery", {kind: each.pairs for kind, each in bigquery.SENT.items()}),
        (
            "Databricks (a double)",
            "databricks",
            {
                kind: [(databricks.SHOWN.get(value, value), expected) for value, expected in each.pairs]
                for kind, each in databricks.SENT.items()
            },
        ),
    ]
    return "".join(
        (
            _HEAD,
            *(_table(*each) for each in systems),
            *(_table(*each, ERROR, _SENT) for each in sent),
            _table("MongoDB (BSON)", "mongodb", mongodb.shown(), mongodb.BAD, _MONGODB),
        )
    )


def _table(title: str, folder: str, values: Values, error: object, about: str = "The values of `{}`.") -> str:
    where = about.format(f"tests/connectors/{folder}/values.py")
    rows = [f"\n## {title}\n\n{where}\n\n| type | value | arrives as |\n| --- | --- | --- |\n"]
    for kind, pairs in values.items():
        for number, (written, expected) in enumerate(pairs):
            name = "" if number else _code(kind)
            rows.append(f"| {name} | {_shown(written)} | {'error row' if expected is error else _shown(expected)} |\n")
    return "".join(rows)


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return _code(f"x'{value.hex()}'")
    if value is None:
        return _code("null")
    if isinstance(value, Decimal):
        return _code(f"{value:f}")
    if isinstance(value, datetime):
        return _code(value.isoformat(" "))
    if isinstance(value, date | time):
        return _code(value.isoformat())
    return _code(str(value).lower() if isinstance(value, bool) else str(value))


def _code(text: str) -> str:
    """The text as code in a cell of a table; control characters and what a reader cannot see are escaped."""
    visible = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    if len(visible) > _MOST:
        visible = f"{visible[:_MOST]}… ({len(text):,} characters)"
    if not visible:
        return "empty text"
    quote = "``" if "`" in visible else "`"
    pad = " " if quote == "``" or visible[0] == " " or visible[-1] == " " else ""
    return f"{quote}{pad}{visible}{pad}{quote}".replace("|", "\\|")
