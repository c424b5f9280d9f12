"""Request and response models of plans and previews."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from headrace.api.ir.schemas import NodeField, VersionNumber
from headrace.api.runs.schemas import RunParameters
from headrace.api.wire import RequestModel, ResponseModel

PREVIEW_ROWS = 500


class PlanRequest(RequestModel):
    """The version to plan, by default the live one, and the run's parameters."""

    ir_version: VersionNumber | None = None
    parameters: RunParameters = Field(default_factory=dict, max_length=50)


class PreviewRequest(PlanRequest):
    """The number of records to read from each source, and the node to show (default: all)."""

    node: str | None = Field(default=None, max_length=100)
    limit: int = Field(default=50, ge=1, le=PREVIEW_ROWS)


class PlannedPartition(ResponseModel):
    """One partition of a stage: `rows` records, starting at source row `firstRow`, located at `location`."""

    index: int
    first_row: int
    rows: int
    location: dict[str, Any]


class PlannedSink(ResponseModel):
    """An output of a stage: a table, or with `sends` an exchange that a later stage gathers; with neither, rows are
    only checked by dataset rules. `path` lists the nodes that lead to it."""

    path: list[str]
    table: str | None
    load_mode: str | None
    columns: list[str]
    sends: str | None


class PlannedStage(ResponseModel):
    """Nodes that each partition passes without an exchange. `steps` are the operations on rows, in order; `queries` are
    the same steps, grouped into queries that each run as one.

    `unread` are columns of the source or exchange that are not read, because nothing needs them. `where` is the first
    filter: parts of a source that have no matching row are not read and are counted as skipped.

    `table`, `loadMode` and `columns` are those of the only target; a stage with several outputs, or that sends rows on,
    has `sinks`. A stage that `gathers` starts when the stages in `after` are done; its rows are known only then.
    """

    name: str
    rows: int
    after: list[int]
    gathers: str | None
    unread: list[str]
    where: list[str]
    steps: list[str]
    queries: list[list[str]]
    table: str | None
    load_mode: str | None
    columns: list[str]
    sinks: list[PlannedSink]
    partitions: list[PlannedPartition]


class SqlItem(ResponseModel):
    """How a target is loaded: the processing of rows as comments, then the SQL statements."""

    node: str
    table: str
    load_mode: str
    sql: str


class TableChangeItem(ResponseModel):
    """A change of the target database before loading; `statement` is null for the engine's tables."""

    table: str
    action: str
    statement: str | None


class Plan(ResponseModel):
    """The plan of a run, for the current state of sources and tables."""

    ir_version: int | None
    load_strategy: str
    estimated_rows: int
    parallelism: int
    stages: list[PlannedStage]
    sql: list[SqlItem]
    ddl: list[TableChangeItem]
    notes: list[str]


class SqlPreview(ResponseModel):
    """The SQL of each target."""

    ir_version: int | None
    targets: list[SqlItem]


class PreviewedRow(ResponseModel):
    """An output row of a node; `row` is its number in the source."""

    row: int
    values: dict[str, Any]


class PreviewedError(ResponseModel):
    """A cell that broke a rule; with `warning` its row passes. `column` is null when the whole row is rejected."""

    row: int
    column: str | None
    value: str | None
    error: str
    rule: str
    warning: bool


class PreviewedNode(ResponseModel):
    """The output of a node for the sample. `stopsRun` is the reason why a run would end here; `notes` list differences
    from a run, such as enrichment: previews do not call providers."""

    node: str
    kind: str
    schema_: list[NodeField] = Field(alias="schema", validation_alias="fields")
    rows_in: int
    rows_out: int
    failed: int
    skipped: int
    rows: list[PreviewedRow]
    errors: list[PreviewedError]
    stops_run: str | None
    notes: list[str]


class Preview(ResponseModel):
    """The output of each node for the first `limit` records of every source; nothing is written."""

    ir_version: int | None
    limit: int
    nodes: list[PreviewedNode]
