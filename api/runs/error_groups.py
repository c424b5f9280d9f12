"""The errors of a run for people: groups with samples, and pages without counting all of them first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from headrace.api.context import RequestContext
from headrace.api.pagination import encode_cursor
from headrace.api.runs.error_schemas import RunErrorItem
from headrace.api.runs.service import error_position, owned_run, shown_error, watch
from headrace.catalog.repositories.runs import ErrorFilter, ErrorGroup, position_of
from headrace.catalog.runs.records import TERMINAL

GROUPS = 200
_MAX_KEPT = 200


@dataclass(frozen=True, slots=True)
class ErrorGroups:
    """The groups of a run, largest first; `more` when there are further ones. `rows` were read in all."""

    rows: int
    groups: Sequence[ErrorGroup]
    more: bool

    @property
    def failed(self) -> int:
        """Cells whose row failed."""
        return sum(each.cells for each in self.groups if not each.warned)

    @property
    def warned(self) -> int:
        """Cells whose row was loaded anyway."""
        return sum(each.cells for each in self.groups if each.warned)


class _Kept:
    """The groups of runs that have ended, which do not change any more: counting a million errors takes a second."""

    def __init__(self) -> None:
        self._lock, self._found = Lock(), OrderedDict[tuple[object, ...], ErrorGroups]()

    def get(self, key: tuple[object, ...]) -> ErrorGroups | None:
        with self._lock:
            return self._found.get(key)

    def put(self, key: tuple[object, ...], groups: ErrorGroups) -> None:
        with self._lock:
            self._found[key] = groups
            if len(self._found) > _MAX_KEPT:
                self._found.popitem(last=False)


_KEPT = _Kept()


def error_groups(context: RequestContext, pipeline_id: str, run_id: str, only: ErrorFilter) -> ErrorGroups:
    """The errors that match, by node, rule, column and kind. Raises ApiError 404."""
    run = watch(context, pipeline_id, run_id)
    key = (run.id, run.tenant_id, run.finished_at, only)
    if run.status in TERMINAL and (kept := _KEPT.get(key)) is not None:
        return kept
    with context.reading() as catalog:
        found = catalog.runs.error_groups(owned_run(catalog, pipeline_id, run_id), only, limit=GROUPS + 1)
    groups = ErrorGroups(run.rows_in, found[:GROUPS], len(found) > GROUPS)
    if run.status in TERMINAL:
        _KEPT.put(key, groups)
    return groups


def error_page(
    context: RequestContext, pipeline_id: str, run_id: str, only: ErrorFilter, *, limit: int, cursor: str | None
) -> tuple[list[RunErrorItem], str | None]:
    """At most `limit` errors of a run in the order of rows, and the cursor of the next page. Raises ApiError: 404, 400
    for the cursor."""
    after = error_position(cursor) if cursor is not None else None
    with context.reading() as catalog:
        owned = owned_run(catalog, pipeline_id, run_id)
        found = catalog.runs.errors(owned, only, limit=limit + 1, after=after)
    following = encode_cursor(position_of(found[limit - 1])) if len(found) > limit else None
    return [shown_error(each) for each in found[:limit]], following
