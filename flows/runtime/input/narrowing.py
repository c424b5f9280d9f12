"""Informs sources whose partitions depend on it which columns and rows are read, before they are partitioned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headrace.connectors.source import Discovery, Narrowing, Source, Wanted
from headrace.flows.compile import PhysicalPlan


def narrowed(
    sources: Mapping[str, Source], discoveries: Mapping[str, Discovery], plan: PhysicalPlan
) -> Mapping[str, Discovery]:
    """The discoveries, by node, with the partitions that a plan has a use for; the same object where nothing changed.
    Raises SourceError."""
    changed = {
        node: source.narrowed(discoveries[node], wanted)
        for node, source in sources.items()
        if isinstance(source, Narrowing) and (wanted := _wanted(node, plan)) is not None
    }
    if all(found is discoveries[node] for node, found in changed.items()):
        return discoveries
    return {node: changed.get(node, found) for node, found in discoveries.items()}


def _wanted(node: str, plan: PhysicalPlan) -> Wanted | None:
    """The columns and rows that all stages need of a source; None if no stage reads it."""
    found = [stage.wanted for stage in plan.stages if stage.source is not None and stage.source.id == node]
    if not found:
        return None
    bounds = {each.bounds for each in found}
    columns = frozenset[str]().union(*(each.columns for each in found))
    return replace(found[0], columns=columns, bounds=found[0].bounds if len(bounds) == 1 else ())
