"""Bounds on the size of the result of a query of the op `sql`, estimated on its tree before it is planned."""

from __future__ import annotations

from math import prod

from sqlglot import exp

from headrace.ir.sql.errors import Refused
from headrace.ir.sql.expressions.bounds import CELL, MAX_PADDED, MAX_TEXT

MAX_TABLES = 40
"""Tables that a query reads. A CTE counts each time that it is read, because engines may inline it."""
_PLAIN = 40
_SPLIT = 16
_TOGETHER = frozenset({"concat", "concat_ws", "list_value"})
"""Functions whose result is as large as all their arguments together; others are as large as one."""


def check_bounds(tree: exp.Expr, tables: dict[int, exp.CTE | None]) -> None:
    """Raises Refused if the query exceeds the bounds. `tables` is the result of `check_tables`."""
    known: dict[int, int] = {}
    for cte in tree.find_all(exp.CTE, bfs=False):
        known[id(cte)] = 0
    if _reads(tree, tables, known) > MAX_TABLES:
        message = f"A query reads at most {MAX_TABLES} tables, where a CTE counts each time it is read"
        raise Refused("query_refused", message, "make several ops of it")
    # Each SELECT may enlarge the texts of the ones inside it.
    growth = prod(max(1.0, _largest(select) / CELL) for select in tree.find_all(exp.Select))
    if growth * CELL > MAX_TEXT:
        message = f"It could give a text of more than {MAX_TEXT:,} characters from values of {CELL}"
        raise Refused("query_refused", message, "concatenate fewer texts")


def _reads(tree: exp.Expr, tables: dict[int, exp.CTE | None], known: dict[int, int]) -> int:
    """Counts the tables that a part of the query reads, with CTEs inlined. (A CTE sees only earlier ones, so the
    recursion ends.)"""
    total = 0
    pending: list[exp.Expr] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, exp.CTE) and node is not tree:
            continue  # counted where it is read
        if isinstance(node, exp.Table):
            defined = tables[id(node)]
            if defined is None:
                total += 1
            else:
                if not known[id(defined)]:
                    known[id(defined)] = _reads(defined.this, tables, known)
                total += known[id(defined)]
        pending.extend(node.iter_expressions())
        if total > MAX_TABLES:
            return MAX_TABLES + 1
    return max(total, 1)


def _largest(select: exp.Select) -> int:
    parts = (each for each in select.iter_expressions() if not isinstance(each, exp.With))
    return max(map(_size, parts), default=0)


def _size(node: exp.Expr) -> int:
    """Estimates the number of characters of a value."""
    if isinstance(node, exp.Column | exp.Star | exp.Query):
        return CELL
    if isinstance(node, exp.Literal):
        return len(node.name)
    if isinstance(node, exp.Anonymous):
        return _made(node)
    parts = [_size(each) for each in node.iter_expressions() if not isinstance(each, exp.Order | exp.Identifier)]
    if isinstance(node, exp.DPipe | exp.Array):
        return sum(parts)
    return max([_PLAIN, *parts])


def _made(node: exp.Anonymous) -> int:
    name, args = node.name.lower(), node.expressions
    sizes = [_size(each) for each in args]
    match name:
        case "lpad" | "rpad":
            count = args[1] if len(args) > 1 else None
            if not (isinstance(count, exp.Literal) and count.name.isdigit() and int(count.name) <= MAX_PADDED):
                message = f"{name} takes a length that is a literal, at most {MAX_PADDED:,}"
                raise Refused("query_refused", message, f"{name}(text, 10, '0')")
            return int(count.name)
        case "replace" | "regexp_replace" if len(sizes) > 2:
            sought = args[1]
            letters = len(sought.name) if isinstance(sought, exp.Literal) and name == "replace" else 1
            again = args[2].name.count("\\") if name == "regexp_replace" and isinstance(args[2], exp.Literal) else 0
            return sizes[0] * (1 + again) + (sizes[0] + 1) // max(letters, 1) * sizes[2]
        case "array_to_string" if len(sizes) > 1:
            return sizes[0] * (1 + sizes[1])
        case "string_split" | "regexp_extract_all" if sizes:
            return sizes[0] * _SPLIT
        case "strftime" if len(sizes) > 1:
            return _PLAIN * max(sizes)
    return max(_PLAIN, sum(sizes)) if name in _TOGETHER else max([_PLAIN, *sizes])
