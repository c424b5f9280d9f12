"""The open failed rows of a run, derived from its plan, its errors and the loaded rows of replays."""

from __future__ import annotations

from typing import Any

from headrace.connectors.postgresql.ledger.replayed import Replayed
from headrace.flows.resume.failed_rows import OpenPartition, SettledRows, find_open_rows
from headrace.flows.resume.stored_plan import StoredPlan

SINKS = [{"path": ["src", name], "target": {"table": f"public.{name}"}} for name in ("u", "v", "all")]
WAYS = {"src": ["u", "v", "all"], "by": ["u", "v"], "u": ["u", "v"], "v": ["v", "u"], "all": ["all"]}
PLAN = {"stages": [{"nodes": ["src", "by", "u", "v", "all"], "sinks": SINKS}], "ways": [WAYS]}
"""A branch into u and v beside a target of its own."""


def left(failed: dict[str, set[int]], *loaded: Replayed, location: Any = None) -> OpenPartition | None:
    plan = PLAN | {"partitions": {"src": [[1, 9, location or {}]]}}
    return find_open_rows(StoredPlan.of(plan), {(0, 0, node): rows for node, rows in failed.items()}, loaded).get(
        ("src", 0)
    )


def settled(found: OpenPartition | None) -> dict[str, list[int]]:
    assert found is not None
    return {target: each.rows for target, each in found.settled.items() if each.rows}


def test_a_row_that_failed_on_one_route_may_take_another_but_no_way_that_ended() -> None:
    found = left({"u": {1}, "all": {1, 2}, "src": {3}})
    assert found is not None
    assert found.rows == [1, 2, 3]
    assert settled(found) == {"u": [2], "v": [2]}


def test_what_a_replay_loaded_by_one_route_is_settled_for_the_others() -> None:
    found = left({"by": {1, 2}, "all": {1}}, Replayed("src", "v", "public.v", frozenset([1, 2, 7])))
    assert found is not None
    assert (found.rows, settled(found)) == ([1], {"u": [1], "v": [1]})
    assert left({"u": {1}}, Replayed("src", "v", "public.v", frozenset([1]))) is None
    assert left({"u": {1}}, Replayed("other", "v", "public.v", frozenset([1]))) is not None


def test_what_was_settled_before_the_run_stays_settled() -> None:
    location = {"settled": {"all": ["public.all", [1]], "gone": ["public.gone", [1, 2]]}}
    assert settled(left({"src": {1, 2}}, location=location)) == {"all": [1], "gone": [1, 2]}


def test_a_target_in_the_table_of_one_that_is_gone_is_settled_for_its_rows() -> None:
    found = left({"u": {1}, "all": {2}}, Replayed("src", "new", "public.u", frozenset([1])))
    assert found is not None
    now = {"renamed": "public.all", "u": "public.u", "v": "public.u"}
    assert {name: each.rows for name, each in found.settled_for(now).items()} == {
        "all": [1],
        "new": [1],
        "renamed": [1],
        "u": [1, 2],
        "v": [1, 2],
    }
    assert found.settled["all"] == SettledRows("public.all", [1])
