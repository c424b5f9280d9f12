"""Where rejected cells come from: the source node, file and row, and the text as the source has it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from headrace.connectors.source import ROW, Batch, Discovery, Partition
from headrace.flows.compile.masking import MASK
from headrace.flows.compile.shuffle import parent
from headrace.flows.compile.stages.stage import ShuffleWrite, Stage
from headrace.flows.resume.replay import is_replay
from headrace.flows.runtime.job import Prepared
from headrace.flows.runtime.transform.segment_runner import Rejects

SOURCES = "sources"
"""The column of rejected cells with their origin as JSON text: `[{"node": "src", "file": "orders.csv", "row": 7}]`.
Rows are counted from 1 in their file, or in the source when it has no files. A row made of several rows has no
`row`."""

Parents = Callable[[Stage, pl.Series], pl.DataFrame]
"""Returns the parents of rows of a shuffle stage: a frame with ROW and `parent(side)`."""


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a source in order, and the row number in the source of the first row of each."""

    names: pl.Series
    firsts: pl.Series


@dataclass(frozen=True, slots=True)
class _SourceRows:
    """For each of some rows, the number of its row in `source`: null when it has none. `numbers` is None when a row may
    come from several rows."""

    source: str
    numbers: pl.Series | None


class RowOrigins:
    """Finds the origins of rejected rows in one run."""

    def __init__(self, prepared: Prepared, parents: Parents) -> None:
        self._stages, self._parents = prepared.plan.stages, parents
        self._files = {node: _files(found) for node, found in prepared.discoveries.items()}

    def described(self, stage: Stage, cells: pl.DataFrame, *, copies: int = 1) -> pl.DataFrame:
        """Adds the column SOURCES to rejected cells of a stage. `copies` is the number of rows made of each row that
        the stage reads or gathers."""
        rows = cells.get_column("row")
        rows = rows if copies == 1 else (rows - 1) // copies + 1
        described = [self._shown(each, rows.len()).alias(f"{n}") for n, each in enumerate(self._coming(stage, rows))]
        joined = pl.concat_str(pl.all(), separator=", ", ignore_nulls=True)
        sources = pl.DataFrame(described).select(pl.format("[{}]", joined).alias(SOURCES)).to_series()
        return pl.DataFrame([*cells.get_columns(), sources])

    def _coming(self, stage: Stage, rows: pl.Series) -> Iterator[_SourceRows]:
        """The sources of the rows of a stage; those of a join's left side come first."""
        if stage.source is not None:
            yield _SourceRows(stage.source.id, rows)
            return
        assert stage.exchange is not None
        shuffle = stage.exchange.shuffle
        if not shuffle.keeps_rows and shuffle.parents is None:
            yield from (_SourceRows(source, None) for source in dict.fromkeys(self._sources(stage)))
            return
        found = None if shuffle.keeps_rows else self._parents(stage, rows.drop_nulls().unique())
        for side in range(len(shuffle.sides)):
            numbers = rows
            if found is not None:
                if parent(side) not in found.columns:  # a semi join takes no columns of its right side
                    continue
                numbers = pl.DataFrame({ROW: rows}).join(found, on=ROW, how="left", maintain_order="left")[parent(side)]
            sender, copies = self._sender(stage, side)
            yield from self._coming(sender, (numbers - 1) // copies + 1)

    def _sender(self, stage: Stage, side: int) -> tuple[Stage, int]:
        """The stage that sends the rows of a side, and the number of rows it makes of each of its rows."""
        assert stage.exchange is not None
        for before in stage.after:
            sender = self._stages[before]
            for sink in sender.sinks:
                if isinstance(sink, ShuffleWrite) and (sink.exchange, sink.side) == (stage.exchange.id, side):
                    return sender, sender.trunk.copies_to(sink.id)
        raise LookupError(f"nobody sends side {side} of {stage.exchange.id}")

    def _sources(self, stage: Stage) -> Iterator[str]:
        if stage.source is not None:
            yield stage.source.id
        for before in stage.after:
            yield from self._sources(self._stages[before])

    def _shown(self, coming: _SourceRows, count: int) -> pl.Series:
        """A JSON object for each row; null when a row does not come from the source."""
        node = pl.lit(coming.source).alias("node")
        if coming.numbers is None:
            return pl.select(pl.struct(node).struct.json_encode()).to_series().new_from_index(0, count)
        rows, files = coming.numbers.alias("row"), self._files.get(coming.source)
        if files is None:
            shown = pl.struct(node, pl.col("row"))
            frame = pl.DataFrame([rows])
        else:
            place = files.firsts.search_sorted(rows.fill_null(1), side="right").cast(pl.Int64) - 1
            frame = pl.DataFrame([files.names.gather(place).alias("file"), rows, files.firsts.gather(place).alias("f")])
            shown = pl.struct(node, pl.col("file"), (pl.col("row") - pl.col("f") + 1).alias("row"))
        encoded = pl.when(pl.col("row").is_not_null()).then(shown.struct.json_encode())
        return frame.select(encoded.alias("reported")).to_series()


def _files(found: Discovery) -> _Files | None:
    """The files of a source's partitions; None when the source has no files."""
    names: list[str] = []
    firsts: list[int] = []
    for name, first in _pieces(found.partitions):
        if not names or names[-1] != name:
            names.append(name)
            firsts.append(first)
    if not names:
        return None
    return _Files(pl.Series(names, dtype=pl.String), pl.Series(firsts, dtype=pl.Int64))


def _pieces(partitions: Sequence[Partition]) -> Iterator[tuple[str, int]]:
    for partition in partitions:
        first, location = _located(partition)
        if partition.label:
            yield partition.label, first
        for piece in location.get("pieces", ()):
            yield str(piece["path"]), first
            first += int(piece["rows"])


def _located(partition: Partition) -> tuple[int, Mapping[str, Any]]:
    if is_replay(partition):
        inner = partition.location["inner"]
        return int(inner["first_row"]), inner["location"]
    return partition.first_row, partition.location


def with_source_text(found: Rejects, batch: Batch) -> pl.DataFrame:
    """The cells of `found`; cells that are unchanged since the source get the text of the source. Masked values stay
    masked, and values without a source text stay as they are."""
    cells = found.cells
    values, names = cells.get_column("value"), cells.get_column("column")
    shown = values.is_not_null() & (values != MASK)
    columns = {name: found.written[name] for name in names.filter(shown).unique() if name in found.written}
    if not columns:
        return cells
    rows = cells.get_column("row")
    rows = (rows if found.copies == 1 else (rows - 1) // found.copies + 1).alias(ROW)
    texts = _texts(batch, set(columns.values()), rows.unique())
    if texts is None:
        return cells
    aligned = _aligned(texts, rows)
    for name, column in columns.items():
        if column not in aligned.columns:
            continue
        text = aligned.get_column(column)
        this = shown & text.is_not_null() & (names == name).fill_null(value=False)
        values = text.zip_with(this, values)
    changed = cells.get_columns()
    changed[cells.columns.index("value")] = values.alias("value")
    return pl.DataFrame(changed)


def _aligned(texts: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """The texts of each of these rows, null where there are none. Without a join if there is one text for each row in
    order, as for cells of one rule."""
    if texts.get_column(ROW).equals(rows):
        return texts
    return rows.to_frame().join(texts, on=ROW, how="left", maintain_order="left")


def _texts(batch: Batch, columns: Collection[str], rows: pl.Series) -> pl.DataFrame | None:
    """The source text of these columns in these rows, with ROW; None when there is none."""
    if batch.cells is not None:
        return batch.cells(columns, rows)
    there = [name for name in columns if batch.frame.schema.get(name) == pl.String]
    return batch.frame.filter(pl.col(ROW).is_in(rows.implode())).select(ROW, *there) if there else None
