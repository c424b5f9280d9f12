"""Run parameters: `{{name}}` in the texts of a source's config, filled in when a run starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.ir.problems import Problem, nearest

ParameterValue = str | int | float | bool

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,99})\s*\}\}")


def fill_parameters(
    document: Mapping[str, Any], parameters: Mapping[str, ParameterValue]
) -> tuple[dict[str, Any], list[Problem]]:
    """Returns the document with the placeholders in its sources' configs replaced, and a problem for each placeholder
    without a value and each unused value (a misspelt name must not run with the wrong data)."""
    problems: list[Problem] = []
    used: set[str] = set()
    nodes: list[Any] = []
    for index, node in enumerate(document.get("nodes", ())):
        if not isinstance(node, Mapping) or node.get("kind") != "source":
            nodes.append(node)
            continue
        path = f"nodes[{index}].config"
        for where, name in _placeholders(node.get("config"), path):
            used.add(name)
            if name not in parameters:
                hint = f'give it when the run is started: "parameters": {{"{name}": ...}}'
                problems.append(Problem(where, "missing_parameter", f"The run needs the parameter '{name}'", hint))
        nodes.append({**node, "config": _filled(node.get("config"), parameters)})
    for name in parameters:
        if name not in used:
            message = f"No source uses the parameter '{name}'"
            problems.append(Problem(f"parameters.{name}", "unknown_parameter", message, nearest(name, used)))
    return {**document, "nodes": nodes}, problems


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
