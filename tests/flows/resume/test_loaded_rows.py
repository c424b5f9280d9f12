"""A retry after somebody has been at the table: rows that are gone are loaded again or missed aloud, never in silence;
what only looks like a loss disturbs nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.flows.resume.continuation import Continuation, reload_reasons
from headrace.flows.resume.ledgers import Ledgers
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

ROWS, PARTITIONS = 4_000, 4
MADE = "CREATE TABLE public.t (id bigint, name text, amount integer{})"
MODES: dict[str, dict[str, Any]] = {
    "append": {},
    "append_held": {},
    "upsert": {"upsertKey": ["id"]},
    "scd2": {"upsertKey": ["id"]},
    "cdc_mirror": {"upsertKey": ["id"]},
    "incremental_watermark": {"watermarkColumn": "id"},
    "replace": {},
    "truncate": {},
    "blue_green": {},
}
HELD = ("append_held", "incremental_watermark")
FULL = ("replace", "truncate", "blue_green")
RULES = {"rowCount": {"min": 1}}
LOST = {
    "truncated": ["TRUNCATE public.t"],
    "remade": [
        "CREATE TABLE public.u (LIKE public.t INCLUDING ALL)",
        "DROP TABLE public.t",
        "ALTER TABLE u RENAME TO t",
    ],
    "deleted": ["DELETE FROM public.t"],
}
HARMLESS = [
    "ALTER TABLE public.t ADD COLUMN noted timestamptz DEFAULT clock_timestamp()",
    "ALTER TABLE public.t ALTER COLUMN amount TYPE bigint",
    "CREATE INDEX t_by_name ON t (name)",
    "CLUSTER public.t USING t_by_name",
    "ALTER TABLE public.t SET UNLOGGED",
    "VACUUM FULL public.t",
]
RESTORED = [
    "CREATE TABLE public.u (LIKE public.t INCLUDING ALL)",
    "INSERT INTO u SELECT * FROM t",
    "DROP TABLE public.t",
    "ALTER TABLE u RENAME TO t",
]


class Broken:
    """A run of 4,000 rows in four partitions into `public.t` that dies after half of its commits there."""

    def __init__(self, files: Path, url: str, mode: str, *, made: str = "") -> None:
        self.runner, self.url, self.mode = Runner(files, url), url, mode
        orders = pl.DataFrame({"id": range(1, ROWS + 1)}).with_columns(
            pl.format("n{}", "id").alias("name"), pl.lit(7, pl.Int32).alias("amount"), pl.lit("c").alias("op")
        )
        orders.write_parquet(files / "orders.parquet", row_group_size=ROWS // PARTITIONS)
        keyed = ", PRIMARY KEY (id)" if mode in ("upsert", "cdc_mirror") else ""
        self.sql(made or MADE.format(keyed))
        if mode == "scd2":
            self.sql("ALTER TABLE t ADD valid_from timestamptz, ADD valid_to timestamptz, ADD is_current boolean")
        self.first = self.execution()
        self.first.begin()
        stage = self.first.prepared.plan.stages[0]
        partitions = stage.partitions[:2] if mode == "append" else stage.partitions
        for partition in partitions:
            self.first.partition(stage, partition.index)
        publications = self.first.publications() if mode != "append" else []
        for load, index, _ in publications[: max(1, len(publications) // 2)]:
            self.first.publication(load, index)
        assert self.count

    def execution(self, continues: Continuation | None = None, run_id: str = "run_next") -> Execution:
        source = {"connector": "local_fs", "config": {"path": "orders.parquet", "format": "parquet"}}
        target = {
            "kind": "target",
            "schema": "public.t",
            "loadMode": self.mode.removesuffix("_held"),
            **MODES[self.mode],
        }
        nodes: list[dict[str, Any]] = [{"id": "src", "kind": "source", **source}]
        if self.mode == "append_held":
            nodes.append({"id": "check", "kind": "validate", "input": "src", "datasetLevel": RULES})
        job = self.runner.job([*nodes, {"id": "tgt", "input": nodes[-1]["id"], **target}])
        job = replace(job, pipeline=replace(job.pipeline, execution_config={"parallelism": 2}))
        if continues is not None:
            job = replace(job, run_id=run_id, continues=continues)
        return Execution(prepare(job), self.runner.recorder)

    def again(self, run_id: str = "run_next") -> RunTotals:
        """The same run if a retry would restart it, else a retry of it."""
        died = self.first.prepared
        continues = Continuation(died.job.root_run_id, earlier_plan=stored_plan(died))
        return run_in_threads(self.execution(continues, died.job.run_id if self.mode in FULL else run_id))

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    @property
    def count(self) -> tuple[int, int] | None:
        (found,) = self.sql("SELECT count(*), count(DISTINCT id) FROM public.t")
        return found if found != (0, 0) else None

    def said(self, part: str) -> list[str]:
        return [line for line in self.runner.recorder.lines if part in line]


@pytest.fixture(autouse=True)
def _buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.connectors.postgresql.modes.merge_keys.ROWS_PER_BUCKET", 1_000)


WHOLE = RunTotals(ROWS, ROWS, 0, 0)


@pytest.mark.parametrize(
    ("mode", "lost"),
    [
        *(("append", lost) for lost in LOST),
        *((mode, "truncated") for mode in MODES if mode not in ("append", "incremental_watermark")),
        ("upsert", "remade"),
    ],
)
def test_rows_that_are_gone_are_loaded_again(tmp_path: Path, database_url: str, mode: str, lost: str) -> None:
    broken = Broken(tmp_path, database_url, mode)
    broken.sql(*LOST[lost])
    assert broken.again() == WHOLE
    assert broken.count == (ROWS, ROWS)
    (reported,) = broken.said("are there any more")
    assert reported.startswith("None of the ")
    assert reported.endswith("All its rows are loaded again")
    # and what was loaded again counts as any other
    assert broken.again("run_third") == WHOLE
    assert broken.count == (ROWS, ROWS)


@pytest.mark.parametrize("lost", ["truncated", "deleted"])
def test_rows_after_a_watermark_that_are_gone_end_the_retry(tmp_path: Path, database_url: str, lost: str) -> None:
    broken = Broken(tmp_path, database_url, "incremental_watermark")
    broken.sql(*LOST[lost])
    with pytest.raises(
        TargetError, match=r"Of the 4,000 rows that earlier attempts loaded into public\.t none"
    ) as refused:
        broken.again()
    assert refused.value.code == "rows_gone"
    removed, unmarked = refused.value.hint.split(": ", 1)[1].split("; ", 1)
    broken.sql(removed, unmarked)
    assert run_in_threads(broken.execution()) == WHOLE
    assert broken.count == (ROWS, ROWS)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.first_variant
def test_what_loses_no_row_disturbs_no_retry(tmp_path: Path, database_url: str, mode: str) -> None:
    broken = Broken(tmp_path, database_url, mode)
    broken.sql(*HARMLESS)
    assert broken.again() == WHOLE
    assert broken.count == (ROWS, ROWS)
    assert broken.said("any more") == broken.said("has changed") == []


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_table_that_was_restored_with_its_rows_disturbs_no_retry(
    tmp_path: Path, database_url: str, mode: str
) -> None:
    broken = Broken(tmp_path, database_url, mode)
    broken.sql(*RESTORED)
    assert broken.again() == WHOLE
    assert broken.count == (ROWS, ROWS)
    assert broken.said("any more") == broken.said("has changed") == []


@pytest.mark.parametrize("mode", ["append", "append_held"])
def test_rows_of_which_some_are_gone_are_missed_aloud(tmp_path: Path, database_url: str, mode: str) -> None:
    broken = Broken(tmp_path, database_url, mode)
    broken.sql("DELETE FROM t WHERE id <= 100", "VACUUM FULL t")
    loaded = 2_000 if mode == "append" else ROWS
    with pytest.raises(TargetError, match=f"Of the {loaded:,} .* only {loaded - 100:,} are there any more") as refused:
        broken.again()
    broken.sql(refused.value.hint.split(": ", 1)[1])  # what it says to do helps
    assert broken.again() == WHOLE
    assert broken.count == (ROWS, ROWS)


@pytest.mark.parametrize("mode", ["upsert", "scd2", "cdc_mirror"])
def test_rows_of_which_some_are_gone_are_merged_again(tmp_path: Path, database_url: str, mode: str) -> None:
    broken = Broken(tmp_path, database_url, mode)
    broken.sql("DELETE FROM t WHERE id % 2 = 0", "VACUUM FULL t")
    broken.again()
    assert broken.count == (ROWS, ROWS)
    assert len(broken.said("Only ")) == 1


CHANGED = {
    "column amount is called price now": ["ALTER TABLE t RENAME COLUMN amount TO price"],
    "column amount was dropped and added again": [
        "ALTER TABLE t DROP COLUMN amount",
        "ALTER TABLE t ADD amount integer",
    ],
    "column amount was integer and is text": ["ALTER TABLE t ALTER COLUMN amount TYPE text"],
    "column op is new": ["ALTER TABLE t ADD COLUMN op text"],
}


@pytest.mark.parametrize(
    ("mode", "said"),
    [*(("append", said) for said in CHANGED), *((mode, "column op is new") for mode in HELD)],
)
def test_rows_before_and_after_a_change_of_columns_are_not_mixed(
    tmp_path: Path, database_url: str, mode: str, said: str
) -> None:
    broken = Broken(tmp_path, database_url, mode)
    before = broken.count
    broken.sql(*CHANGED[said])
    with pytest.raises(TargetError, match=said) as refused:
        broken.again()
    assert refused.value.code == "columns_changed"
    assert broken.count == before
    for statement in refused.value.hint.split(": ", 1)[1].split("; "):
        broken.sql(statement)
    assert (broken.again() if mode != "incremental_watermark" else run_in_threads(broken.execution())) == WHOLE
    assert broken.count == (ROWS, ROWS)


@pytest.mark.parametrize(("mode", "said"), [*(("upsert", said) for said in CHANGED), ("scd2", "column op is new")])
@pytest.mark.first_variant
def test_a_table_with_other_columns_is_merged_into_again(
    tmp_path: Path, database_url: str, mode: str, said: str
) -> None:
    broken = Broken(tmp_path, database_url, mode)
    broken.sql(*CHANGED[said])
    broken.again()
    assert len(broken.said(said)) == 1
    assert broken.count is not None
    assert broken.count[1] == ROWS
    column = said.split()[1] if "op" in said else "amount"
    if "called" not in said:
        empty = f"SELECT count(*) FROM t WHERE {column} IS NULL"
        assert broken.sql(empty + (" AND is_current" if mode == "scd2" else "")) == [(0,)]


def test_a_column_that_is_gone_is_gone_from_all_rows(tmp_path: Path, database_url: str) -> None:
    broken = Broken(tmp_path, database_url, "append")
    broken.sql("ALTER TABLE t DROP COLUMN amount")
    assert broken.again() == WHOLE
    assert broken.said("lost") == ["public.t has lost column amount: all rows go without"]
    broken.sql("ALTER TABLE t ADD COLUMN amount integer")  # and when it comes back, the rows are without it
    with pytest.raises(TargetError, match="column amount"):
        broken.again("run_third")


def test_what_is_staged_for_a_table_with_other_columns_is_staged_again(tmp_path: Path, database_url: str) -> None:
    broken = Broken(tmp_path, database_url, "upsert")
    broken.sql("TRUNCATE t", "ALTER TABLE t ALTER COLUMN amount TYPE text, ALTER COLUMN name TYPE varchar(20)")
    assert broken.again() == WHOLE
    assert broken.sql("SELECT count(*), min(amount) FROM t") == [(ROWS, "7")]


def test_a_column_that_is_gone_is_not_asked_for_by_what_is_staged(tmp_path: Path, database_url: str) -> None:
    made = MADE.format(" NOT NULL, PRIMARY KEY (id)")
    broken = Broken(tmp_path, database_url, "upsert", made=made)
    broken.sql("ALTER TABLE t DROP COLUMN amount")
    assert broken.again() == WHOLE
    assert len(broken.said("it has lost column amount")) == 1
    assert broken.count == (ROWS, ROWS)


PARTED = f"{MADE.format('')} PARTITION BY RANGE (id)"
PART = "CREATE TABLE public.t{0} PARTITION OF public.t FOR VALUES FROM ({1}) TO ({2})"


def test_one_part_of_a_table_counts_too(tmp_path: Path, database_url: str) -> None:
    broken = Broken(
        tmp_path, database_url, "append", made=f"{PARTED}; {PART.format(1, 1, 1001)}; {PART.format(2, 1001, 9999)}"
    )
    broken.sql(PART.format(3, 9999, 10_000), "VACUUM FULL t2")
    run_in_threads(broken.execution())  # another run, which the next does not mind
    broken.sql("TRUNCATE t1")
    with pytest.raises(TargetError, match=r"Of the 2,000 rows .* only 1,000 are there"):
        broken.again()


def test_rows_of_an_older_version_that_kept_no_table_are_counted(tmp_path: Path, database_url: str) -> None:
    broken = Broken(tmp_path, database_url, "append")
    broken.sql("DELETE FROM _headrace.begun")
    assert broken.again() == WHOLE
    assert broken.count == (ROWS, ROWS)


def test_one_of_two_targets_begins_again_and_the_other_goes_on(tmp_path: Path, database_url: str) -> None:
    runner = Runner(tmp_path, database_url)
    pl.DataFrame({"id": range(ROWS)}).write_parquet(tmp_path / "orders.parquet", row_group_size=1_000)
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE a (id bigint); CREATE TABLE b (id bigint)")
    source = {"id": "src", "kind": "source", "connector": "local_fs"}
    nodes = [source | {"config": {"path": "orders.parquet", "format": "parquet"}}] + [
        {"id": name, "kind": "target", "input": "src", "schema": f"public.{name}"} for name in ("a", "b")
    ]
    first = Execution(prepare(runner.job(nodes)), runner.recorder)
    first.begin()
    for index in (0, 1):
        first.partition(first.prepared.plan.stages[0], index)
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE b")
    died = first.prepared
    continues = Continuation(died.job.root_run_id, earlier_plan=stored_plan(died))
    job = replace(runner.job(nodes), run_id="run_next", continues=continues)
    assert run_in_threads(Execution(prepare(job), runner.recorder)) == RunTotals(ROWS, 2 * ROWS, 0, 0)
    with psycopg.connect(database_url) as connection:
        for name in ("a", "b"):
            query = f"SELECT count(*), count(DISTINCT id) FROM {name}"
            assert connection.execute(query).fetchone() == (ROWS, ROWS)  # type: ignore[arg-type]


def test_whoever_asks_for_a_retry_is_reported_beforehand(tmp_path: Path, database_url: str) -> None:
    broken = Broken(tmp_path, database_url, "append")
    died = broken.first.prepared
    continues = Continuation(died.job.root_run_id, earlier_plan=stored_plan(died))
    broken.sql("VACUUM FULL t")
    assert reload_reasons(continues, Ledgers.of(database_url)) == []
    broken.sql("DELETE FROM t WHERE id = 1")
    with pytest.raises(RunFailed, match="only 1,999 are there any more"):
        reload_reasons(continues, Ledgers.of(database_url))
    broken.sql("TRUNCATE t")
    (reported,) = reload_reasons(continues, Ledgers.of(database_url))
    assert reported.startswith("None of the 2,000 rows")
    assert broken.again() == WHOLE
