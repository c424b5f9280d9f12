"""A checked statement, and the names of tables that it may use."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from headrace.ir.problems import fault

LOADED_TABLE = "{table}"
"""The placeholder for the loaded table: in a `postHook` of blue_green the table that will be swapped in."""

ALLOWED = (
    "use SELECT, ANALYZE table, VACUUM table, CREATE INDEX name ON table or REFRESH MATERIALIZED VIEW, one of them; "
    "for anything else install a custom_function"
)

StatementKind = Literal["select", "index", "analyze", "vacuum", "refresh"]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
_ENGINE_SCHEMAS = {"headrace", "_headrace", "information_schema", "prefect"}


@dataclass(frozen=True, slots=True)
class AdminStatement:
    """A checked statement. `tables` are the tables it names (`schema.table`, or LOADED_TABLE), `view` the materialized
    view it refreshes; `render` returns the SQL for a loaded table `schema.table`.

    A `select` has to run in a read-only transaction with an empty search path. `alone`: outside a transaction.
    """

    kind: StatementKind
    tables: frozenset[str]
    render: Callable[[str], str]
    view: str | None = None
    alone: bool = False


def quoted(qualified: str) -> str:
    """Quotes `schema.table`; both names are plain."""
    return ".".join(f'"{part}"' for part in qualified.split("."))


def table_reference(schema: str | None, name: str) -> str:
    """Returns `schema.table` of folded names. Raises a fault for a table that no tenant can own."""
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
    """Returns a name as PostgreSQL reads it: without its quotes, or in lower case if it has none."""
    if name.startswith('"'):
        return name[1:-1]
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)
