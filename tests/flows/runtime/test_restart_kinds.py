"""Sources that restart at boundaries or not at all: whatever dies and whatever changes meanwhile, no row is lost or
loaded twice."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.ledger.schema import create_ledger
from headrace.connectors.source import Restart
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database
from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.failed_rows import find_open_rows
from headrace.flows.resume.stored_plan import StoredPlan
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.effort import examples
from tests.flows.runtime.dying import Bomb, Killed, armed
from tests.flows.runtime.graphs.world import Mill, target, transform
from tests.flows.runtime.shelf import Shelf
from tests.flows.runtime.shop import Notebook

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def database(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Mill:
    name = f"restart_{uuid4().hex[:12]}"
    ensure_database(postgres_server.url("postgres"), name)
    folder = tmp_path_factory.mktemp("restart") / "files"
    folder.mkdir()
    mill = Mill(folder, postgres_server.url(name))
    mill.table("one", "id bigint, amount integer")
    mill.table("two", "id bigint, amount integer")
    mill.table("keyed", "id bigint PRIMARY KEY, amount integer")
    return mill


@pytest.fixture
def mill(database: Mill) -> Mill:
    database.alter("TRUNCATE public.one, public.two, public.keyed")
    database.alter("DROP TABLE IF EXISTS _headrace.cursors, _headrace.originals")
    fresh = Mill(database.root, database.url)
    fresh.recorder = Numbered()
    return fresh


class Numbered(Notebook):
    """A recorder that also keeps where each failed row is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: list[tuple[Any, ...]] = []

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        super().rejected(stage, partition, node, cells, warning=warning)
        self.failed += [(stage, partition, node, *cell) for cell in cells.select("row", "value", "error").rows()]


def errors(mill: Mill) -> list[tuple[Any, ...]]:
    assert isinstance(mill.recorder, Numbered)
    return mill.recorder.failed


def shelf_of(rows: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Shelf:
    shelf = Shelf({key: str(key % 7) for key in range(1, rows + 1)}, **options)
    shelf.put(monkeypatch)
    return shelf


def ids(mill: Mill, table: str = "one") -> list[int]:
    return [key for (key,) in mill.rows(f"SELECT id FROM public.{table} ORDER BY id")]


def until_done(mill: Mill, nodes: list[dict[str, Any]], root: str, deaths: list[int], between: Any) -> RunTotals:
    """Attempts of one chain, each killed at its step; `between` changes the source after each death."""
    earlier = None
    for number, death in enumerate([*deaths, 10**9], 1):
        run = mill.execution(nodes, f"{root}_{number}", root=f"{root}_1", earlier=earlier, parallelism=2, batch=30)
        with armed(Bomb(death)):
            try:
                return run_in_threads(run)
            except Killed:
                # What committed nothing is planned again, as a retry does it.
                query = "SELECT FROM _headrace.ledger WHERE root_run_id LIKE %s UNION ALL "
                query += "SELECT FROM _headrace.staging_ledger WHERE root_run_id LIKE %s"
                with psycopg.connect(mill.url) as connection:
                    begun = connection.execute(query, [f"{root}_1%"] * 2).fetchone()
                earlier = None if begun is None else stored_plan(run.prepared)
                between()
    raise AssertionError("the last attempt is not killed")


@settings(max_examples=examples(12), suppress_health_check=list(HealthCheck))
@given(
    deaths=st.lists(st.integers(0, 60), min_size=1, max_size=3),
    restart=st.sampled_from([Restart.BOUNDARY, Restart.NONE]),
    shape=st.sampled_from(["append", "two targets", "keyed", "deduplicate"]),
)
def test_wherever_it_dies_rows_that_were_always_there_are_loaded_once(
    mill: Mill, deaths: list[int], restart: Restart, shape: str
) -> None:
    for table in ("one", "two", "keyed"):
        mill.alter(f"TRUNCATE public.{table}")
    with pytest.MonkeyPatch.context() as patch:
        shelf = shelf_of(300, patch, restart=restart)
        always = {key for key in shelf.rows if key % 10}
        changes = iter(range(1, 1000))

        def between() -> None:
            for _ in range(5):  # some go, some come, in the middle and at the end
                shelf.rows.pop(10 * next(changes), None)
                shelf.rows[1000 + next(changes)] = "1"

        nodes = [shelf.node()]
        match shape:
            case "append":
                nodes.append(target("tgt", "src", "one"))
            case "two targets":
                nodes += [target("tgt", "src", "one"), target("other", "src", "two")]
            case "keyed":
                nodes.append(target("tgt", "src", "keyed", loadMode="upsert", upsertKey="id"))
            case "deduplicate":
                nodes.append(transform("dd", "src", {"type": "deduplicate", "keys": ["id"]}))
                nodes.append(target("tgt", "dd", "one"))
        totals = until_done(mill, nodes, f"r{uuid4().hex[:8]}", deaths, between)

    table = "keyed" if shape == "keyed" else "one"
    loaded = ids(mill, table)
    assert len(loaded) == len(set(loaded)), "no row twice"
    assert always <= set(loaded), "no row lost"
    assert totals.rows_in == len(loaded) if shape != "two targets" else True
    if shape == "two targets":
        assert ids(mill, "two") == loaded, "both targets have the same rows"


@pytest.mark.parametrize("restart", [Restart.BOUNDARY, Restart.NONE, Restart.EXACT])
def test_rows_that_nobody_knew_beforehand_are_counted(
    mill: Mill, monkeypatch: pytest.MonkeyPatch, restart: Restart
) -> None:
    shelf = shelf_of(200, monkeypatch, restart=restart)
    run = mill.execution([shelf.node(), target("tgt", "src", "one")], f"n{uuid4().hex[:8]}")
    assert not run.prepared.plan.counted
    assert run.prepared.total_rows < 200
    totals = run_in_threads(run)
    assert (totals.rows_in, totals.rows_out) == (200, 200)
    assert ids(mill) == list(range(1, 201))
    assert shelf.closed == 1
    finished = "SELECT bool_and(finished) FROM _headrace.ledger WHERE root_run_id = '{}' AND kind = 'load'"
    assert mill.rows(finished.format(run.prepared.job.run_id)) == [(True,)]


def test_a_finished_partition_is_not_read_again(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, root = shelf_of(100, monkeypatch), f"f{uuid4().hex[:8]}"
    run = mill.execution([shelf.node(), target("tgt", "src", "one")], root)
    run_in_threads(run)
    shelf.rows[50_000] = "1"
    read = len(shelf.reads)
    again = mill.execution(
        [shelf.node(), target("tgt", "src", "one")], f"{root}b", root=root, earlier=stored_plan(run.prepared)
    )
    run_in_threads(again)
    assert (len(shelf.reads), len(ids(mill))) == (read, 100)


def test_staged_rows_that_a_crash_took_are_missed_although_nobody_knew_how_many_they_were(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, root = shelf_of(200, monkeypatch), f"s{uuid4().hex[:8]}"
    nodes = [shelf.node(), target("tgt", "src", "keyed", loadMode="upsert", upsertKey="id")]
    run = mill.execution(nodes, root)
    run.begin()
    (stage,) = run.prepared.plan.stages
    run.partition(stage, 0)
    tables = "SELECT relname FROM pg_class WHERE relname LIKE 'stage\\_%' AND relkind IN ('r', 'p')"
    ((staged,),) = mill.rows(f"{tables} AND NOT relispartition ORDER BY oid DESC LIMIT 1")
    mill.alter(f'TRUNCATE _headrace.staging_ledger, _headrace."{staged}"')  # as a crash leaves unlogged tables
    run.partition(stage, 1)
    for load, index, _ in run.publications():
        with pytest.raises(TargetError, match="only 1 are still staged"):
            run.publication(load, index)
    assert ids(mill, "keyed") == []
    again = mill.execution(nodes, f"{root}b", root=root, earlier=stored_plan(run.prepared))
    assert run_in_threads(again).rows_out == 200


@pytest.mark.parametrize("restart", [Restart.BOUNDARY, Restart.NONE])
def test_rows_that_a_source_rejects_are_counted_once(
    mill: Mill, monkeypatch: pytest.MonkeyPatch, restart: Restart
) -> None:
    monkeypatch.setattr("headrace.flows.runtime.extracted.BATCH_ROWS", 7)
    shelf = shelf_of(100, monkeypatch, restart=restart, unreadable=frozenset(range(3, 100, 3)))
    totals = run_in_threads(mill.execution([shelf.node(), target("tgt", "src", "one")], f"u{uuid4().hex[:8]}"))
    assert (totals.rows_in, totals.rows_out, totals.failed) == (100, 67, 33)
    assert len(errors(mill)) == 33


def test_a_source_that_gives_no_position_is_not_loaded_from(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = shelf_of(10, monkeypatch, positions=False)
    with pytest.raises(RunFailed, match="fault of the connector"):
        run_in_threads(mill.execution([shelf.node(), target("tgt", "src", "one")], f"p{uuid4().hex[:8]}"))
    assert ids(mill) == []


# ---- cursors


def cursors(mill: Mill) -> list[tuple[str, int]]:
    return mill.rows("SELECT target_node, (position ->> 'after')::int FROM _headrace.cursors ORDER BY 1")  # type: ignore[return-value]


@pytest.mark.parametrize("mode", ["append", "upsert", "deduplicate"])
def test_the_next_run_reads_what_is_new(mill: Mill, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    shelf = shelf_of(100, monkeypatch, cursor=True)
    nodes = [shelf.node(), target("tgt", "src", "one")]
    if mode == "upsert":
        nodes = [shelf.node(), target("tgt", "src", "keyed", loadMode="upsert", upsertKey="id")]
    elif mode == "deduplicate":
        dedup = transform("dd", "src", {"type": "deduplicate", "keys": ["id"]})
        nodes = [shelf.node(), dedup, target("tgt", "dd", "one")]
    assert mill.run(nodes, run_id=f"c{uuid4().hex[:8]}").rows_in == 100
    assert cursors(mill) == [("tgt", 100)]
    shelf.rows |= dict.fromkeys(range(101, 131), "3")
    assert mill.run(nodes, run_id=f"c{uuid4().hex[:8]}").rows_in == 30
    assert cursors(mill) == [("tgt", 130)]
    assert mill.run(nodes, run_id=f"c{uuid4().hex[:8]}").rows_in == 0
    assert ids(mill, "keyed" if mode == "upsert" else "one") == list(range(1, 131))


@settings(max_examples=examples(10), suppress_health_check=list(HealthCheck))
@given(deaths=st.lists(st.integers(0, 40), min_size=1, max_size=4), mode=st.sampled_from(["append", "upsert", "dedup"]))
def test_runs_that_are_given_up_leave_rows_and_cursor_in_agreement(mill: Mill, deaths: list[int], mode: str) -> None:
    """Each run dies and is never retried: the next one goes on from where the cursor is."""
    for table in ("one", "keyed"):
        mill.alter(f"TRUNCATE public.{table}")
    mill.alter("DROP TABLE IF EXISTS _headrace.cursors")
    with pytest.MonkeyPatch.context() as patch:
        shelf = shelf_of(120, patch, cursor=True)
        nodes = [shelf.node(), target("tgt", "src", "one")]
        if mode == "upsert":
            nodes = [shelf.node(), target("tgt", "src", "keyed", loadMode="upsert", upsertKey="id")]
        elif mode == "dedup":
            dedup = transform("dd", "src", {"type": "deduplicate", "keys": ["id"]})
            nodes = [shelf.node(), dedup, target("tgt", "dd", "one")]
        for death in [*deaths, 10**9]:
            run = mill.execution(nodes, f"g{uuid4().hex[:8]}", batch=20)
            with armed(Bomb(death)):
                try:
                    run_in_threads(run)
                except Killed:
                    shelf.rows[max(shelf.rows) + 1] = "1"
    loaded = ids(mill, "keyed" if mode == "upsert" else "one")
    assert loaded == sorted(shelf.rows)


def test_targets_that_are_at_different_positions_are_not_passed_over(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = shelf_of(50, monkeypatch, cursor=True)
    nodes = [shelf.node(), target("tgt", "src", "one"), target("other", "src", "two")]
    mill.run(nodes, run_id=f"d{uuid4().hex[:8]}")
    assert cursors(mill) == [("other", 50), ("tgt", 50)]
    mill.alter("""UPDATE _headrace.cursors SET position = '{"after": 20}' WHERE target_node = 'tgt'""")
    with pytest.raises(RunFailed, match=r"read up to .* for other and up to .* for tgt"):
        mill.execution(nodes, f"d{uuid4().hex[:8]}")


# ---- failed rows


def replay(
    mill: Mill, nodes: list[dict[str, Any]], run: Execution, failed: dict[tuple[int, int, str], set[int]]
) -> Any:
    plan = stored_plan(run.prepared)
    origin = run.prepared.job.run_id
    continues = Continuation(
        root_run_id=f"{origin}_again",
        retry_of=origin,
        origin_run_id=origin,
        earlier_plan=plan,
        open_rows=find_open_rows(StoredPlan.of(plan), failed, []),
    )
    return mill.execution(nodes, f"{origin}_again", continues=continues)


@pytest.mark.parametrize("restart", [Restart.BOUNDARY, Restart.NONE])
def test_failed_rows_are_run_again_from_what_was_kept(
    mill: Mill, monkeypatch: pytest.MonkeyPatch, restart: Restart
) -> None:
    shelf = shelf_of(90, monkeypatch, restart=restart)
    bad = {7, 44, 45, 90}
    shelf.rows |= {key: f"{key} pieces" for key in bad}
    nodes = [shelf.node(), target("tgt", "src", "one")]
    run = mill.execution(nodes, f"k{uuid4().hex[:8]}", batch=20)
    totals = run_in_threads(run)
    assert (totals.rows_out, totals.failed) == (86, 4)
    shelf.rows.clear()  # the source has other rows by now
    shelf.rows[5_000] = "1"
    failed: dict[tuple[int, int, str], set[int]] = {}
    for stage, partition, node, row, *_ in errors(mill):
        failed.setdefault((stage, partition, node), set()).add(row)
    corrected = [
        shelf.node(),
        transform(
            "remedy", "src", {"type": "expression", "field": "amount", "expression": "REPLACE(amount, ' pieces', '')"}
        ),
        target("tgt", "remedy", "one"),
    ]
    again = replay(mill, corrected, run, failed)
    assert run_in_threads(again).rows_out == 4
    assert mill.rows("SELECT id, amount FROM public.one WHERE amount > 6 ORDER BY 1") == [(k, k) for k in sorted(bad)]


def test_rows_of_one_batch_that_failed_in_different_places_are_all_kept(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an expression refuses and what the table refuses lie between each other."""
    shelf = shelf_of(60, monkeypatch, partitions=1)
    shelf.rows |= {5: "five", 50: "fifty", 20: "99", 30: "99"}
    mill.alter("ALTER TABLE public.one ADD CONSTRAINT small CHECK (amount < 50) NOT VALID")
    try:
        nodes = [shelf.node(), target("tgt", "src", "one")]
        run = mill.execution(nodes, f"m{uuid4().hex[:8]}", batch=60)
        assert run_in_threads(run).failed == 4
    finally:
        mill.alter("ALTER TABLE public.one DROP CONSTRAINT small")
    failed: dict[tuple[int, int, str], set[int]] = {}
    for stage, partition, node, row, *_ in errors(mill):
        failed.setdefault((stage, partition, node), set()).add(row)
    shelf.rows.clear()
    again = run_in_threads(replay(mill, nodes, run, failed))
    assert (again.rows_out, again.failed) == (2, 2)
    assert not any("was not kept" in str(error) for error in errors(mill))
    assert mill.rows("SELECT id FROM public.one WHERE amount = 99 ORDER BY 1") == [(20,), (30,)]


def test_a_failed_row_that_was_not_kept_says_so(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = shelf_of(10, monkeypatch)
    shelf.rows[4] = "four"
    nodes = [shelf.node(), target("tgt", "src", "one")]
    run = mill.execution(nodes, f"l{uuid4().hex[:8]}")
    run_in_threads(run)
    ((stage, partition, node, row, *_),) = errors(mill)
    mill.alter("TRUNCATE _headrace.originals")
    again = replay(mill, nodes, run, {(stage, partition, node): {row}})
    assert run_in_threads(again).failed == 1
    assert any("was not kept" in str(error) for error in errors(mill)[-1])


# ---- the ledger of an earlier release

_OLD = """
CREATE SCHEMA _headrace;
CREATE TABLE _headrace.ledger (
  root_run_id text NOT NULL, target_node text NOT NULL, stage integer NOT NULL, partition integer NOT NULL,
  rows_done bigint NOT NULL, rows_loaded bigint NOT NULL, rows_failed bigint NOT NULL, rows_skipped bigint NOT NULL,
  position bigint, counters jsonb NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (root_run_id, target_node, stage, partition));
CREATE UNLOGGED TABLE _headrace.staging_ledger (LIKE _headrace.ledger INCLUDING ALL);
INSERT INTO _headrace.ledger VALUES
  ('r', 'tgt', 0, 1, 10, 9, 1, 0, 512, '{}'), ('r', 'tgt', -1, 0, 0, 9, 0, 0, 8, '{}'),
  ('r', 'join.0', 0, 1, 10, 0, 0, 0, null, '{}'), ('r', 'check.rules', -1, 0, 0, 0, 0, 0, null, '{}');
INSERT INTO _headrace.staging_ledger VALUES ('r', 'check.rules.0.measured', 0, 0, 5, 0, 0, 0, null, '{}');
"""


def test_the_ledger_of_an_earlier_release_is_taken_over(postgres_server: EmbeddedPostgres) -> None:
    name = f"older_{uuid4().hex[:12]}"
    ensure_database(postgres_server.url("postgres"), name)
    with psycopg.connect(postgres_server.url(name), autocommit=True) as connection:
        connection.execute(_OLD)
        for _ in range(2):
            create_ledger(connection)
        columns = "target_node, kind, stage, partition, rows_done, position, version, finished"
        assert connection.execute(f"SELECT {columns} FROM _headrace.ledger ORDER BY 1, 2").fetchall() == [
            ("check.rules", "verdict", 0, 0, 0, None, 1, False),
            ("join.0", "exchange", 0, 1, 10, None, 1, False),
            ("tgt", "load", 0, 1, 10, 512, 1, False),
            ("tgt", "publication", 0, 0, 0, 8, 1, False),
        ]
        assert connection.execute("SELECT kind FROM _headrace.staging_ledger").fetchall() == [("measure",)]
