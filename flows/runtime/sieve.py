"""Running a segment on a frame: the rows that go on, the cells that were rejected, and the counts of every node.

The usual batch is one polars query. Its checks come along as Boolean columns, so good rows are not touched twice; only
rows that fail are looked at again, to say which cell and why. A query that raises (a strict CAST in an expression) is
run again step by step and bisected until the rows to blame are alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl
from polars.exceptions import PolarsError

from connectors.base import REJECT_SCHEMA, ROW, no_rejects
from flows.compile.contract import DISCARDED_ROW
from flows.compile.scope import first_line
from flows.compile.segment import Segment
from flows.compile.step import Check, Step
from flows.runtime.tally import DISCARDED, MADE, UNANSWERED, Tally

_KEEP = "__keep"
_ALL_OF_IT = pl.QueryOptFlags(projection_pushdown=False)
"""An expression whose column nobody takes is computed too: else its row would fail only in batches that are run step by
step, for another row's sake."""
_REJECTS = pl.Schema(REJECT_SCHEMA)


@dataclass(slots=True)
class Rejects:
    """Cells of one node that broke something (REJECT_SCHEMA). `fatal` is the message of an `abort` rule that failed, if
    any did; `warning` says that the rows go on all the same."""

    node: str
    cells: pl.DataFrame
    fatal: str | None = None
    warning: bool = False
    copies: int = 1
    """How many rows were made of each row of the batch before they came here."""

    def rows_of_batch(self) -> pl.Expr:
        """The numbers of the rows, as the batch has them."""
        return (pl.col("row") - 1) // self.copies + 1


@dataclass(slots=True)
class Sieved:
    """What a segment made of a frame."""

    frame: pl.DataFrame
    tally: Tally
    rejects: list[Rejects] = field(default_factory=list)


def sieve(segment: Segment, frame: pl.DataFrame, tally: Tally) -> Sieved:
    """Runs the segment on a frame with column ROW, adding to `tally`. Raises TargetError when a table that rows are
    looked up in cannot be read."""
    for step in segment.steps:
        for broadcast in step.broadcasts:
            broadcast.load()
    try:
        out = _query(segment.steps, frame).collect(optimizations=_ALL_OF_IT)
    except PolarsError as error:
        return _one_by_one(segment.steps, frame, tally, error)
    flags = [name for name in out.columns if name.startswith("__f")]
    extra = [*flags, _KEEP] if _KEEP in out.columns else flags
    clean = out.select(~pl.any_horizontal(pl.col(flags).any())).item() if flags else True
    if not clean:
        return _sort_out(segment.steps, frame, out, tally)
    kept = out.filter(pl.col(_KEEP)) if _KEEP in out.columns else out
    last = segment.steps[-1]
    if last.copies > 1:
        tally.add(last.node, **{MADE: kept.height - frame.height})
    else:
        tally.add(last.node, skipped=frame.height - kept.height)
    return Sieved(kept.drop(extra), tally)


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


def _sort_out(steps: tuple[Step, ...], frame: pl.DataFrame, out: pl.DataFrame, tally: Tally) -> Sieved:
    """Reads the flags of a query in which some rows failed. A row that failed at one step counts for that step alone:
    what later steps made of it means nothing."""
    alive = pl.repeat(True, out.height, dtype=pl.Boolean, eager=True)
    rejects: list[Rejects] = []
    for position, step in enumerate(steps):
        failed = skipped = warned = pl.repeat(False, out.height, dtype=pl.Boolean, eager=True)
        hit: list[tuple[Check, pl.Series]] = []
        discarded: dict[str, pl.Series] = {}
        for number, check in enumerate(step.checks):
            bad = out.get_column(_flag(position, number)) & alive
            if not bad.any():
                continue
            if check.on_fail == "note":
                tally.add(step.node, **{UNANSWERED: int(bad.sum())})
                continue
            if check.on_fail == "skip":
                skipped |= bad
                if check.rule == DISCARDED_ROW:
                    discarded[DISCARDED + check.column] = bad
                continue
            hit.append((check, bad))
            if check.on_fail == "warn":
                warned |= bad
            else:
                failed |= bad
        if step.keep is not None:
            skipped |= alive & ~out.get_column(_KEEP)
        skipped &= ~failed
        alive &= ~(failed | skipped)
        if hit:
            rejects += _explain(steps[:position], step, frame, hit)
        tally.add(step.node, failed=int(failed.sum()), skipped=int(skipped.sum()), warned=int(warned.sum()))
        tally.add(step.node, **{column: int((bad & skipped).sum()) for column, bad in discarded.items()})
    extra = [name for name in out.columns if name.startswith("__f") or name == _KEEP]
    return Sieved(out.drop(extra).filter(alive), tally, rejects)


def _explain(
    before: tuple[Step, ...], step: Step, frame: pl.DataFrame, hit: list[tuple[Check, pl.Series]]
) -> list[Rejects]:
    """The rejected cells of one step, with the values as they were when it looked at them. `frame` and the masks have
    the same rows in the same order, because no step inside a segment but its last removes any."""
    any_hit = pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
    for _, bad in hit:
        any_hit |= bad
    query = frame.filter(any_hit).lazy()
    for earlier in before:
        query = earlier.apply(query)
    # No more than the query itself made of them: an expression that nobody uses may raise.
    told = [_told(check).alias(f"{number}") for number, (check, _) in enumerate(hit)]
    rows = query.select(ROW, *told).collect()
    failures = Rejects(step.node, no_rejects())
    warnings = Rejects(step.node, no_rejects(), warning=True)
    for number, (check, bad) in enumerate(hit):
        cells = rows.filter(bad.filter(any_hit)).select(f"{number}").unnest(f"{number}").cast(_REJECTS)
        found = warnings if check.on_fail == "warn" else failures
        found.cells = pl.concat([found.cells, cells])
        if check.on_fail == "abort" and failures.fatal is None:
            row, column, value, message, rule = cells.row(0)
            failures.fatal = f"Rule '{rule}' stops the run: row {row}, {column} = {value!r}: {message}"
    return [found for found in (failures, warnings) if not found.cells.is_empty()]


def _told(check: Check) -> pl.Expr:
    """What is rejected, as one line of REJECT_SCHEMA."""
    return pl.struct(
        pl.col(ROW).alias("row"),
        pl.lit(check.column).alias("column"),
        check.value.alias("value"),
        (pl.lit(check.message) if isinstance(check.message, str) else check.message).alias("error"),
        pl.lit(check.rule).alias("rule"),
    )


def _one_by_one(steps: tuple[Step, ...], frame: pl.DataFrame, tally: Tally, error: PolarsError) -> Sieved:
    """Some row makes the query raise: run the steps singly, and at the one that raises take the rows to blame out."""
    rejects: list[Rejects] = []
    for step in steps:
        alone = len(steps) == 1
        sieved = _blame(step, frame, tally, error) if alone else sieve(Segment((step,)), frame, tally)
        frame, tally = sieved.frame, sieved.tally
        rejects += sieved.rejects
    return Sieved(frame, tally, rejects)


def _blame(step: Step, frame: pl.DataFrame, tally: Tally, error: PolarsError) -> Sieved:
    """Bisects until the rows on which the step raises are alone; they become rejects, the others go through."""
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
    if column is not None and column.startswith("__"):
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
    tally.add(step.node, failed=len(blamed))
    sieved = sieve(Segment((step,)), rest, tally)
    return Sieved(sieved.frame, sieved.tally, [Rejects(step.node, cells.sort("row")), *sieved.rejects])
