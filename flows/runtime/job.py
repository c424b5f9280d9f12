"""What a run is given, and what it is once planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from catalog.run_records import RunPipeline
from connectors.base import Discovery, Source
from connectors.egress import Network
from connectors.files.arrivals import Held
from connectors.postgresql.ledger import full_load_key
from connectors.postgresql.modes import LoadMode
from flows.compile import PhysicalPlan
from flows.enrich import Outside
from flows.resume import Continuation
from ir import PipelineIR
from ir.parameters import ParameterValue


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one pipeline version, and what it takes over from earlier ones.

    `database_url` (libpq) is where targets are; `files_root` is the folder that file sources cannot leave.
    """

    run_id: str
    pipeline: RunPipeline
    database_url: str
    files_root: Path
    continues: Continuation
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)
    """The files that were taken for the run, by source node; other sources read what they find."""
    networks: tuple[Network, ...] = ()
    """Those besides the public internet that hooks may dial."""
    staging_root: Path | str | None = None
    """The folder in which stages leave rows for each other, or its URL in an object store; beside `files_root` unless
    given."""

    @property
    def staging(self) -> Path | str:
        """The folder for rows between stages, or its URL."""
        return self.staging_root or self.files_root.with_name(f".{self.files_root.name}-staging")

    @property
    def root_run_id(self) -> str:
        """The first run of a chain of retries: the key of the ledger and of the errors."""
        return self.continues.root_run_id


@dataclass(frozen=True, slots=True)
class ExecutionConfig:
    """`executionConfig` of a pipeline: rows per transaction at most (None: as read), partitions at the same time."""

    batch_rows: int | None
    parallelism: int

    @classmethod
    def of(cls, config: Mapping[str, object]) -> ExecutionConfig:
        """Reads the documented keys; what is not a positive whole number counts as not given."""
        batch, parallel = config.get("batchSize"), config.get("parallelism")
        return cls(
            batch_rows=batch if isinstance(batch, int) and batch > 0 else None,
            parallelism=parallel if isinstance(parallel, int) and parallel > 0 else 4,
        )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A planned run: sources and discoveries by source node, load modes by target node."""

    job: Job
    ir: PipelineIR
    plan: PhysicalPlan
    execution: ExecutionConfig
    sources: Mapping[str, Source]
    discoveries: Mapping[str, Discovery]
    modes: Mapping[str, LoadMode]
    gathered: Mapping[int, dict[int, int]] = field(default_factory=dict)
    """Of each gathering stage the rows of its buckets, as they become known."""
    outside: Outside = field(default_factory=Outside)
    """What its enrich nodes are asked by."""

    @property
    def total_rows(self) -> int:
        """Rows the run will read."""
        return self.plan.total_rows

    @property
    def load_key(self) -> str:
        """The ledger's id of rows on their way to targets: a retry goes on with them when it goes on behind what was
        loaded; else it reads all again."""
        continues = all(mode.resumable for mode in self.modes.values())
        return self.job.root_run_id if continues else full_load_key(self.job.run_id)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The state of each source, by node."""
        return {node: discovery.fingerprint for node, discovery in self.discoveries.items()}
