"""The input of a run (`Job`) and the planned run (`Prepared`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from headrace.catalog.runs.records import RunPipeline
from headrace.connectors.files.arrival.inbox import ClaimedFiles
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.network.egress import Network
from headrace.connectors.postgresql.connections import Database
from headrace.connectors.postgresql.ledger.partitions import full_load_key
from headrace.connectors.postgresql.modes import LoadMode
from headrace.connectors.source import Closing, Copying, Discovery, Source
from headrace.flows.compile import PhysicalPlan
from headrace.flows.compile.target.lost_columns import LastRun
from headrace.flows.compile.type_inference.infer import Views
from headrace.flows.enrich import ProviderAccess
from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.epoch import Epoch
from headrace.flows.runtime.databases import TargetDatabases, target_databases
from headrace.flows.runtime.execution_config import ExecutionConfig
from headrace.ir import PipelineIR
from headrace.ir.parameters import ParameterValue
from headrace.ir.redaction import redact, secret_texts

if TYPE_CHECKING:
    from headrace.flows.runtime.deletes.comparison import Comparison


PLAN_RUN_ID = "run_planned"
"""The id of a run that is only planned or previewed, and never run."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one pipeline version, with the state taken over from earlier runs.

    `database_url` (libpq) is the warehouse, with the login for the tenant's runs: the database of the targets that name
    no other one, and of lookups. When it is empty, the job can be planned and previewed with unknown tables, but not
    run. `files_root` is the tenant's folder; file sources cannot read outside of it.
    """

    run_id: str
    pipeline: RunPipeline
    database_url: str = field(repr=False)
    files_root: FilesRoot
    continues: Continuation
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    held: Mapping[str, ClaimedFiles] = field(default_factory=dict)
    """The files that were claimed for the run, by source node; other sources read the files they find."""
    networks: tuple[Network, ...] = ()
    """Networks that sources and hooks may connect to besides the public internet."""
    role_buckets: tuple[str, ...] = ()
    """The buckets that sources may read with the server's own role."""
    query_memory: int = 0
    """Memory limit in bytes of a query (the op `sql`); 0 means a quarter of the memory limit of the process."""
    catalog_url: str = ""
    """The catalog's database, with a login that may also alter the tenant's tables; `database_url` when empty."""
    last_runs: Mapping[str, LastRun] = field(default_factory=dict)
    """What the sources were in the last run that was planned with them, by node, where that is known."""
    staging_root: Path | str | None = None
    """The folder for rows exchanged between stages, or its URL in an object store. The default is a folder next to
    `files_root`."""

    @property
    def staging(self) -> Path | str:
        """The folder for rows exchanged between stages, or its URL."""
        return self.staging_root or self.files_root.with_name(f".{self.files_root.name}-staging")

    @property
    def databases(self) -> TargetDatabases:
        """Where the targets are. Raises TargetError."""
        return target_databases(self.pipeline, self.database_url, self.networks)

    def database_of(self, target: str) -> Database:
        """Where a target is. Raises TargetError."""
        return self.databases.by_target[target]

    @property
    def root_run_id(self) -> str:
        """The id of the first run of a chain of retries, which keys the ledger and the errors."""
        return self.continues.root_run_id

    @property
    def epoch(self) -> Epoch | None:
        """The epoch of a streaming run that this is; None for any other run, replays included."""
        return None if self.continues.replays else self.continues.epoch

    @property
    def load_key(self) -> str:
        """The ledger's id of a load that a retry continues."""
        return self.root_run_id if self.epoch is None else self.epoch.load_key(self.root_run_id)

    def without_secrets(self, text: str) -> str:
        """The text with the connectors' credentials and the database password removed, in case the error of a library
        quoted them."""
        password = str(conninfo_to_dict(self.database_url).get("password") or "")
        secrets = [secret for each in self.pipeline.connectors for secret in secret_texts(each.credentials)]
        return redact(text, [*secrets, password])


def close_sources(sources: Mapping[str, Source]) -> None:
    """Closes those that hold something."""
    for source in sources.values():
        if isinstance(source, Closing):
            source.close()


def finish_copies(sources: Mapping[str, Source]) -> None:
    """Removes what sources have copied for the run."""
    for source in sources.values():
        if isinstance(source, Copying):
            source.finish()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A planned run. Sources and discoveries are keyed by source node, load modes by target node."""

    job: Job
    ir: PipelineIR
    plan: PhysicalPlan
    execution: ExecutionConfig
    sources: Mapping[str, Source]
    discoveries: Mapping[str, Discovery]
    modes: Mapping[str, LoadMode]
    gathered: Mapping[int, dict[int, int]] = field(default_factory=dict)
    """The rows of each bucket of each shuffle stage, as they become known."""
    providers: ProviderAccess = field(default_factory=ProviderAccess)
    """The state shared by the enrich nodes' requests."""
    views: Views = field(default_factory=dict)
    """How undeclared text columns are read where a typed value is needed."""
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    """How deletes of the source are noticed, by target node."""

    @property
    def total_rows(self) -> int:
        """The number of source rows that the run reads."""
        return self.plan.total_rows

    @property
    def load_key(self) -> str:
        """The ledger id of rows exchanged between stages. When every load mode is resumable, a retry continues with
        these rows; otherwise it reads all rows again."""
        continues = all(mode.resumable for mode in self.modes.values())
        return self.job.load_key if continues else full_load_key(self.job.run_id)

    def load_key_of(self, mode: LoadMode) -> str:
        """The ledger id of a target's load."""
        return self.job.load_key if mode.resumable else full_load_key(self.job.run_id)

    def close(self) -> None:
        """Lets go of what the sources hold, when this process has no more to do with the run."""
        close_sources(self.sources)

    @property
    def fingerprints(self) -> dict[str, str | None]:
        """The state of each source, by node."""
        return {node: discovery.fingerprint for node, discovery in self.discoveries.items()}
