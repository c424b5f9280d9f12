"""The interface of a file format: inspect one file, read one piece of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from headrace.connectors.source import Batch, Fitting, Wanted
from headrace.ir.schema import Schema


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one file that can be read on its own; `location` holds JSON values only."""

    rows: int
    location: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Inspection:
    """One file before it is loaded. `sure` as in Discovery. `lacking` are declared columns that it does not have: they
    are null in all its rows. `guessed` are columns whose type is what samples look like; `notes` are for people."""

    schema: Schema
    pieces: Sequence[Piece]
    sure: frozenset[str] = frozenset()
    lacking: tuple[str, ...] = ()
    guessed: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """All that the file has, by name."""

    @property
    def rows(self) -> int:
        """Records in the file."""
        return sum(piece.rows for piece in self.pieces)


class FileFormat(Protocol):
    """Made once per source from `config.options`; raises SourceError for options it does not know."""

    unpacked: bool
    """It reads from several places at once: of a compressed file it is given an unpacked copy."""

    def __init__(self, options: Mapping[str, Any]) -> None: ...

    def inspect(self, path: Path, name: str, declared: Schema, *, pieces: int) -> Inspection:
        """Types and at most `pieces` pieces of a file; `name` is how people know it. Raises SourceError."""

    def types_of(self, path: Path, name: str, columns: Collection[str]) -> Mapping[str, Fitting]:
        """As in Source, of those columns that the file has."""

    def read(
        self,
        path: Path,
        name: str,
        piece: Piece,
        schema: Schema,
        *,
        first_row: int,
        rows_done: int,
        position: int | None,
        wanted: Wanted | None = None,
    ) -> Iterator[Batch]:
        """The batches of a piece after `rows_done`; `rows_done` of a batch counts from the piece's start. `wanted` as
        in Source."""
