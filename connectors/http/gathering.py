"""Consecutive pages of a slice as one block of records: parsing and checking cost about the same for one page as for
fifty."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from headrace.connectors.errors import SourceError
from headrace.connectors.http.pages import Page

MOST_BYTES = 8 << 20
MOST_SECONDS = 1.0
"""Pages of a slow API are not held back for longer: what was read is loaded, and is not requested again by a retry."""


@dataclass(slots=True)
class Gathered:
    """Consecutive pages, at least one."""

    pages: list[Page] = field(default_factory=list)
    rows: int = 0
    size: int = 0
    """Bytes."""

    def add(self, page: Page) -> None:
        """Adds the next page."""
        self.pages.append(page)
        self.rows += len(page.records)
        self.size += len(page.answer.body) or sum(map(len, page.records))

    @property
    def records(self) -> list[bytes]:
        """The records of all pages, in order."""
        if len(self.pages) == 1:
            return self.pages[0].records
        return [each for page in self.pages for each in page.records]

    def names(self) -> list[str]:
        """For each record the name of its page in messages."""
        return [page.answer.what for page in self.pages for _ in page.records]


def gathered(
    pages: Iterable[Page],
    most: int,
    stops: Callable[[Page], bool],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Gathered]:
    """Groups of pages with at most `most` records together; a page with more is alone. The page after one that `stops`
    is not requested before its group was processed. What was read before an error is a group too."""
    group, began = Gathered(), 0.0
    try:
        for page in pages:
            if group.pages and group.rows + len(page.records) > most:
                yield group
                group = Gathered()
            if not group.pages:
                began = clock()
            group.add(page)
            full = group.rows >= most or group.size >= MOST_BYTES or clock() - began >= MOST_SECONDS
            if full or page.after is None or stops(page):
                yield group
                group = Gathered()
    except SourceError:
        if group.pages:
            yield group
        raise
    if group.pages:
        yield group
