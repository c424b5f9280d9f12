"""The difference of two IR documents: an RFC 6902 patch for programs, a short description per node for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jsonpatch

ChangeKind = Literal["added", "removed", "changed", "moved"]

_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one node; `node` is None for the rest of the document (schedule, metadata, error handling)."""

    node: str | None
    change: ChangeKind
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IrDiff:
    """`patch` turns the first document into the second; `changes` describes it for people. Both are empty for equal
    documents."""

    patch: list[dict[str, Any]]
    changes: tuple[Change, ...]


def ir_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> IrDiff:
    """Compares two documents that parse as IR."""
    patch: list[dict[str, Any]] = jsonpatch.make_patch(before, after).patch
    return IrDiff(patch, tuple(_changes(before, after)))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old, new = _nodes(before), _nodes(after)
    for node, body in new.items():
        if node not in old:
            yield Change(node, "added", (f"new {body.get('kind', 'node')}",))
        elif details := tuple(_details(old[node], body)):
            yield Change(node, "changed", details)
    for node, body in old.items():
        if node not in new:
            yield Change(node, "removed", (f"was a {body.get('kind', 'node')}",))
    kept = [node for node in old if node in new]
    order = [node for node in new if node in old]
    for node, place in zip(order, kept, strict=True):
        if node != place:
            yield Change(None, "moved", ("the nodes are listed in another order",))
            break
    rest = tuple(_details(_rest(before), _rest(after)))
    if rest:
        yield Change(None, "changed", rest)


def _nodes(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(node["id"]): node for node in document.get("nodes", ()) if isinstance(node, Mapping) and "id" in node}


def _rest(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "nodes"}


def _details(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key in [*before, *(key for key in after if key not in before)]:
        if key not in after:
            yield f"{key} removed"
        elif key not in before:
            yield f"{key} added: {_shown(after[key])}"
        elif not _same(before[key], after[key]):
            yield from _within(key, before[key], after[key])


def _within(key: str, before: Any, after: Any) -> Iterator[str]:
    """Describes the change of a list by its items and of an object by its keys, other values as a whole."""
    if isinstance(before, list) and isinstance(after, list):
        old, new = set(map(_text, before)), set(map(_text, after))
        added = [each for each in after if _text(each) not in old]
        removed = [each for each in before if _text(each) not in new]
        for each in removed:
            yield f"{key}: {_shown(each)} removed"
        for each in added:
            yield f"{key}: {_shown(each)} added"
        if not added and not removed:
            yield f"{key}: another order"
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for detail in _details(before, after):
            yield f"{key}.{detail}"
    else:
        yield f"{key}: {_shown(before)} → {_shown(after)}"


def _same(one: Any, other: Any) -> bool:
    return _text(one) == _text(other)


def _text(value: Any) -> str:
    # to Python 1, 1.0 and True are equal
    return json.dumps(value, sort_keys=True)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
