"""Private columns of a plan: those with values that a `mask_pii` or `hash` op hides, upstream and downstream of it.

Error rows show values, and a quarantine table keeps rows as they were read: both would show what the op hides. So the
columns that an op conceals are traced back to their origins, and every column that comes from there, under any name, is
private in the whole pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import polars as pl

from headrace.connectors.source import ROW
from headrace.flows.compile.logical_node import LogicalNode
from headrace.flows.compile.step import Check, Step

MASK = "***"
"""Shown in place of a private value."""

RAISED = "P0"
"""The class of the SQLSTATEs that a trigger raises; its text may contain any value."""

Origins = frozenset[tuple[str, str]]
"""The origins of values: (node or path of the document, column)."""


@dataclass(frozen=True, slots=True)
class ColumnOrigins:
    """The origins of each column at one place. A column that is not listed may come from any of them."""

    columns: Mapping[str, Origins]

    def of(self, name: str) -> Origins:
        """The origins of one column."""
        found = self.columns.get(name)
        return self.all if found is None else found

    @property
    def all(self) -> Origins:
        """The origins of all columns."""
        return frozenset[tuple[str, str]]().union(*self.columns.values())

    def after(self, step: Step) -> ColumnOrigins:
        """The origins after a step."""
        if step.shuffle is not None:
            sources = step.shuffle.origins
            columns = {name: _union(map(self.of, origins)) for name, origins in sources.items()}
            return ColumnOrigins({**columns, ROW: frozenset()})
        after = dict(self.columns)
        for expression in step.columns:
            roots = expression.meta.root_names()
            name = expression.meta.output_name()
            # A value that comes from no column is a separate origin.
            after[name] = _union(map(self.of, roots)) if roots else frozenset({(step.path, name)})
        if step.reshape is None:
            return ColumnOrigins(after)
        made = ColumnOrigins(after)
        if step.origins is None:
            return ColumnOrigins(dict.fromkeys(after, made.all))
        return ColumnOrigins({**after, **{name: made.of(source) for name, source in step.origins.items()}})


def mask_private_columns(nodes: Mapping[str, LogicalNode]) -> dict[str, LogicalNode]:
    """The nodes (upstream before downstream) with their private columns set, and with checks that mask the values of
    private columns."""
    if not any(step.conceals for node in nodes.values() for step in node.steps):
        return dict(nodes)
    places = dict(_traced(nodes))
    hidden = _union(
        lineage.of(name)
        for node_id, lineages in places.items()
        for step, lineage in zip(nodes[node_id].steps, lineages, strict=False)
        for name in step.conceals
    )
    if not hidden:
        return dict(nodes)
    return {node_id: _concealed(node, places[node_id], hidden) for node_id, node in nodes.items()}


def masked_cells(cells: pl.DataFrame, private: frozenset[str]) -> pl.DataFrame:
    """Rejected cells (REJECT_SCHEMA) with the values of `private` columns masked, and whole rows too. Messages of
    triggers are replaced."""
    if not private or cells.is_empty():
        return cells
    hidden = pl.col("column").is_in(list(private)) | pl.col("column").is_null()
    raised = pl.col("rule").str.starts_with(RAISED).fill_null(value=False)
    return cells.with_columns(
        pl.when(hidden & pl.col("value").is_not_null()).then(pl.lit(MASK)).otherwise("value").alias("value"),
        pl.when(raised).then(pl.lit("Refused by a trigger")).otherwise("error").alias("error"),
    )


def masked_rows(frame: pl.DataFrame, private: frozenset[str]) -> pl.DataFrame:
    """A frame with the values of its `private` columns masked."""
    names = [name for name in frame.columns if name in private]
    return frame.with_columns(pl.when(pl.col(name).is_not_null()).then(pl.lit(MASK)).alias(name) for name in names)


def _traced(nodes: Mapping[str, LogicalNode]) -> Iterator[tuple[str, list[ColumnOrigins]]]:
    """The lineages of each node: before its first step, …, after its last."""
    ends: dict[str, ColumnOrigins] = {}
    for node_id, node in nodes.items():
        inputs = [ends[reference.partition(".")[0]] for reference in node.node.inputs]
        if len(inputs) == 1:
            begin = inputs[0]
        elif inputs:
            names = {name for lineage in inputs for name in lineage.columns}
            begin = ColumnOrigins(
                {name: _union(each.columns.get(name, frozenset()) for each in inputs) for name in names}
            )
        else:
            begin = ColumnOrigins({name: frozenset({(node_id, name)}) for name in node.schema})
        lineages = [begin]
        for step in node.steps:
            lineages.append(lineages[-1].after(step))
        ends[node_id] = lineages[-1]
        yield node_id, lineages


def _concealed(node: LogicalNode, lineages: list[ColumnOrigins], hidden: Origins) -> LogicalNode:
    steps = tuple(
        _masked_step(step, lineage, after, hidden)
        for step, (lineage, after) in zip(node.steps, pairwise(lineages), strict=True)
    )
    private = frozenset(name for name in node.schema if lineages[-1].of(name) & hidden)
    return replace(node, steps=steps, private=private)


def _masked_step(step: Step, lineage: ColumnOrigins, after: ColumnOrigins, hidden: Origins) -> Step:
    checks = tuple(_masked_check(check) if lineage.of(check.column) & hidden else check for check in step.checks)
    if lineage.all & hidden:
        checks = tuple(_without_row_values(check) for check in checks)
    kept = frozenset(name for name in after.columns if after.of(name) & hidden) if step.shuffle else frozenset[str]()
    return replace(step, checks=checks, private=bool(lineage.all & hidden), hidden=kept)


def _masked_check(check: Check) -> Check:
    return replace(check, value=pl.when(check.value.is_not_null()).then(pl.lit(MASK)))


def _without_row_values(check: Check) -> Check:
    """A message that is an expression may contain any value of the row, so it is replaced."""
    return check if isinstance(check.message, str) else replace(check, message="No answer")


def _union(origins: Iterable[Origins]) -> Origins:
    return frozenset[tuple[str, str]]().union(*origins)
