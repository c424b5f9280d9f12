"""When a streaming run ends by itself, and what it says of its lag."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.catalog.runs.records import SourceLag
from headrace.catalog.runs.streams import Wishes
from headrace.flows.prefect.streaming import StreamRun
from tests.flows.runtime.graphs.world import Mill, target
from tests.flows.runtime.shelf import Shelf

WISHES = Wishes(1, {"mode": "streaming"}, False, None)


@dataclass
class Streams:
    """What the catalog has of streams."""

    wanted: Wishes | None = WISHES

    def last_lags(self, pipeline_id: str) -> dict[str, SourceLag]:
        return {}

    def before(self, run_id: str) -> str | None:
        return None

    def wishes(self, pipeline_id: str, run_id: str) -> Wishes | None:
        return self.wanted


@dataclass
class Catalog:
    streams: Streams = field(default_factory=Streams)


@dataclass
class Reporter:
    events: list[Mapping[str, Any]] = field(default_factory=list)
    api_url: str = "http://127.0.0.1:1/api/v1"

    def lagging(self, payload: Mapping[str, Any]) -> None:
        self.events.append(payload)


def run_of(tmp_path: Path, **config: Any) -> tuple[StreamRun, Catalog, Reporter, Mill]:
    mill = Mill(tmp_path, "")
    nodes = [Shelf().node(), target("tgt", "src", "one")]
    job = mill.job(nodes, config={"mode": "streaming", **config})
    catalog, reporter = Catalog(), Reporter()
    logger = logging.getLogger("test")
    return StreamRun(catalog, job, mill.recorder, reporter, logger, None), catalog, reporter, mill  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "said", "followed"),
    [
        (None, "the pipeline is gone", False),
        (replace(WISHES, paused=True), "the pipeline is paused", False),
        (replace(WISHES, execution_config={"mode": "batch"}), "executionConfig.mode is batch", False),
        (replace(WISHES, live_version=2), "a run of IR version 2", True),
        (replace(WISHES, execution_config={"mode": "streaming", "parallelism": 9}), "new executionConfig", True),
        (replace(WISHES, waiting="run_9"), "after run_9", True),
    ],
)
def test_it_ends_between_two_epochs_when_something_else_is_wanted(
    tmp_path: Path, wanted: Wishes | None, said: str, followed: bool
) -> None:
    run, catalog, _, _ = run_of(tmp_path)
    assert run._ending() is None
    catalog.streams.wanted = wanted
    ended = run._ending()
    assert ended is not None
    assert said in ended[0]
    assert ended[1] is followed


def test_it_is_followed_by_another_after_its_time(tmp_path: Path) -> None:
    run, _, _, _ = run_of(tmp_path, rolloverSeconds=100)
    run._began -= 99
    assert run._ending() is None
    run._began -= 2
    ended = run._ending()
    assert ended is not None
    assert ended[1]


def test_a_lag_beyond_the_limit_is_an_event_until_it_has_caught_up(tmp_path: Path) -> None:
    run, _, reporter, mill = run_of(tmp_path, maxLagSeconds=60)
    now = datetime.now(UTC)

    def behind(seconds: float) -> None:
        run._watch({"src": SourceLag(3, now - timedelta(seconds=seconds))}, now)

    for seconds in (10, 61, 90, 200, 5, 61):
        behind(seconds)
    assert [each["seconds"] for each in reporter.events] == [61.0, 61.0]
    assert reporter.events[0]["sources"]["src"]["rows"] == 3
    said = [line for _, line in mill.recorder.lines]
    assert [("maxLagSeconds" in line, "caught up" in line) for line in said] == [
        (True, False),
        (False, True),
        (True, False),
    ]


def test_a_lag_that_is_not_known_yet_is_no_event(tmp_path: Path) -> None:
    run, _, reporter, _ = run_of(tmp_path, maxLagSeconds=1)
    run._watch({"src": SourceLag(3)}, datetime.now(UTC))
    assert reporter.events == []
