"""Pass-through: the stages in which nothing between a source and its one target looks at a value.

Columns may be renamed, dropped and mapped; whatever else there is (a rule, a filter, an expression, a second target)
needs the values. Whether source and target can pass rows on is found in `flows.runtime.input.passing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headrace.flows.compile.stages.stage import Load, Stage
from headrace.flows.compile.step import Step

_CONFORMING = "type"
"""The rule by which values are checked to be of the table's type, which they are where the types are the same."""


def unchanged_columns(stage: Stage) -> Mapping[str, str] | None:
    """Each column that the target loads → the source's column that it is; None where values are looked at."""
    load = stage.trunk.sink
    if stage.source is None or not isinstance(load, Load) or stage.quarantine or stage.bounds or load.added:
        return None
    columns: dict[str, str] | None = {field.name: field.name for field in stage.schema}
    for segment in stage.trunk.segments:
        for step in segment.steps:
            columns = _behind(step, columns, load) if columns is not None else None
    if columns is None or any(name not in columns for name in load.columns):
        return None
    return {name: columns[name] for name in load.columns}


def passing(stage: Stage) -> Stage:
    """The stage with passed rows: no step is run on them."""
    return replace(stage, trunk=replace(stage.trunk, segments=()), unread=type(stage.unread)())


def _behind(step: Step, columns: dict[str, str], load: Load) -> dict[str, str] | None:
    checks = [check for check in step.checks if step.node != load.id or check.rule != _CONFORMING]
    if checks or step.keep is not None or step.shuffle is not None or step.copies != 1 or step.broadcasts:
        return None
    after = dict(columns)
    for expression in step.columns:
        roots = expression.meta.root_names()
        plain = not expression.meta.is_regex_projection() and expression.meta.undo_aliases().meta.is_column()
        if not plain or len(roots) != 1 or roots[0] not in columns:
            return None
        after[expression.meta.output_name()] = columns[roots[0]]
    if step.reshape is None:
        return after
    if step.origins is None or not set(step.origins) <= step.same:
        return None
    moved = {name: after.get(source) for name, source in step.origins.items()}
    if None in moved.values():
        return None
    return {**after, **{name: source for name, source in moved.items() if source is not None}}
