"""The store of streaming runs: bounded rows for any number of epochs, and who is to be started again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from headrace.catalog.models import Pipeline
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.records import SourceLag
from headrace.catalog.runs.store import RunStore
from tests.catalog.conftest import add_pipeline

pytestmark = pytest.mark.postgres

RUN = "run_1"


@pytest.fixture
def store(engine: Engine) -> RunStore:
    return RunStore(engine)


@pytest.fixture
def pipeline(mine: TenantCatalog) -> Pipeline:
    made = add_pipeline(mine)
    made.execution_config = {"mode": "streaming"}
    mine.session.commit()
    return made


def opened(store: RunStore, pipeline: Pipeline, run_id: str = RUN, **changes: Any) -> None:
    facts: dict[str, Any] = {
        "tenant_id": "default",
        "pipeline_id": pipeline.id,
        "ir_version": 1,
        "root_run_id": run_id,
        "retry_of": None,
        "load_strategy": "append",
        "status": "running",
        "streams": True,
    }
    store.open(run_id, **{**facts, **changes})


def epoch(store: RunStore, base: int, *rows: int, run_id: str = RUN, begins: bool = False, **options: Any) -> None:
    """An epoch with a partition for each of `rows`, which it loads, and a publication."""
    partitions = [(0, base + index, many) for index, many in enumerate(rows)]
    plan = {"epoch": {"number": base, "base": base}}
    store.streams.epoch(
        run_id,
        base=base,
        rows=sum(rows),
        fingerprint={},
        plan=plan,
        partitions=partitions,
        begins=begins,
        **options,
    )
    for stage, index, many in [*partitions, (-1, base, 0)]:
        nodes = {"src": {"rowsIn": many, "rowsOut": many}} if stage == 0 else {"tgt": {"rowsOut": sum(rows)}}
        counts = {"rows_in": many, "rows_out": 0 if stage == 0 else sum(rows), "failed": 0, "skipped": 0}
        store.counts.report(run_id, stage, index, status="completed", nodes=nodes, **counts)


def test_finished_epochs_are_one_row_for_each_stage(store: RunStore, pipeline: Pipeline) -> None:
    opened(store, pipeline)
    for number in range(5):
        epoch(store, 1 + 2 * number, 10, number, begins=number == 0)
    found = store.snapshot(RUN)
    assert found is not None
    assert [(each.stage, each.index, each.rows_in) for each in found.partitions] == [
        (-1, 0, 0),
        (-1, 9, 0),
        (0, 0, 46),
        (0, 9, 10),
        (0, 10, 4),
    ]
    assert (found.rows_in, found.rows_out, found.total_rows) == (60, 60, 60)
    assert found.nodes == {"src": {"rowsIn": 60, "rowsOut": 60}, "tgt": {"rowsOut": 60}}


def test_an_epoch_that_is_planned_again_has_its_own_partitions_only(store: RunStore, pipeline: Pipeline) -> None:
    opened(store, pipeline)
    epoch(store, 1, 10, begins=True)
    epoch(store, 2, 3, 4, 5)
    epoch(store, 2, 7, begins=True)
    found = store.snapshot(RUN)
    assert found is not None
    assert [(each.stage, each.index, each.rows_in) for each in found.partitions if each.stage == 0] == [
        (0, 0, 10),
        (0, 2, 7),
    ]


def test_a_retry_has_the_counts_of_the_stream_that_it_goes_on_with(store: RunStore, pipeline: Pipeline) -> None:
    opened(store, pipeline)
    epoch(store, 1, 10, begins=True)
    epoch(store, 2, 20)
    opened(store, pipeline, "run_2", root_run_id=RUN, retry_of=RUN)
    for _ in range(2):  # the same run again takes over nothing twice
        epoch(store, 2, 20, run_id="run_2", begins=True, counted_by=RUN)
    epoch(store, 3, 5, run_id="run_2")
    found = store.snapshot("run_2")
    assert found is not None
    assert (found.rows_in, found.rows_out) == (35, 35)
    assert found.nodes["src"] == {"rowsIn": 35, "rowsOut": 35}


def test_the_lag_is_of_the_time_it_is_asked_for(store: RunStore, pipeline: Pipeline) -> None:
    opened(store, pipeline)
    assert store.streams.lags() == []
    at = datetime.now(UTC) - timedelta(seconds=60)
    store.streams.looked(RUN, {"src": SourceLag(5, at), "new": SourceLag(2)})
    lags = {each.source: each for each in store.streams.lags()}
    assert lags["src"].seconds is not None
    assert 60 <= lags["src"].seconds < 600
    assert (lags["src"].rows, lags["new"].seconds, lags["new"].rows) == (5, None, 2)
    found = store.snapshot(RUN)
    assert found is not None
    assert found.lags == {"src": SourceLag(5, at), "new": SourceLag(2)}
    store.finished(RUN, status="completed", failure_reason=None)
    assert store.streams.lags() == []
    opened(store, pipeline, "run_2")
    assert store.streams.last_lags(pipeline.id)["src"].up_to == at, "the next run knows how far its forerunner was"


def test_what_is_wanted_of_a_stream(store: RunStore, pipeline: Pipeline, engine: Engine) -> None:
    opened(store, pipeline)
    wishes = store.streams.wishes(pipeline.id, RUN)
    assert wishes is not None
    assert (wishes.paused, wishes.waiting, wishes.execution_config) == (False, None, {"mode": "streaming"})
    opened(store, pipeline, "run_2", status="pending", streams=False)
    with engine.begin() as connection:
        connection.execute(text("UPDATE headrace.pipelines SET status = 'paused'"))
    wishes = store.streams.wishes(pipeline.id, RUN)
    assert wishes is not None
    assert (wishes.paused, wishes.waiting) == (True, "run_2")
    assert store.streams.wishes("pipe_none", RUN) is None


def test_a_stream_that_ended_is_to_be_started_again_unless_a_person_ended_it(
    store: RunStore, pipeline: Pipeline, engine: Engine
) -> None:
    def ended() -> list[tuple[str, bool, int]]:
        return [(each.run_id, each.planned, each.failures) for each in store.streams.ended("cancelled")]

    opened(store, pipeline, "run_0", streams=False)
    store.finished("run_0", status="completed", failure_reason=None)
    assert ended() == [], "it never streamed"
    opened(store, pipeline)
    assert (ended(), store.streams.streaming(pipeline.id)) == ([], RUN)
    epoch(store, 1, 10, begins=True)
    store.finished(RUN, status="completed", failure_reason=None)
    assert (ended(), store.streams.streaming(pipeline.id)) == ([(RUN, True, 0)], None)
    for number in (2, 3):
        opened(store, pipeline, f"run_{number}")
        store.finished(f"run_{number}", status="failed", failure_reason="no table")
        assert ended() == [(f"run_{number}", False, number - 1)]
    assert store.streams.ended("cancelled", "pipe_none") == []
    with engine.begin() as connection:
        connection.execute(text("UPDATE headrace.pipelines SET status = 'paused'"))
    assert ended() == []
    with engine.begin() as connection:
        connection.execute(text("UPDATE headrace.pipelines SET status = 'active'"))
    opened(store, pipeline, "run_4")
    store.finished("run_4", status="failed", failure_reason="cancelled")
    assert ended() == []


def test_a_failure_after_a_long_time_is_the_first(store: RunStore, pipeline: Pipeline, engine: Engine) -> None:
    opened(store, pipeline, created_at=datetime.now(UTC) - timedelta(hours=1))
    store.finished(RUN, status="failed", failure_reason="the machine died")
    [found] = store.streams.ended("cancelled")
    assert found.failures == 0


def test_a_stream_that_looks_is_not_silent(store: RunStore, pipeline: Pipeline, engine: Engine) -> None:
    from headrace.catalog.runs.unfinished import UnfinishedRuns

    opened(store, pipeline)
    with engine.begin() as connection:
        long_ago = "created_at = now() - interval '1 hour', started_at = now() - interval '1 hour'"
        connection.execute(text(f"UPDATE headrace.pipeline_runs SET {long_ago}"))
    assert UnfinishedRuns(engine).silent(15) == [RUN]
    store.streams.looked(RUN, {})
    assert UnfinishedRuns(engine).silent(15) == []
