"""Chooses where to split a table: by estimates of its index for ranges (index dives), finer where more rows are.

All values come from the index and are compared by the server, so that ranges of texts follow its collation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from headrace.connectors.sql.mysql.probes import probes
from headrace.connectors.sql.mysql.session import Session
from headrace.connectors.sql.mysql.types import SPLITTABLE, expression, literal, quoted
from headrace.connectors.sql.ranges import cuts
from headrace.connectors.sql.relation import ALIAS, Column, Relation, Scalar

_ROUNDS = 16
_PROBES = 15
_FINER = 4
"""The largest share of a partition's rows that one interval should have."""
_AT_ONCE = 60
"""Probes per statement."""


@dataclass(frozen=True, slots=True)
class _Index:
    """A column that an index begins with."""

    session: Session
    column: Column
    table: str

    @property
    def name(self) -> str:
        return quoted(self.column.name)

    @property
    def selected(self) -> str:
        return expression(self.column, as_declared=False)

    def ends(self) -> list[str]:
        """The least and the greatest value; empty for an empty table."""
        tail = f" FROM {self.table} WHERE {self.name} IS NOT NULL ORDER BY {ALIAS}.{self.name}"
        found = [self.session.rows(f"SELECT {self.selected}{tail}{order} LIMIT 1") for order in ("", " DESC")]
        return [_written(rows[0][0]) for rows in found if rows]

    def within(self, low: str, high: str) -> str:
        return f"{self.name} >= {literal(self.column, low)} AND {self.name} < {literal(self.column, high)}"

    def weights(self, points: Sequence[str]) -> list[float]:
        """The optimizer's estimates of the rows between consecutive points."""
        rows_of = f" FROM {self.table} WHERE "
        asked = [f"SELECT 1{rows_of}{self.within(*pair)}" for pair in pairwise(points)]
        found: list[float] = []
        for at in range(0, len(asked), _AT_ONCE):
            some = asked[at : at + _AT_ONCE]
            rows = self.session.explained(" UNION ALL ".join(some))
            by_id = {row["id"]: row["rows"] for row in rows if row["id"] is not None}
            found += [float(by_id.get(str(number)) or 0) for number in range(1, len(some) + 1)]
        return found

    def there(self, low: str, high: str) -> list[str]:
        """Some of the values between two, ascending."""
        found: list[str] = []
        tried = probes(self.column.kind, low, high, _PROBES)
        rows_of = f" FROM {self.table} WHERE {self.within(low, high)} AND {self.name} > {literal(self.column, low)}"
        by = f" ORDER BY {ALIAS}.{self.name}"
        # the values next to each probe: many rows may be close together between distant probes
        asked = [
            f"(SELECT {self.selected} AS v{rows_of} AND {self.name} {side}{by}{way} LIMIT 1)"
            for each in (literal(self.column, probe) for probe in tried)
            for side, way in ((f">= {each}", ""), (f"< {each}", " DESC"))
        ]
        if asked:
            each_once = f" FROM ({' UNION ALL '.join(asked)}) AS found GROUP BY v ORDER BY v"
            rows = self.session.rows(f"SELECT v{each_once}")
            found = [_written(row[0]) for row in rows]
        return found


def key_cuts(session: Session, relation: Relation, column: Column, parts: int) -> Sequence[Scalar]:
    """None for a column that no index begins with: each range would read the whole table."""
    index = relation.own.get("indexes", {}).get(column.name)
    if index is None or column.kind not in SPLITTABLE:
        return ()
    table = f"{relation.own['place']} AS {ALIAS} FORCE INDEX ({quoted(index)})"
    asked = _Index(session, column, table)
    points = asked.ends()
    if len(points) < 2 or points[0] == points[1]:
        return ()
    weights = asked.weights(points)
    for _ in range(_ROUNDS):
        due = max(1.0, sum(weights) / (parts * _FINER))
        finer: dict[int, list[str]] = {
            at: found
            for at, weight in enumerate(weights)
            if weight > due and (found := asked.there(points[at], points[at + 1]))
        }
        if not finer:
            break
        points, weights = _refined(asked, points, weights, finer)
    return cuts(points, [*weights, 1.0], parts)


def _refined(
    asked: _Index, points: list[str], weights: list[float], finer: dict[int, list[str]]
) -> tuple[list[str], list[float]]:
    new_points, new_weights = [points[0]], []
    for at, weight in enumerate(weights):
        between = finer.get(at, [])
        new_weights += asked.weights([points[at], *between, points[at + 1]]) if between else [weight]
        new_points += [*between, points[at + 1]]
    return new_points, new_weights


def _written(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
