"""Runs a segment on a frame: returns the rows that pass, the rejected cells, and the row counts of every node.

A batch is normally one polars query. Its checks are evaluated as Boolean columns of that query; only rows that fail are
read again, to get the cell and the reason. A query that raises (for example by a strict CAST in an expression) is run
again step by step, and bisected until the failing rows are isolated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl
from polars.exceptions import PolarsError

from headrace.connectors.source import REJECT_SCHEMA, ROW, reserved
from headrace.flows.compile.scope import first_line
from headrace.flows.compile.stages.segment import Segment
from headrace.flows.compile.step import Check, Step
from headrace.flows.compile.target.schema_contract import DISCARDED_ROW
from headrace.flows.runtime.memory.current_node import working_on
from headrace.flows.runtime.transform.row_counts import DISCARDED, MADE, UNANSWERED, RowCounts

_KEEP = "__keep"
_FLAG = re.compile(r"__f\d+_\d+")
_ALL_OF_IT = pl.QueryOptFlags(projection_pushdown=False)
"""Expressions whose columns are unused are computed too: otherwise their rows would fail only in batches that are run
step by step because of another row."""
_REJECTS = pl.Schema(REJECT_SCHEMA)


@dataclass(slots=True)
class Rejects:
    """Rejected cells of one node (REJECT_SCHEMA). `aborting` is the index in `cells` of the first cell rejected by an
    `abort` rule; with `warning`, the rows are processed further."""

    node: str
    cells: pl.DataFrame
    aborting: int | None = None
    warning: bool = False
    copies: int = 1
    """The number of rows made of each row of the batch before this node."""

    written: Mapping[str, str] = field(default_factory=dict)
    """The columns whose cells come from the source unchanged, and the source column of each (`compile.cells`)."""

    @property
    def fatal(self) -> str | None:
        """The failure reason when an `abort` rule rejected a cell; else None."""
        if self.aborting is None:
            return None
        row, column, value, message, rule = self.cells.row(self.aborting)[:5]
        return f"Rule '{rule}' stops the run: row {row}, {column} = {value!r}: {message}"

    def rows_of_batch(self) -> pl.Expr:
        """The row numbers in the batch."""
        return (pl.col("row") - 1) // self.copies + 1


@dataclass(slots=True)
class SegmentResult:
    """The result of a segment on a frame."""

    frame: pl.DataFrame
    row_counts: RowCounts
    rejects: list[Rejects] = field(default_factory=list)


def run_segment(segment: Segment, frame: pl.DataFrame, row_counts: RowCounts) -> SegmentResult:
    """Runs the segment on a frame with column ROW and adds the counts to `row_counts`. Raises TargetError when a lookup
    table cannot be read."""
    for step in segment.steps:
        for broadcast in step.broadcasts:
            broadcast.load()
    try:
        with working_on(segment.nodes):
            out = _query(segment.steps, frame).collect(optimizations=_ALL_OF_IT)
    except PolarsError as error:
        return _run_steps_singly(segment.steps, frame, row_counts, error)
    flags = [name for name in out.columns if _FLAG.fullmatch(name)]
    extra = [*flags, _KEEP] if _KEEP in out.columns else flags
    if any(out.get_column(flag).any() for flag in flags):
        return _read_flags(segment.steps, frame, out, row_counts)
    kept = out.filter(pl.col(_KEEP)) if _KEEP in out.columns else out
    last = segment.steps[-1]
    if last.copies > 1:
        row_counts.add(last.node, **{MADE: kept.height - frame.height})
    else:
        row_counts.add(last.node, skipped=frame.height - kept.height)
    return SegmentResult(kept.drop(extra), row_counts)


def _query(steps: tuple[Step, ...], frame: pl.DataFrame) -> pl.LazyFrame:
    query = frame.lazy()
    for position, step in enumerate(steps):
        if step.checks:
            query = query.with_columns(check.fails.alias(_flag(position, i)) for i, check in enumerate(step.checks))
        if step.keep is not None:
            query = query.with_columns(step.keep.alias(_KEEP))
        query = step.apply(query)
    return query


def _flag(step: int, check: int) -> str:
    return f"__f{step}_{check}"


def _read_flags(
    steps: tuple[Step, ...], frame: pl.DataFrame, out: pl.DataFrame, row_counts: RowCounts
) -> SegmentResult:
    """Evaluates the flags of a query in which some rows failed. A row that failed at a step is counted at that step
    only; the results of later steps for it are ignored.

    Works on columns, not on frames: a method of a frame is a query of its own, and waits for the cores."""
    gone: pl.Series | None = None
    rejects: list[Rejects] = []
    for position, step in enumerate(steps):
        failed: pl.Series | None = None
        skipped: pl.Series | None = None
        warned: pl.Series | None = None
        hit: list[tuple[Check, pl.Series]] = []
        discarded: dict[str, pl.Series] = {}
        for number, check in enumerate(step.checks):
            bad = out.get_column(_flag(position, number))
            if not bad.any():
                continue
            bad = _without(bad, gone)
            if not bad.any():
                continue
            if check.on_fail == "note":
                row_counts.add(step.node, **{UNANSWERED: _count(bad)})
                continue
            if check.on_fail == "skip":
                skipped = _either(skipped, bad)
                if check.rule == DISCARDED_ROW:
                    discarded[DISCARDED + check.column] = bad
                continue
            hit.append((check, bad))
            if check.on_fail == "warn":
                warned = _either(warned, bad)
            else:
                failed = _either(failed, bad)
        if step.keep is not None:
            skipped = _either(skipped, _without(~out.get_column(_KEEP), gone))
        skipped = None if skipped is None else _without(skipped, failed)
        for mask in (failed, skipped):
            gone = gone if mask is None else _either(gone, mask)
        if hit:
            rejects += _rejected_cells(steps[:position], step, frame, hit)
        row_counts.add(step.node, failed=_count(failed), skipped=_count(skipped), warned=_count(warned))
        if skipped is not None:
            row_counts.add(step.node, **{column: _count(bad & skipped) for column, bad in discarded.items()})
    columns = [each for each in out.get_columns() if not _FLAG.fullmatch(each.name) and each.name != _KEEP]
    if gone is not None and gone.any():
        alive = ~gone
        columns = [each.filter(alive) for each in columns]
    return SegmentResult(pl.DataFrame(columns), row_counts, rejects)


def _either(mask: pl.Series | None, other: pl.Series) -> pl.Series:
    return other if mask is None else mask | other


def _without(mask: pl.Series, other: pl.Series | None) -> pl.Series:
    return mask if other is None else mask & ~other


def _count(mask: pl.Series | None) -> int:
    return 0 if mask is None else int(mask.sum())


def _rejected_cells(
    before: tuple[Step, ...], step: Step, frame: pl.DataFrame, hit: list[tuple[Check, pl.Series]]
) -> list[Rejects]:
    """The rejected cells of one step, with the values before that step. `frame` and the masks have the same rows in the
    same order, because only the last step of a segment removes rows."""
    any_hit = hit[0][1]
    for _, bad in hit[1:]:
        any_hit = any_hit | bad
    # Rows are taken first, and of the columns that are needed.
    query = frame.lazy().filter(any_hit)
    for earlier in before:
        query = earlier.apply(query)
    # Selects only what the query itself computed: an unused expression may raise.
    rejects = [_reject_struct(check).alias(f"{number}") for number, (check, _) in enumerate(hit)]
    rows = query.select(rejects).collect()
    found: dict[bool, list[pl.DataFrame]] = {False: [], True: []}
    aborting: int | None = None
    for number, (check, bad) in enumerate(hit):
        cells = rows.get_column(f"{number}")
        if len(hit) > 1:
            cells = cells.filter(bad.filter(any_hit))
        if check.on_fail == "abort" and aborting is None:
            aborting = sum(each.height for each in found[False])
        found[check.on_fail == "warn"].append(cells.struct.unnest())
    return [
        Rejects(step.node, pl.concat(parts), None if warning else aborting, warning, written=step.cells)
        for warning, parts in found.items()
        if parts
    ]


def _reject_struct(check: Check) -> pl.Expr:
    """A rejected cell as a struct with the fields of REJECT_SCHEMA."""
    values = {
        "row": pl.col(ROW),
        "column": pl.lit(check.column),
        "value": check.value,
        "error": pl.lit(check.message) if isinstance(check.message, str) else check.message,
        "rule": pl.lit(check.rule),
    }
    return pl.struct(values[name].cast(dtype).alias(name) for name, dtype in _REJECTS.items())


def _run_steps_singly(
    steps: tuple[Step, ...], frame: pl.DataFrame, row_counts: RowCounts, error: PolarsError
) -> SegmentResult:
    """Runs the steps one at a time after the query raised, and rejects the rows on which a step raises."""
    rejects: list[Rejects] = []
    for step in steps:
        alone = len(steps) == 1
        passed = (
            _isolate_failing_rows(step, frame, row_counts, error)
            if alone
            else run_segment(Segment((step,)), frame, row_counts)
        )
        frame, row_counts = passed.frame, passed.row_counts
        rejects += passed.rejects
    return SegmentResult(frame, row_counts, rejects)


def _isolate_failing_rows(step: Step, frame: pl.DataFrame, row_counts: RowCounts, error: PolarsError) -> SegmentResult:
    """Bisects the frame to find the rows on which the step raises. These are rejected; the step runs on the others."""
    good: list[tuple[int, pl.DataFrame]] = []
    blamed: list[tuple[int, str]] = []
    pending = [(0, frame, error)]
    while pending:
        start, part, cause = pending.pop()
        if part.height == 1:
            blamed.append((part.item(0, ROW), first_line(cause)))
            continue
        middle = part.height // 2
        for begin, half in ((start + middle, part[middle:]), (start, part[:middle])):
            try:
                _query((step,), half).collect()
                good.append((begin, half))
            except PolarsError as again:
                pending.append((begin, half, again))
    good.sort(key=lambda piece: piece[0])
    rest = pl.concat(half for _, half in good) if good else frame.clear()
    column = step.columns[0].meta.output_name() if step.columns else None
    if column is not None and reserved(column):
        column = None
    cells = pl.DataFrame(
        [
            (
                row,
                column,
                None,
                "Cannot be computed" if step.private else f"Cannot be computed: {message}",
                "expression",
            )
            for row, message in blamed
        ],
        schema=REJECT_SCHEMA,
        orient="row",
    )
    row_counts.add(step.node, failed=len(blamed))
    passed = run_segment(Segment((step,)), rest, row_counts)
    return SegmentResult(passed.frame, passed.row_counts, [Rejects(step.node, cells.sort("row")), *passed.rejects])
