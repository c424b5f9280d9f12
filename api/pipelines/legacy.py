"""Legacy pipelines of nodes and edges: the IR they are lowered to, or the problems that prevent it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.catalog.models import Pipeline
from headrace.catalog.schemas.ddl import TABLE_SCHEMA
from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from headrace.ir.legacy.nodes import lower
from headrace.ir.problems import Problem


@dataclass(frozen=True, slots=True)
class LoweredPipeline:
    """The IR document if it can run, otherwise the problems, with paths in `nodes`."""

    ir: dict[str, Any] | None
    problems: list[Problem]


def lowered(pipeline: Pipeline) -> LoweredPipeline:
    """Lowers the pipeline's nodes and edges to an IR."""
    found = lower(
        pipeline.nodes,
        pipeline.edges,
        pipeline_id=pipeline.id,
        name=pipeline.name,
        connector_type=pipeline.connector.type,
        table=f"{TABLE_SCHEMA}.{pipeline.data_schema.table_name}",
    )
    parsed = parse_ir(found.document)
    problems = parsed.problems if parsed.ir is None else check_types(parsed.ir)
    told = list(found.problems) + [found.at_origin(problem) for problem in problems]
    return LoweredPipeline(None if told else found.document, told)
