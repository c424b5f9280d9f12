"""Whether a SQL expression looks at one row only.

An aggregate or a window would give another answer for every batch size, and a subquery could read files: both are
refused when the pipeline is saved. The words that begin a query are refused before polars sees the text, because it
opens the files of a subquery while parsing; the rest is read off the parsed expression. So that no query can hide in
what only looks like a text, the only quotes are '…', "…" and `…`: what else SQL has (comments, which may be nested,
$$…$$, E'…') is refused where it begins.
"""

from __future__ import annotations

import json
import re
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from ir.limits import OPERATOR

QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`", re.DOTALL)
OTHER_QUOTES = re.compile(r"(--|/\*|\$\w*\$|\b[a-z]{1,2}&?')", re.IGNORECASE)
_QUERY = re.compile(r"\bselect\b|\bvalues\s*\(|\bwith\b(?!\s+time\s+zone)", re.IGNORECASE)

MAX_OPERATORS = 250
"""In one expression: the time that polars takes for a chain of them grows with its square."""

_MANY_ROWS = {
    "Agg": "an aggregate",
    "Len": "an aggregate",
    "Over": "a window function",
    "Rolling": "a window function",
    "Window": "a window function",
    "Explode": "a function that makes several rows",
    "Filter": "a filter",
    "Sort": "a sort",
    "SortBy": "a sort",
    "Gather": "a function that picks rows",
    "Slice": "a function that picks rows",
    "SubPlan": "a subquery",
}
_OPAQUE = {"Column", "Alias", "Literal"}  # what they hold is a name or a value, not an expression


def refusal(sql: str) -> str | None:
    """Why the expression is not row-local, or None. An expression that does not parse is not refused here."""
    bare = QUOTED.sub(lambda quoted: f"{quoted[0][0]} ", sql)
    if mark := OTHER_QUOTES.search(bare):
        return f"{mark[0]} is not allowed in an expression: write texts as '…', names as \"…\", and no comments"
    if _QUERY.search(bare):
        return "A subquery is not allowed in an expression"
    if len(OPERATOR.findall(bare)) > MAX_OPERATORS:
        return f"An expression has at most {MAX_OPERATORS:,} operators"
    try:
        tree = json.loads(pl.sql_expr(sql).meta.serialize(format="json"))
    except PolarsError:
        return None
    except RecursionError:  # a long CASE, whose branches hold each other
        return "The expression is nested too deeply"
    what = _many_rows(tree)
    return f"'{sql}' holds {what}, which needs more than one row" if what else None


def _many_rows(tree: Any) -> str | None:
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, str) and node == "Len":
            return _MANY_ROWS[node]
        if isinstance(node, dict):
            for key, value in node.items():
                if key in _MANY_ROWS:
                    return _MANY_ROWS[key]
                if key not in _OPAQUE or (key == "Alias" and isinstance(value, list)):
                    pending.append(value[0] if key == "Alias" else value)
        elif isinstance(node, list):
            pending.extend(node)
    return None
