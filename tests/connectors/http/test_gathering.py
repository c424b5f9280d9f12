"""Pages are parsed and checked together, as long as they come quickly."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.http import gathering
from headrace.connectors.http.answers import Answer
from headrace.connectors.http.gathering import gathered
from headrace.connectors.http.pages import Page
from headrace.connectors.http.paging import Place
from headrace.connectors.source import Batch
from tests.connectors.http.api_server import ApiServer, Failure, numbered
from tests.connectors.http.opening import paged, source
from tests.connectors.reading import batches, run

WATCHED: dict[str, Any] = {"key": ["id"], "cursor": {"field": "at"}}


def pages(*sizes: int) -> Iterator[Page]:
    for number, size in enumerate(sizes):
        after = Place(pages=number + 1) if number + 1 < len(sizes) else None
        yield Page(Place(pages=number), after, [b"{}"] * size, Answer(f"page {number}", "", {}, b"{}"))


def test_pages_are_one_block_up_to_the_size_of_a_batch() -> None:
    groups = gathered(pages(40, 40, 40, 250, 10, 100), 100, lambda page: False, clock=lambda: 0.0)
    assert [[len(page.records) for page in group.pages] for group in groups] == [[40, 40], [40], [250], [10], [100]]


def test_pages_of_a_slow_api_are_not_held_back() -> None:
    seconds = count(step=0.6)
    groups = gathered(pages(1, 1, 1, 1), 100, lambda page: False, clock=lambda: next(seconds))
    assert [group.rows for group in groups] == [2, 2]


def test_a_page_that_decides_what_is_requested_next_is_seen_before() -> None:
    seen: list[int] = []

    def asked() -> Iterator[Page]:
        for page in pages(1, 1, 1):
            seen.append(0)
            yield page

    groups = gathered(asked(), 100, lambda page: True)
    for number, _ in enumerate(groups, 1):
        assert len(seen) == number


def test_what_was_read_before_an_error_is_loaded(api: ApiServer) -> None:
    api.records["orders"] = numbered(350)
    found = source(api, paged("token", **WATCHED))
    seen = found.discover(max_partitions=1)
    api.before_page = lambda asked: api.failures.append(Failure(400)) if asked.query.get("at") == "t100" else None
    read: list[Batch] = []
    with pytest.raises(SourceError, match="400"):
        read.extend(found.read(seen.partitions[0], seen.schema))
    assert [batch.rows for batch in read] == [200]
    api.before_page = lambda asked: None
    more, _ = run(source(api, paged("token", **WATCHED)), read[-1].position)
    assert sorted(more) == list(range(201, 351))


def test_the_calls_of_a_page_are_few_and_those_of_a_record_none(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a page costs besides its request: before pages were gathered it were 13,000 calls."""
    monkeypatch.setattr(gathering, "MOST_SECONDS", float("inf"))

    def calls(records: int) -> int:
        """Of reading 60 pages."""
        api.records["orders"] = numbered(records)
        paging = {"type": "offset", "param": "at", "pageSize": records // 60, "sizeParam": "limit", "hasMore": "more"}
        found = source(api, paged("offset", pagination=paging, **WATCHED))
        seen = found.discover(max_partitions=1)
        asked = len(api.asked)
        profile = cProfile.Profile()
        profile.enable()
        read = batches(found, seen, seen.partitions[0])
        profile.disable()
        assert sum(batch.frame.height for batch in read) == records
        assert len(api.asked) - asked == 60
        found.close()
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    few, many = calls(1_200), calls(6_000)
    assert many / 60 < 3_500
    assert (many - few) / 4_800 < 0.5
