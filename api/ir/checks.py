"""Checks before an IR is saved or goes live: validity, its connectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError
from headrace.api.ir.found import found_undeclared
from headrace.api.ir.yaml_sources import document_source_problems
from headrace.catalog.models import Connector
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.connectors import chosen
from headrace.connectors.api_targets import API_TARGETS
from headrace.connectors.postgresql.named_database import TYPE
from headrace.connectors.registry import reader
from headrace.flows.runtime.streaming.fitness import SCHEDULED, streaming_problems
from headrace.flows.validation.catalog_tables import CatalogTables
from headrace.flows.validation.check import check_types
from headrace.flows.validation.found_columns import FoundProblems, found_problems
from headrace.ir import PipelineIR, Problem, parse_ir
from headrace.ir.nodes import SourceNode, TargetNode
from headrace.ir.problems import nearest


def connection_problems(ir: PipelineIR, catalog: TenantCatalog, own: Connector | None = None) -> Iterator[Problem]:
    """Problems of sources and targets whose connector does not exist or has a type that they cannot use, and of sources
    that read with a connector document. `own` is the pipeline's connector, if it is known."""
    named = [
        (at, node) for at, node in enumerate(ir.nodes) if isinstance(node, SourceNode | TargetNode) and node.connection
    ]
    records = catalog.connectors.all() if named else []
    for position, node in named:
        assert node.connection is not None
        path, record = f"nodes[{position}].connection", chosen(node.connection, records)
        if record is None:
            message = f"There is no connector '{node.connection}'"
            yield Problem(
                path, "unknown_connection", message, nearest(node.connection, [each.name for each in records])
            )
            continue
        if isinstance(node, TargetNode):
            types = (TYPE,) if node.connector is None else API_TARGETS[node.connector].types
            if record.type not in types:
                does = f"'{node.connector}' sends" if node.connector else "A target loads"
                message = f"{does} through a connector of type {' or '.join(types)}; '{record.name}' is {record.type}"
                yield Problem(path, "wrong_connection", message, "name a connector of that type")
            continue
        reads = reader(node.connector)
        if reads is not None and record.type not in reads.types and not reads.any_type:
            message = f"'{node.connector}' reads through {' or '.join(reads.types)}; '{record.name}' is {record.type}"
            yield Problem(path, "wrong_connection", message, "name a connector of that type")
    yield from document_source_problems(ir, catalog, records, own)


def refuse_invalid(
    context: RequestContext,
    document: dict[str, Any],
    pipeline_id: str | None = None,
    *,
    connector_id: str | None = None,
    confirm: bool = False,
) -> tuple[Problem, ...]:
    """Raises ApiError 400 with every problem of the document, and returns warnings.

    With the columns that were found in the pipeline's sources, a misspelt one is a problem too, unless `confirm`; what
    else shows with them is a warning: the source may have changed."""
    parsed = parse_ir(document)
    problems = [*parsed.problems]
    found = FoundProblems()
    if parsed.ir is not None:
        with context.reading() as catalog:
            tables = CatalogTables(catalog.schemas)
            pipeline = catalog.pipelines.get(pipeline_id) if pipeline_id is not None else None
            own = pipeline.connector if pipeline is not None else None
            own = catalog.connectors.get(connector_id) if connector_id is not None else own
            problems = [*check_types(parsed.ir, tables), *connection_problems(parsed.ir, catalog, own)]
            if not problems:
                found = found_problems(parsed.ir, tables, found_undeclared(catalog, pipeline, document))
    problems += found.misspelt if not confirm else ()
    if problems:
        raise ApiError(400, "The IR is not valid", details=problems)
    return found.all


def refuse_unstreamable(document: dict[str, Any], mode: object, schedule: object = None) -> None:
    """Raises ApiError 400 for a document that cannot be streamed, and for a pipeline with a `schedule`, where
    `executionConfig.mode` asks for streaming. Ignores a document that does not parse: it is refused elsewhere."""
    if mode != "streaming":
        return
    parsed = parse_ir(document).ir
    problems = [] if parsed is None else streaming_problems(parsed)
    if schedule is not None:
        problems.append(SCHEDULED)
    if problems:
        raise ApiError(400, "The pipeline cannot be streamed", details=problems)
