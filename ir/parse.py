"""From JSON to a PipelineIR, or to every problem that stands in the way: shape first, structure beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ir.base import wire_names
from ir.document import PipelineIR
from ir.hooks import HOOKS
from ir.nodes import NODES
from ir.ops import OPS
from ir.problems import Problem, nearest
from ir.structure import structure_problems

MAX_PROBLEMS = 200
"""More than these are cut: nobody mends by page five, and a hostile document must not cost memory."""


@dataclass(frozen=True, slots=True)
class ParseResult:
    """A document that parsed (`ir` and no problems) or did not (`problems` and no `ir`)."""

    ir: PipelineIR | None
    problems: list[Problem]


def parse_ir(document: object) -> ParseResult:
    """Parses decoded JSON. Never raises: whatever is wrong is in `problems`, each with path, code, message and hint."""
    structural = structure_problems(document)
    try:
        ir = PipelineIR.model_validate(document)
    except ValidationError as error:
        shape = list(_shape_problems(document, error.errors(include_url=False)))
        return ParseResult(None, [*shape, *structural][:MAX_PROBLEMS])
    return ParseResult(None if structural else ir, structural[:MAX_PROBLEMS])


def _shape_problems(document: object, errors: Sequence[ErrorDetails]) -> Iterator[Problem]:
    for error in errors:
        if error["type"] == "too_short" and error["input"]:
            continue  # a list whose members are wrong counts as empty: its members' problems say more
        path, parent = _locate(document, error["loc"])
        yield _problem(path, parent, error)


def _problem(path: str, parent: object, error: ErrorDetails) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    name = str(error["loc"][-1]) if error["loc"] else ""
    match kind:
        case "extra_forbidden":
            return Problem(path, "unknown_field", f"Unknown field '{name}'", nearest(name, _fields_of(parent, path)))
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
    if "text" in context:  # raised by ir.problems.fault
        return Problem(path, kind, str(context["text"]), str(context.get("hint", "")))
    return Problem(path, kind, f"{error['msg']}, not {_shown(error['input'])}")


def _locate(document: object, location: tuple[int | str, ...]) -> tuple[str, Any]:
    """The JSON path of an error and the object that holds it. Pydantic's location also names the chosen member of a
    union, which is no step in the document: it is the value of the object's own `kind` or `type`."""
    path, here, parent = "", document, document
    inside_member = False
    for step in location:
        if isinstance(step, int):
            if not isinstance(here, list | tuple):
                continue  # one thing stands where a list of them may
            path += f"[{step}]"
        else:
            if not inside_member and isinstance(here, Mapping) and step in (here.get("kind"), here.get("type")):
                inside_member = True
                continue
            path += f".{step}" if path else step
        inside_member = False
        parent = here
        here = _child(here, step)
    return path, parent


def _child(value: object, step: int | str) -> object:
    if isinstance(value, Mapping):
        return value.get(step)
    if isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _fields_of(parent: object, path: str) -> list[str]:
    if not isinstance(parent, Mapping):
        return []
    types: Mapping[str, type[BaseModel]] = HOOKS if "Hook" in path else OPS
    model = NODES.get(str(parent.get("kind"))) or types.get(str(parent.get("type")))
    if model is None and parent.get("kind") == "pipeline":
        return wire_names(PipelineIR)
    return wire_names(model) if model is not None else []


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
