"""`docs/exactness.md`: what becomes of each value that the tests send from a source's server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from tests.connectors.redshift import values as redshift
from tests.connectors.sql.mysql import values as mysql
from tests.connectors.sql.postgresql import values as postgresql

Values = Mapping[str, Sequence[tuple[str, Any]]]

_HEAD = """# Exactness of databases as sources

Written by `make docs` from the values that the tests store in a server of the system, read, and compare. A value
arrives as shown, or its row is an error row that quotes it: no value that the server keeps is rounded, shifted or cut.
Declare the column as `text` in the node's `fields` to load what would be an error row: it then arrives as the server
writes it.
"""

_MOST = 60
"""Characters of a value that are shown."""


def exactness() -> str:
    """The page."""
    systems: list[tuple[str, str, Values, object]] = [
        ("PostgreSQL", "tests/connectors/sql/postgresql/values.py", postgresql.VALUES, postgresql.ERROR),
        ("MySQL and MariaDB", "tests/connectors/sql/mysql/values.py", mysql.VALUES, mysql.ERROR),
        ("Redshift (a double)", "tests/connectors/redshift/values.py", redshift.VALUES, redshift.ERROR),
    ]
    return _HEAD + "".join(_table(*each) for each in systems)


def _table(title: str, file: str, values: Values, error: object) -> str:
    rows = [f"\n## {title}\n\nThe values of `{file}`.\n\n| type | value | arrives as |\n| --- | --- | --- |\n"]
    for kind, pairs in values.items():
        for number, (written, expected) in enumerate(pairs):
            name = "" if number else _code(kind)
            rows.append(f"| {name} | {_code(written)} | {'error row' if expected is error else _shown(expected)} |\n")
    return "".join(rows)


def _shown(value: Any) -> str:
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
