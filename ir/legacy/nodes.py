"""Converts legacy nodes and edges to an IR document, and the paths of its problems back to paths in the request.

Nothing is checked here: what a legacy node lacks is missing in the document too, and `parse_ir` reports it. Node ids
are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headrace.ir.legacy.ops import OP_NAMES, lower_op, plain_name
from headrace.ir.problems import Problem

_SOURCE_CONNECTORS = {"aws_s3": "s3", "confluent_kafka": "kafka_consumer", "kafka": "kafka_consumer"}
"""Types of connector records whose source has another name in the IR."""

_KINDS = {
    **dict.fromkeys(("source", "input", "extract", "reader"), "source"),
    **dict.fromkeys(("target", "output", "load", "sink", "destination", "writer"), "target"),
    **dict.fromkeys(("validate", "validation", "quality", "quality_check"), "validate"),
    **dict.fromkeys(("branch", "split_flow", "router", "conditional"), "branch"),
    **dict.fromkeys(("join", "merge_flows"), "join"),
    **dict.fromkeys(("enrich", "enrichment"), "enrich"),
    "archive": "archive",
    **dict.fromkeys(("transform", "transformation", "map"), "transform"),
}

_OUTPUTS = ("outputField", "targetField", "to")

_LOAD_MODES = {"insert": "append", "overwrite": "replace", "merge": "upsert", "full_refresh": "replace"}


@dataclass(frozen=True, slots=True)
class Lowered:
    """An IR document, not parsed yet, and the problems found while it was made."""

    document: dict[str, Any]
    problems: tuple[Problem, ...]
    _origins: tuple[tuple[str, str], ...]
    """(path in the document, path in the request), longer paths first."""

    def at_origin(self, problem: Problem) -> Problem:
        """Returns the problem with its path in the request's `nodes`."""
        for path, origin in self._origins:
            if problem.path == path:
                return replace(problem, path=origin)
            if problem.path.startswith(path) and problem.path[len(path)] in ".[":
                return replace(problem, path=origin + problem.path[len(path) :])
        return problem


def lower(
    nodes: Sequence[Mapping[str, Any]],
    edges: Sequence[Mapping[str, Any]],
    *,
    pipeline_id: str,
    name: str,
    connector_type: str,
    table: str,
    reads: Mapping[str, Any] | None = None,
) -> Lowered:
    """Converts `nodes`, each `{id, nodeType, config}`, and `edges`, each `{source, target, label}`. A source node reads
    the pipeline's connector, of type `connector_type`; one without settings has those in `reads`. A target that names
    no table loads `table` (qualified)."""
    problems: list[Problem] = []
    origins: list[tuple[str, str]] = []
    lowered: list[dict[str, Any]] = []
    for index, node in enumerate(nodes):
        path, origin = f"nodes[{index}]", f"nodes[{index}]"
        config = dict(node.get("config") or {})
        kind, op = _kind_of(str(node.get("nodeType", "")))
        body: dict[str, Any] = {"id": node.get("id"), "kind": kind}
        match kind:
            case "source":
                body |= _source(config, connector_type, reads or {})
                origins += [(f"{path}.config", f"{origin}.config"), (f"{path}.fields", f"{origin}.config.fields")]
                origins += [(f"{path}.connector", f"{origin}.config.connector")]
            case "target":
                body |= _target(config, table)
            case "transform":
                body["ops"], places = _ops(op, config)
                origins += [(f"{path}.ops{ours}", f"{origin}.{theirs}") for ours, theirs in places]
            case "validate":
                body |= _validate(config)
            case "enrich":
                body |= _enrich(config)
            case _:
                body |= config
        if kind != "source":
            body |= _inputs(kind, node, nodes, edges, f"{origin}", problems)
        origins += [(f"{path}.{key}", f"{origin}.{key}") for key in ("id", "input", "inputs")]
        origins += [(f"{path}.kind", f"{origin}.nodeType"), (path, f"{origin}.config")]
        lowered.append(body)
    document = {
        "kind": "pipeline",
        "version": "1.0",
        "id": pipeline_id,
        "metadata": {"name": name},
        "nodes": lowered,
    }
    origins.sort(key=lambda pair: len(pair[0]), reverse=True)
    return Lowered(document, tuple(problems), tuple(origins))


def _kind_of(node_type: str) -> tuple[str, str | None]:
    """Returns the IR kind of a legacy node type, and the op if the type names one (`filter`, `rename_field`)."""
    plain = plain_name(node_type)
    if plain in _KINDS:
        return _KINDS[plain], None
    if plain in OP_NAMES:
        return "transform", plain
    return node_type, None


def _source(config: dict[str, Any], connector_type: str, reads: Mapping[str, Any]) -> dict[str, Any]:
    connector = config.pop("connector", None) or _SOURCE_CONNECTORS.get(connector_type, connector_type)
    config.pop("connectorId", None)  # always that of the pipeline
    body = {"connector": connector}
    if "fields" in config:
        body["fields"] = config.pop("fields")
    return body | {"config": config or dict(reads)}


def _target(config: dict[str, Any], table: str) -> dict[str, Any]:
    config.pop("schemaId", None)  # always that of the pipeline
    named = _first(config, ("schema", "table", "tableName"))
    mode = _first(config, ("loadMode", "loadStrategy", "writeMode", "mode"))
    key = _first(config, ("upsertKey", "upsertKeys", "keyFields", "primaryKey"))
    body: dict[str, Any] = {"schema": named or table}
    if mode is not None:
        body["loadMode"] = _LOAD_MODES.get(str(mode).lower(), mode)
    if key is not None:
        body["upsertKey"] = [key] if isinstance(key, str) else key
    return body | config


def _validate(config: dict[str, Any]) -> dict[str, Any]:
    rules = _first(config, ("rowLevel", "rules", "validations"))
    if isinstance(rules, list):
        config["rowLevel"] = [
            {"id": f"rule-{number}", **rule} if isinstance(rule, Mapping) else rule
            for number, rule in enumerate(rules, 1)
        ]
    elif rules is not None:
        config["rowLevel"] = rules
    return config


def _enrich(config: dict[str, Any]) -> dict[str, Any]:
    provider, output = _first(config, ("provider", "enrichmentType")), _first(config, _OUTPUTS)
    fields = _first(config, ("fields", "inputFields", "field", "inputField"))
    named = {"provider": provider, "fields": fields, "outputField": output}
    return {key: value for key, value in named.items() if value is not None} | config


def _ops(named: str | None, config: dict[str, Any]) -> tuple[list[Any], list[tuple[str, str]]]:
    """Returns the ops of a transform node, and (path under `ops`, path in the node) of each."""
    for key in ("ops", "operations", "transforms"):
        listed = config.get(key)
        if named is None and isinstance(listed, list) and "type" not in config:
            ops = [lower_op(op) if isinstance(op, Mapping) else op for op in listed]
            return ops, [("", f"config.{key}")]
    op = lower_op({"type": named, **config} if named else config)
    if op == {"type": "rename"}:  # as in the documented example: a rename that names no columns renames none
        return [], [("", "config")]
    return [op], [("[0]", "config"), ("", "config")]


def _inputs(
    kind: str,
    node: Mapping[str, Any],
    nodes: Sequence[Mapping[str, Any]],
    edges: Sequence[Mapping[str, Any]],
    origin: str,
    problems: list[Problem],
) -> dict[str, Any]:
    branches = {each.get("id") for each in nodes if _kind_of(str(each.get("nodeType", "")))[0] == "branch"}
    incoming = [_reference(edge, branches) for edge in edges if edge.get("target") == node.get("id")]
    if kind == "join":
        return {"inputs": incoming}
    if len(incoming) > 1:
        message = f"'{node.get('id')}' has {len(incoming)} incoming edges and takes one"
        problems.append(Problem(f"{origin}.id", "several_inputs", message, "bring them together with a join first"))
    if not incoming:
        message = f"No edge leads to '{node.get('id')}'"
        problems.append(Problem(f"{origin}.id", "no_input", message, "add an edge with this node as its target"))
    return {"input": incoming[0]} if incoming else {}


def _reference(edge: Mapping[str, Any], branches: Iterable[Any]) -> str:
    """Returns what an edge's target reads: the source node, or for a branch the route in the edge's label."""
    source, label = str(edge.get("source")), edge.get("label")
    return f"{source}.{label}" if source in branches and label else source


def _first(config: dict[str, Any], names: Iterable[str]) -> Any:
    """Removes the settings of these names; returns the first that is set."""
    values = [config.pop(name, None) for name in names]
    return next((value for value in values if value is not None), None)
