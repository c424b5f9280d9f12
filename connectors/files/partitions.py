"""The pieces of a source's files as partitions."""

from __future__ import annotations

from headrace.connectors.files.formats.base import Piece
from headrace.connectors.source import Partition


def partitions_of(pieces: list[tuple[str, Piece]], most: int) -> list[Partition]:
    """Groups neighbouring pieces so that there are at most `most` partitions of about equal rows."""
    total = sum(piece.rows for _, piece in pieces)
    groups: list[list[tuple[str, Piece]]] = []
    done = 0
    for number, (name, piece) in enumerate(pieces):
        left = len(pieces) - number
        if not groups or len(groups) + left <= most or (len(groups) < most and done >= total * len(groups) / most):
            groups.append([])
        groups[-1].append((name, piece))
        done += piece.rows
    partitions, first = [], 1
    read: dict[str, int] = {}
    for index, group in enumerate(groups):
        rows = sum(piece.rows for _, piece in group)
        located = []
        for name, piece in group:
            located.append({"path": name, "rows": piece.rows, "before": read.get(name, 0), **piece.location})
            read[name] = read.get(name, 0) + piece.rows
        partitions.append(Partition(index, first, rows, {"pieces": located}))
        first += rows
    return partitions
