"""A document as somebody types it: YAML or JSON, with the lines of its values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from headrace.deployments.cli.documents.json_format import read_json
from headrace.deployments.cli.documents.yaml_format import read_yaml, write_yaml
from headrace.deployments.cli.documents.yaml_limits import ParseFault
from headrace.ir.base import wire_names
from headrace.ir.document import PipelineIR
from headrace.ir.problems import Problem

MAX_CHARACTERS = 500_000
"""Longer documents are not for a text field: `headrace apply` reads them from files."""
MAX_LIVE_CHARACTERS = 60_000
"""Longer documents are not checked while somebody types: reading YAML takes a second for so many characters."""

_NODE_FIRST = ("id", "kind", "connector", "connection", "input", "inputs", "left", "right", "schema", "loadMode")

Language = Literal["yaml", "json"]


@dataclass(frozen=True, slots=True)
class TypedDocument:
    """What was typed: its value, or the reason why it has none. `lines` are those of its JSON paths, from 1."""

    text: str
    document: dict[str, Any] | None = None
    fault: Problem | None = None
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Why it has no value, with the line; empty for a document."""
        if self.fault is None:
            return ""
        line = self.lines.get("")
        return self.fault.message if line is None else f"{self.fault.message} (line {line})"

    def line_of(self, path: str) -> int | None:
        """The line where the value at a path begins, or the nearest one around it."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path)


def typed(text: str) -> TypedDocument:
    """Reads a text; browsers send its lines with CR LF."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        if len(text) > MAX_CHARACTERS:
            message = f"The text has more than {MAX_CHARACTERS:,} characters"
            raise ParseFault(message, None, "save it in a file, and use headrace apply")
        value, lines = _json(text) if text.lstrip().startswith("{") else _yaml(text)
    except ParseFault as fault:
        lines = {} if fault.line is None else {"": fault.line}
        return TypedDocument(text, fault=Problem("", "malformed", fault.message, fault.hint), lines=lines)
    if not isinstance(value, dict):
        return TypedDocument(text, fault=Problem("", "not_an_object", "A document is an object", "kind: pipeline …"))
    return TypedDocument(text, value, lines=lines)


def written(document: Mapping[str, Any], language: Language = "yaml") -> str:
    """The text of a document, as `typed` reads it, in the order in which people read it."""
    ordered = _ordered(document, tuple(wire_names(PipelineIR)))
    if isinstance(nodes := ordered.get("nodes"), list):
        ordered["nodes"] = [_ordered(each, _NODE_FIRST) if isinstance(each, dict) else each for each in nodes]
    if language == "json":
        return json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"
    return write_yaml(ordered)


def _ordered(found: Mapping[str, Any], first: tuple[str, ...]) -> dict[str, Any]:
    """The same, with the fields that say what it is first: the database keeps no order."""
    return {name: found[name] for name in first if name in found} | dict(found)


def _yaml(text: str) -> tuple[Any, Mapping[str, int]]:
    found = list(read_yaml(text))
    if len(found) > 1:
        raise ParseFault("There are several documents in the text", found[1][1].get(""), "save each one by itself")
    return found[0] if found else ({}, {"": 1})


def _json(text: str) -> tuple[Any, Mapping[str, int]]:
    """JSON is almost YAML: where it is, that knows the lines."""
    value = read_json(text)
    try:
        return value, _yaml(text)[1]
    except ParseFault:
        return value, {}
