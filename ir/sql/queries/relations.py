"""The tables of a query while its columns are followed: names and columns, and where a name is looked up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto


class Kind(Enum):
    """What a column of a table is made of."""

    INPUT = auto()
    BARE = auto()
    """Another column, as it is."""
    MADE = auto()
    """An expression."""
    MERGED = auto()
    """Columns of several tables that are one: of UNION, or USING."""


@dataclass(eq=False, slots=True)
class Column:
    """A column of a table, or of a result. `parts` are the columns whose cells it passes on; with `mixed`, it also has
    something else in some row. `wanted`: its values are needed. `as_text`: text is made of it."""

    kind: Kind
    parts: tuple[Column, ...] = ()
    name: str = ""
    """Of a column of the input that holds cells, in lower case."""
    mixed: bool = False
    wanted: bool = False
    as_text: bool = False
    mates: list[Column] = field(default_factory=list)
    """Columns that it is compared with as a whole."""

    @property
    def cells(self) -> frozenset[str]:
        """The columns of the input whose cells it passes on."""
        return frozenset(each.name for each in _all_of(self) if each.name)

    def want(self) -> None:
        """Marks that values are needed."""
        pending = [self]
        while pending:
            column = pending.pop()
            if not column.wanted and column is not NO_CELL:
                column.wanted = True
                pending += [*column.parts, *column.mates]

    def make_text(self) -> None:
        """Marks that text is made of it."""
        for each in _all_of(self):
            each.as_text = bool(each.name)


def _all_of(column: Column) -> Iterator[Column]:
    found, left = {id(column)}, [column]
    while left:
        column = left.pop()
        yield column
        new = [each for each in column.parts if id(each) not in found]
        found |= {*map(id, new)}
        left += new


NO_CELL = Column(Kind.INPUT)
"""Any column that holds no cell."""
Entry = tuple[str | None, Column]
OTHERS: Entry = (None, NO_CELL)
"""Columns whose names and number are not known, which hold no cells."""


@dataclass(frozen=True, slots=True)
class Relation:
    """The columns of a table or result, in order, with their names as written."""

    entries: tuple[Entry, ...]

    @property
    def complete(self) -> bool:
        """Whether all columns are known."""
        return OTHERS not in self.entries

    def find(self, name: str) -> Column | None:
        """The column of a name, in any case."""
        return next((column for each, column in self.entries if each is not None and each.lower() == name), None)

    def at(self, place: int) -> Column | None:
        """The column at a place, counted from 0; None if that is not known."""
        if place >= len(self.entries) or OTHERS in self.entries[: place + 1]:
            return None
        return self.entries[place][1]

    def renamed(self, names: Sequence[str]) -> Relation | None:
        """The table with other names for its first columns; None if these are not known."""
        if OTHERS in self.entries[: len(names)]:
            return None
        columns = [column for _, column in self.entries[: len(names)]]
        return Relation((*zip(names, columns, strict=False), *self.entries[len(names) :]))

    def distinct_names(self) -> Relation:
        """The table as another query sees it: a name that is there before gets a number."""
        taken: set[str] = set()
        entries: list[Entry] = []
        for name, column in self.entries:
            unique, number = name, 0
            while unique is not None and unique.lower() in taken:
                number += 1
                unique = f"{name}_{number}"
            taken |= {unique.lower()} if unique is not None else set()
            entries.append((unique, column))
        return Relation(tuple(entries))


@dataclass(slots=True)
class Scope:
    """What the names in a SELECT mean. `sources` are its tables by alias; `merged` the columns of USING; `aliases` the
    columns that it makes; `grouped` the names that it groups by."""

    outer: Scope | None = None
    sources: dict[str, Relation] = field(default_factory=dict)
    merged: dict[str, Column] = field(default_factory=dict)
    aliases: dict[str, Column] = field(default_factory=dict)
    grouped: frozenset[str] = frozenset()

    def find(self, name: str, table: str, *, alias_first: bool = False) -> Column | None:
        """The column of a name in lower case; None if there is none."""
        if table:
            if table in self.sources:
                found = self.sources[table]
                return found.find(name) or (None if found.complete else NO_CELL)
            return self.outer.find(name, table) if self.outer is not None else None
        if alias_first and name in self.aliases:
            return self.aliases[name]
        if name in self.merged:
            return self.merged[name]
        for relation in self.sources.values():
            if (column := relation.find(name)) is not None:
                return column
        if name in self.aliases:
            return self.aliases[name]
        if not all(relation.complete for relation in self.sources.values()):
            return NO_CELL
        return self.outer.find(name, "") if self.outer is not None else None

    def star(self, tables: Iterable[str] | None = None) -> list[Entry]:
        """The columns of `*`, or of these tables."""
        seen: set[str] = set()
        entries: list[Entry] = []
        for alias in self.sources if tables is None else tables:
            for name, column in self.sources[alias].entries if alias in self.sources else [OTHERS]:
                merged = self.merged.get((name or "").lower()) if tables is None else None
                if merged is not None and name is not None:
                    if name.lower() in seen:
                        continue
                    seen.add(name.lower())
                entries.append((name, column if merged is None else merged))
        return entries


Visible = Mapping[str, Relation]
"""The tables that FROM may name, in lower case."""
