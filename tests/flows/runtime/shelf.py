"""A source whose rows change between two reads, with any restart kind."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from headrace.connectors import registry
from headrace.connectors.connector import Connector, Context, Found
from headrace.connectors.source import (
    ROW,
    Batch,
    Discovery,
    Fitting,
    Partition,
    Position,
    Restart,
    Wanted,
    numbered_from,
)
from headrace.ir.schema import Field, Schema

SCHEMA: Schema = (Field("id", "bigint"), Field("amount", "text"))


@dataclass
class Shelf:
    """Rows by id. `reads` counts how often each partition was read from its start or a position."""

    rows: dict[int, str] = field(default_factory=dict)
    restart: Restart = Restart.BOUNDARY
    partitions: int = 2
    cursor: bool = False
    unreadable: frozenset[int] = frozenset()
    """Rows that the source rejects."""
    positions: bool = True
    reads: list[tuple[int, Position | None]] = field(default_factory=list)
    closed: int = 0

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Makes it what the connector `shelf` reads."""
        connector = Connector(
            "shelf",
            (),
            check=lambda _: Found("", {}),
            open=lambda context: ShelfSource(self, context),
            continues=lambda _: self.cursor,
            any_type=True,
        )
        monkeypatch.setattr(registry, "BUILT_IN", (*registry.BUILT_IN, connector))
        registry.connectors.cache_clear()
        monkeypatch.setattr(registry, "connectors", registry.connectors.__wrapped__)

    def node(self, node: str = "src") -> dict[str, Any]:
        return {"id": node, "kind": "source", "connector": "shelf", "config": {}}


class ShelfSource:
    note: str | None = None

    def __init__(self, shelf: Shelf, context: Context) -> None:
        self._shelf, self._after = shelf, 0

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        self._after = cursors.get("default", {"after": 0})["after"]

    def close(self) -> None:
        self._shelf.closed += 1

    def discover(self, *, max_partitions: int) -> Discovery:
        new = sorted(key for key in self._shelf.rows if key > self._after or not self._shelf.cursor)
        count = 1 if self._shelf.cursor else min(self._shelf.partitions, max_partitions)
        bounds = [new[len(new) * at // count] for at in range(1, count)] if len(new) >= count else []
        ends = [self._after if self._shelf.cursor else -1, *(bound - 1 for bound in bounds), new[-1] if new else 0]
        caught_up = self._shelf.cursor and not new and self._after
        found = [
            Partition(
                index,
                numbered_from(index),
                len([key for key in new if low < key <= high]) * 2 // 3,  # an estimate, and a wrong one
                {"low": low, "high": high},
                counted=False,
                cursor="default" if self._shelf.cursor else None,
                label=f"shelf [{index + 1}]",
            )
            for index, (low, high) in enumerate(() if caught_up else pairwise(ends))
        ]
        sure = frozenset({"id", "amount"})
        total = sum(each.rows for each in found)
        return Discovery(SCHEMA, found, total, None, sure, restart=self._shelf.restart)

    def fingerprint(self) -> str | None:
        return None

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        return {}

    def sample(self, rows: int) -> pl.DataFrame:
        return pl.DataFrame(schema={"id": pl.Int64, "amount": pl.String})

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: Position | None = None,
    ) -> Iterator[Batch]:
        shelf, exact = self._shelf, self._shelf.restart is Restart.EXACT
        shelf.reads.append((partition.index, position))
        low = partition.location["low"] if position is None or exact else position["after"]
        keys = sorted(key for key in shelf.rows if low < key <= partition.location["high"])
        if shelf.restart is Restart.NONE:
            assert rows_done == 0
            random.shuffle(keys)
        size = (wanted.batch_rows if wanted else None) or 40
        done = rows_done
        keys = keys[rows_done:] if exact else keys
        for start in range(0, len(keys), size):
            some = keys[start : start + size]
            numbers = range(partition.first_row + done, partition.first_row + done + len(some))
            frame = pl.DataFrame(
                {"id": some, "amount": [shelf.rows[key] for key in some], ROW: numbers},
                schema={"id": pl.Int64, "amount": pl.String, ROW: pl.Int64},
            )
            done += len(some)
            columns = [ROW, *(wanted.columns if wanted else ("id", "amount"))]
            bad = pl.col("id").is_in(sorted(shelf.unreadable))
            cells = {"column": "id", "value": "?", "error": "cannot be read", "rule": "type"}
            rejects = frame.filter(bad).select(pl.col(ROW).alias("row"), **{k: pl.lit(v) for k, v in cells.items()})
            at = {"after": some[-1]} if shelf.positions else None
            yield Batch(frame.filter(~bad).select(columns), len(some), done, rejects, at)
