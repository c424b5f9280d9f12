"""The columns of a pipeline at every place, each with the columns it was made of: what lineage is read off.

A column that a step leaves alone is the same object behind it, so the graph grows by what steps change and not by how
many columns pass them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from flows.compile.provenance import Direct, Indirect

Subtype = Direct | Indirect
"""What OpenLineage calls the subtype of a transformation."""

_STRENGTH: tuple[str, ...] = get_args(Direct)


class Root(NamedTuple):
    """Where values come into the pipeline: a column of a source node, or of a table that rows are looked up in."""

    node: str | None
    table: str | None
    column: str


class Place(NamedTuple):
    """A step, by its position in the order of all of them; `path` is where the document says it."""

    order: int
    node: str
    path: str
    label: str


class Use(NamedTuple):
    """How a column is used in another. `masking`: its values cannot be read off the result."""

    subtype: Subtype
    masking: bool = False

    @property
    def direct(self) -> bool:
        """Whether values get there themselves."""
        return self.subtype in _STRENGTH

    @property
    def type(self) -> Literal["DIRECT", "INDIRECT"]:
        """As OpenLineage says it."""
        return "DIRECT" if self.direct else "INDIRECT"

    def after(self, before: Use) -> Use:
        """How a column is used that is used so in what is used like this: what only decides never becomes a value, and
        an aggregate of something computed is an aggregate."""
        masking = self.masking or before.masking
        if not (self.direct and before.direct):
            return Use(before.subtype if self.direct else self.subtype, masking)
        return Use(max(self.subtype, before.subtype, key=_STRENGTH.index), masking)


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column at the place that made it: a root, or what a step made of other columns (of none: a constant)."""

    root: Root | None = None
    place: Place | None = None
    made_of: tuple[tuple[Column, Use], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """Columns by which a step decided about rows, behind the decisions `before` it."""

    place: Place | None = None
    subtype: Indirect = "filter"
    columns: tuple[Column, ...] = ()
    before: tuple[Decision, ...] = ()


class Ancestry(NamedTuple):
    """The roots of a column with all their uses, and the steps that made it, in their order."""

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
    """These and all before them, each once, in their order."""
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
