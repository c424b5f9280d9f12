"""The sources of a job: its document with the parameters filled in, what each source is opened with, its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.catalog.hooks.reading import SpoolReader
from headrace.connectors.connector import Connection, Context, Reader, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.inbox import ClaimedFiles, HasInbox, Inbox
from headrace.connectors.http.definition.used import config_with_document
from headrace.connectors.registry import reader, source_for
from headrace.connectors.source import Source
from headrace.connectors.webhook.connector import WEBHOOK
from headrace.flows.compile import shape_problems
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.execution_config import ExecutionConfig
from headrace.flows.runtime.job import PLAN_RUN_ID, Job
from headrace.ir import PipelineIR, parse_ir
from headrace.ir.nodes import SourceNode
from headrace.ir.parameters import fill_parameters
from headrace.ir.secrets import connection_credentials


def parsed(job: Job) -> PipelineIR:
    """The pinned document with its parameters filled in. Raises PlanFailed."""
    document, unfilled = fill_parameters(job.pipeline.ir, job.parameters)
    result = parse_ir(document)
    if result.ir is None:
        raise PlanFailed(result.problems)
    if unfilled:
        raise PlanFailed(unfilled)
    if problems := shape_problems(result.ir):
        raise PlanFailed(problems)
    return result.ir


def source_of(node: SourceNode, job: Job) -> Source:
    """The source of a node; it reads the files the run holds, where it holds some. Raises SourceError."""
    source = source_for(node.connector, context_of(node, job))
    if isinstance(source, HasInbox) and (held := job.held.get(node.id)) is not None:
        source.hold(held)
    return source


def context_of(node: SourceNode, job: Job) -> Context:
    """The context in which the source of a node is opened. Raises SourceError(`unknown_connection`), and what
    `config_with_document` raises."""
    try:
        record = job.pipeline.connection(node.connection)
    except KeyError:
        raise SourceError(
            "unknown_connection",
            f"The source '{node.id}' reads through the connector '{node.connection}', which does not exist.",
            "Correct `connection`, or create the connector.",
        ) from None
    config = config_with_document(node.connector, record.type, record.config, job.pipeline.documents)
    connection = Connection(record.id, record.type, config, connection_credentials(record.credentials))
    spool = None
    if record.type == WEBHOOK.name:
        # Without a catalog it is no run but a plan, which leaves no trace.
        pipeline = job.pipeline.id if job.catalog_url else ""
        url = job.catalog_url or job.database_url
        spool = SpoolReader(url, job.pipeline.tenant_id, record.id, pipeline, node.id)
    surroundings = Surroundings(job.files_root, job.networks, job.role_buckets, spool=spool)
    known = reader(node.connector)
    settings: Mapping[str, Any] = node.config
    if known is not None and known.settings is not None and "partitioning" in known.settings.model_fields:
        settings = ExecutionConfig.of(job.pipeline.execution_config).split(settings)
    who = Reader(job.pipeline.id, node.id, runs=job.run_id != PLAN_RUN_ID, load_modes=_load_modes(job))
    return Context(connection, surroundings, settings, node.declared, who)


def _load_modes(job: Job) -> frozenset[str]:
    """Those of the targets; faults of the document are reported elsewhere."""
    nodes = (node for node in job.pipeline.ir.get("nodes", ()) if isinstance(node, Mapping))
    return frozenset(str(node.get("loadMode", "append")) for node in nodes if node.get("kind") == "target")


def owner_of(job: Job, node: str) -> str:
    """Whose the files of a source are: the first run's of the chain, so that a retry and a replay find them."""
    return f"{job.continues.first}/{node}"


def held_before(arrivals: Inbox, node: str, job: Job) -> ClaimedFiles | None:
    """The files that earlier runs of the chain claimed for a source; None if they claimed none. Raises SourceError."""
    earlier = job.continues.earlier_plan
    record = (earlier or {}).get("claims", {}).get(node)
    return arrivals.located(owner_of(job, node), record=record, whole=earlier is not None)
