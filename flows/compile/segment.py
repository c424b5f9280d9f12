"""Fusion: the steps of a stage cut into segments that each run as one polars query per batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flows.compile.step import Step


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps that run together. Only the last may have `keep`: what stands behind a filter must never see the rows it
    took away (`filter x <> ''`, then `cast(x as int)`). A step that makes several rows of each is alone, and so is one
    that asks to be."""

    steps: tuple[Step, ...]


def fuse(steps: Iterable[Step]) -> Iterator[Segment]:
    """The fewest segments that keep the meaning."""
    run: list[Step] = []
    for step in steps:
        if step.alone or step.copies > 1:  # as many rows as before are what checks are read off by
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
