"""A run as plain data: for the flow that starts it and for observers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from headrace.ir.dataset_rules.rules import OnDatasetFail
from headrace.ir.load_modes import LoadStrategy

RunStatus = Literal["pending", "running", "completed", "completed_with_errors", "failed"]
"""The status of a run, of a pipeline or a replication."""

PartitionStatus = Literal["pending", "running", "completed", "failed"]

LogStage = Literal["extract", "transform", "validate", "load", "retry", "run"]
"""The part of a run that a line of its log is about."""

LogLevel = Literal["info", "warning", "error"]
"""How much a line of a log matters: `warning` is for what somebody should look at, `error` for why the run failed."""

TERMINAL = frozenset({"completed", "completed_with_errors", "failed"})
"""Final statuses."""

SUCCESSFUL = frozenset({"completed", "completed_with_errors"})


@dataclass(frozen=True, slots=True)
class ConnectorRecord:
    """A connector as a run needs it. `credentials` are decrypted: never log or return them."""

    id: str
    type: str
    config: dict[str, Any]
    credentials: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class RunPipeline:
    """A pipeline as a run needs it: one pinned IR version and what it refers to.

    `tables` are the qualified tables (`public.ds_orders`) of the tenant's schemas: a target can name no others.
    """

    id: str
    tenant_id: str
    name: str
    ir: dict[str, Any]
    ir_version: int
    connector: ConnectorRecord
    execution_config: dict[str, Any]
    tables: frozenset[str]
    named: Mapping[str, ConnectorRecord] = field(default_factory=dict)
    """The other connectors that sources and targets name in `connection`, by the id or name used there."""

    documents: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """The documents of connectors that sources and connectors name, by reference (`github`, `github@3`)."""

    def connection(self, named: str | None) -> ConnectorRecord:
        """Returns the connector that a node names; without a name the pipeline's, which is a source's. Raises
        KeyError."""
        return self.connector if named is None else self.named[named]

    @property
    def connectors(self) -> tuple[ConnectorRecord, ...]:
        """All connectors of the pipeline."""
        return self.connector, *self.named.values()


@dataclass(frozen=True, slots=True)
class PartitionCounts:
    """One partition of one stage: planned rows, and the absolute counts so far."""

    stage: int
    index: int
    planned_rows: int
    status: PartitionStatus
    rows_in: int
    rows_out: int
    failed: int
    skipped: int
    base_rows: int | None
    updated_at: datetime
    began_at: datetime | None = None
    """When it last began to run."""
    gathered_rows: int | None = None
    """Of a stage that gathers rows of other stages: those of its rows that are done. `planned_rows` are all of them, 0
    while that is not known. None where a source is read."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The rows of a partition that gathers rows of other stages: how many are done, and of how many; None while that is
    not known."""

    rows: int
    of: int | None


@dataclass(frozen=True, slots=True)
class UncommittedRows:
    """The rows of one partition of a stage after `last_row`, the last committed one, at these nodes."""

    stage: int
    partition: int
    nodes: tuple[str, ...]
    last_row: int


@dataclass(frozen=True, slots=True)
class RejectedCell:
    """A rejected cell; `column` is None for an error of the whole row."""

    row: int
    column: str | None
    value: str | None
    error: str


@dataclass(frozen=True, slots=True)
class DatasetRuleOutcome:
    """The result of a dataset rule of a run; `wants` and `found` are texts for people."""

    node: str
    path: str
    wants: str
    found: str
    holds: bool
    on_fail: OnDatasetFail


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a run's log. `queue`: it is not stored, and says why the run has not started."""

    stage: LogStage | Literal["queue"]
    message: str
    timestamp: datetime
    level: LogLevel = "info"


@dataclass(frozen=True, slots=True)
class SourceLag:
    """How far a streaming run is behind a source. `rows`: about how many were waiting when it was last looked at.
    `up_to`: all that was there then is committed; None while that is not known of any time."""

    rows: int = 0
    up_to: datetime | None = None

    def seconds(self, now: datetime) -> float | None:
        """How old what is not committed yet can be at most; None while that is not known."""
        return None if self.up_to is None else max(0.0, (now - self.up_to).total_seconds())

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {"rows": self.rows, "upTo": None if self.up_to is None else self.up_to.isoformat()}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> SourceLag:
        """What `as_json` gave."""
        at = stored.get("upTo")
        return cls(int(stored.get("rows") or 0), None if at is None else datetime.fromisoformat(at))


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """A run at one point in time. Counts are sums over its partitions."""

    id: str
    tenant_id: str
    pipeline_id: str
    ir_version: int
    root_run_id: str
    retry_of: str | None
    origin_run_id: str | None
    """For a replay: the root of the runs whose failed rows it processes again."""
    parameters: dict[str, Any]
    status: RunStatus
    load_strategy: LoadStrategy
    total_rows: int
    rows_in: int
    rows_out: int
    failed_rows: int
    skipped_rows: int
    failure_reason: str | None
    fingerprint: dict[str, str] | None
    plan: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    measured_from: datetime | None
    finished_at: datetime | None
    touched_at: datetime
    """When the run itself last wrote anything."""
    observed_at: datetime
    """The database's clock when the snapshot was read."""
    partitions: tuple[PartitionCounts, ...]
    nodes: dict[str, dict[str, int]]
    """Node → its counters, over all stages."""
    first_errors: tuple[RejectedCell, ...]
    log: tuple[LogLine, ...]
    rules: tuple[DatasetRuleOutcome, ...] = ()
    """The results of its dataset rules."""
    lags: Mapping[str, SourceLag] | None = None
    """Of a streaming run, by source node."""
    skip_reason: str | None = None
    """Why it was skipped by its schedule; None if it was not."""
    stage_nodes: Mapping[int, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    """Stage → node → its counters there: a node that gathers rows counts those that come in where they are sent."""

    @property
    def aborted(self) -> bool:
        """Whether a dataset rule prevented the publication of its rows."""
        return any(rule.on_fail == "abort" and not rule.holds for rule in self.rules)
