"""The lineage of columns as a drawing: boxes of columns from left to right, and links; static/lineage.js draws it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.api.ir.lineage_schemas import IrLineage, LineageInput, LineageStep

MAX_COLUMNS = 150
"""Columns of targets that are drawn; the table beside the drawing has all."""
ROWS = "which rows arrive"
"""The entry of a target that links lead to which decide about its rows."""


def drawn(lineage: IrLineage) -> dict[str, Any]:
    """`sources` and `targets` are boxes `{title, columns}`; a link has `from` and `to` as `[box, column]`, its `steps`,
    whether it is `masked`, and whether it decides about `rows`. `whole` says whether all columns are there."""
    sources: dict[str, dict[str, int]] = {}
    targets: list[dict[str, Any]] = []
    links: list[dict[str, Any]] = []
    left = MAX_COLUMNS
    for target in lineage.targets:
        fields = target.fields[:left]
        left -= len(fields)
        box = len(targets)
        names = [each.name for each in fields]
        for index, column in enumerate(fields):
            for given in column.input_fields:
                links.append(_link(_place(sources, given), [box, index], column.steps, given))
        if target.dataset and fields:
            names.append(ROWS)
            for each in target.dataset:
                links.append(_link(_place(sources, each), [box, len(fields)], each.steps, each) | {"rows": True})
        if fields:
            targets.append({"title": target.table, "node": target.node, "columns": names})
    order = list(sources)
    for link in links:
        link["from"][0] = order.index(link["from"][0])
    return {
        "sources": [{"title": name, "columns": list(columns)} for name, columns in sources.items()],
        "targets": targets,
        "links": links,
        "whole": sum(len(each.fields) for each in lineage.targets) <= MAX_COLUMNS,
    }


def _place(sources: dict[str, dict[str, int]], given: LineageInput) -> list[Any]:
    """The box and the number of a source column, which get it if they have not."""
    name = given.node or given.table or "?"
    columns = sources.setdefault(name, {})
    return [name, columns.setdefault(given.field, len(columns))]


def _link(place: list[Any], to: list[int], steps: Iterable[LineageStep], given: LineageInput) -> dict[str, Any]:
    through = [f"{each.node}: {each.label}" for each in steps]
    masked = any(each.masking for each in given.transformations)
    return {"from": place, "to": to, "steps": through, "masked": masked, "rows": False}
