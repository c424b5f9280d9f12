"""A stored plan is read as it was written, whichever release wrote it."""

from __future__ import annotations

import json

import pytest

from headrace.connectors.source import Partition, Restart
from headrace.flows.compile.type_inference.infer import View
from headrace.flows.resume.stored_plan import FORMAT, StoredPlan, StoredSource
from headrace.flows.runtime.errors import RunFailed
from headrace.ir.schema import Field

PLAN = StoredPlan(
    stages=[{"nodes": ["src", "tgt"], "source": "src"}, {"nodes": ["sums"], "gathers": "sums"}],
    notes=["a note"],
    sources={
        "src": StoredSource(
            [
                Partition(0, 1, 10, {"path": "a.csv", "start": 0}),
                Partition(1, 11, 5, {"low": 1}, counted=False, cursor="default", label="shelf [2]"),
            ],
            "a fingerprint",
            (Field("id", "bigint"), Field("amount", "decimal", precision=12, scale=2)),
            frozenset({"id"}),
            Restart.BOUNDARY,
        )
    },
    views={"src": {"amount": View(Field("amount", "integer"), None)}},
    claims={"src": {"folder": "x"}},
    quarantines=["dlq.bad"],
    databases={"tgt": "conn_2"},
    kept_in="conn_2",
    ways=[{"src": ["tgt"]}, {}],
    buckets={"sums": 8},
    engine="1.2.3",
)


def written(plan: StoredPlan) -> StoredPlan | None:
    return StoredPlan.of(json.loads(json.dumps(plan.as_json())))


def test_what_is_written_is_what_is_read() -> None:
    assert written(PLAN) == PLAN
    assert PLAN.reading == [0]


def test_a_plan_whose_failed_rows_cannot_run_by_themselves_says_because_of_which_node() -> None:
    plan = written(StoredPlan(replayable=False, entangling="sums", ways=[{"src": ["tgt"]}]))
    assert plan is not None
    assert (plan.replayable, plan.entangling, plan.ways) == (False, "sums", ())


def test_a_plan_of_an_earlier_release_has_less() -> None:
    plan = StoredPlan.of({"partitions": {"src": [[1, 9, {"path": "a"}]]}, "fingerprints": {"src": "f"}})
    assert plan is not None
    assert plan.sources == {"src": StoredSource([Partition(0, 1, 9, {"path": "a"})], "f", None)}
    assert plan.views is None
    assert StoredPlan.of(None) is None


def test_a_plan_of_a_later_release_is_refused() -> None:
    with pytest.raises(RunFailed, match="later release"):
        StoredPlan.of({"format": FORMAT + 1})
