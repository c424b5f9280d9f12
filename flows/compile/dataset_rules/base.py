"""What a dataset rule compiles to: its measures, their rows, and the condition on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace.flows.compile.dataset_rules.measure import Measure, Measured, Values
from headrace.flows.compile.step import Step
from headrace.ir.dataset_rules import OnDatasetFail


@dataclass(frozen=True, slots=True)
class Facts:
    """The input of a check: the measures, the row counts of the last n runs (`earlier(n)`, newest first), and now."""

    measured: Measured
    earlier: Callable[[int], Sequence[int]]
    now: datetime

    def of(self, measure: Measure) -> Values:
        """The values of a measure; Nones when there were no rows."""
        return self.measured.get(measure.name, (None,) * len(measure.values))

    def number(self, measure: Measure) -> int | float | None:
        """The first value of a measure."""
        return self.of(measure)[0]

    def count(self, measure: Measure) -> int:
        """The first value of a measure; 0 when there were no rows."""
        return int(self.number(measure) or 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a rule holds, and a text with the value found."""

    holds: bool
    found: str


@dataclass(frozen=True, slots=True)
class Needed:
    """A measure of the output rows of the node, or of the rows that `shuffle` (a step over all of them) makes of
    them."""

    measure: Measure
    shuffle: Step | None = None


@dataclass(frozen=True, slots=True)
class Assertion:
    """`path` is the rule's place in the document, `wants` a text with its condition. `field`: the column whose value
    `Verdict.found` shows."""

    path: str
    wants: str
    on_fail: OnDatasetFail
    needs: tuple[Needed, ...]
    evaluate: Callable[[Facts], Verdict]
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """The measures of one sink; `shuffle` as in Needed."""

    measures: tuple[Measure, ...]
    shuffle: Step | None = None


@dataclass(frozen=True, slots=True)
class NodeAudit:
    """The dataset rules of one validate node. Different measures have different names."""

    node: str
    assertions: tuple[Assertion, ...]
    looks: tuple[Step, ...] = ()
    """Steps that read measured columns which hold unparsed cells."""

    @property
    def branches(self) -> tuple[Branch, ...]:
        """One branch for all measures without a shuffle, then one for each shuffle."""
        plain: dict[str, Measure] = {}
        gathered: dict[str, Branch] = {}
        for needed in (needed for assertion in self.assertions for needed in assertion.needs):
            if needed.shuffle is None:
                plain[needed.measure.name] = needed.measure
            else:
                gathered[needed.measure.name] = Branch((needed.measure,), needed.shuffle)
        return (Branch(tuple(plain.values())), *gathered.values())

    @property
    def holds_back(self) -> bool:
        """Whether rows may not be visible downstream before the rules have been checked."""
        return any(assertion.on_fail == "abort" for assertion in self.assertions)
