"""Legacy pipelines of nodes and edges: the IR they are lowered to, or the problems that prevent it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.catalog.models import Pipeline
from headrace.catalog.schemas.ddl import TABLE_SCHEMA
from headrace.connectors.registry import of_type
from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from headrace.ir.legacy.nodes import lower
from headrace.ir.problems import Problem


@dataclass(frozen=True, slots=True)
class LoweredPipeline:
    """The IR document if it can run, otherwise the problems, with paths in `nodes`."""

    ir: dict[str, Any] | None
    problems: list[Problem]


def _reads(pipeline: Pipeline) -> dict[str, Any]:
    """The settings of a source without any: the table (or what the system has instead) that is named as the schema."""
    found = of_type(pipeline.connector.type)
    setting = found.stream_setting if found is not None else None
    return {setting: pipeline.data_schema.name} if setting else {}


def lowered(pipeline: Pipeline) -> LoweredPipeline:
    """Lowers the pipeline's nodes and edges to an IR."""
    found = lower(
        pipeline.nodes,
        pipeline.edges,
        pipeline_id=pipeline.id,
        name=pipeline.name,
        connector_type=pipeline.connector.type,
        table=f"{TABLE_SCHEMA}.{pipeline.data_schema.table_name}",
        reads=_reads(pipeline),
    )
    parsed = parse_ir(found.document)
    problems = parsed.problems if parsed.ir is None else check_types(parsed.ir)
    listed = list(found.problems) + [found.at_origin(problem) for problem in problems]
    return LoweredPipeline(None if listed else found.document, listed)
