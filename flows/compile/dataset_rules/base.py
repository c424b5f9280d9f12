"""What a dataset rule compiles to: what it measures, on which rows, and when it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flows.compile.dataset_rules.measure import Measure, Measured, Values
from flows.compile.step import Step
from ir.dataset_rules import OnDatasetFail


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule is judged by: what was measured, the node's rows in earlier runs (of so many, newest first), now."""

    measured: Measured
    earlier: Callable[[int], Sequence[int]]
    now: datetime

    def of(self, measure: Measure) -> Values:
        """What a measure found; Nones where no row came by."""
        return self.measured.get(measure.name, (None,) * len(measure.values))

    def number(self, measure: Measure) -> int | float | None:
        """The first of them."""
        return self.of(measure)[0]

    def count(self, measure: Measure) -> int:
        """The first of them; 0 where no row came by."""
        return int(self.number(measure) or 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a rule holds, and what was found, for people."""

    holds: bool
    found: str


@dataclass(frozen=True, slots=True)
class Needed:
    """A measure of the rows as they leave the node, or as `gather` (a step that makes other rows of them all) gives
    them."""

    measure: Measure
    gather: Step | None = None


@dataclass(frozen=True, slots=True)
class Assertion:
    """`path` is the rule's place in the document, `wants` what it demands, for people. `field`: the column that `found`
    tells a value of."""

    path: str
    wants: str
    on_fail: OnDatasetFail
    needs: tuple[Needed, ...]
    judge: Callable[[Facts], Verdict]
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """What one sink measures; `gather` as in Needed."""

    measures: tuple[Measure, ...]
    gather: Step | None = None


@dataclass(frozen=True, slots=True)
class NodeAudit:
    """The dataset rules of one validate node. No two of its measures that differ have the same name."""

    node: str
    assertions: tuple[Assertion, ...]

    @property
    def branches(self) -> tuple[Branch, ...]:
        """What must be measured where: first what needs no other rows, then one for each gathering."""
        plain: dict[str, Measure] = {}
        gathered: dict[str, Branch] = {}
        for needed in (needed for assertion in self.assertions for needed in assertion.needs):
            if needed.gather is None:
                plain[needed.measure.name] = needed.measure
            else:
                gathered[needed.measure.name] = Branch((needed.measure,), needed.gather)
        return (Branch(tuple(plain.values())), *gathered.values())

    @property
    def holds_back(self) -> bool:
        """Whether nothing may be visible behind the node before the rules have been judged."""
        return any(assertion.on_fail == "abort" for assertion in self.assertions)
