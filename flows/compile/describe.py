"""A stage as JSON: stored with the run, shown to people, compared in tests."""

from __future__ import annotations

from typing import Any

from flows.compile.stage import Audit, Load, Sink, Stage
from flows.compile.step import Step


def described(stage: Stage) -> dict[str, Any]:
    """A stage that ends in one target has `target`; any other has `sinks`, each with the nodes that lead to it."""
    columns: dict[str, Any] = {"columns": [f"{field.name} {field.data_type}" for field in stage.schema]}
    if stage.unread:
        columns["unread"] = [field.name for field in stage.schema if field.name in stage.unread]
    if stage.bounds:
        columns["where"] = [str(bound) for bound in stage.bounds]
    if (gathering := stage.gathering) is None:
        assert stage.source is not None
        root: dict[str, Any] = {"source": {"connector": stage.source.connector, **columns}}
    else:
        gathers = {"node": gathering.node, "id": gathering.id, "what": gathering.label, **columns}
        root = {"gathers": gathers, "after": list(stage.after)}
    single = stage.trunk.sink
    ends = {"target": _target(single)} if isinstance(single, Load) else {"sinks": [_sink(sink) for sink in stage.sinks]}
    return {
        "name": stage.name,
        "nodes": list(stage.nodes),
        **root,
        "segments": [[_label(step) for step in segment.steps] for segment in stage.segments],
        **ends,
        "partitions": [
            {"index": p.index, "firstRow": p.first_row, "rows": p.rows, **p.location} for p in stage.partitions
        ],
    }


def _sink(sink: Sink) -> dict[str, Any]:
    path = {"path": list(sink.path)}
    if isinstance(sink, Load):
        return {**path, "target": _target(sink)}
    if isinstance(sink, Audit):
        return {**path, "measures": [measure.name for measure in sink.measures]}
    return {**path, "sends": sink.id, "columns": [*sink.columns]}


def _target(load: Load) -> dict[str, Any]:
    held = {"heldBack": "until the dataset rules before it hold"} if load.audited else {}
    return {"table": load.target.table, "loadMode": load.target.load_mode, "columns": [*load.columns], **held}


def _label(step: Step) -> str:
    return f"{step.node}: {step.label}"
