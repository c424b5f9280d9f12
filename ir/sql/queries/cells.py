"""How a query uses columns that hold cells of text files: as values of a type, or only passed on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from headrace.ir.sql.queries.lineage import Lineage


@dataclass(frozen=True, slots=True)
class QueryCells:
    """`values` are the columns whose values are needed, `texts` those that text is made of, in lower case. `results`
    are the columns of the result, as written, that hold cells in some row, with the columns that these are of."""

    values: frozenset[str]
    texts: frozenset[str]
    results: Mapping[str, frozenset[str]]


def cells_of(tree: exp.Query, cells: Collection[str], columns: Sequence[str] | None) -> QueryCells:
    """Follows the columns `cells` through a checked query. `columns` are all columns of its input in order, None if
    they are not known."""
    found = Lineage(tree.copy(), cells, columns)
    results: dict[str, frozenset[str]] = {}
    for name, column in found.result.entries:
        if name is not None and column.cells:
            results.setdefault(name, column.cells)
    return QueryCells(
        frozenset(name for name, column in found.base.items() if column.wanted),
        frozenset(name for name, column in found.base.items() if column.as_text),
        results,
    )
