"""The lineage of the columns of a saved IR."""

from __future__ import annotations

from collections.abc import Iterable

from api.context import RequestContext
from api.errors import ApiError
from api.ir.lineage_schemas import (
    ColumnLineage,
    IrLineage,
    LineageInput,
    LineageStep,
    LineageUse,
    RowLineage,
    TargetLineage,
    UnknownNode,
)
from api.ir.service import get_ir
from flows.lineage.declared import declared_lineage
from flows.lineage.graph import Place, Root, Use
from flows.lineage.targets import TargetLineage as Found
from flows.registered import RegisteredTables
from ir import parse_ir


def get_lineage(context: RequestContext, pipeline_id: str, version: int | None) -> IrLineage:
    """From which columns of its sources each column of its targets is made, as far as that can be said without looking
    at any data. 404; 409 for a legacy pipeline; 422 for an IR of an earlier release that is no longer valid."""
    saved = get_ir(context, pipeline_id, version, live=False)
    parsed = parse_ir(saved.ir)
    if parsed.ir is None:
        raise ApiError(422, "The IR is not valid", details=parsed.problems)
    with context.reading() as catalog:
        found = declared_lineage(parsed.ir, RegisteredTables(catalog.schemas))
    return IrLineage(
        version=saved.version,
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
