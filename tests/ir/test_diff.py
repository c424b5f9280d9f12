"""Differences of two versions, for programs and for people."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.ir.diff import ir_diff

BEFORE: dict[str, Any] = {
    "kind": "pipeline",
    "version": "1.0",
    "metadata": {"name": "orders"},
    "nodes": [
        {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "a.csv", "format": "csv"}},
        {"id": "clean", "kind": "transform", "input": "src", "ops": [{"type": "drop", "fields": ["x"]}]},
        {"id": "tgt", "kind": "target", "input": "clean", "schema": "public.ds_orders"},
    ],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(BEFORE), **changes}


def summary(after: dict[str, Any]) -> list[tuple[str | None, str, tuple[str, ...]]]:
    return [(each.node, each.change, each.details) for each in ir_diff(BEFORE, after).changes]


def test_equal_documents_do_not_differ() -> None:
    found = ir_diff(BEFORE, copy.deepcopy(BEFORE))
    assert (found.patch, found.changes) == ([], ())


def test_each_node_is_reported_by_what_happened_to_it() -> None:
    after = copy.deepcopy(BEFORE)
    after["nodes"][0]["config"]["path"] = "b.csv"
    after["nodes"][1]["ops"].append({"type": "rename", "from": "a", "to": "b"})
    after["nodes"][2] |= {"loadMode": "append", "input": "check"}
    after["nodes"].insert(2, {"id": "check", "kind": "validate", "input": "clean", "rowLevel": []})
    assert summary(after) == [
        ("src", "changed", ("config.path: a.csv → b.csv",)),
        ("clean", "changed", ("ops: rename (from a, to b) added",)),
        ("check", "added", ("new validate",)),
        ("tgt", "changed", ("input: clean → check", "loadMode added: append")),
    ]


def test_what_is_no_node_is_reported_too() -> None:
    after = changed(schedule={"kind": "interval", "minutes": 5}, nodes=BEFORE["nodes"][::-1])
    assert summary(after) == [
        (None, "moved", ("the nodes are listed in another order",)),
        (None, "changed", ("schedule added: interval (minutes 5)",)),
    ]


def test_items_with_an_id_are_compared_with_themselves() -> None:
    mail = {"id": "mail", "field": "email", "rule": "email"}
    low = {"id": "low", "field": "amount", "rule": "gt:0"}
    before = {"nodes": [{"id": "check", "rowLevel": [mail, low]}]}
    day = {"id": "day", "field": "day", "rule": "in", "values": ["mon", "tue"]}
    (change,) = ir_diff(before, {"nodes": [{"id": "check", "rowLevel": [{**low, "rule": "gt:5"}, day]}]}).changes
    assert change.details == (
        "rowLevel: mail removed",
        "rowLevel: low.rule: gt:0 → gt:5",
        "rowLevel: day (field day, rule in, values mon, tue) added",
    )
    (change,) = ir_diff(before, {"nodes": [{"id": "check", "rowLevel": [low, mail]}]}).changes
    assert change.details == ("rowLevel: another order",)


def test_true_is_not_one() -> None:
    assert ir_diff({"nodes": [], "a": 1}, {"nodes": [], "a": True}).patch == [
        {"op": "replace", "path": "/a", "value": True}
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab~/", max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab~/", max_size=3), inner, max_size=4),
    max_leaves=12,
)
NODES = st.lists(
    st.fixed_dictionaries({"id": st.sampled_from("abcd")}, optional={"config": JSON}), unique_by=lambda n: n["id"]
)
DOCUMENTS = st.fixed_dictionaries({"nodes": NODES}, optional={"schedule": JSON, "metadata": JSON})


@given(DOCUMENTS, DOCUMENTS)
def test_the_patch_leads_from_one_to_the_other_and_is_reported_when_there_is_one(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    found = ir_diff(before, after)
    patched = jsonpatch.apply_patch(before, found.patch)
    assert json.dumps(patched, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert bool(found.patch) == bool(found.changes)


def test_long_lists_are_compared_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counter[str]()
    dumps = json.dumps

    def count(value: Any, **options: Any) -> str:
        counted["dumps"] += 1
        return dumps(value, **options)

    before, after = ({"nodes": [{"id": "x", "ops": [{"type": f"{n}{side}"} for n in range(1_000)]}]} for side in "ab")
    monkeypatch.setattr("headrace.ir.diff.json.dumps", count)
    (change,) = ir_diff(before, after).changes
    assert len(change.details) == 2_000
    assert counted["dumps"] < 10_000
