"""Parses decoded JSON into a PipelineIR, or into a list of all problems of its fields and of its structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from headrace.ir.base import wire_names
from headrace.ir.document import PipelineIR
from headrace.ir.hooks import HOOKS
from headrace.ir.nodes import NODES
from headrace.ir.ops import OPS
from headrace.ir.parsing.archive_nodes import fold_archives
from headrace.ir.parsing.limits import too_large
from headrace.ir.parsing.storable_text import unstorable_texts
from headrace.ir.parsing.structure import structure_problems
from headrace.ir.problems import MAX_PROBLEMS, Problem, nearest
from headrace.ir.providers import CONFIGS

_TAGS = (("kind", "type"), ("provider",))
"""Discriminators of unions, and of unions inside them."""

_WANTED = dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "An object")
_WANTED |= dict.fromkeys(("tuple_type", "list_type"), "A list")
"""JSON names of pydantic's types."""


@dataclass(frozen=True, slots=True)
class ParseResult:
    """The result of parsing: `ir` and no problems, or problems and no `ir`."""

    ir: PipelineIR | None
    problems: list[Problem]


def parse_ir(document: object) -> ParseResult:
    """Parses decoded JSON. Never raises: all faults are in `problems`, each with path, code, message and hint."""
    if (beyond := too_large(document)) is not None:
        return ParseResult(None, [beyond])
    if texts := list(islice(unstorable_texts(document), MAX_PROBLEMS)):
        return ParseResult(None, texts)  # only these: other problems could quote the texts
    structural = structure_problems(document)
    try:
        ir = PipelineIR.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        shape = islice(_shape_problems(document, error.errors(include_url=False)), MAX_PROBLEMS)
        return ParseResult(None, [*shape, *structural][:MAX_PROBLEMS])
    if structural:
        return ParseResult(None, structural)
    ir, misplaced = fold_archives(ir)
    return ParseResult(None if misplaced else ir, misplaced)


def _shape_problems(document: object, errors: Sequence[ErrorDetails]) -> Iterator[Problem]:
    for error in errors:
        if error["type"] == "too_short" and error["input"]:
            continue  # a list with invalid items counts as empty, and the items have problems of their own
        path, parent, owner = _locate(document, error["loc"])
        yield _problem(path, parent, owner, error)


def _problem(path: str, parent: object, owner: object, error: ErrorDetails) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    name = str(error["loc"][-1]) if error["loc"] else ""
    match kind:
        case "extra_forbidden":
            return Problem(
                path, "unknown_field", f"Unknown field '{name}'", nearest(name, _fields_of(parent, owner, path))
            )
        case "missing":
            return Problem(path, "missing_field", f"'{name}' is required", f"add '{name}'")
        case "union_tag_invalid":
            tag, choices = context["tag"], context["expected_tags"].replace("'", "").split(", ")
            key = context["discriminator"].strip("'")
            path, what = f"{path}.{key}".lstrip("."), "op" if ".ops[" in path else key
            return Problem(path, f"unknown_{what}", f"Unknown {what} '{tag}'", nearest(tag, choices))
        case "union_tag_not_found":
            key = context["discriminator"].strip("'")
            return Problem(f"{path}.{key}".lstrip("."), "missing_field", f"'{key}' is required", f"add '{key}'")
        case "literal_error":
            return Problem(
                path, "invalid_value", f"{_shown(error['input'])} is not allowed here", f"one of: {context['expected']}"
            )
        case _ if kind in _WANTED:
            return Problem(path, kind, f"{_WANTED[kind]} is expected here, not {_shown(error['input'])}")
    if "text" in context:  # raised by ir.problems.fault
        return Problem(path, kind, str(context["text"]), str(context.get("hint", "")))
    return Problem(path, kind, f"{error['msg']}, not {_shown(error['input'])}")


def _locate(document: object, location: tuple[int | str, ...]) -> tuple[str, Any, Any]:
    """Returns the JSON path of an error, the object that holds it, and the parent of that object. Pydantic's location
    also names the chosen member of a union, which is not part of the path: the value of the object's `kind` or `type`,
    and then of its `provider`."""
    path, here, parent, owner = "", document, document, document
    passed = 0
    for step in location:
        if isinstance(step, int):
            if not isinstance(here, list | tuple):
                continue  # one item in place of a list
            path += f"[{step}]"
        else:
            if isinstance(here, Mapping) and passed < len(_TAGS) and step in map(here.get, _TAGS[passed]):
                passed += 1
                continue
            path += f".{step}" if path else step
        passed = 0
        owner, parent = parent, here
        here = _child(here, step)
    return path, parent, owner


def _child(value: object, step: int | str) -> object:
    if isinstance(value, Mapping):
        return value.get(step)
    if isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _fields_of(parent: object, owner: object, path: str) -> list[str]:
    if not isinstance(parent, Mapping):
        return []
    if isinstance(owner, Mapping) and owner.get("config") is parent and owner.get("provider") in CONFIGS:
        return wire_names(CONFIGS[owner["provider"]])
    types: Mapping[str, type[BaseModel]] = HOOKS if "Hook" in path else OPS
    model = NODES.get(str(parent.get("kind"))) or types.get(str(parent.get("type")))
    if model is None and parent.get("kind") == "pipeline":
        return wire_names(PipelineIR)
    return wire_names(model) if model is not None else []


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
