"""Pydantic's errors of a document as problems: each with the path that the document's author knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic_core import ErrorDetails

from headrace.ir.problems import Problem, nearest

FieldsOf = Callable[[Any, Any, str], Sequence[str]]
"""The fields that an object may have, for hints: of the object, the one that holds it, and its path."""

_TAGS = (("kind", "type"), ("provider",))
"""Discriminators of unions, and of unions inside them."""

_WANTED = dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "An object")
_WANTED |= dict.fromkeys(("tuple_type", "list_type"), "A list")
"""JSON names of pydantic's types."""


def shape_problems(document: object, errors: Sequence[ErrorDetails], fields_of: FieldsOf) -> Iterator[Problem]:
    """The problem of each error of validating the document; `fields_of` suggests what a misspelt field may be."""
    for error in errors:
        if error["type"] == "too_short" and error["input"]:
            continue  # a list with invalid items counts as empty, and the items have problems of their own
        path, parent, owner = _locate(document, error["loc"])
        yield _problem(path, error, partial(fields_of, parent, owner, path))


def _problem(path: str, error: ErrorDetails, fields: Callable[[], Sequence[str]]) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    name = str(error["loc"][-1]) if error["loc"] else ""
    match kind:
        case "extra_forbidden":
            return Problem(path, "unknown_field", f"Unknown field '{name}'", nearest(name, fields()))
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


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
