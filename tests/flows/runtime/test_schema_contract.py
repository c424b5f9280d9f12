"""schemaContract: handling of columns that the table lacks, under every load mode."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from headrace.flows.compile.target.lost_columns import LastRun
from headrace.flows.dry_run.plan import plan_run
from headrace.flows.runtime.errors import PlanFailed, RunFailed
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.targets.evolve import evolve
from headrace.ir.schema import Field
from tests.flows.runtime.loads import Loads

pytestmark = pytest.mark.postgres

MORE = "id,name,amount,colour,weight\n1,a,1,red,2.5\n2,b,2,,\n3,c,3,,1\n"
SELECT = "SELECT id, colour, weight FROM public.ds_orders ORDER BY id"
MODES: dict[str, dict[str, Any]] = {
    "append": {},
    "replace": {},
    "truncate": {},
    "blue_green": {},
    "upsert": {"upsertKey": "id"},
}


@pytest.mark.parametrize("mode", MODES)
def test_evolve_gives_the_table_and_its_schema_the_new_columns(loads: Loads, mode: str) -> None:
    loads.write(MORE)
    options = {"loadMode": mode, "schemaContract": "evolve", **MODES[mode]}
    plan = plan_run(loads.job(**options))
    changes = [change.statement for change in plan.changes if change.action == "add column"]
    assert changes == [
        'ALTER TABLE "public"."ds_orders" ADD COLUMN "colour" text;',
        'ALTER TABLE "public"."ds_orders" ADD COLUMN "weight" double precision;',
    ]
    assert "public.ds_orders gets the columns colour text, weight double" in plan.notes
    totals = loads.run(**options)
    assert (totals.rows_in, totals.rows_out) == (3, 3)
    assert loads.table(SELECT) == [(1, "red", 2.5), (2, None, None), (3, None, 1.0)]
    assert loads.schema_fields()[3:] == [("colour", "text"), ("weight", "double")]
    assert loads.recorder.said("added columns colour, weight")
    assert loads.run("run_2", **options | ({} if mode != "append" else {"loadMode": "replace"})).rows_out == 3
    assert len(loads.recorder.said("added column")) == 1


def test_evolve_says_who_added_the_column(loads: Loads) -> None:
    loads.write(MORE)
    loads.run(schemaContract="evolve")
    with psycopg.connect(loads.catalog_url) as catalog:
        found = catalog.execute("SELECT DISTINCT user_name FROM headrace.audit_log WHERE user_id = 'run_1'").fetchall()
    assert found == [("pipeline Orders",)]


def test_freeze_fails_before_the_first_byte(loads: Loads) -> None:
    loads.write(MORE)
    with pytest.raises(PlanFailed) as caught:
        loads.run(schemaContract="freeze")
    (problem,) = caught.value.problems
    assert (problem.path, problem.code) == ("nodes[1].schemaContract", "schema_frozen")
    assert "colour, weight" in problem.message
    loads.numbers(2)
    assert loads.run(schemaContract="freeze").rows_out == 2


LAST = {"src": LastRun("run_0", (Field("id", "bigint"), Field("name", "text"), Field("amount", "integer")))}


def test_a_frozen_table_does_not_take_a_source_that_lost_a_column(loads: Loads) -> None:
    loads.write("id,name\n1,a\n")
    with pytest.raises(PlanFailed) as caught:
        prepare(replace(loads.job(schemaContract="freeze"), last_runs=LAST))
    (problem,) = caught.value.problems
    assert (problem.path, problem.code) == ("nodes[1].schemaContract", "column_gone")
    assert problem.message == (
        "The source 'src' (orders.csv) has no column 'amount' any more, which was loaded into public.ds_orders.amount "
        "(in run_0), and the table is frozen"
    )
    assert "declare" in problem.hint
    assert "evolve" in problem.hint
    prepare(replace(loads.job(schemaContract="evolve"), last_runs=LAST)).close()
    prepare(loads.job(schemaContract="freeze", fields={"id": "bigint", "name": "text"})).close()


@pytest.mark.parametrize("header", ["id,name,AMOUNT", "amount,id,name"])
def test_a_frozen_table_takes_a_column_of_another_case_or_place(loads: Loads, header: str) -> None:
    loads.write(f"{header}\n1,2,3\n")
    prepare(replace(loads.job(schemaContract="freeze"), last_runs=LAST)).close()


def test_a_frozen_table_does_not_miss_a_column_that_it_never_had(loads: Loads) -> None:
    loads.numbers(1)
    more = {"src": LastRun("run_0", (*LAST["src"].columns, Field("colour", "text")))}
    prepare(replace(loads.job(schemaContract="freeze"), last_runs=more)).close()


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_discard_row_skips_and_counts_by_column(loads: Loads, mode: str) -> None:
    loads.write(MORE)
    totals = loads.run(loadMode=mode, schemaContract="discard_row", execution={"batchSize": 1})
    assert (totals.rows_in, totals.rows_out, totals.failed, totals.skipped) == (3, 1, 0, 2)
    assert loads.table() == [(2, "b", 2)]
    assert loads.recorder.said("rows skipped for a value in a column that the table lacks: colour (1), weight (2)")
    assert loads.recorder.said("has no column for colour, weight: rows with a value there are skipped")


def test_discard_row_counts_on_after_the_ledger(loads: Loads) -> None:
    loads.write(MORE)
    loads.run(schemaContract="discard_row")
    loads.run("run_2", root="run_1", schemaContract="discard_row")
    assert len(loads.recorder.said("colour (1), weight (2)")) == 2


def test_without_a_contract_the_values_are_left_out_and_the_log_says_so(loads: Loads) -> None:
    loads.write(MORE)
    assert loads.run().rows_out == 3
    assert loads.recorder.said("has no column for colour, weight: not loaded")
    assert [name for name, _ in loads.schema_fields()] == ["id", "name", "amount"]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ("Name", "There are two fields named 'Name'"),
        ("xmin", "'xmin' is reserved"),
        ("_headrace_x", "'_headrace_x' is reserved"),
        ("a" * 64, "longer than 63 bytes"),
        ("ü" * 32, "longer than 63 bytes"),
        ("two words", "is not a column name"),
    ],
)
def test_a_column_that_cannot_be_added_stops_the_run_before_it_begins(loads: Loads, column: str, says: str) -> None:
    loads.write(f"id,name,{column}\n1,a,x\n")
    with pytest.raises(PlanFailed) as caught:
        loads.run(schemaContract="evolve")
    (problem,) = caught.value.problems
    assert (problem.path, problem.code) == ("nodes[1].schemaContract", "cannot_evolve")
    assert says in problem.message
    assert len(loads.schema_fields()) == 3


def test_two_new_columns_that_differ_by_case_are_one_too_many(loads: Loads) -> None:
    loads.write("id,x,X\n1,a,b\n")
    with pytest.raises(PlanFailed, match="There are two fields named 'X'"):
        loads.run(schemaContract="evolve")


def test_a_mapped_column_is_not_a_new_one_and_a_generated_one_is_there(loads: Loads) -> None:
    loads.table("ALTER TABLE public.ds_orders ADD COLUMN double int GENERATED ALWAYS AS (amount * 2) STORED")
    loads.write("id,who,amount,double\n1,a,1,9\n")
    loads.run(schemaContract="evolve", mapping={"name": "who"})
    assert loads.table("SELECT name, double FROM public.ds_orders") == [("a", 2)]
    assert [name for name, _ in loads.schema_fields()] == ["id", "name", "amount"]


def test_many_runs_that_want_the_same_column_at_once_get_it_once(loads: Loads) -> None:
    jobs = [loads.job(f"run_{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda job: evolve(job, "public.ds_orders", (Field("colour", "text"),)), jobs))
    assert sorted(added) == [[]] * 7 + [["colour"]]
    assert loads.schema_fields()[3:] == [("colour", "text")]


def test_the_same_column_of_another_type_is_reported(loads: Loads) -> None:
    evolve(loads.job(), "public.ds_orders", (Field("colour", "bigint"),))
    with pytest.raises(RunFailed, match="should be text and is bigint"):
        evolve(loads.job(), "public.ds_orders", (Field("colour", "text"),))


def test_a_table_in_use_is_waited_for(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.catalog.schemas.alter._LOCK_TIMEOUT", "50ms")
    with psycopg.connect(loads.url) as reader:
        reader.execute("SELECT count(*) FROM public.ds_orders")
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                reader.rollback()

        assert evolve(loads.job(), "public.ds_orders", (Field("colour", "text"),), sleep=pause) == ["colour"]
        assert len(pauses) == 3
        reader.execute("SELECT count(*) FROM public.ds_orders")
        with pytest.raises(RunFailed, match="The table is in use, perhaps by a run"):
            evolve(loads.job(), "public.ds_orders", (Field("size", "text"),), sleep=lambda seconds: None)


def test_what_fails_half_way_leaves_neither_column_nor_metadata(loads: Loads) -> None:
    loads.table("ALTER TABLE public.ds_orders ADD COLUMN size text")  # bypassing the catalog
    with pytest.raises(RunFailed, match='column "size" of relation "ds_orders" already exists'):
        evolve(loads.job(), "public.ds_orders", (Field("colour", "text"), Field("size", "text")))
    assert [name for name, _ in loads.schema_fields()] == ["id", "name", "amount"]
    assert loads.table("SELECT count(*) FROM information_schema.columns WHERE column_name = 'colour'") == [(0,)]


def test_a_table_of_another_tenant_is_not_evolved(loads: Loads) -> None:
    job = loads.job()
    job = replace(job, pipeline=replace(job.pipeline, tenant_id="other"))
    with pytest.raises(RunFailed, match="not the table of a schema any more"):
        evolve(job, "public.ds_orders", (Field("colour", "text"),))
    assert len(loads.schema_fields()) == 3
