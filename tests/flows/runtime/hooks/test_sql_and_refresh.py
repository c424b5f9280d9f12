"""Hooks in the database: when they run, how often, and what their failure means for the rows."""

from __future__ import annotations

import pytest

from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.hooks.run import HookFailed
from tests.flows.runtime.loads import Loads

pytestmark = pytest.mark.postgres


def sql(statement: str, **more: object) -> dict[str, object]:
    return {"type": "sql", "statement": statement, **more}


def test_hooks_run_before_and_after_the_load_and_are_reported(loads: Loads) -> None:
    loads.numbers(50)
    pre = [sql("CREATE INDEX IF NOT EXISTS by_name ON {table} (name)"), sql("VACUUM {table}")]
    loads.run(preHook=pre, postHook=sql("ANALYZE {table} (id, name)"))
    assert loads.table("SELECT indexdef FROM pg_indexes WHERE indexname = 'by_name'") == [
        ("CREATE INDEX by_name ON public.ds_orders USING btree (name)",)
    ]
    assert loads.table("SELECT n_distinct FROM pg_stats WHERE tablename = 'ds_orders' AND attname = 'id'") == [(-1,)]
    reported = [line.split(":")[0] for line in loads.recorder.said("Hook")]
    assert reported == ["preHook 1 of tgt (sql)", "preHook 2 of tgt (sql)", "postHook 1 of tgt (sql)"]
    loaded = next(number for number, line in enumerate(loads.recorder.lines) if "50 rows loaded" in line)
    assert loads.recorder.lines.index(loads.recorder.said("postHook 1")[0]) > loaded


def test_a_failing_pre_hook_loads_nothing(loads: Loads) -> None:
    loads.numbers(5)
    with pytest.raises(HookFailed) as caught:
        loads.run(preHook=sql("SELECT 1 / count(*) FROM {table}"), loadMode="replace", backupBeforeLoad=True)
    assert str(caught.value) == (
        "The preHook 1 of tgt (sql) failed: The database refused it: division by zero. "
        "Nothing was loaded into public.ds_orders."
    )
    assert loads.table() == []
    assert loads.table("SELECT relname FROM pg_class WHERE left(relname, 11) = 'ds_orders__'") == []


def test_a_failing_post_hook_says_that_the_rows_are_there(loads: Loads) -> None:
    loads.numbers(5)
    with pytest.raises(HookFailed, match=r"5 rows are loaded into public\.ds_orders and stay there"):
        loads.run(postHook=[sql("ANALYZE {table}"), sql("SELECT 1 / (count(*) - 5) FROM {table}")])
    assert len(loads.table()) == 5
    totals = loads.run("run_2", root="run_1", postHook=[sql("ANALYZE {table}"), sql("SELECT 1 FROM {table}")])
    assert (totals.rows_in, totals.rows_out, len(loads.table())) == (5, 5, 5)
    assert [line.split(": ", 1)[1] for line in loads.recorder.said("postHook")][-2:] == [
        "done by an earlier attempt",
        'SELECT 1 FROM "public"."ds_orders"',
    ]


def test_a_resumed_run_does_not_repeat_its_pre_hook_and_a_changed_hook_is_another(loads: Loads) -> None:
    loads.numbers(5)
    loads.run(preHook=sql("ANALYZE {table}"))
    loads.run("run_2", root="run_1", preHook=sql("ANALYZE {table}"))
    loads.run("run_3", root="run_1", preHook=sql("ANALYZE {table} (id)"))
    loads.run("run_4", loadMode="replace", preHook=sql("ANALYZE {table}"))
    done = loads.table("SELECT root_run_id, run_id FROM _headrace.hooks ORDER BY done_at")
    assert done == [("run_1", "run_1"), ("run_1", "run_3"), ("run_4", "run_4")]


def test_before_a_blue_green_swap_the_hook_sees_the_new_rows_and_can_refuse_them(loads: Loads) -> None:
    loads.numbers(5)
    loads.run(loadMode="blue_green")
    loads.numbers(3, first=100)
    check = sql("SELECT 1 / (count(*) - 3) FROM {table}")
    with pytest.raises(HookFailed, match=r"division by zero\. public\.ds_orders is as it was"):
        loads.run("run_2", loadMode="blue_green", postHook=check)
    assert [row[0] for row in loads.table()] == [1, 2, 3, 4, 5]
    loads.run("run_3", loadMode="blue_green", postHook=sql("SELECT 1 / (count(*) - 5) FROM {table}"))
    assert [row[0] for row in loads.table()] == [100, 101, 102]


def test_a_materialized_view_is_refreshed_while_it_is_read_where_that_can_be(loads: Loads) -> None:
    loads.table("CREATE MATERIALIZED VIEW public.totals AS SELECT count(*) AS n FROM public.ds_orders")
    loads.numbers(7)
    hook = {"type": "refresh", "view": "totals"}
    loads.run(postHook=hook)
    assert loads.table("SELECT n FROM totals") == [(7,)]
    loads.table("CREATE UNIQUE INDEX ON public.totals (n)")
    loads.numbers(2, first=100)
    loads.run("run_2", postHook=hook)
    assert loads.table("SELECT n FROM totals") == [(9,)]
    assert [line.split(", ")[-1] for line in loads.recorder.said("refreshed")] == ["readers waited", "concurrently"]
    loads.table("DROP INDEX public.totals_n_idx")
    with pytest.raises(HookFailed, match="cannot be refreshed while it is read"):
        loads.run("run_3", root="run_2", postHook=hook | {"concurrently": True})


def test_a_view_of_somebody_elses_tables_is_not_there(loads: Loads) -> None:
    loads.table("CREATE TABLE public.secret (a int); CREATE VIEW public.hidden AS SELECT a FROM public.secret")
    loads.table("CREATE MATERIALIZED VIEW public.theirs AS SELECT a FROM public.hidden, public.ds_orders")
    loads.numbers(1)
    for number, view in enumerate(("theirs", "nowhere", "hidden", "ds_orders")):
        with pytest.raises(HookFailed, match=f"There is no materialized view public.{view} of yours"):
            loads.run(f"run_{number}", root="run_0", postHook={"type": "refresh", "view": view})
    with pytest.raises(HookFailed, match=r"There is no materialized view public\.theirs of yours"):
        loads.run("run_9", root="run_0", preHook=sql("REFRESH MATERIALIZED VIEW theirs"))


def test_a_hook_that_takes_too_long_has_failed(loads: Loads) -> None:
    loads.numbers(1)
    slow = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
    with pytest.raises(HookFailed, match="statement timeout"):
        loads.run(preHook=sql(slow, timeoutSeconds=1))


def test_other_peoples_tables_stop_the_run_before_it_begins(loads: Loads) -> None:
    loads.table("CREATE TABLE public.ds_secret (a int)")
    loads.numbers(1)
    with pytest.raises(PlanFailed) as caught:
        loads.run(postHook=sql("SELECT * FROM ds_secret"))
    (problem,) = caught.value.problems
    assert (problem.path, problem.code) == ("nodes[1].postHook.statement", "foreign_table")


def test_a_query_cannot_write_whatever_is_after_the_name_of_a_table(loads: Loads) -> None:
    loads.numbers(3)
    loads.run()
    loads.schema("trap", "id bigint")
    loads.table("DROP TABLE public.ds_trap")
    loads.table(
        "CREATE FUNCTION public.sneaky(a bigint) RETURNS bigint LANGUAGE plpgsql AS "
        "$$ BEGIN DELETE FROM public.ds_orders; RETURN a; END $$"
    )
    loads.table("CREATE VIEW public.ds_trap AS SELECT public.sneaky(id) AS id FROM public.ds_orders")
    with pytest.raises(HookFailed, match="read-only transaction"):
        loads.run("run_2", preHook=sql("SELECT sum(id) FROM ds_trap"))
    assert len(loads.table()) == 3
