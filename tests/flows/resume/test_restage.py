"""A retry after a dataset rule held every row back: all are staged again and checked by the live version, after any
crash in between; where rows of the chain are visible, it goes on as it began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from sqlalchemy import Engine

from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.records import ConnectorRecord, RunPipeline, RunSnapshot
from headrace.catalog.runs.store import RunStore
from headrace.catalog.security.credentials import Keyring, generate_encryption_key
from headrace.flows.resume.continuation import Continuation, retried, same_run_again
from headrace.flows.resume.ledgers import Ledgers
from headrace.flows.resume.restage import drop_refused_rows
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.run_recorder import CatalogRecorder
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.flows.runtime.targets.locks import TargetLocks
from tests.catalog.conftest import add_pipeline, engine, mine, session

__all__ = ["engine", "mine", "session"]
pytestmark = pytest.mark.postgres

ROWS = 1_000
PASSED = ROWS * 9 // 10

Nodes = list[dict[str, Any]]


class Killed(Exception):
    """The process is gone."""


class Chain:
    """The runs of one pipeline, in the order in which `flows.run` does things; `live` are the nodes of its live
    version. They load 1,000 orders into `public.ds_first`, where row 1 is already, and `public.ds_other`."""

    def __init__(self, files: Path, store: RunStore, pipeline_id: str, url: str) -> None:
        self.files, self.store, self.url = files, store, url
        self._pipeline_id = pipeline_id
        self._versions: list[Nodes] = []
        self.write(ROWS)
        columns = "(id bigint, amount bigint, name text"
        with psycopg.connect(url) as connection:
            connection.execute(f"CREATE TABLE public.ds_first {columns}, PRIMARY KEY (id))")  # type: ignore[arg-type]
            connection.execute("INSERT INTO public.ds_first VALUES (1, 1, 'here before')")
            connection.execute(f"CREATE TABLE public.ds_other {columns})")  # type: ignore[arg-type]
            connection.execute(
                f"CREATE TABLE public.ds_history {columns}, valid_from timestamptz, "  # type: ignore[arg-type]
                "valid_to timestamptz, is_current boolean)"
            )

    def write(self, rows: int) -> None:
        orders = pl.DataFrame({"id": range(2, rows + 2)}).with_columns(
            amount=pl.col("id") % 10, name=pl.format("n{}", "id"), op=pl.lit("c")
        )
        orders.write_parquet(self.files / "orders.parquet", row_group_size=ROWS // 4)

    def save(self, nodes: Nodes) -> None:
        """The live version from now on."""
        self._versions.append(nodes)

    def attempt(self, run_id: str, retry_of: str | None = None, *, dies: str = "", parallelism: int = 2) -> RunSnapshot:
        """A run to its end, or to where it dies: when what was staged is dropped, when its plan is stored, in the
        middle of staging, between two publications."""
        continues = self.continues(run_id, retry_of) if retry_of is not None else Continuation(run_id)
        job = self.job(run_id, continues, parallelism)
        chain = {"root_run_id": continues.root_run_id, "retry_of": retry_of, "load_strategy": "append"}
        facts = {"tenant_id": "default", "pipeline_id": self._pipeline_id, "ir_version": job.pipeline.ir_version}
        self.store.open(run_id, **facts, **chain)  # type: ignore[arg-type]
        recorder = CatalogRecorder(self.store, run_id, continues.root_run_id)
        locks = TargetLocks(job)
        try:
            assert locks.acquire() is None
            execution = Execution(prepare(job), recorder, locks)
            drop_refused_rows(job, recorder)
            if dies == "dropped":
                raise Killed
            stages = execution.prepared.plan.stages
            self.store.started(
                run_id,
                total_rows=execution.prepared.total_rows,
                fingerprint=execution.prepared.fingerprints,
                plan=stored_plan(execution.prepared),
                partitions=[(stage.index, p.index, p.rows) for stage in stages for p in stage.partitions],
            )
            if dies == "planned":
                raise Killed
            self._move(execution, dies)
        except (RunFailed, Killed) as error:
            self.store.finished(run_id, status="failed", failure_reason=str(error))
        else:
            self.store.finished(run_id, status="completed", failure_reason=None)
        finally:
            locks.release()
        return self.snapshot(run_id)

    def continues(self, run_id: str, retry_of: str) -> Continuation:
        return retried(self.snapshot(retry_of), self.store, run_id, Ledgers.of(self.url))

    def job(self, run_id: str, continues: Continuation, parallelism: int = 2) -> Job:
        version = continues.ir_version or len(self._versions)
        nodes = self._versions[version - 1]
        ir = {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": nodes}
        connector = ConnectorRecord("conn_1", "local_fs", {})
        config = {"parallelism": parallelism, "batchSize": 400}
        tables = frozenset(node["schema"] for node in nodes if node["kind"] == "target")
        pipeline = RunPipeline(self._pipeline_id, "default", "P", ir, version, connector, config, tables)
        return Job(run_id, pipeline, self.url, self.files, continues)

    def snapshot(self, run_id: str) -> RunSnapshot:
        found = self.store.snapshot(run_id)
        assert found is not None
        return found

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]

    def amounts(self, table: str = "ds_first") -> dict[int, int]:
        """How many rows that runs loaded have which amount."""
        return dict(self.sql(f"SELECT amount, count(*) FROM public.{table} WHERE id > 1 GROUP BY 1"))

    @staticmethod
    def _move(execution: Execution, dies: str) -> None:
        if not dies:
            run_in_threads(execution)
            return
        execution.begin()
        for stage in execution.prepared.plan.stages:
            for partition in stage.partitions:
                execution.partition(stage, partition.index)
                if dies == "staging":
                    raise Killed
        load, index, _ = execution.publications()[0]
        execution.publication(load, index)
        raise Killed


@pytest.fixture
def chain(tmp_path: Path, engine: Engine, mine: TenantCatalog, database_url: str) -> Chain:
    pipeline = add_pipeline(mine)
    mine.session.commit()
    store = RunStore(engine, keyring=Keyring.parse(generate_encryption_key()))
    return Chain(tmp_path, store, pipeline.id, database_url)


def loading(mode: str = "append", *, without: int = 3, least: int = 0, ops: Nodes | None = None) -> Nodes:
    """Orders without those of one amount; wants so many at least."""
    source = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.parquet"}}
    source["config"] |= {"format": "parquet"}  # type: ignore[operator]
    rule = {"id": "some", "field": "amount", "rule": f"ne:{without}", "onFail": "quarantine"}
    check = {"id": "check", "kind": "validate", "input": "src", "rowLevel": [rule]}
    check |= {"datasetLevel": {"rowCount": {"min": least}}, "quarantine": {"table": f"dlq.without_{without}"}}
    target = {"id": "tgt", "kind": "target", "input": "check", "schema": "public.ds_first", "loadMode": mode}
    if mode in ("upsert", "cdc_mirror", "scd2"):
        target["upsertKey"] = ["id"]
    if mode == "incremental_watermark":
        target["watermarkColumn"] = "id"
    if mode == "scd2":
        target["schema"] = "public.ds_history"
    if ops is None:
        return [source, check, target]
    return [source, {"id": "ops", "kind": "transform", "input": "src", "ops": ops}, check | {"input": "ops"}, target]


def also(nodes: Nodes, after: str = "check") -> Nodes:
    """With a second target, `public.ds_other`."""
    other = {"id": "other", "kind": "target", "input": after, "schema": "public.ds_other", "loadMode": "append"}
    return [*nodes, other]


TOO_MANY = PASSED + 1
LOADED = {amount: ROWS // 10 for amount in range(10) if amount != 4}
"""The rows after the load of the corrected version, which skips another amount."""


@pytest.mark.parametrize(
    "mode",
    ["append", "replace", "truncate", "blue_green", "upsert", "incremental_watermark", "cdc_mirror", "scd2"],
)
@pytest.mark.first_variant
def test_a_retry_loads_what_the_corrected_version_says_and_nothing_of_what_was_staged(chain: Chain, mode: str) -> None:
    chain.save(loading(mode, least=TOO_MANY))
    first = chain.attempt("run_1", parallelism=1)
    assert (first.status, first.aborted, first.rows_out) == ("failed", True, 0)
    table = "ds_history" if mode == "scd2" else "ds_first"
    assert chain.amounts(table) == {}

    chain.save(loading(mode, without=4))
    assert chain.continues("run_2", "run_1").committed == 0
    again = chain.attempt("run_2", "run_1")
    assert (again.status, again.ir_version, again.root_run_id) == ("completed", 2, "run_1")
    assert (again.rows_in, again.rows_out, again.failed_rows) == (ROWS, PASSED, ROWS - PASSED)
    assert chain.amounts(table) == LOADED
    assert {row % 10 for rows in chain.store.failed_rows("run_1").values() for row in rows} == {3}  # row 3: amount 4
    assert chain.sql("SELECT count(*) FROM dlq.without_3") == [(0,)]
    assert chain.sql("SELECT count(*) FROM dlq.without_4") == [(ROWS - PASSED,)]
    left = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND (relname ~ '^stage_' OR relname ~ '__new$')"
    assert chain.sql(left) == []


@pytest.mark.parametrize(
    ("dies", "retry_of"),
    [
        *((moment, "run_2") for moment in ("dropped", "planned", "staging", "publishing")),
        *((moment, "run_1") for moment in ("staging", "publishing")),
    ],
)
@pytest.mark.first_variant
def test_a_retry_that_dies_is_retried_whether_by_itself_or_by_what_it_was_of(
    chain: Chain, dies: str, retry_of: str
) -> None:
    chain.save(also(loading("upsert", least=TOO_MANY)))
    chain.attempt("run_1", parallelism=1)
    chain.save(also(loading("upsert", without=4)))
    assert chain.attempt("run_2", "run_1", dies=dies).failure_reason == ""
    last = chain.attempt("run_3", retry_of, parallelism=1)
    assert (last.status, last.ir_version, last.rows_in, last.rows_out) == ("completed", 2, ROWS, 2 * PASSED)
    assert (chain.amounts(), chain.amounts("ds_other")) == (LOADED, LOADED)
    assert chain.sql("SELECT count(*) FROM dlq.without_4") == [(ROWS - PASSED,)]


def test_what_was_not_corrected_is_held_back_again_and_can_be_retried_again(chain: Chain) -> None:
    chain.save(loading(least=TOO_MANY))
    chain.attempt("run_1")
    assert chain.attempt("run_2", "run_1").aborted
    assert chain.attempt("run_3", "run_2", dies="staging").status == "failed"
    assert chain.attempt("run_4", "run_3").aborted  # after the rows that run_3 staged
    chain.save(loading(without=4))
    assert chain.attempt("run_5", "run_4").status == "completed"
    assert chain.amounts() == LOADED


def test_a_corrected_file_is_read_again(chain: Chain) -> None:
    chain.save(loading(least=TOO_MANY))
    chain.attempt("run_1")
    chain.write(2 * ROWS)
    again = chain.attempt("run_2", "run_1")
    assert (again.status, again.ir_version, again.rows_out) == ("completed", 1, 2 * PASSED)


def test_rows_that_were_gathered_are_gathered_again(chain: Chain) -> None:
    once: Nodes = [{"type": "deduplicate", "keys": ["id"], "keep": "first"}]
    chain.save(loading(least=TOO_MANY, ops=once))
    assert chain.attempt("run_1", parallelism=1).aborted
    chain.save(loading(without=4, ops=once))
    again = chain.attempt("run_2", "run_1")
    assert (again.status, chain.amounts()) == ("completed", LOADED)


def test_a_rule_that_held_before_is_evaluated_again(chain: Chain) -> None:
    nodes = loading()
    nodes[1:2] = [nodes[1] | {"id": "sure"}, nodes[1] | {"input": "sure", "datasetLevel": {"rowCount": {"max": 1}}}]
    chain.save(nodes)
    assert [rule.holds for rule in chain.attempt("run_1").rules] == [True, False]
    corrected = loading()
    corrected[1:2] = [nodes[1] | {"datasetLevel": {"rowCount": {"max": 2}}}, nodes[2] | {"datasetLevel": {}}]
    chain.save(corrected)
    assert [rule.holds for rule in chain.attempt("run_2", "run_1").rules] == [False]
    assert chain.amounts() == {}


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_where_rows_are_visible_a_retry_goes_on_as_the_run_began(chain: Chain, mode: str) -> None:
    """`public.ds_other` is not downstream of the rule."""
    chain.save(also(loading(mode, least=TOO_MANY), "src"))
    assert chain.attempt("run_1").rows_out == ROWS
    chain.save(also(loading(mode), "src"))
    continues = chain.continues("run_2", "run_1")
    assert (continues.visible, continues.reloads, continues.committed) == (("public.ds_other",), False, ROWS)
    again = chain.attempt("run_2", "run_1")
    assert (again.status, again.ir_version, again.aborted) == ("failed", 1, True)
    assert (chain.amounts(), sum(chain.amounts("ds_other").values())) == ({}, ROWS)


def test_two_that_stage_again_never_do_so_side_by_side(chain: Chain) -> None:
    chain.save(loading(least=TOO_MANY))
    chain.attempt("run_1")
    one, two = (TargetLocks(chain.job(run, chain.continues(run, "run_1"))) for run in ("run_2", "run_3"))
    try:
        assert one.acquire() is None
        assert two.acquire() == "waits for run_2, which loads into public.ds_first"
    finally:
        one.release()
        two.release()


def test_a_run_whose_retry_staged_again_is_not_begun_again_itself(chain: Chain) -> None:
    chain.save(loading(least=TOO_MANY))
    first = chain.attempt("run_1", parallelism=1)
    assert not same_run_again(first, chain.store, Ledgers.of(chain.url)).reloads  # the same run, by the same rules
    chain.save(loading())
    chain.attempt("run_2", "run_1", dies="staging")
    with pytest.raises(RunFailed, match="run_2 has taken over what this run began"):
        same_run_again(chain.snapshot("run_1"), chain.store, Ledgers.of(chain.url))


@pytest.mark.parametrize("mode", ["append", "upsert", "scd2", "incremental_watermark"])
@pytest.mark.first_variant
def test_a_run_that_staged_nothing_leaves_nothing_that_the_corrected_version_does_not_fit(
    chain: Chain, mode: str
) -> None:
    """Its staging table is there, without the column that the live version has."""
    nameless: Nodes = [{"type": "drop", "fields": ["name"]}]
    chain.save(loading(mode, least=1, ops=nameless))
    rule = chain._versions[0][2]["rowLevel"][0]
    rule |= {"rule": "lt:0", "onFail": "abort"}  # the first batch ends it
    first = chain.attempt("run_1", parallelism=1)
    assert (first.status, first.aborted) == ("failed", False)
    chain.save(loading(mode, without=4))
    assert chain.attempt("run_2", "run_1").status == "completed"
    assert chain.amounts("ds_history" if mode == "scd2" else "ds_first") == LOADED
    table = "ds_history" if mode == "scd2" else "ds_first"
    assert chain.sql(f"SELECT count(*) FROM public.{table} WHERE name IS NULL") == [(0,)]
