"""The result columns of a query, found by the engine without running it."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from headrace.flows.fork_lock import ForkLock
from headrace.flows.query.cell_pairs import is_pair, text_of
from headrace.flows.query.duckdb_types import column_type, engine_type
from headrace.flows.query.sandbox import create_input, describe_columns, error_text, open_database, quoted
from headrace.ir.problems import nearest_column
from headrace.ir.sql.errors import Refused

if TYPE_CHECKING:  # its parser takes a while to load
    from headrace.ir.sql.queries.query import Query

_MEMORY = 64 * 1024 * 1024
_REMEMBERED = 512
_MISSING = re.compile(
    r'olumn "([^"]*)" not found|"([^"]*)" not found in FROM|does not have a column named "([^"]*)"', re.IGNORECASE
)

_engines: dict[int, Any] = {}
"""By process id: an engine does not survive a fork."""
_known: OrderedDict[tuple[object, ...], tuple[dict[str, pl.DataType], str]] = OrderedDict()
_lock = ForkLock()


def input_columns(query: Query, schema: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    """The columns of `input` that the query reads: those it names, or all. Raises Refused for a type that it cannot
    read, and for names that differ only in case, which are the same name in a query."""
    folded: dict[str, str] = {}
    found: dict[str, pl.DataType] = {}
    for name, dtype in schema.items():
        if query.columns is not None and name.lower() not in query.columns:
            continue
        if (other := folded.setdefault(name.lower(), name)) != name:
            message = f"'{other}' and '{name}' are the same name in a query"
            raise Refused("query_refused", message, "rename one of them before")
        if engine_type(dtype) is None:
            message = f"A query cannot read '{name}', which is {dtype}"
            raise Refused("query_refused", message, "drop the column or cast it before")
        found[name] = dtype
    if not found:  # the input table needs a column to count rows
        found = {name: dtype for name, dtype in schema.items() if engine_type(dtype) is not None}
        found = dict([next(iter(found.items()))]) if found else {"__nothing": pl.Boolean()}
    return found


def result_columns(query: Query, schema: Mapping[str, pl.DataType]) -> tuple[dict[str, pl.DataType], str]:
    """The result columns of the query over `schema`, and the SQL that gives them in these types and in an order that
    depends only on the rows. Raises Refused."""
    columns = input_columns(query, schema)
    key = (query.sql, tuple(columns.items()))
    with _lock:
        if (known := _known.get(key)) is not None:
            return known
    found = _asked(query, columns)
    with _lock:
        _known[key] = found
        while len(_known) > _REMEMBERED:
            _known.popitem(last=False)
    return found


def _asked(query: Query, columns: Mapping[str, pl.DataType]) -> tuple[dict[str, pl.DataType], str]:
    import duckdb

    connection = _engine().cursor()
    try:
        create_input(connection, columns)
        found = describe_columns(connection, query.sql)
        ordered = query.ordered_by(len(found))
        describe_columns(connection, ordered)
    except duckdb.Error as error:
        raise _fault(error, columns) from None
    finally:
        connection.close()
    return _typed(found, ordered)


def _engine() -> Any:
    with _lock:
        if (engine := _engines.get(os.getpid())) is None:
            engine = _engines[os.getpid()] = open_database(_MEMORY, 1, None)
        return engine


def _typed(found: list[tuple[str, str]], ordered: str) -> tuple[dict[str, pl.DataType], str]:
    made: dict[str, pl.DataType] = {}
    casts: list[str] = []
    same = True
    for place, (name, kind) in enumerate(found):
        paired = is_pair(kind)
        if (typed := column_type("VARCHAR" if paired else kind)) is None:
            message = f"'{name}' would be {kind}, which is not a column type"
            raise Refused("invalid_query", message, "cast it: CAST(… AS VARCHAR)")
        if name.startswith("__"):
            raise Refused("invalid_column", f"'{name}' cannot name a column", "give it another alias")
        if name in made:
            raise Refused("invalid_query", f"Two columns are named '{name}'", "give one of them an alias")
        made[name] = typed[0]
        alias = quoted(f"c{place}")
        value = text_of(alias) if paired else alias if typed[1] == kind else f"CAST({alias} AS {typed[1]})"
        casts.append(f"{value} AS {quoted(name)}")
        same &= value == alias
    if same:
        return made, ordered
    aliases = ", ".join(quoted(f"c{place}") for place in range(len(found)))
    # the order of a subquery is kept (preserve_insertion_order)
    return made, f"SELECT {', '.join(casts)} FROM ({ordered}) AS typed_rows({aliases})"  # noqa: S608 - quoted names


def _fault(error: Exception, columns: Mapping[str, pl.DataType]) -> Refused:
    message = error_text(error)
    if (missing := _MISSING.search(message)) is not None:
        name = next(name for name in missing.groups() if name is not None)
        return Refused("unknown_column", f"There is no column '{name}' here", nearest_column(name, columns))
    return Refused("invalid_query", message)
