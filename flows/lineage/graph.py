"""The lineage graph: the columns of a pipeline, each with the columns it was made of.

A column that a step does not change is the same object after it, so the graph grows with the changes and not with the
number of columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from headrace.flows.compile.provenance import Direct, Indirect

Subtype = Direct | Indirect
"""The subtype of a transformation in OpenLineage."""

_STRENGTH: tuple[str, ...] = get_args(Direct)


class Root(NamedTuple):
    """Where values enter the pipeline: a column of a source node, or of a lookup table."""

    node: str | None
    table: str | None
    column: str


class Place(NamedTuple):
    """A step, with its position among all steps; `path` is its place in the document."""

    order: int
    node: str
    path: str
    label: str


class Use(NamedTuple):
    """How a column is used in another. `masking`: its values cannot be derived from the result."""

    subtype: Subtype
    masking: bool = False

    @property
    def direct(self) -> bool:
        """Whether values of the column get into the result."""
        return self.subtype in _STRENGTH

    @property
    def type(self) -> Literal["DIRECT", "INDIRECT"]:
        """The type of the transformation in OpenLineage."""
        return "DIRECT" if self.direct else "INDIRECT"

    def after(self, before: Use) -> Use:
        """The use of a column through two steps, `before` and then this one: an indirect use never becomes direct, and
        an aggregate of something computed is an aggregate."""
        masking = self.masking or before.masking
        if not (self.direct and before.direct):
            return Use(before.subtype if self.direct else self.subtype, masking)
        return Use(max(self.subtype, before.subtype, key=_STRENGTH.index), masking)


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column at the place that made it: a root, or made by a step of other columns (of none: a constant)."""

    root: Root | None = None
    place: Place | None = None
    made_of: tuple[tuple[Column, Use], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """The columns by which a step decided about rows, after the decisions in `before`."""

    place: Place | None = None
    subtype: Indirect = "filter"
    columns: tuple[Column, ...] = ()
    before: tuple[Decision, ...] = ()


class Ancestry(NamedTuple):
    """The roots of a column with all their uses, and the steps that made it, in order."""

    roots: dict[Root, list[Use]]
    places: list[Place]


def ancestry(column: Column) -> Ancestry:
    """Everything a column was made of."""
    found: dict[Root, dict[Use, None]] = {}
    places: set[Place] = set()
    seen: set[tuple[int, Use]] = set()
    pending = [(column, Use("identity"))]
    while pending:
        at, use = pending.pop()
        if (id(at), use) in seen:
            continue
        seen.add((id(at), use))
        if at.root is not None:
            found.setdefault(at.root, {})[use] = None
        if at.place is not None and use.direct:
            places.add(at.place)
        pending += [(before, use.after(how)) for before, how in reversed(at.made_of)]
    return Ancestry({root: sorted(uses) for root, uses in found.items()}, sorted(places))


def decisions(last: Iterable[Decision]) -> Iterator[Decision]:
    """These decisions and all before them, each once, in order."""
    seen: dict[int, Decision] = {}
    pending = [*last]
    while pending:
        at = pending.pop()
        if id(at) not in seen:
            seen[id(at)] = at
            pending += at.before
    yield from sorted(
        (each for each in seen.values() if each.place is not None), key=lambda each: (each.place, each.subtype)
    )
