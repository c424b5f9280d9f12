"""A run of several stages that dies at any step continues and ends with the same result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.connectors.postgresql.ledger import exchange_manifest
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.staging import files
from headrace.flows.runtime.stored_plan import stored_plan
from tests.effort import examples
from tests.flows.runtime.dying import Bomb, Killed, armed
from tests.flows.runtime.graphs.crashing import check, fill, nodes
from tests.flows.runtime.graphs.world import Mill

pytestmark = pytest.mark.postgres


@contextmanager
def fresh(server: EmbeddedPostgres, folder: Path) -> Iterator[Mill]:
    name = f"crash_{uuid4().hex[:12]}"
    ensure_database(server.url("postgres"), name)
    try:
        mill = Mill(folder / name / "files", server.url(name))
        mill.root.parent.mkdir()
        fill(mill)
        yield mill
    finally:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def attempt(mill: Mill, number: int, earlier: Any, bomb: Bomb) -> tuple[Execution, RunTotals | None]:
    """One attempt, perhaps killed; the batches of each are cut differently."""
    run = mill.execution(nodes(), f"run_{number}", root="run_1", earlier=earlier, parallelism=2, batch=60 + 37 * number)
    with armed(bomb):
        try:
            return run, run_in_threads(run)
        except Killed:
            return run, None


@settings(max_examples=examples(12), suppress_health_check=list(HealthCheck))
@given(deaths=st.lists(st.integers(0, 227), min_size=1, max_size=3), tidied=st.booleans(), pieces=st.booleans())
def test_wherever_it_dies_a_retry_ends_it(
    postgres_server: EmbeddedPostgres,
    tmp_path_factory: pytest.TempPathFactory,
    deaths: list[int],
    tidied: bool,
    pieces: bool,
) -> None:
    with pytest.MonkeyPatch.context() as patch, fresh(postgres_server, tmp_path_factory.mktemp("crashes")) as mill:
        patch.setattr("headrace.flows.compile.shuffle._ONE_BUCKET_ROWS", 0)
        if pieces:
            patch.setattr("headrace.flows.runtime.shuffle.pieces.PIECE_BYTES", 1_000)
        earlier, totals = None, None
        for number, death in enumerate([*deaths, 10**9], 1):
            run, totals = attempt(mill, number, earlier, Bomb(death))
            if totals is not None:
                break
            earlier = stored_plan(run.prepared) if committed(mill) else None
            if tidied:  # another machine goes on, or somebody emptied the disk
                files.StagingFiles(run.prepared.job.staging, "run_1").remove()
        assert totals is not None
        assert totals.rows_in == 436
        check(mill)


def committed(mill: Mill) -> bool:
    """As a retry asks: is anything of it committed that the next attempt must be true to?"""
    return bool(mill.rows("SELECT FROM _headrace.ledger LIMIT 1"))


def test_files_that_vanish_between_stages_are_noticed(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.flows.compile.shuffle._ONE_BUCKET_ROWS", 0)
    fill(mill)
    run = mill.execution(nodes())
    run.begin()
    reading = [stage for stage in run.prepared.plan.stages if stage.source is not None]
    for stage in reading:
        for partition in stage.partitions:
            run.partition(stage, partition.index)
    victim = next(path for path in sorted(run.prepared.job.staging.rglob("p*.arrow")) if "both" in str(path))
    victim.unlink()
    exchange = next(stage for stage in run.prepared.plan.stages if stage.exchange is not None)
    with pytest.raises(Exception, match="are gone from the staging folder: retry the run"):
        run.partition(exchange, 0)
    again = mill.execution(nodes(), "run_2", root="run_1", earlier=stored_plan(run.prepared))
    run_in_threads(again)
    check(mill)
    assert exchange_manifest.read_sent(psycopg.connect(mill.url), "run_1", "both.0.0") == []
