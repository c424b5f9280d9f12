"""Counting rows: per node and in all, always as plain numbers that can be added and stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

KEYS = ("rowsIn", "rowsOut", "failed", "skipped", "warned")
"""The counts of a node. rowsIn = rowsOut + failed + skipped holds for every row-preserving node."""

MADE = "made"
"""A further counter of a node that makes several rows of one: those that came in addition."""

DISCARDED = "discarded."
"""Begins a further counter of a target: rows skipped for a value in the column that follows, which the table lacks."""

KEPT_OUT = "keptOut"
"""A further counter of a target: those of the skipped rows that a trigger of the table kept out."""

PASSED_ON = "passedOn"
"""A further counter of a target: those of the loaded rows that triggers or rules of the table may have inserted into
tables that inherit from it."""

SENT_AGAIN = "sentAgain"
"""A further counter of a target: those of the loaded or failed rows that an API may have got twice."""

UNANSWERED = "unanswered"
"""A further counter of a node that asks others: rows that went on with null because there was no answer."""


class AccountingError(Exception):
    """Rows were lost or doubled inside the engine: a fault of Headrace, never of the data."""


@dataclass(slots=True)
class RowCounts:
    """Counters by node id. `nodes[id][key]` with the keys above."""

    nodes: dict[str, dict[str, int]] = field(default_factory=dict)

    def settle(self, chain: Iterable[str], rows_in: int, *, begun: str = "", goes_on: str = "") -> int:
        """Sets rowsIn and rowsOut along a chain of nodes from the failed, skipped and created rows of each; returns the
        output rows of the last. The input of `begun` and the output of `goes_on` are counted elsewhere."""
        flowing = rows_in
        for node in chain:
            self.add(node)
            counters = self.nodes[node]
            counters["rowsIn"] = 0 if node == begun else flowing
            flowing += counters.get(MADE, 0) - counters["failed"] - counters["skipped"]
            counters["rowsOut"] = 0 if node == goes_on else flowing
        return flowing

    @classmethod
    def of(cls, node_ids: Iterable[str], stored: Mapping[str, Mapping[str, int]] | None = None) -> RowCounts:
        """All zero for these nodes, or what was stored."""
        stored = stored or {}
        return cls({node: {**dict.fromkeys(KEYS, 0), **stored.get(node, {})} for node in node_ids})

    def add(self, node: str, **counts: int) -> None:
        """Adds to a node's counters, by the names above."""
        counters = self.nodes.setdefault(node, dict.fromkeys(KEYS, 0))
        for key, value in counts.items():
            counters[key] = counters.get(key, 0) + value

    def plus(self, other: RowCounts) -> RowCounts:
        """The sum of both; neither changes."""
        result = RowCounts({node: dict(counters) for node, counters in self.nodes.items()})
        for node, counters in other.nodes.items():
            result.add(node, **counters)
        return result

    def total(self, key: str) -> int:
        """The sum of one counter over all nodes."""
        return sum(counters[key] for counters in self.nodes.values())
