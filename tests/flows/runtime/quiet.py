"""A journal that keeps nothing, for those that keep what they look at."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.run_records import JudgedRule, Uncommitted
from connectors.base import Resume


class Quiet:
    """See Journal; `earlier` are the rows of earlier runs, `rules` those that were judged last."""

    earlier: Sequence[int] = ()
    rules: Sequence[JudgedRule] = ()

    def progress(self, stage: int, partition: int, status: str, committed: Resume) -> None:
        """Nobody looks."""

    def forget(self, only: Uncommitted | None = None) -> None:
        """Nothing is kept here between runs."""

    def judged(self, rules: Sequence[JudgedRule]) -> None:
        self.rules = rules

    def earlier_rows(self, node: str, runs: int) -> Sequence[int]:
        return self.earlier[:runs]
