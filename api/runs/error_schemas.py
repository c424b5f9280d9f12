"""Response models of the errors of runs."""

from __future__ import annotations

from typing import Literal

from headrace.api.pagination import Pagination
from headrace.api.wire import ResponseModel, RunId


class ValidationErrorItem(ResponseModel):
    """One rejected cell, or one rejected row."""

    row: int
    """The number of the row in its source, from 1."""
    column: str | None
    """The column of the cell; null when the error concerns the whole row."""
    value: str | None
    """The value as text, masked if its column is, and cut after 1,000 characters; null for a missing value and for a
    whole row."""
    error: str
    """What is wrong, for people."""


ErrorKind = Literal["failed", "warned"]


class ErrorSource(ResponseModel):
    """A row of a source node."""

    node: str
    """The source node."""
    file: str | None = None
    """The file, table or shard that the row is in; null for a source without such parts."""
    row: int | None = None
    """The number of the row, from 1, in `file` or in the source without one; null when several rows became one."""


class RunErrorItem(ValidationErrorItem):
    """One cell or row that broke a rule, with the rule and the source rows."""

    node: str
    """The id of the node that found it."""
    rule: str
    """A stable id of the rule, such as `type` for a value that is not of its type."""
    kind: ErrorKind
    """`failed`: the row was not loaded. `warned`: it was loaded anyway."""
    stage: int
    """The number of the plan's stage, from 0."""
    file: str | None
    """The `file` of `source`; null without one."""
    source: ErrorSource | None
    """The first of `sources`; null without any."""
    sources: list[ErrorSource]
    """The source rows that the row comes from, those of a join's left side first; empty for runs of earlier
    releases."""


class RunErrors(ResponseModel):
    """The cells of a run that broke a rule: those of failed rows, unless `kind` selects others."""

    run_id: RunId
    total: int
    """The number of selected cells on all pages."""
    errors: list[RunErrorItem]
    """The cells, in the order of rows."""
    warned: int | None = None
    """The number of cells of the run that broke a rule and whose row was loaded anyway; omitted without any."""
    pagination: Pagination | None = None
    """The position of the page; omitted unless a page was requested or there are more."""


class ErrorTotal(ResponseModel):
    """How many errors have the same node, rule, kind, column and file."""

    node: str
    """The id of the node that found them."""
    rule: str
    """A stable id of the rule, such as `type` for values that are not of their type."""
    kind: ErrorKind
    """`failed`: the rows were not loaded. `warned`: they were loaded anyway."""
    column: str | None
    """The column of the cells; null for whole rows."""
    file: str | None
    """The file, table or shard that the rows are in; null for a source without such parts."""
    error: str
    """The text of one of the errors."""
    cells: int
    """The number of cells."""
    rows: int
    """The number of rows with such cells."""


class RunErrorsSummary(ResponseModel):
    """Totals of the errors and warnings of a run."""

    run_id: RunId
    failed: int
    """The number of cells of failed rows; 0 if `kind` selects others."""
    warned: int
    """The number of cells of rows that were loaded anyway; 0 if `kind` selects others."""
    totals: list[ErrorTotal]
    """The totals, largest first; at most 1,000."""
    more: bool
    """Whether there are further totals."""
