"""Projection push-down: a stage reads, or is sent, only the columns that something behind its root needs.

It is found from the ends of a plan back to its sources. A column is needed when any expression of any step reads it,
even one whose result is dropped: so a plan finds the same errors with and without. What a query reads is asked of
polars, whose optimiser knows it of whatever a step may do; no op declares it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import polars as pl
from polars.io.plugins import register_io_source

from connectors.base import ROW
from connectors.types import polars_dtype
from flows.compile.branch import ROUTE
from flows.compile.gather import Gather
from flows.compile.stage import Audit, Gathering, Sending, Stage, Stretch
from flows.compile.step import Step

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
Names = frozenset[str]


def projected(stages: Sequence[Stage], sure: Mapping[str, Names]) -> tuple[Stage, ...]:
    """The stages of a plan, each with its `unread` columns. `sure` are, by source, the columns for which no row can be
    rejected: others are read whoever needs them. Where rows are quarantined as they came, every column is needed."""
    narrow: dict[str, Gather] = {}
    found: list[Stage] = []
    for stage in reversed(stages):  # those that gather rows come behind those that send them
        schema = _schema(stage)
        needed = Names(schema) if stage.quarantine else _needed(stage.trunk, schema, narrow)
        root = stage.root
        if isinstance(root, Gathering):
            narrow[root.id] = narrowed(root.gather, needed)
            root = replace(root, gather=narrow[root.id])
            kept = Names(_made(root.gather))
        else:
            kept = (needed | (Names(schema) - sure.get(root.id, Names()))) - {ROW} or Names([*schema][:1])
        unread = pl.Schema({name: dtype for name, dtype in schema.items() if name not in kept and name != ROW})
        found.append(replace(stage, root=root, trunk=_sending(stage.trunk, narrow), unread=unread))
    return tuple(reversed(found))


def filled_up(frame: Frame, unread: Mapping[str, pl.DataType]) -> Frame:
    """The frame with the columns that were not read, all null: steps may drop or rename them, no more."""
    return frame.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in unread.items())


def used(query: Callable[[pl.LazyFrame], pl.LazyFrame], schema: pl.Schema) -> Names:
    """The columns that a query reads of a frame with this schema. Raises polars errors."""
    asked: set[str] = set()

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, batch: int | None
    ) -> Iterator[pl.DataFrame]:
        asked.update(schema if columns is None else columns)
        empty = pl.DataFrame(schema=schema)
        yield empty if columns is None else empty.select(columns)

    # A filter that is pushed down could hide what it reads.
    plain = pl.QueryOptFlags(predicate_pushdown=False)
    query(register_io_source(source, schema=schema)).collect(optimizations=plain)
    return Names(asked)


def narrowed(gather: Gather, needed: Names) -> Gather:
    """The same gathering of as few columns as its `needed` ones can be made of; rows and their order stay."""
    made = _made(gather)
    kept = [name for name in made if name in needed] or [*made][:1]
    sides = []
    for index, side in enumerate(gather.sides):
        keys = {name for key in side.keys for name in key.meta.root_names()}
        order = {gather.order[0]} if gather.order is not None else set[str]()
        reads = {ROW} | keys | order | used(_of_side(gather, index, kept), side.schema)
        sides.append(replace(side, schema=_only(side.schema, reads)))
    missing = [
        _only(whole.schema, Names(whole.schema) - Names(side.schema))
        for whole, side in zip(gather.sides, sides, strict=True)
    ]
    output = [*kept, ROW] if gather.keeps_rows else kept

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        return gather.evaluate([filled_up(*pair) for pair in zip(frames, missing, strict=True)]).select(output)

    return replace(gather, sides=tuple(sides), evaluate=evaluate)


def _of_side(gather: Gather, index: int, kept: Sequence[str]) -> Callable[[pl.LazyFrame], pl.LazyFrame]:
    """What a gather reads of one of its sides."""

    def query(frame: pl.LazyFrame) -> pl.LazyFrame:
        frames = [pl.LazyFrame(schema=side.schema) for side in gather.sides]
        frames[index] = frame
        return gather.apply(frames).select(*kept, ROW)

    return query


def _made(gather: Gather) -> pl.Schema:
    """What comes out of it, ROW left out."""
    made = gather.apply([pl.LazyFrame(schema=side.schema) for side in gather.sides]).collect().schema
    return _only(made, Names(made) - {ROW})


def _schema(stage: Stage) -> pl.Schema:
    """What the root gives."""
    if stage.gathering is not None:
        return pl.Schema({**_made(stage.gathering.gather), ROW: pl.Int64()})
    return pl.Schema({field.name: polars_dtype(field) for field in stage.schema} | {ROW: pl.Int64})


def _needed(stretch: Stretch, schema: pl.Schema, narrow: Mapping[str, Gather]) -> Names:
    """The columns that a stretch, and all behind it, needs of those before it."""
    steps = [step for segment in stretch.segments for step in segment.steps]
    schemas = [schema]
    for step in steps:
        schemas.append(step.schema_behind(schemas[-1]))
    behind = schemas.pop()
    if isinstance(stretch.sink, Sending):
        needed = Names(narrow[stretch.sink.gathering].sides[stretch.sink.side].schema)
    elif isinstance(stretch.sink, Audit):
        needed = _read([value for measure in stretch.sink.measures for value in measure.values], behind)
    elif stretch.sink is not None:
        needed = Names(behind)
    else:
        needed = Names([ROUTE]) & Names(behind)
        for outlet in stretch.outlets:
            hidden = set() if outlet.route is None else {ROUTE}
            needed |= _needed(outlet.stretch, _only(behind, set(behind) - hidden), narrow)
    for step, before in zip(reversed(steps), reversed(schemas), strict=True):
        needed = _before(step, needed, before)
    return needed


def _before(step: Step, needed: Names, schema: pl.Schema) -> Names:
    """The columns needed before a step, by those needed behind it."""
    judged = [expression for check in step.checks for expression in check.expressions]
    reads = _read([*judged, *([] if step.keep is None else [step.keep]), *step.columns], schema)
    if step.reshape is None:
        return reads | (needed - {column.meta.output_name() for column in step.columns})
    wanted = sorted(needed)
    return reads | used(lambda frame: step.apply(frame).select(wanted), schema)


def _read(expressions: Sequence[pl.Expr], schema: pl.Schema) -> Names:
    numbered = [expression.alias(f"{number}") for number, expression in enumerate(expressions)]
    return used(lambda frame: frame.select(numbered), schema) if numbered else Names()


def _sending(stretch: Stretch, narrow: Mapping[str, Gather]) -> Stretch:
    """The stretch with what its ends send."""
    outlets = tuple(replace(outlet, stretch=_sending(outlet.stretch, narrow)) for outlet in stretch.outlets)
    sink = stretch.sink
    if isinstance(sink, Sending):
        schema = narrow[sink.gathering].sides[sink.side].schema
        sink = replace(sink, columns=tuple(name for name in schema if name != ROW))
    return replace(stretch, outlets=outlets, sink=sink)


def _only(schema: pl.Schema, names: Names | set[str]) -> pl.Schema:
    return pl.Schema({name: dtype for name, dtype in schema.items() if name in names})
