"""Fusion: cuts the steps of a stage into segments that each run as one polars query per batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headrace.flows.compile.step import Step


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps that run together. Only the last may have `keep`: steps after a filter must never see the rows it removed
    (`filter x <> ''`, then `cast(x as int)`). A step with `copies` > 1 or `alone` has a segment of its own."""

    steps: tuple[Step, ...]

    @property
    def nodes(self) -> str:
        """The nodes of the steps, for display: `clean > check`."""
        return " > ".join(dict.fromkeys(step.node for step in self.steps))


def fuse(steps: Iterable[Step]) -> Iterator[Segment]:
    """Cuts steps into the fewest segments that give the same result."""
    run: list[Step] = []
    for step in steps:
        if step.alone or step.copies > 1:  # results of checks are matched with rows by position
            if run:
                yield Segment(tuple(run))
            yield Segment((step,))
            run = []
            continue
        run.append(step)
        if step.keep is not None:
            yield Segment(tuple(run))
            run = []
    if run:
        yield Segment(tuple(run))
