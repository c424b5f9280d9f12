"""A recorder that discards everything, as a base for recorders in tests."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.catalog.runs.records import DatasetRuleOutcome, UncommittedRows
from headrace.connectors.target import Resume


class Quiet:
    """A recorder that keeps nothing; `earlier` are the rows of earlier runs, `rules` those that were evaluated last."""

    earlier: Sequence[int] = ()
    rules: Sequence[DatasetRuleOutcome] = ()

    def progress(self, stage: int, partition: int, status: str, committed: Resume, *, gathered: object = None) -> None:
        """Nobody looks."""

    def forget(self, only: UncommittedRows | None = None, *, since: int = 0) -> None:
        """Nothing is kept here between runs."""

    def evaluated(self, rules: Sequence[DatasetRuleOutcome]) -> None:
        self.rules = rules

    def earlier_rows(self, node: str, runs: int) -> Sequence[int]:
        return self.earlier[:runs]
