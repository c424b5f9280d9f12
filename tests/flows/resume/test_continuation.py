"""The state that a retry takes over does not depend on the progress of earlier attempts."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.records import RunStatus
from headrace.catalog.runs.store import RunStore
from headrace.catalog.security.credentials import Keyring, generate_encryption_key
from headrace.connectors.postgresql.ledger.partitions import LedgerKey, advance_ledger
from headrace.connectors.postgresql.ledger.schema import create_ledger
from headrace.connectors.target import Resume
from headrace.flows.resume.continuation import Continuation, retried
from headrace.flows.resume.failed_rows import OpenPartition, SettledRows
from headrace.flows.resume.ledgers import Ledgers
from headrace.flows.runtime.errors import RunFailed
from tests.catalog.conftest import add_pipeline, engine, mine, session

__all__ = ["engine", "mine", "session"]
pytestmark = pytest.mark.postgres

PLAN = {"stages": [{"source": {}, "nodes": ["src", "tgt"], "target": {}}], "partitions": {"src": [[1, 10, {}]]}}


class Runs:
    """Runs of one pipeline, as they are left when they die."""

    def __init__(self, store: RunStore, pipeline_id: str, database_url: str) -> None:
        self.store, self._pipeline_id, self._url = store, pipeline_id, database_url

    def died(self, run_id: str, *, planned: bool, status: RunStatus = "failed", plan: Any = PLAN, **chain: Any) -> None:
        facts = {"root_run_id": run_id, "retry_of": None, "origin_run_id": None} | chain
        self.store.open(
            run_id,
            tenant_id="default",
            pipeline_id=self._pipeline_id,
            ir_version=1,
            load_strategy="append",
            parameters={},
            **facts,
        )
        if planned:
            self.store.started(run_id, total_rows=10, fingerprint={"src": "f"}, plan=plan, partitions=[(0, 0, 10)])
        self.store.finished(run_id, status=status, failure_reason=None)

    def committed(self, root: str, rows: int) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            create_ledger(connection)
            assert advance_ledger(connection, LedgerKey(root, "tgt", 0, 0), Resume(), Resume(rows_done=rows))

    def failed(self, run_id: str, *rows: int, node: str = "tgt") -> None:
        cells = [{"row": row, "column": "x", "value": "x", "error": "bad", "rule": "r"} for row in rows]
        self.store.cells.add(run_id, run_id, node, 0, 0, cells=json.dumps(cells))

    def retry(self, run_id: str) -> Continuation:
        original = self.store.snapshot(run_id)
        assert original is not None
        return retried(original, self.store, "run_new", Ledgers.of(self._url))


@pytest.fixture
def runs(engine: Engine, mine: TenantCatalog, database_url: str) -> Runs:
    pipeline = add_pipeline(mine)
    mine.session.commit()
    return Runs(RunStore(engine, keyring=Keyring.parse(generate_encryption_key())), pipeline.id, database_url)


def test_a_retry_that_died_unplanned_loses_nothing_of_what_was_committed_before_it(runs: Runs) -> None:
    runs.died("run_1", planned=True)
    runs.committed("run_1", 7)
    runs.died("run_2", planned=False, root_run_id="run_1", retry_of="run_1")
    runs.died("run_3", planned=False, root_run_id="run_1", retry_of="run_2")
    found = runs.retry("run_3")
    assert (found.root_run_id, found.retry_of, found.committed, found.ir_version) == ("run_1", "run_3", 7, 1)
    assert found.earlier_plan == PLAN
    assert not found.starts_over  # which would forget the errors of the rows that are not read again


def test_where_nothing_was_committed_a_retry_starts_over(runs: Runs) -> None:
    runs.died("run_1", planned=True)
    runs.died("run_2", planned=False, root_run_id="run_1", retry_of="run_1")
    found = runs.retry("run_2")
    assert (found.root_run_id, found.retry_of, found.earlier_plan) == ("run_1", "run_2", None)
    assert found.starts_over


def test_a_replay_that_died_unplanned_is_begun_again_with_the_failed_rows_alone(runs: Runs) -> None:
    runs.died("run_1", planned=True, status="completed_with_errors")
    runs.failed("run_1", 3, 8)
    runs.died("run_2", planned=False, retry_of="run_1", origin_run_id="run_1")
    found = runs.retry("run_2")
    assert (found.root_run_id, found.retry_of, found.origin_run_id) == ("run_new", "run_2", "run_1")
    assert found.open_rows == {("src", 0): OpenPartition([3, 8], {}, frozenset({"tgt"}))}


def test_a_row_is_run_again_for_the_targets_after_the_node_it_failed_at(runs: Runs) -> None:
    sinks = [{"path": ["src", name], "target": {"table": f"public.{name}"}} for name in ("a", "b")]
    ways = {"src": ["a", "b"], "a": ["a"], "b": ["b"]}
    plan = PLAN | {"stages": [{"source": {}, "nodes": ["src", "a", "b"], "sinks": sinks}], "ways": [ways]}
    runs.died("run_1", planned=True, status="completed_with_errors", plan=plan)
    runs.failed("run_1", 2, node="src")
    runs.failed("run_1", 3, 8, node="a")
    runs.failed("run_1", 8, node="b")
    found = runs.retry("run_1").open_rows
    settled = {"a": SettledRows("public.a", []), "b": SettledRows("public.b", [3])}
    assert found == {("src", 0): OpenPartition([2, 3, 8], settled, frozenset("ab"))}


def test_a_run_that_brought_rows_together_is_not_retried_for_its_failed_rows(runs: Runs) -> None:
    runs.died("run_1", planned=True, status="completed_with_errors", plan=PLAN | {"whole": False, "entangling": "sums"})
    with pytest.raises(RunFailed, match="node 'sums' brings rows together"):
        runs.retry("run_1")
