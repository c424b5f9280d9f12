"""Columns of many documents: the elements that each key has, collected from the result of `walk`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.connectors.mongodb.bson.layout import Buffer, Kind, Places
from headrace.connectors.mongodb.bson.walk import Names, Run, documents, walk


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements with one key: which documents they are in, ascending unless a document has the key twice."""

    row: Places
    kind: npt.NDArray[np.uint8]
    at: Places
    size: Places

    @property
    def repeated(self) -> Places:
        """The documents that have the key twice."""
        ordered = np.sort(self.row)
        return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])

    def some(self, which: npt.NDArray[np.bool_] | Places) -> Elements:
        """A subset of the elements."""
        return Elements(self.row[which], self.kind[which], self.at[which], self.size[which])

    def present(self) -> Elements:
        """The elements without null and undefined."""
        missing = (self.kind == Kind.NULL) | (self.kind == Kind.UNDEFINED)
        return self.some(~missing) if missing.any() else self


@dataclass(frozen=True, slots=True)
class Table:
    """Consecutive documents, and the elements of some of their keys. `starts` has one position more than there are
    documents."""

    buffer: Buffer
    starts: Places
    found: dict[bytes, Elements]

    @classmethod
    def of(cls, text: bytes, keys: Sequence[bytes]) -> Table:
        """Decodes the documents. Raises Malformed."""
        buffer = Buffer.of(text)
        starts = documents(buffer)
        names = Names()
        numbers = {names.number(key): key for key in keys}
        runs: dict[bytes, list[Run]] = {key: [] for key in keys}
        for run in walk(buffer, starts[:-1], names):
            if isinstance(run.name, int):
                if run.name in numbers:
                    runs[numbers[run.name]].append(run)
                continue
            for number in set(np.unique(run.name).tolist()) & numbers.keys():
                which = run.name == number
                part = Run(number, run.parent[which], run.kind[which], run.at[which], run.size[which])
                runs[numbers[number]].append(part)
        return cls(buffer, starts, {key: _joined(each) for key, each in runs.items()})

    @property
    def rows(self) -> int:
        """The number of documents."""
        return len(self.starts) - 1

    def element(self, key: bytes, row: int) -> tuple[int, bytes] | None:
        """The type and the bytes of a value; None where the document has no such key."""
        found = self.found[key]
        places = np.flatnonzero(found.row == row)
        if not len(places):
            return None
        at, size = int(found.at[places[0]]), int(found.size[places[0]])
        return int(found.kind[places[0]]), self.buffer.data[at : at + size].tobytes()

    def whole(self) -> Elements:
        """The documents as elements."""
        rows = np.arange(self.rows, dtype=np.int64)
        kinds = np.full(self.rows, Kind.DOCUMENT, dtype=np.uint8)
        return Elements(rows, kinds, self.starts[:-1], np.diff(self.starts))


def _joined(runs: list[Run]) -> Elements:
    if not runs:
        empty = np.empty(0, dtype=np.int64)
        return Elements(empty, np.empty(0, dtype=np.uint8), empty, empty)
    row = np.concatenate([run.parent for run in runs])
    found = Elements(
        row,
        np.concatenate([run.kind for run in runs]),
        np.concatenate([run.at for run in runs]),
        np.concatenate([run.size for run in runs]),
    )
    return found if (row[1:] >= row[:-1]).all() else found.some(np.argsort(row, kind="stable"))
