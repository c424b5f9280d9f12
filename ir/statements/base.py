"""What a judged statement is, and the names it may use."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ir.problems import fault

LOADED_TABLE = "{table}"
"""Stands in a statement for the table that is loaded: in a `postHook` of blue_green the one to be swapped in."""

ALLOWED = (
    "use SELECT, ANALYZE table, VACUUM table, CREATE INDEX name ON table or REFRESH MATERIALIZED VIEW, one of them; "
    "for anything else install a custom_function"
)

StatementKind = Literal["select", "index", "analyze", "vacuum", "refresh"]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
_ENGINE_SCHEMAS = {"headrace", "_headrace", "information_schema", "prefect"}


@dataclass(frozen=True, slots=True)
class AdminStatement:
    """One statement. `tables` are those it names (`schema.table`, or LOADED_TABLE), `view` the materialized view it
    refreshes; `render` gives the SQL to run when the table that is loaded is `schema.table`.

    A `select` is meant for a read-only transaction and an empty search path. `alone`: not inside a transaction.
    """

    kind: StatementKind
    tables: frozenset[str]
    render: Callable[[str], str]
    view: str | None = None
    alone: bool = False


def quoted(qualified: str) -> str:
    """`schema.table` as SQL. Both names are plain."""
    return ".".join(f'"{part}"' for part in qualified.split("."))


def table_reference(schema: str | None, name: str) -> str:
    """`schema.table` of a table that a statement names (folded already); raises for one that no tenant can own."""
    if schema is None and name == LOADED_TABLE:
        return LOADED_TABLE
    schema = schema or "public"
    if schema in _ENGINE_SCHEMAS or schema.startswith("pg_") or name.startswith("pg_"):
        message = f"A hook cannot use {schema}.{name}, which belongs to the database or to Headrace"
        raise fault("forbidden_table", message, "use the tables of your own schemas")
    if not (_NAME.fullmatch(schema) and _NAME.fullmatch(name)):
        raise fault("forbidden_table", f"'{schema}.{name}' does not name a table of yours", "write public.ds_orders")
    return f"{schema}.{name}"


def folded(name: str) -> str:
    """A name as PostgreSQL takes it: without its quotes, or in lower case where it has none."""
    if name.startswith('"'):
        return name[1:-1]
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)
