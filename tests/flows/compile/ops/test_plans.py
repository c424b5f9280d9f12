"""Row-local ops are fused: one polars query per batch, split only after steps that remove rows."""

from __future__ import annotations

from syrupy.assertion import SnapshotAssertion

from headrace.flows.compile.stages.segment import fuse
from tests.flows.compile.ops.cases import Op, planned
from tests.flows.compile.ops.models import EMBED, FEEL, PLACE, SPEAK
from tests.flows.compile.ops.shelf import Shelf, lookup
from tests.flows.compile.ops.texts import JSON, PAIR

OPS: list[Op] = [
    {"type": "trim", "fields": ["text", "other"]},
    {"type": "fill_null", "fields": ["small"], "value": 0},
    {"type": "map_values", "field": "flag", "mapping": {"true": "yes"}, "default": "no", "to": "said"},
    {"type": "merge", "fields": ["text", "id"], "to": "label", "separator": "-"},
    PAIR,
    JSON,
    lookup(onMiss="quarantine"),
    EMBED,
    FEEL,
    SPEAK,
    PLACE | {"to": {"country": "country"}},
]


def segments(*ops: Op) -> list[list[str]]:
    plan = planned(*ops, tables=Shelf().tables)
    assert not plan.problems, plan.problems
    return [[step.label for step in segment.steps] for segment in fuse(plan.nodes["clean"].steps)]


def test_all_of_them_are_one_query(snapshot: SnapshotAssertion) -> None:
    found = segments(*OPS)
    assert len(found) == 1
    assert found == snapshot


def test_a_lookup_that_drops_rows_ends_a_query() -> None:
    assert [len(steps) for steps in segments(lookup(onMiss="drop"), PAIR)] == [2, 1]
