"""The shapes of plans and previews on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.ir.schemas import NodeField, VersionNumber
from api.wire import Body, Shown

Parameters = dict[str, str | int | float | bool]

PREVIEW_ROWS = 500


class PlanRequest(Body):
    """Which version to plan, the live one unless said otherwise, and the run's parameters."""

    ir_version: VersionNumber | None = None
    parameters: Parameters = Field(default_factory=dict)


class PreviewRequest(PlanRequest):
    """How many records of each source to read, and the node to show (all of them unless one is named)."""

    node: str | None = Field(default=None, max_length=100)
    limit: int = Field(default=50, ge=1, le=PREVIEW_ROWS)


class PlannedPartition(Shown):
    """One partition of a stage: `rows` records from source row `firstRow` on, found at `location`."""

    index: int
    first_row: int
    rows: int
    location: dict[str, Any]


class PlannedSink(Shown):
    """Where rows of a stage end: a table, or `sends` to what gathers them in a later stage; with neither they are only
    measured, for dataset rules. `path` leads there."""

    path: list[str]
    table: str | None
    load_mode: str | None
    columns: list[str]
    sends: str | None


class PlannedStage(Shown):
    """Nodes that each partition passes in one go; `steps` are what is done to rows, in order, and `queries` the same as
    they are fused: each runs as one.

    Of the columns that the source or the gathering has, those in `unread` are left out because nothing needs them.
    `where` is what the first filter wants: parts of a source that have no such row are counted as skipped, not read.

    `table`, `loadMode` and `columns` are those of its only target; a stage that forks, or sends rows on, has `sinks`. A
    stage that `gathers` begins when those it comes `after` are done, and knows its rows then.
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


class SqlItem(Shown):
    """How a target is loaded: what happens to the rows as comments, then what the database is told."""

    node: str
    table: str
    load_mode: str
    sql: str


class TableChangeItem(Shown):
    """What a run changes in the target database before it loads; `statement` is null for the engine's own tables."""

    table: str
    action: str
    statement: str | None


class Plan(Shown):
    """What a run would do, as things stand now."""

    ir_version: int | None
    load_strategy: str
    estimated_rows: int
    parallelism: int
    stages: list[PlannedStage]
    sql: list[SqlItem]
    ddl: list[TableChangeItem]
    notes: list[str]


class SqlPreview(Shown):
    """The SQL per target."""

    ir_version: int | None
    targets: list[SqlItem]


class PreviewedRow(Shown):
    """A row behind a node, by its number in the source."""

    row: int
    values: dict[str, Any]


class PreviewedError(Shown):
    """A rejected cell; with `warning` its row goes on. `column` is null when the whole row is at fault."""

    row: int
    column: str | None
    value: str | None
    error: str
    rule: str
    warning: bool


class PreviewedNode(Shown):
    """What a node makes of the sample; `stopsRun` says why a run would end here, `notes` where a run gives something
    else: providers are not asked in previews."""

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


class Preview(Shown):
    """The first `limit` records of every source on their way; nothing is written."""

    ir_version: int | None
    limit: int
    nodes: list[PreviewedNode]
