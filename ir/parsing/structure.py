"""Checks the graph of nodes: ids, inputs, cycles, sources and targets. Works on the raw document, so that a node with
invalid fields still counts as a node and all problems are found at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import chain, islice
from typing import Any

from headrace.ir.nodes.base import producer as _producer
from headrace.ir.nodes.branch import DROP
from headrace.ir.problems import MAX_PROBLEMS, Problem, nearest

ARCHIVE = "archive"
"""Nodes of this kind may also read from a target, and no node has to read from them (`ir.parsing.archive_nodes`)."""


@dataclass(frozen=True, slots=True)
class _Node:
    path: str
    id: str
    kind: object
    inputs: tuple[tuple[str, str], ...]
    """(path, reference) of each input that is a string; others are reported by the models."""
    routes: tuple[str, ...] = ()
    """The routes of a branch."""
    default: str = DROP


def structure_problems(document: object) -> list[Problem]:
    """Returns the first MAX_PROBLEMS structural problems of the document, by kind of check and in document order."""
    if not isinstance(document, Mapping) or not isinstance(document.get("nodes"), list | tuple):
        return []
    nodes = list(_nodes(document["nodes"]))
    # Generators, because hints are searched among all names: none for problems that are cut off.
    looks = (_duplicate_ids, _ends, _inputs, _routes, _unconsumed, _cycle)
    return list(islice(chain.from_iterable(look(nodes) for look in looks), MAX_PROBLEMS))


def _nodes(raw: Any) -> Iterator[_Node]:
    for index, node in enumerate(raw):
        if isinstance(node, Mapping) and isinstance(node.get("id"), str):
            path = f"nodes[{index}]"
            inputs: list[tuple[str, str]] = []
            if isinstance(node.get("input"), str):
                inputs.append((f"{path}.input", node["input"]))
            if isinstance(node.get("inputs"), list | tuple):
                inputs += [(f"{path}.inputs[{i}]", ref) for i, ref in enumerate(node["inputs"]) if isinstance(ref, str)]
            yield _Node(path, node["id"], node.get("kind"), tuple(inputs), *_routes_of(node))


def _routes_of(node: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    if node.get("kind") != "branch":
        return (), DROP
    routes, default = node.get("routes"), node.get("default", DROP)
    listed = [route.get("name") for route in routes if isinstance(route, Mapping)] if isinstance(routes, list) else []
    names = tuple(name for name in listed if isinstance(name, str))
    return names, default if isinstance(default, str) else DROP


def _duplicate_ids(nodes: list[_Node]) -> Iterator[Problem]:
    first: dict[str, _Node] = {}
    for node in nodes:
        if (other := first.setdefault(node.id, node)) is not node:
            yield Problem(
                f"{node.path}.id",
                "duplicate_id",
                f"'{node.id}' is already the id of {other.path}",
                "give each node its own id",
            )


def _ends(nodes: list[_Node]) -> Iterator[Problem]:
    for kind in ("source", "target"):
        if not any(node.kind == kind for node in nodes):
            yield Problem(
                "nodes", f"no_{kind}", f"A pipeline needs at least one {kind}", f"add a node of kind '{kind}'"
            )


def _inputs(nodes: list[_Node]) -> Iterator[Problem]:
    ids = {node.id for node in nodes}
    for node in nodes:
        for path, reference in node.inputs:
            if _producer(reference) == node.id:
                yield Problem(path, "cycle", f"'{node.id}' reads from itself", "name the node before it")
            elif _producer(reference) not in ids:
                yield Problem(
                    path, "unknown_input", f"No node has the id '{reference}'", nearest(reference, ids - {node.id})
                )
    targets = {node.id for node in nodes if node.kind == "target"}
    for node in nodes:
        for path, reference in node.inputs:
            if reference in targets and reference != node.id and node.kind != ARCHIVE:
                yield Problem(
                    path, "reads_target", f"'{reference}' is a target and gives no rows", "name the node before it"
                )


def _routes(nodes: list[_Node]) -> Iterator[Problem]:
    """Checks that inputs name routes of branches, and of no other nodes."""
    by_id = {node.id: node for node in nodes}
    routes = {node.id: {*node.routes, node.default} - {DROP} for node in nodes}
    read = {reference for node in nodes for _, reference in node.inputs}
    for node in nodes:
        for path, reference in node.inputs:
            before, route = by_id.get(_producer(reference)), reference.partition(".")[2]
            if before is None or before is node:
                continue
            known = routes[before.id]
            if before.kind != "branch" and route:
                message = f"'{before.id}' is not a branch and has no route '{route}'"
                yield Problem(path, "unknown_route", message, f"write '{before.id}'")
            elif before.kind == "branch" and not route:
                some = sorted(known)[0] if known else "route"
                message = f"'{before.id}' is a branch: nodes read one of its routes"
                yield Problem(path, "no_route", message, f"for example '{before.id}.{some}'")
            elif before.kind == "branch" and route not in known:
                message = f"The branch '{before.id}' has no route '{route}'"
                yield Problem(path, "unknown_route", message, nearest(route, known))
    for node in nodes:
        if node.default not in (DROP, *node.routes) and f"{node.id}.{node.default}" not in read:
            message = f"'{node.default}' is not a route of '{node.id}', and no node reads it"
            yield Problem(f"{node.path}.default", "unknown_route", message, nearest(node.default, {*node.routes, DROP}))


def _unconsumed(nodes: list[_Node]) -> Iterator[Problem]:
    # An archive node reads nothing: nodes that read from it read from its input.
    before = {node.id: [_producer(ref) for _, ref in node.inputs] for node in nodes if node.kind == ARCHIVE}
    pending = [_producer(reference) for node in nodes if node.kind != ARCHIVE for _, reference in node.inputs]
    consumed: set[str] = set()
    while pending:
        if (name := pending.pop()) not in consumed:
            consumed.add(name)
            pending += before.get(name, [])
    for node in nodes:
        if node.kind not in ("target", ARCHIVE) and node.id not in consumed:
            yield Problem(node.path, "unused_node", f"Nothing reads from '{node.id}'", "connect it or remove it")


def _cycle(nodes: list[_Node]) -> Iterator[Problem]:
    paths = {node.id: node.path for node in nodes}
    graph = {node.id: {_producer(ref) for _, ref in node.inputs if _producer(ref) != node.id} for node in nodes}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        around: list[str] = error.args[1]
        yield Problem(
            paths.get(around[0], "nodes"),
            "cycle",
            f"The nodes form a cycle: {' → '.join(reversed(around))}",
            "break one input",
        )
