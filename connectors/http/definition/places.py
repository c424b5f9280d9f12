"""Where a problem is in a connector's document: as a JSON Pointer, and as a line of its YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def steps_of(path: str, document: object) -> list[str | int]:
    """The keys and positions that a problem's path (`connector.endpoints.0.params.q`) leads through. Keys may have
    dots: the longest that the document has is taken, and what it does not have is the rest of the path."""
    parts = path.split(".")[1:]
    found: list[str | int] = []
    value: Any = document
    while parts:
        if isinstance(value, Mapping):
            length = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in value), 1)
            key = ".".join(parts[:length])
            found.append(key)
            value, parts = value.get(key), parts[length:]
        elif isinstance(value, Sequence) and not isinstance(value, str) and parts[0].isdigit():
            position = int(parts[0])
            found.append(position)
            value, parts = (value[position] if position < len(value) else None), parts[1:]
        else:
            found += parts
            break
    return found


def pointer_of(path: str, document: object) -> str:
    """The JSON Pointer (RFC 6901) of a problem: `/endpoints/0/params/q`; empty for the whole document."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps_of(path, document))


def line_of(path: str, document: object, lines: Mapping[str, int]) -> int:
    """The line of a problem, or of what is around it; `lines` are those of `read_yaml`."""
    steps = steps_of(path, document)
    while steps:
        spelled = ""
        for step in steps:
            spelled += f"[{step}]" if isinstance(step, int) else f".{step}" if spelled else step
        if spelled in lines:
            return lines[spelled]
        steps.pop()
    return 1
