"""The slices of an endpoint: one per parent or time window; and their assignment to partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.http.answers import Answer, text_at
from headrace.connectors.http.client import Api
from headrace.connectors.http.moments import duration_of, windows, written
from headrace.connectors.http.pages import pages
from headrace.connectors.http.settings import Parent, RestSettings, Window

MOST_SLICES = 1_000_000
MOST_CURSORS = 1_000
"""The most parents of an endpoint with a cursor: the position of each is kept with every batch."""


def slices_of(api: Api, settings: RestSettings) -> list[dict[str, str]]:
    """The values of each slice, by the names of their placeholders. Raises SourceError."""
    parents = list(_parents(api, settings.parent)) if settings.parent is not None else [{}]
    ranges = list(_windows(settings.window)) if settings.window is not None else [{}]
    if len(parents) * len(ranges) > MOST_SLICES:
        raise SourceError(
            "too_many_slices",
            f"There are {len(parents):,} parents and {len(ranges):,} windows: more than {MOST_SLICES:,} slices.",
            "Make the windows longer.",
        )
    if settings.cursor is not None and len(parents) > MOST_CURSORS:
        raise SourceError(
            "too_many_slices",
            f"There are {len(parents):,} parents: a cursor is kept for {MOST_CURSORS:,} at most.",
            "Read without 'cursor', or only some parents.",
        )
    return [{**parent, **window} for parent, window in product(parents, ranges)]


def label_of(values: Mapping[str, str]) -> str:
    """The displayed name of a slice: ` [id=42, 2024-01-01…]`; empty if there is only one."""
    hidden = ("window.end", "window.days")
    shown = [f"{name.removeprefix('parent.')}={value[:40]}" for name, value in values.items() if name not in hidden]
    return f" [{', '.join(shown)}]" if shown else ""


def shared_out(count: int, most: int) -> Iterator[tuple[int, int]]:
    """Splits the slices into at most `most` consecutive groups of about equal length: (first, end)."""
    parts = max(1, min(count, most))
    for part in range(parts):
        yield part * count // parts, (part + 1) * count // parts


def _parents(api: Api, parent: Parent) -> Iterator[dict[str, str]]:
    if parent.values is not None:
        for value in dict.fromkeys(map(_text, parent.values)):
            yield {"parent.value": value}
        return
    seen: set[tuple[str, ...]] = set()
    for page in pages(api, parent, {}, label=" (parent)"):
        for record in page.records:
            values = tuple(_of(record, key, page.answer) for key in parent.keys)
            if values not in seen:
                seen.add(values)
                yield {f"parent.{key}": value for key, value in zip(parent.keys, values, strict=True)}
        if len(seen) > MOST_SLICES:
            raise SourceError("too_many_slices", f"There are more than {MOST_SLICES:,} parents.", "Read only some.")


def _of(record: bytes, key: str, answer: Answer) -> str:
    found = text_at(Answer(answer.what, answer.url, {}, record), key)
    if found is None:
        raise SourceError("drift", f"{answer.what}: a record has no '{key}'.", "Correct 'keys' of the parent.")
    return found


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _windows(window: Window) -> Iterator[dict[str, str]]:
    overlap = duration_of(window.overlap) if window.overlap is not None else None
    for begin, end in windows(window.start, window.end, window.step, datetime.now(UTC)):
        last = end - overlap if overlap is not None else end
        yield {
            "window.start": written(begin, window.format),
            "window.end": written(max(begin, last), window.format),
            "window.days": str(max(1, (end - begin) // timedelta(days=1))),
        }


def beginning_with(slices: Sequence[Mapping[str, str]], first: Mapping[str, str] | None) -> list[dict[str, str]]:
    """The slices with one of them moved to the front, if it exists."""
    found = [dict(each) for each in slices]
    if first is not None and dict(first) in found:
        found.remove(dict(first))
        return [dict(first), *found]
    return found
