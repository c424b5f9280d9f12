"""Stages as JSON: stored with the run, shown over REST, compared in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.connectors.source import READER_NOTES, Partition
from headrace.flows.compile.stages.stage import Audit, Load, Sink, Stage
from headrace.flows.compile.step import Step


def described(stage: Stage) -> dict[str, Any]:
    """The stage as JSON. A stage with one target has `target`; any other has `sinks`, each with its path of nodes."""
    columns: dict[str, Any] = {"columns": [f"{field.name} {field.data_type}" for field in stage.schema]}
    if stage.unread:
        columns["unread"] = [field.name for field in stage.schema if field.name in stage.unread]
    if stage.passed is not None:
        columns["passedThrough"] = "as PostgreSQL writes its rows, without looking at values"
    if stage.bounds:
        columns["where"] = [str(bound) for bound in stage.bounds]
    if (exchange := stage.exchange) is None:
        assert stage.source is not None
        root: dict[str, Any] = {"source": {"connector": stage.source.connector, **columns}}
    else:
        gathers = {"node": exchange.node, "id": exchange.id, "what": exchange.label, **columns}
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
            {"index": p.index, "firstRow": p.first_row, "rows": p.rows, **_remarks(p), **_shown(p.location)}
            for p in stage.partitions
        ],
    }


def _shown(location: Any) -> Any:
    if isinstance(location, Mapping):
        return {key: _shown(value) for key, value in location.items() if key != READER_NOTES}
    return [_shown(each) for each in location] if isinstance(location, list | tuple) else location


def _remarks(partition: Partition) -> dict[str, Any]:
    estimated = {} if partition.counted else {"estimated": True}
    label = {"label": partition.label} if partition.label else {}
    return {**label, **estimated, **({"cursor": partition.cursor} if partition.cursor else {})}


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
