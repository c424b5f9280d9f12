"""Pipelines made of nodes and edges: the IR they are lowered to, or what is still missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from catalog.models import Pipeline
from catalog.schemas_ddl import TABLE_SCHEMA
from flows.check import check_types
from ir import parse_ir
from ir.legacy import lower
from ir.problems import Problem


@dataclass(frozen=True, slots=True)
class LoweredPipeline:
    """The IR document when it can run, otherwise the problems, told by where they are in `nodes`."""

    ir: dict[str, Any] | None
    problems: list[Problem]


def lowered(pipeline: Pipeline) -> LoweredPipeline:
    """What the pipeline's nodes and edges mean today."""
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
