"""The lineage of the columns of a saved IR."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError
from headrace.api.ir.found import found_undeclared
from headrace.api.ir.lineage_schemas import (
    ColumnLineage,
    IrLineage,
    LineageInput,
    LineageStep,
    LineageUse,
    RowLineage,
    TargetLineage,
    UnknownNode,
)
from headrace.api.ir.service import get_ir
from headrace.api.pipelines.service import owned_pipeline
from headrace.flows.lineage.declared import declared_lineage
from headrace.flows.lineage.graph import Place, Root, Use
from headrace.flows.lineage.targets import TargetLineage as Found
from headrace.flows.validation.catalog_tables import CatalogTables
from headrace.ir import parse_ir


def get_lineage(context: RequestContext, pipeline_id: str, version: int | None) -> IrLineage:
    """The source columns of each target column, as far as they can be derived from the IR and from what was last found
    in its sources, without reading data. Raises ApiError: 404, 409 for a legacy pipeline, 422 for an IR of an earlier
    release that is no longer valid."""
    saved = get_ir(context, pipeline_id, version, live=False)
    parsed = parse_ir(saved.ir)
    if parsed.ir is None:
        raise ApiError(422, "The IR is not valid", details=parsed.problems)
    with context.reading() as catalog:
        sources = found_undeclared(catalog, owned_pipeline(catalog, pipeline_id), saved.ir)
        columns = {node: each.columns for node, each in sources.items()}
        found = declared_lineage(parsed.ir, CatalogTables(catalog.schemas), columns)
    return IrLineage(
        version=saved.version,
        found_at={node: each.at for node, each in sources.items()},
        targets=[_target(target) for target in found.targets],
        unknown=[UnknownNode(node=node, reason=reason) for node, reason in found.unknown.items()],
    )


def _target(found: Found) -> TargetLineage:
    return TargetLineage(
        node=found.node.id,
        table=found.node.table,
        fields=[
            ColumnLineage(
                name=column.name,
                input_fields=[
                    LineageInput(**_root(each.root), transformations=_uses(each.uses)) for each in column.inputs
                ],
                steps=_steps(column.steps),
            )
            for column in found.columns
        ],
        dataset=[
            RowLineage(**_root(row.root), transformations=_uses([Use(row.subtype)]), steps=_steps(row.steps))
            for row in found.rows
        ],
    )


def _root(root: Root) -> dict[str, str | None]:
    return {"node": root.node, "table": root.table, "field": root.column}


def _uses(uses: Iterable[Use]) -> list[LineageUse]:
    return [
        LineageUse.model_validate({"type": use.type, "subtype": use.subtype.upper(), "masking": use.masking})
        for use in uses
    ]


def _steps(places: Iterable[Place]) -> list[LineageStep]:
    return [LineageStep.model_validate(place) for place in places]
