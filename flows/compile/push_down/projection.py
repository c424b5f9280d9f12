"""Projection push-down: a stage reads, or is sent, only the columns that something downstream needs.

It is computed from the sinks of a plan back to its sources. A column is needed when any expression of any step reads
it, even if the result is dropped, so that a plan finds the same errors with and without push-down. Polars' optimiser
gives the columns that a query reads, so no op declares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import polars as pl
from polars.io.plugins import register_io_source

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.source import ROW
from headrace.flows.compile.nodes.branch import ROUTE
from headrace.flows.compile.shuffle import Shuffle
from headrace.flows.compile.stages.stage import Audit, NodeChain, ShuffleRead, ShuffleWrite, Stage
from headrace.flows.compile.step import Step

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
Names = frozenset[str]

_PLAIN = pl.QueryOptFlags(predicate_pushdown=False)
"""A filter that polars pushes down could hide the columns it reads."""


def projected(stages: Sequence[Stage], sure: Mapping[str, Names]) -> tuple[Stage, ...]:
    """The stages of a plan with their `unread` columns. `sure` are, by source, the columns for which no row can be
    rejected: other columns are always read. Where rows are quarantined as they were read, every column is needed."""
    narrow: dict[str, Shuffle] = {}
    found: list[Stage] = []
    for stage in reversed(stages):  # stages that gather rows come after those that send them
        schema = _schema(stage)
        needed = Names(schema) if stage.quarantine else _needed(stage.trunk, schema, narrow)
        root = stage.root
        if isinstance(root, ShuffleRead):
            narrow[root.id] = narrowed(root.shuffle, needed)
            root = replace(root, shuffle=narrow[root.id])
            kept = Names(_made(root.shuffle))
        else:
            kept = (needed | (Names(schema) - sure.get(root.id, Names()))) - {ROW} or Names([*schema][:1])
        unread = pl.Schema({name: dtype for name, dtype in schema.items() if name not in kept and name != ROW})
        found.append(replace(stage, root=root, trunk=_sending(stage.trunk, narrow), unread=unread))
    return tuple(reversed(found))


def filled_up(frame: Frame, unread: Mapping[str, pl.DataType]) -> Frame:
    """The frame with null columns for those that were not read, which steps may drop or rename."""
    return frame.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in unread.items())


def used(query: Callable[[pl.LazyFrame], pl.LazyFrame], schema: pl.Schema) -> Names:
    """The columns that a query reads from a frame with this schema. Raises polars errors."""
    asked: set[str] = set()

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, batch: int | None
    ) -> Iterator[pl.DataFrame]:
        asked.update(schema if columns is None else columns)
        empty = pl.DataFrame(schema=schema)
        yield empty if columns is None else empty.select(columns)

    query(register_io_source(source, schema=schema)).collect(optimizations=_PLAIN)
    return Names(asked)


def narrowed(shuffle: Shuffle, needed: Names) -> Shuffle:
    """The shuffle reduced to the columns that `needed` output columns are made of; rows and their order stay."""
    made = _made(shuffle)
    kept = [name for name in made if name in needed] or [*made][:1]
    sides = []
    for index, side in enumerate(shuffle.sides):
        keys = {name for key in side.keys for name in key.meta.root_names()}
        order = {shuffle.order[0]} if shuffle.order is not None else set[str]()
        used_there = used(_of_side(shuffle, index, kept), side.schema) if shuffle.reads is None else shuffle.reads
        reads = {ROW} | keys | order | used_there
        sides.append(replace(side, schema=_only(side.schema, reads)))
    missing = [
        _only(whole.schema, Names(whole.schema) - Names(side.schema))
        for whole, side in zip(shuffle.sides, sides, strict=True)
    ]
    output = [*kept, ROW] if shuffle.keeps_rows else kept

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        return shuffle.evaluate([filled_up(*pair) for pair in zip(frames, missing, strict=True)]).select(output)

    made_now = None if shuffle.made is None else _only(shuffle.made, Names(kept))
    return replace(shuffle, sides=tuple(sides), evaluate=evaluate, made=made_now)


def _of_side(shuffle: Shuffle, index: int, kept: Sequence[str]) -> Callable[[pl.LazyFrame], pl.LazyFrame]:
    """The query of a shuffle as a function of one of its sides."""

    def query(frame: pl.LazyFrame) -> pl.LazyFrame:
        frames = [pl.LazyFrame(schema=side.schema) for side in shuffle.sides]
        frames[index] = frame
        return shuffle.apply(frames).select(*kept, ROW)

    return query


def _made(shuffle: Shuffle) -> pl.Schema:
    """The output columns of a shuffle, without ROW."""
    if shuffle.made is not None:
        return shuffle.made
    made = shuffle.apply([pl.LazyFrame(schema=side.schema) for side in shuffle.sides]).collect().schema
    return _only(made, Names(made) - {ROW})


def _schema(stage: Stage) -> pl.Schema:
    """The columns of the root, with ROW."""
    if stage.exchange is not None:
        return pl.Schema({**_made(stage.exchange.shuffle), ROW: pl.Int64()})
    return pl.Schema({field.name: polars_dtype(field) for field in stage.schema} | {ROW: pl.Int64})


def _needed(node_chain: NodeChain, schema: pl.Schema, narrow: Mapping[str, Shuffle]) -> Names:
    """The columns that a node_chain and all downstream of it need."""
    steps = [step for segment in node_chain.segments for step in segment.steps]
    schemas = [schema]
    for step in steps:
        schemas.append(step.output_schema(schemas[-1]))
    schema_after = schemas.pop()
    if isinstance(node_chain.sink, ShuffleWrite):
        needed = Names(narrow[node_chain.sink.exchange].sides[node_chain.sink.side].schema)
    elif isinstance(node_chain.sink, Audit):
        needed = _read([value for measure in node_chain.sink.measures for value in measure.values], schema_after)
    elif node_chain.sink is not None:
        needed = Names(schema_after)
    else:
        needed = Names([ROUTE]) & Names(schema_after)
        for edge in node_chain.edges:
            hidden = set() if edge.route is None else {ROUTE}
            needed |= _needed(edge.node_chain, _only(schema_after, set(schema_after) - hidden), narrow)
    for step, before in zip(reversed(steps), reversed(schemas), strict=True):
        needed = _before(step, needed, before)
    return needed


def _before(step: Step, needed: Names, schema: pl.Schema) -> Names:
    """The input columns that a step needs for the `needed` output columns."""
    evaluated = [expression for check in step.checks for expression in check.expressions]
    reads = _read([*evaluated, *([] if step.keep is None else [step.keep]), *step.columns], schema)
    if step.reshape is None:
        return reads | (needed - {column.meta.output_name() for column in step.columns})
    wanted = sorted(needed)
    return reads | used(lambda frame: step.apply(frame).select(wanted), schema)


class _Enough(Exception):
    """Ends a query once the columns it reads are known."""


def _read(expressions: Sequence[pl.Expr], schema: pl.Schema) -> Names:
    """The columns that expressions read. The expressions are not evaluated, because they come from the author."""
    asked: set[str] = set()

    def source(columns: list[str] | None, *_: object) -> Iterator[pl.DataFrame]:
        asked.update(schema if columns is None else columns)
        raise _Enough
        yield

    numbered = [expression.alias(f"{number}") for number, expression in enumerate(expressions)]
    if numbered:
        with suppress(_Enough):
            register_io_source(source, schema=schema).select(numbered).collect(optimizations=_PLAIN)
    return Names(asked)


def _sending(node_chain: NodeChain, narrow: Mapping[str, Shuffle]) -> NodeChain:
    """The node_chain with the columns that its sinks send."""
    edges = tuple(replace(edge, node_chain=_sending(edge.node_chain, narrow)) for edge in node_chain.edges)
    sink = node_chain.sink
    if isinstance(sink, ShuffleWrite):
        schema = narrow[sink.exchange].sides[sink.side].schema
        sink = replace(sink, columns=tuple(name for name in schema if name != ROW))
    return replace(node_chain, edges=edges, sink=sink)


def _only(schema: pl.Schema, names: Names | set[str]) -> pl.Schema:
    return pl.Schema({name: dtype for name, dtype in schema.items() if name in names})
