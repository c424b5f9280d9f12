"""The difference of two IR documents: an RFC 6902 patch for programs, a short description per node for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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
        named = _named(before), _named(after)
        if named[0] is not None and named[1] is not None:
            yield from _items(key, named[0], named[1])
        else:
            yield from _values(key, before, after)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for detail in _details(before, after):
            yield f"{key}.{detail}"
    else:
        yield f"{key}: {_shown(before)} → {_shown(after)}"


def _named(values: Sequence[Any]) -> dict[str, Mapping[str, Any]] | None:
    """Items by their id or name; None if some have none, or two have the same."""
    for by in ("id", "name"):
        found = {each[by]: each for each in values if isinstance(each, Mapping) and isinstance(each.get(by), str)}
        if len(found) == len(values):
            return found
    return None


def _items(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in before:
        if name not in after:
            yield f"{key}: {name} removed"
    for name, item in after.items():
        if name not in before:
            yield f"{key}: {_shown(item)} added"
        else:
            for detail in _details(before[name], item):
                yield f"{key}: {name}.{detail}"
    if [name for name in before if name in after] != [name for name in after if name in before]:
        yield f"{key}: another order"


def _values(key: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[str]:
    old, new = set(map(_text, before)), set(map(_text, after))
    added = [each for each in after if _text(each) not in old]
    removed = [each for each in before if _text(each) not in new]
    for each in removed:
        yield f"{key}: {_shown(each)} removed"
    for each in added:
        yield f"{key}: {_shown(each)} added"
    if not added and not removed:
        yield f"{key}: another order"


def _same(one: Any, other: Any) -> bool:
    return _text(one) == _text(other)


def _text(value: Any) -> str:
    # to Python 1, 1.0 and True are equal
    return json.dumps(value, sort_keys=True)


def _shown(value: Any) -> str:
    text = _words(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _words(value: Any) -> str:
    """A value without the punctuation of JSON: `rename (from a, to b)`."""
    if isinstance(value, Mapping):
        head = next((key for key in ("id", "name", "type", "kind") if isinstance(value.get(key), str)), None)
        rest = ", ".join(f"{key} {_words(each)}" for key, each in value.items() if key != head)
        return rest or "nothing" if head is None else f"{value[head]}{f' ({rest})' if rest else ''}"
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
