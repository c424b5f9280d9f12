"""Writes of a run are absolute and idempotent, in any order and number."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from headrace.catalog.errors import NoIr, PipelineMissing, RunMissing
from headrace.catalog.models import Pipeline
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.runs import position_of
from headrace.catalog.runs.records import DatasetRuleOutcome, PartitionStatus, RunSnapshot, UncommittedRows
from headrace.catalog.runs.store import RunStore
from headrace.catalog.security.credentials import Keyring, generate_encryption_key
from headrace.flows.runtime.run_recorder import CatalogRecorder, cells_as_copy, cells_as_json
from headrace.flows.runtime.transform.rejected_cells import SOURCES
from headrace.ir.load_modes import load_strategy
from tests.catalog.conftest import IR, add_pipeline

pytestmark = pytest.mark.postgres

RUN = "run_1"
KEYRING = Keyring.parse(generate_encryption_key())
NODES = {"src": {"rowsIn": 10, "rowsOut": 10}, "tgt": {"rowsIn": 9, "rowsOut": 9}}


@pytest.fixture
def store(engine: Engine) -> RunStore:
    return RunStore(engine, keyring=KEYRING)


@pytest.fixture
def pipeline(mine: TenantCatalog) -> Pipeline:
    return add_pipeline(mine)


def open_run(store: RunStore, pipeline: Pipeline, run_id: str = RUN, **changes: object) -> None:
    facts = {
        "tenant_id": "default",
        "pipeline_id": pipeline.id,
        "ir_version": 1,
        "root_run_id": run_id,
        "retry_of": None,
        "load_strategy": "append",
    }
    store.open(run_id, **{**facts, **changes})  # type: ignore[arg-type]


def start(store: RunStore, *partitions: tuple[int, int, int], run_id: str = RUN) -> None:
    total = sum(rows for _, _, rows in partitions)
    store.started(run_id, total_rows=total, fingerprint={"src": "f"}, plan={"p": 1}, partitions=partitions)


def report(
    store: RunStore, index: int, status: PartitionStatus, rows_in: int, failed: int = 0, run_id: str = RUN
) -> None:
    store.counts.report(
        run_id,
        0,
        index,
        status=status,
        rows_in=rows_in,
        rows_out=rows_in - failed,
        failed=failed,
        skipped=0,
        nodes=NODES,
    )


def reject(store: RunStore, *rows: int, run_id: str = RUN, root: str = RUN) -> int:
    cells = [
        {"row": row, "column": "email", "value": "x", "error": "Invalid email format", "rule": "email"} for row in rows
    ]
    return store.cells.add(root, run_id, "check", 0, 0, cells=json.dumps(cells))


def copied(cells: pl.DataFrame, run_id: str = RUN) -> bytes:
    return cells_as_copy(cells, root_run_id=run_id, run_id=run_id, node_id="check", stage=0, partition=0, warning=False)


def seen(store: RunStore, run_id: str = RUN) -> RunSnapshot:
    snapshot = store.snapshot(run_id)
    assert snapshot is not None
    return snapshot


def test_dataset_rules_are_kept_and_compared_with_completed_runs_of_the_pipeline(
    store: RunStore, pipeline: Pipeline, mine: TenantCatalog
) -> None:
    other = add_pipeline(mine, "another")
    mine.session.commit()
    for number, (of, status, origin) in enumerate(
        [
            (pipeline, "completed", None),
            (pipeline, "failed", None),
            (other, "completed", None),
            (pipeline, "completed_with_errors", None),
            (pipeline, "completed", "run_0"),  # of failed rows alone
        ]
    ):
        open_run(store, of, f"run_{number}", origin_run_id=origin)
        start(store, (0, 0, 10), run_id=f"run_{number}")
        report(store, 0, "completed", 10 + number, run_id=f"run_{number}")
        store.finished(f"run_{number}", status=status, failure_reason=None)
    open_run(store, pipeline, "run_now")
    assert store.rules.earlier_rows("run_now", "src", 5) == [10, 10]
    assert store.rules.earlier_rows("run_now", "src", 1) == [10]
    assert store.rules.earlier_rows("run_now", "nobody", 5) == []
    rule = DatasetRuleOutcome("check", "nodes[1].datasetLevel.rowCount", "at least 1 rows", "0 rows", False, "abort")
    store.rules.evaluated("run_now", [rule])
    assert seen(store, "run_now").rules == (rule,)
    assert seen(store, "run_0").rules == ()


def test_errors_of_rows_that_did_not_commit_are_forgotten_alone(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline)
    reject(store, 3, 7, 9)
    store.cells.forget(RUN, UncommittedRows(0, 0, ("tgt",), 0))
    store.cells.forget(RUN, UncommittedRows(0, 1, ("check",), 0))
    store.cells.forget(RUN, UncommittedRows(1, 0, ("check",), 0))
    assert store.failed_rows(RUN) == {(0, 0, "check"): [3, 7, 9]}
    store.cells.forget(RUN, UncommittedRows(0, 0, ("src", "check"), 7))
    assert store.failed_rows(RUN) == {(0, 0, "check"): [3, 7]}


def test_an_unknown_run_has_no_snapshot(store: RunStore) -> None:
    assert store.snapshot("run_none") is None


def test_whoever_opens_first_a_running_run_stays_running(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline, status="running")
    open_run(store, pipeline)
    assert seen(store).status == "running"
    assert seen(store).started_at is not None


def test_the_run_is_as_old_as_the_oldest_word_of_it(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline, status="running")
    asked = seen(store).created_at - timedelta(seconds=3)
    open_run(store, pipeline, created_at=asked)
    assert seen(store).created_at == asked


def test_a_flow_started_again_opens_its_run_again(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline, status="running")
    store.finished(RUN, status="failed", failure_reason="lost")
    open_run(store, pipeline, status="running")
    snapshot = seen(store)
    assert (snapshot.status, snapshot.finished_at, snapshot.failure_reason) == ("running", None, None)


def test_counts_are_absolute_and_summed(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline)
    start(store, (0, 0, 10), (0, 1, 20))
    for _ in range(2):
        report(store, 0, "completed", 10, failed=1)
        report(store, 1, "running", 5)
    snapshot = seen(store)
    assert (snapshot.total_rows, snapshot.rows_in, snapshot.rows_out, snapshot.failed_rows) == (30, 15, 14, 1)
    assert [(each.index, each.status, each.planned_rows) for each in snapshot.partitions] == [
        (0, "completed", 10),
        (1, "running", 20),
    ]
    assert snapshot.nodes == {"src": {"rowsIn": 20, "rowsOut": 20}, "tgt": {"rowsIn": 18, "rowsOut": 18}}
    assert (snapshot.fingerprint, snapshot.plan) == ({"src": "f"}, {"p": 1})


def test_a_new_plan_drops_partitions_it_does_not_name_and_keeps_finished_ones(
    store: RunStore, pipeline: Pipeline
) -> None:
    open_run(store, pipeline)
    start(store, (0, 0, 10), (0, 1, 20), (0, 2, 5))
    report(store, 0, "completed", 10)
    report(store, 1, "running", 5)
    start(store, (0, 0, 10), (0, 1, 20))
    assert [(each.status, each.rows_in) for each in seen(store).partitions] == [("completed", 10), ("pending", 5)]


def test_what_an_earlier_attempt_committed_is_no_progress_of_this_one(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline)
    start(store, (0, 0, 10))
    report(store, 0, "running", 4)
    assert seen(store).partitions[0].base_rows == 0
    start(store, (0, 0, 10))
    report(store, 0, "running", 4)
    report(store, 0, "running", 6)
    assert seen(store).partitions[0].base_rows == 4


def test_finishing_sums_up_and_reports_the_pipeline(store: RunStore, pipeline: Pipeline, session: Session) -> None:
    open_run(store, pipeline, status="running")
    start(store, (0, 0, 10))
    report(store, 0, "completed", 10, failed=2)
    assert store.finished(RUN, status="completed_with_errors", failure_reason=None)
    session.refresh(pipeline)
    assert (pipeline.status, pipeline.last_run_status) == ("active", "completed_with_errors")
    assert pipeline.last_run_at == seen(store).started_at
    row = session.execute(text("SELECT rows_in, rows_out, failed_rows, skipped_rows FROM headrace.pipeline_runs")).one()
    assert tuple(row) == (10, 8, 2, 0)


def test_a_failed_run_leaves_a_draft_a_draft_and_no_partition_running(
    store: RunStore, pipeline: Pipeline, session: Session
) -> None:
    open_run(store, pipeline, status="running")
    start(store, (0, 0, 10), (0, 1, 10))
    report(store, 0, "running", 3)
    store.finished(RUN, status="failed", failure_reason="no such file\x00")
    session.refresh(pipeline)
    assert (pipeline.status, pipeline.last_run_status) == ("draft", "failed")
    assert [each.status for each in seen(store).partitions] == ["failed", "pending"]
    assert seen(store).failure_reason == "no such file"


def test_an_observer_does_not_overrule_the_run(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline, status="running")
    assert store.finished(RUN, status="completed", failure_reason=None)
    assert not store.finished(RUN, status="failed", failure_reason="crashed", only_if_unfinished=True)
    assert seen(store).status == "completed"


def test_an_older_run_that_ends_late_does_not_overwrite_the_pipelines_last(
    store: RunStore, pipeline: Pipeline, session: Session
) -> None:
    open_run(store, pipeline, "run_old", status="running")
    open_run(store, pipeline, "run_new", status="running")
    store.finished("run_new", status="completed", failure_reason=None)
    store.finished("run_old", status="failed", failure_reason="late")
    session.refresh(pipeline)
    assert pipeline.last_run_status == "completed"


def test_a_replayed_batch_writes_its_errors_once(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline)
    assert reject(store, 3, 1, 2) == 3
    assert reject(store, 1, 2, 3, 4) == 1
    assert [error.row for error in seen(store).first_errors] == [1, 2, 3, 4]


@pytest.mark.parametrize("way", ["json", "copy"])
def test_errors_of_any_text_are_stored(store: RunStore, pipeline: Pipeline, way: str) -> None:
    open_run(store, pipeline)
    cells = pl.DataFrame(
        {
            "row": [1, 2, 2, 3],
            "column": [None, "a\x00b", "c" * 5000, "d"],
            "value": [None, "v" * 5000, "nul\x00", '"\\\n\u2028\U0001f600'],
            "error": ["ragged line", "Expected integer", "e", "e"],
            "rule": ["ragged", "type", "r" * 5000, "r"],
            SOURCES: ["[]", '[{"file":"a\\u0000.csv"}]', None, None],
        }
    )
    if way == "json":
        assert store.cells.add(RUN, RUN, "check", 0, 0, cells=cells_as_json(cells)) == 4
    else:
        assert store.error_copies.add(RUN, copied(cells))
    first, second, third, fourth = seen(store).first_errors
    assert fourth.value == '"\\\n\u2028\U0001f600'
    assert (first.column, first.value, first.error) == (None, None, "ragged line")
    assert (second.column, second.value) == ("ab", "v" * 1000)
    assert third.value == "nul"


def test_copied_errors_are_what_inserted_ones_are(store: RunStore, pipeline: Pipeline) -> None:
    texts = ["-5", None, "", '"\\\n\u2028\U0001f600', "\\.", "a\tb\r\n", "NULL", "\\N"]
    cells = pl.DataFrame(
        {
            "row": range(1, 9),
            "column": ["a", None, "", "b", "c", "d", "e", "f"],
            "value": texts,
            "error": [text or "none" for text in texts],
            "rule": ["r"] * 8,
            SOURCES: ['[{"node": "src", "file": "\u00e4 \\"b\\".csv", "row": 7}]', None, *["[]"] * 6],
        }
    )
    open_run(store, pipeline)
    open_run(store, pipeline, "run_2")
    assert store.cells.add(RUN, RUN, "check", 0, 0, cells=cells_as_json(cells)) == 8
    assert store.error_copies.add("run_2", copied(cells, "run_2"))
    assert seen(store, "run_2").first_errors == seen(store).first_errors


def test_of_copied_errors_that_are_there_in_part_none_is_added(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline)
    assert reject(store, 3, 1) == 2
    cell = {"column": "email", "value": "x", "error": "Invalid email format", "rule": "email", SOURCES: "[]"}
    cells = pl.DataFrame([{"row": row, **cell} for row in (2, 3)])
    assert not store.error_copies.add(RUN, copied(cells))
    assert [error.row for error in seen(store).first_errors] == [1, 3]
    assert store.error_copies.add(RUN, copied(cells.head(1)))
    assert [error.row for error in seen(store).first_errors] == [1, 2, 3]


def test_a_replayed_batch_of_a_run_writes_its_errors_once(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline)
    recorder = CatalogRecorder(store, RUN, RUN)
    cell = {"column": "email", "value": "x", "error": "Invalid email format", "rule": "email", SOURCES: "[]"}
    for rows in ((1, 2), (2, 3), (2, 3)):
        recorder.rejected(0, 0, "check", pl.DataFrame([{"row": row, **cell} for row in rows]), warning=False)
    assert [error.row for error in seen(store).first_errors] == [1, 2, 3]


def test_copied_errors_of_no_run_are_refused(store: RunStore) -> None:
    cell = {"row": 1, "column": "email", "value": "x", "error": "e", "rule": "email", SOURCES: "[]"}
    with pytest.raises(RunMissing):
        store.error_copies.add("run_unknown", copied(pl.DataFrame([cell]), "run_unknown"))
    assert store.log(RUN, "run", "the session is usable again") is None


def test_no_errors_are_no_errors(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline)
    assert reject(store) == 0


def test_a_retry_shows_the_errors_of_its_chain_and_the_first_run_only_its_own(
    store: RunStore, pipeline: Pipeline, mine: TenantCatalog
) -> None:
    open_run(store, pipeline)
    reject(store, 1, 2)
    open_run(store, pipeline, "run_2", root_run_id=RUN, retry_of=RUN)
    reject(store, 2, 3, run_id="run_2")
    first, second = mine.runs.get(RUN), mine.runs.get("run_2")
    assert first is not None
    assert second is not None
    assert [error.row for error in mine.runs.errors(first, limit=10)] == [1, 2]
    assert [error.row for error in mine.runs.errors(second, limit=10)] == [1, 2, 3]
    assert (mine.runs.error_count(first), mine.runs.error_count(second)) == (2, 3)


def test_errors_are_read_in_pages_of_any_size(store: RunStore, pipeline: Pipeline, mine: TenantCatalog) -> None:
    open_run(store, pipeline)
    reject(store, *range(1, 26))
    run = mine.runs.get(RUN)
    assert run is not None
    rows: list[int] = []
    after = None
    while page := mine.runs.errors(run, limit=10, after=after):
        rows += [error.row for error in page]
        after = position_of(page[-1])
    assert rows == list(range(1, 26))


def test_a_node_may_reject_the_same_row_number_in_two_stages(
    store: RunStore, pipeline: Pipeline, mine: TenantCatalog
) -> None:
    open_run(store, pipeline)
    for stage in (0, 2, 2):
        cell = {"row": 1, "column": "c", "value": f"in stage {stage}", "error": "e", "rule": "r"}
        store.cells.add(RUN, RUN, "n", stage, 0, cells=json.dumps([cell]))
    run = mine.runs.get(RUN)
    assert run is not None
    first, second = mine.runs.errors(run, limit=10)
    assert (first.value, second.value) == ("in stage 0", "in stage 2")
    assert [each.value for each in mine.runs.errors(run, limit=10, after=position_of(first))] == ["in stage 2"]


def test_the_log_keeps_its_order(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline)
    for number in range(3):
        store.log(RUN, "extract", f"line {number}")
    assert [(line.stage, line.message) for line in seen(store).log] == [("extract", f"line {n}") for n in range(3)]


def test_a_run_that_never_opened_can_still_be_ended_without_harm(store: RunStore) -> None:
    store.log("run_none", "run", "There is no pipeline")
    assert not store.finished("run_none", status="failed", failure_reason="There is no pipeline")


def test_a_flow_gets_its_pipeline_with_the_pinned_or_the_live_ir(
    store: RunStore, pipeline: Pipeline, mine: TenantCatalog, session: Session
) -> None:
    mine.pipelines.save_ir(pipeline, {"second": True}, authored_by="bob")
    sealed = KEYRING.seal({"token": "t"}, connector_id=pipeline.connector_id)
    session.execute(text("UPDATE headrace.connectors SET auth_sealed = :sealed"), {"sealed": sealed})
    session.commit()
    pinned, live = store.pipelines.load(pipeline.id, 1), store.pipelines.load(pipeline.id, None)
    assert (pinned.ir, pinned.ir_version) == (IR, 1)
    assert (live.ir, live.ir_version) == ({"second": True}, 2)
    assert live.tables == frozenset({"public.ds_orders"})
    assert (live.connector.type, live.connector.credentials) == ("local_fs", {"token": "t"})
    assert "token" not in repr(live)


def test_a_pipeline_without_ir_or_version_says_so(store: RunStore, mine: TenantCatalog, pipeline: Pipeline) -> None:
    legacy = add_pipeline(mine, "legacy", with_ir=False)
    with pytest.raises(NoIr):
        store.pipelines.load(legacy.id, None)
    with pytest.raises(PipelineMissing, match="no IR version 9"):
        store.pipelines.load(pipeline.id, 9)
    with pytest.raises(PipelineMissing):
        store.pipelines.load("pipe_none", None)


def test_an_idempotency_key_belongs_to_the_run_it_started(mine: TenantCatalog, pipeline: Pipeline) -> None:
    assert mine.runs.requested(pipeline.id, "k") is None
    assert mine.runs.remember_request(pipeline.id, "k", RUN)
    assert not mine.runs.remember_request(pipeline.id, "k", "run_2")
    assert mine.runs.requested(pipeline.id, "k") == RUN


@pytest.mark.parametrize(
    ("modes", "strategy"),
    [
        (["append"], "append"),
        (["append", "scd2"], "upsert"),
        (["upsert", "blue_green"], "replace"),
        (["incremental_watermark"], "append"),
        ([], "append"),
    ],
)
def test_the_load_strategy_is_the_least_resumable_of_the_targets(modes: list[str], strategy: str) -> None:
    assert load_strategy(modes) == strategy


def test_a_chain_of_retries_knows_the_run_it_began_with(store: RunStore, pipeline: Pipeline) -> None:
    open_run(store, pipeline)
    open_run(store, pipeline, "run_2", retry_of=RUN)
    open_run(store, pipeline, "run_3", retry_of="run_2", root_run_id="run_3", origin_run_id=RUN)
    assert [store.first_of_chain(run) for run in ("run_3", "run_2", RUN)] == [RUN, RUN, RUN]
    open_run(store, pipeline, "run_5", retry_of="run_4")  # which has been deleted since
    assert store.first_of_chain("run_5") == "run_5"
    assert store.first_of_chain("run_6") == "run_6"
