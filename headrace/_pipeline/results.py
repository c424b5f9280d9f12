"""The return types of the methods of `Pipeline`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace._pipeline.errors import sentence
from headrace.ir.problems import Problem

if TYPE_CHECKING:
    import polars as pl

    from headrace.pipeline import Pipeline

ERROR_COLUMNS: Mapping[str, Any] = {
    "node": str,
    "row": int,
    "column": str,
    "value": str,
    "error": str,
    "rule": str,
    "warning": bool,
}


@dataclass(frozen=True, slots=True)
class Validation:
    """The result of `Pipeline.validate`; true when there are no problems. `complete` is False when the extra 'engine'
    is not installed: then structure and references were checked, and columns, types and expressions were not."""

    __module__ = "headrace.pipeline"

    problems: tuple[Problem, ...]
    complete: bool

    @property
    def valid(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def __bool__(self) -> bool:
        return self.valid

    def __str__(self) -> str:
        text = "\n".join(map(sentence, self.problems)) or "valid"
        return text if self.complete else f"{text} (columns, types and expressions were not checked)"


@dataclass(frozen=True, slots=True)
class PlannedTarget:
    """How one target is loaded. `sql` are the statements of the load, None when no database was given."""

    __module__ = "headrace.pipeline"

    node: str
    table: str
    load_mode: str
    columns: tuple[str, ...]
    sql: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do. `stages` is the plan as stored with a run, `changes` are the statements that would run
    before the load, `estimated_rows` counts source rows. `str(plan)` is readable text."""

    __module__ = "headrace.pipeline"

    stages: tuple[Mapping[str, Any], ...]
    targets: tuple[PlannedTarget, ...]
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    estimated_rows: int
    parallelism: int
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Preview:
    """The output of one node for the first records of the sources. `rows` has the rows with their number in the source
    as `_row`; `errors` has the rejected cells: row, column, value, error, rule, warning."""

    __module__ = "headrace.pipeline"

    node: str
    kind: str
    rows: pl.DataFrame
    errors: pl.DataFrame
    rows_in: int
    rows_out: int
    failed: int
    skipped: int
    notes: tuple[str, ...]
    stops_run: str | None
    """Why a run would fail at this node; None if it would not."""


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """The result of a run. `status` is `completed`, `completed_with_errors` or `failed`. rows_in = rows_out + failed +
    skipped, unless ops change the number of rows. `nodes` has the row counts of each node; `resumed` is the id of the
    run that this run continued."""

    __module__ = "headrace.pipeline"

    id: str
    status: str
    rows_in: int
    rows_out: int
    failed: int
    skipped: int
    failure_reason: str | None
    nodes: Mapping[str, Mapping[str, int]]
    log: tuple[str, ...]
    resumed: str | None
    _pipeline: Pipeline = field(repr=False)
    _root: str = field(repr=False)
    _database_url: str = field(repr=False)
    _files_root: Path = field(repr=False)

    def errors(self, limit: int | None = 1000) -> pl.DataFrame:
        """The first `limit` rejected cells, ordered by row, including those of the runs that this run continued.
        Columns: node, row, column, value, error, rule, warning. `limit=None` returns all."""
        import polars as pl

        from headrace.flows.in_process.history import History

        history = History(self._database_url, self._pipeline.id)
        try:
            found = history.errors(self._root, limit)
        finally:
            history.close()
        return pl.DataFrame(found, schema=ERROR_COLUMNS, orient="row")

    def retry(self, *, on_log: Callable[[str], None] | None = None) -> PipelineResult:
        """Continues a failed run after the rows it committed, or runs the failed rows of a run that completed with
        errors again.

        Raises PipelineFailed, and PipelineInvalid when there is nothing to retry.
        """
        return self._pipeline._retry(self, on_log)
