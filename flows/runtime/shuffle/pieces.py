"""A bucket that is too large for the memory is divided into files of its own, piece by piece, before it is evaluated.

A filter would not do: what remains of a column of texts keeps all of its texts in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import polars as pl

from headrace.connectors.source import ROW
from headrace.flows.compile.shuffle import Shuffle, ShuffleSide
from headrace.flows.runtime.shuffle.sizes import Size
from headrace.flows.runtime.staging.files import ARROW, PARQUET, StagingFiles

PIECE_BYTES = 64 * 1024 * 1024
"""What the rows of a piece take in memory; polars needs a multiple of it to evaluate them."""
_FEWEST = 3
"""Fewer pieces are not worth it: dividing a bucket writes and reads it once more."""
_AT_ONCE_BYTES = 16 * 1024 * 1024
_SAMPLED_PER_PIECE = 200
"""Rows by which ranges are chosen: the largest piece is then about a fifth larger than the others."""
_PIECE = "__bucket"

Divide = Callable[[pl.DataFrame, ShuffleSide], pl.Series]
"""The piece of each row, from 0."""


@dataclass(frozen=True, slots=True)
class SentRows:
    """What was sent to a bucket for one side: files in `place`, in the order of the rows."""

    side: ShuffleSide
    place: str
    names: Sequence[str]
    size: Size

    @property
    def memory(self) -> int:
        """Bytes of the rows in memory, about."""
        return self.size.memory(self.side.schema)


def pieces_of(shuffle: Shuffle, sent: Sequence[SentRows]) -> int:
    """In how many pieces a bucket is evaluated. It depends on nothing but the rows, because their order does."""
    many = sum(each.memory for each in sent) // PIECE_BYTES
    return many if many >= _FEWEST and (shuffle.spreads or shuffle.order is not None) else 1


def divided(
    files: StagingFiles, shuffle: Shuffle, sent: Sequence[SentRows], buckets: int, many: int, place: str
) -> Iterator[Sequence[pl.LazyFrame]]:
    """The pieces of a bucket of `buckets`, a frame per side, to be used one after the other. Rows with equal keys are
    in the same piece, so the rows of a very frequent key are not divided. `place` is a folder for their files."""
    if shuffle.order is None:
        divide: Divide = _by_keys(buckets, many)
    else:
        divide, many = _by_range(files, sent[0], shuffle.order, many)
    written = [_write(files, each, divide, f"{place}/{number}") for number, each in enumerate(sent)]
    for piece in range(many):
        with ExitStack() as reading:
            places = [(f"{place}/{number}/{piece:04}", names.get(piece, [])) for number, names in enumerate(written)]
            yield [
                reading.enter_context(files.reading(where, names, each.side.schema))
                for (where, names), each in zip(places, sent, strict=True)
            ]
        for where, names in places:
            for name in names:
                files.delete(where, name)


def one_after_the_other(
    pieces: Iterable[Sequence[pl.LazyFrame]], evaluate: Callable[[Sequence[pl.LazyFrame], int], pl.LazyFrame]
) -> Iterator[pl.DataFrame]:
    """The output rows of each piece; `evaluate` is told how many rows those before it have given."""
    before = 0
    for piece in pieces:
        made = evaluate(piece, before).collect()
        before += made.height
        yield made


def _write(files: StagingFiles, sent: SentRows, divide: Divide, place: str) -> dict[int, list[str]]:
    """Writes the rows of one side to files by piece; returns their names."""
    written: dict[int, list[str]] = {}
    for number, frame in enumerate(_read(files, sent)):
        name = f"{number:06}{ARROW if files.local else PARQUET}"
        parts = frame.with_columns(divide(frame, sent.side).alias(_PIECE)).partition_by(
            _PIECE, as_dict=True, include_key=False
        )
        files.write_all({(f"{place}/{int(piece):04}", name): part for (piece,), part in parts.items()})
        for (piece,) in parts:
            written.setdefault(int(piece), []).append(name)
    return written


def _alone(values: pl.Series) -> pl.Series:
    """The same values, which keep no others in memory."""
    copied = pl.from_arrow(values.to_arrow(compat_level=pl.CompatLevel.oldest()))
    assert isinstance(copied, pl.Series)
    return copied.cast(values.dtype)


def _read(files: StagingFiles, sent: SentRows, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """The rows in frames of about _AT_ONCE_BYTES; the `columns`, or all."""
    several = max(1, len(sent.names) * _AT_ONCE_BYTES // max(1, sent.memory))
    for first in range(0, len(sent.names), several):
        with files.reading(sent.place, [*sent.names[first : first + several]], sent.side.schema) as rows:
            yield rows.select(columns or pl.all()).collect()


def _by_keys(buckets: int, many: int) -> Divide:
    return lambda frame, side: frame.select(side.piece(buckets, many)).to_series()


def _by_range(files: StagingFiles, sent: SentRows, order: tuple[str, bool], many: int) -> tuple[Divide, int]:
    """About `many` pieces in the order of `order` = (column, descending), nulls in the last one."""
    name, descending = order
    every = max(1, sent.size.rows // (many * _SAMPLED_PER_PIECE))
    sampled = [
        _alone(frame.filter(pl.col(ROW).hash(0) % every == 0).get_column(name).drop_nulls())
        for frame in _read(files, sent, [ROW, name])
    ]
    sample = pl.concat(sampled).sort()
    places = [sample.len() * part // many for part in range(1, many)]
    bounds = sample.gather(places).unique().sort() if sample.len() else sample
    last = bounds.len()

    def divide(frame: pl.DataFrame, side: ShuffleSide) -> pl.Series:
        values = frame.get_column(name)
        found = pl.Series(bounds.search_sorted(values, side="right"), dtype=pl.Int64)
        found = last - found if descending else found
        return found.set(values.is_null(), last + 1)

    return divide, last + 2
