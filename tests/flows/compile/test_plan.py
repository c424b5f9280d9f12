"""Plans, compared as a whole."""

from __future__ import annotations

from syrupy.assertion import SnapshotAssertion

from tests.flows.pipelines import logical, physical

OPS = [
    {"type": "rename", "from": "amount", "to": "qty"},
    {"type": "cast", "field": "qty", "to": "integer"},
    {"type": "filter", "expression": "qty > 0"},
    {"type": "expression", "field": "total", "expression": "qty * price"},
    {"type": "add_field", "field": "source", "value": "test"},
    {"type": "drop", "fields": ["price"]},
]
RULES = [{"field": "name", "rule": "not_empty"}, {"field": "total", "rule": "lte:1000", "onFail": "warn"}]


def test_a_row_local_pipeline_is_one_stage_cut_only_after_its_filter(snapshot: SnapshotAssertion) -> None:
    assert physical(OPS, RULES).describe() == snapshot


def test_a_copy_is_one_segment(snapshot: SnapshotAssertion) -> None:
    assert physical().describe() == snapshot


def test_a_transform_without_ops_changes_nothing_and_the_run_says_so() -> None:
    plan = physical([])
    assert "clean has no ops: its rows pass unchanged" in plan.notes
    assert logical([]).nodes["clean"].schema == logical([]).nodes["src"].schema


def test_tasks_are_named_by_nodes_and_partition() -> None:
    (stage,) = physical(OPS, RULES).stages
    assert [stage.task_name(p.index) for p in stage.partitions] == [
        "src > clean > check > tgt [1/2]",
        "src > clean > check > tgt [2/2]",
    ]


def test_types_are_known_after_every_node() -> None:
    plan = logical(OPS, RULES)
    assert {name: str(dtype) for name, dtype in plan.nodes["clean"].schema.items() if not name.startswith("__")} == {
        "id": "Int64",
        "name": "String",
        "qty": "Int32",
        "day": "Date",
        "total": "Float64",
        "source": "String",
    }
