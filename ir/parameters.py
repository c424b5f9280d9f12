"""Run parameters: `{{name}}` in the texts of the config of a source, or of a target that is an API, filled in when a
run starts. A document may declare them, with a description and a default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import StringConstraints

from headrace.ir.base import Doc
from headrace.ir.problems import Problem, nearest

ParameterValue = str | int | float | bool

ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]


class Parameter(Doc):
    """A run parameter, as forms show it."""

    description: Annotated[str, StringConstraints(max_length=1000)] | None = None
    """What the value means, shown where a run is started."""
    default: ParameterValue | None = None
    """The value of runs that give none, such as scheduled ones. Without it, a run must give one."""


_CONFIGURED = ("source", "target")
"""The kinds of nodes with a config of a connector."""

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,99})\s*\}\}")


def fill_parameters(
    document: Mapping[str, Any], parameters: Mapping[str, ParameterValue]
) -> tuple[dict[str, Any], list[Problem]]:
    """Returns the document with the placeholders in its nodes' configs replaced, and a problem for each placeholder
    without a value or a default, and each unused value (a misspelt name must not run with the wrong data). It declares
    no parameters any more: nothing in it uses them."""
    problems: list[Problem] = []
    given, parameters = parameters, {**_defaults(document), **parameters}
    used: set[str] = set()
    nodes: list[Any] = []
    for index, node in enumerate(document.get("nodes", ())):
        if not isinstance(node, Mapping) or node.get("kind") not in _CONFIGURED or "config" not in node:
            nodes.append(node)
            continue
        path = f"nodes[{index}].config"
        for where, name in _placeholders(node.get("config"), path):
            used.add(name)
            if name not in parameters:
                hint = f'give it when the run is started: "parameters": {{"{name}": ...}}'
                problems.append(Problem(where, "missing_parameter", f"The run needs the parameter '{name}'", hint))
        nodes.append({**node, "config": _filled(node.get("config"), parameters)})
    for name in given:
        if name not in used:
            message = f"No node uses the parameter '{name}'"
            problems.append(Problem(f"parameters.{name}", "unknown_parameter", message, nearest(name, used)))
    return {key: value for key, value in document.items() if key != "parameters"} | {"nodes": nodes}, problems


def parameters_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parameters of a document's runs: `name`, and where the document declares them `description` and `default`;
    the declared ones first."""
    declared = document.get("parameters") or {}
    return [{"name": name, **(declared.get(name) or {})} for name in dict.fromkeys([*declared, *_used(document)])]


def unused_parameters(document: object) -> list[Problem]:
    """A problem for each declared parameter that no node uses."""
    if not isinstance(document, Mapping) or not isinstance(document.get("parameters"), Mapping):
        return []
    used = set(_used(document))
    return [
        Problem(f"parameters.{name}", "unused_parameter", f"No node uses {{{{{name}}}}}", nearest(str(name), used))
        for name in document["parameters"]
        if name not in used
    ]


def _used(document: Mapping[str, Any]) -> Iterator[str]:
    nodes = document.get("nodes")
    for node in nodes if isinstance(nodes, list | tuple) else ():
        if isinstance(node, Mapping) and node.get("kind") in _CONFIGURED:
            yield from (name for _, name in _placeholders(node.get("config"), ""))


def _defaults(document: Mapping[str, Any]) -> dict[str, ParameterValue]:
    declared = (document.get("parameters") or {}).items()
    return {name: each["default"] for name, each in declared if each and each.get("default") is not None}


def _placeholders(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield from ((path, match.group(1)) for match in _PLACEHOLDER.finditer(value))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _placeholders(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _placeholders(inner, f"{path}[{index}]")


def _filled(value: Any, parameters: Mapping[str, ParameterValue]) -> Any:
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda match: _text(parameters.get(match.group(1), match.group(0))), value)
    if isinstance(value, Mapping):
        return {key: _filled(inner, parameters) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(inner, parameters) for inner in value]
    return value


def _text(value: ParameterValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
