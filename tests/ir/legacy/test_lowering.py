"""Legacy nodes and edges become an IR, and its problems are reported at their places in the legacy request."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.ir import Problem, parse_ir
from headrace.ir.legacy.nodes import Lowered, lower

EDGES = [{"source": "n1", "target": "n2"}, {"source": "n2", "target": "n3"}]


def node(node_id: str, node_type: str, **config: Any) -> dict[str, Any]:
    return {"id": node_id, "nodeType": node_type, "label": node_id, "config": config}


def lowered(*nodes: dict[str, Any], edges: list[dict[str, Any]] = EDGES, connector_type: str = "local_fs") -> Lowered:
    return lower(
        nodes, edges, pipeline_id="pipe_1", name="Customers", connector_type=connector_type, table="public.ds_c"
    )


def between(middle: dict[str, Any]) -> Lowered:
    return lowered(node("n1", "source", path="c.csv"), middle, node("n3", "target"))


def problems(found: Lowered) -> list[Problem]:
    return [*found.problems, *(found.at_origin(problem) for problem in parse_ir(found.document).problems)]


def test_a_whole_pipeline_keeps_its_ids_and_reads_and_loads_what_the_pipeline_is_made_for() -> None:
    found = between(node("n2", "transform", type="rename_field", oldName="amt", newName="amount"))
    assert problems(found) == []
    assert found.document["nodes"] == [
        {"id": "n1", "kind": "source", "connector": "local_fs", "config": {"path": "c.csv"}},
        {"id": "n2", "kind": "transform", "ops": [{"type": "rename", "from": "amt", "to": "amount"}], "input": "n1"},
        {"id": "n3", "kind": "target", "schema": "public.ds_c", "input": "n2"},
    ]


@pytest.mark.parametrize(
    ("middle", "op"),
    [
        (
            node("n2", "transform", type="cast_type", field="a", targetType="int"),
            ("cast", {"field": "a", "to": "integer"}),
        ),
        (node("n2", "transform", type="castType", column="a", to="TEXT"), ("cast", {"field": "a", "to": "text"})),
        (node("n2", "drop_field", field="a"), ("drop", {"fields": ["a"]})),
        (
            node("n2", "dedupe", fields=["a"], keep="last", sortBy="b"),
            ("deduplicate", {"keys": ["a"], "keep": "last", "orderBy": "b"}),
        ),
        (
            node("n2", "group_by", groupByFields=["a"], aggregates=[{"column": "b", "function": "AVG", "alias": "m"}]),
            ("aggregate", {"groupBy": ["a"], "aggregations": [{"field": "b", "fn": "mean", "as": "m"}]}),
        ),
        (node("n2", "order_by", column="a"), ("sort", {"by": "a"})),
        (node("n2", "melt", columns=["a"], valueName="v"), ("unpivot", {"fields": ["a"], "valueTo": "v"})),
        (
            node("n2", "flatten_array", column="a", delimiter=";", dataType="int"),
            ("explode", {"field": "a", "separator": ";", "dataType": "integer"}),
        ),
        (node("n2", "custom_sql", sql="SELECT a FROM input"), ("sql", {"query": "SELECT a FROM input"})),
        (node("n2", "filter", condition="a > 1"), ("filter", {"expression": "a > 1"})),
        (
            node("n2", "filter", field="a b", operator="gte", value="it's"),
            ("filter", {"expression": "\"a b\" >= 'it''s'"}),
        ),
        (
            node("n2", "filter", field="a", operator="in", value=[1, None]),
            ("filter", {"expression": '"a" IN (1, NULL)'}),
        ),
        (node("n2", "filter", field="a", operator="is_null"), ("filter", {"expression": '"a" IS NULL'})),
        (
            node("n2", "transform", type="add_field", name="t", value="x", dataType="string"),
            ("add_field", {"field": "t", "value": "x", "dataType": "text"}),
        ),
        (
            node("n2", "Expression", targetField="t", formula="a * 2"),
            ("expression", {"field": "t", "expression": "a * 2"}),
        ),
        (
            node("n2", "value_map", column="a", map={"x": "y"}, targetField="b"),
            ("map_values", {"field": "a", "mapping": {"x": "y"}, "to": "b"}),
        ),
        (
            node("n2", "split_field", column="a", delimiter=",", targetFields=["b", "c"]),
            ("split", {"field": "a", "separator": ",", "into": ["b", "c"]}),
        ),
        (
            node("n2", "transform", type="concat", columns=["a", "b"], targetField="c", delimiter="-"),
            ("merge", {"fields": ["a", "b"], "to": "c", "separator": "-"}),
        ),
        (node("n2", "fill_na", column="a", fillValue=0), ("fill_null", {"fields": ["a"], "value": 0})),
        (
            node("n2", "coalesce", field="a", defaultValue="x"),
            ("fill_null", {"fields": ["a"], "value": "x"}),
        ),
        (node("n2", "trim_whitespace", field="a"), ("trim", {"fields": ["a"]})),
        (
            node("n2", "json_parse", column="a", into=[{"field": "b"}]),
            ("parse_json", {"field": "a", "into": [{"field": "b"}]}),
        ),
        (
            node("n2", "lookup", lookupTable="ds_c", keys=[{"field": "a", "key": "id"}], returnFields=["n"]),
            ("lookup_join", {"table": "ds_c", "on": [{"field": "a", "key": "id"}], "select": ["n"]}),
        ),
        (
            node("n2", "embedding", column="a", outputField="v"),
            ("vector_embed", {"field": "a", "to": "v"}),
        ),
        (
            node("n2", "geo", latitude="a", longitude="b", to={"city": "c"}),
            ("geo_resolve", {"lat": "a", "lon": "b", "to": {"city": "c"}}),
        ),
        (node("n2", "sentiment", field="a", to="s"), ("sentiment_score", {"field": "a", "to": "s"})),
        (node("n2", "DetectLanguage", field="a", to="l"), ("language_detect", {"field": "a", "to": "l"})),
    ],
)
def test_other_names_of_ops_and_fields_are_known(middle: dict[str, Any], op: tuple[str, dict[str, Any]]) -> None:
    found = between(middle)
    assert found.document["nodes"][1]["ops"] == [{"type": op[0], **op[1]}]
    assert problems(found) == []


def test_a_rename_that_names_no_columns_renames_none() -> None:
    found = between(node("n2", "transform", type="rename_field"))
    assert found.document["nodes"][1] == {"id": "n2", "kind": "transform", "ops": [], "input": "n1"}
    assert problems(found) == []


def test_a_source_without_settings_has_the_default_ones() -> None:
    nodes = [node("n1", "source"), node("n2", "drop_field", field="a"), node("n3", "target")]
    shared = {"pipeline_id": "pipe_1", "name": "Customers", "connector_type": "snowflake", "table": "public.ds_c"}
    found = lower(nodes, EDGES, **shared, reads={"table": "customers"})
    assert found.document["nodes"][0]["config"] == {"table": "customers"}
    chosen = [node("n1", "source", query="SELECT 1"), *nodes[1:]]
    assert lower(chosen, EDGES, **shared, reads={"table": "customers"}).document["nodes"][0]["config"] == {
        "query": "SELECT 1"
    }


def test_several_ops_of_one_node_stay_in_order() -> None:
    listed = [{"type": "drop", "fields": ["x"]}, {"type": "rename_field", "from": "a", "to": "b"}]
    found = between(node("n2", "transform", ops=listed))
    assert [op["type"] for op in found.document["nodes"][1]["ops"]] == ["drop", "rename"]
    broken = between(node("n2", "transform", operations=[{"type": "rename_field", "from": "a"}]))
    assert [each.path for each in problems(broken)] == ["nodes[1].config.operations[0].to"]


@pytest.mark.parametrize(
    ("middle", "expected"),
    [
        (node("n2", "transform", type="rename_field", to="b"), [("nodes[1].config.from", "missing_field")]),
        (node("n2", "transform"), [("nodes[1].config.type", "missing_field")]),
        (node("n2", "transform", type="renam"), [("nodes[1].config.type", "unknown_op")]),
        (node("n2", "frobnicate"), [("nodes[1].nodeType", "unknown_kind")]),
        (node("n 2", "filter", expression="a"), [("nodes[1].id", "string_pattern_mismatch")]),
        (node("n2", "validate", rules=[{"field": "a", "rule": "gt:"}]), [("nodes[1].config.rowLevel[0].rule", None)]),
    ],
)
def test_what_is_missing_is_reported_where_the_request_lacks_it(
    middle: dict[str, Any], expected: list[tuple[str, str | None]]
) -> None:
    edges = [{"source": "n1", "target": middle["id"]}, {"source": middle["id"], "target": "n3"}]
    found = lowered(node("n1", "source"), middle, node("n3", "target"), edges=edges)
    reported = [(each.path, each.code) for each in problems(found)]
    assert [path for path, _ in reported] == [path for path, _ in expected]
    assert all(code in (None, have) for (_, have), (_, code) in zip(reported, expected, strict=True))


def test_edges_that_are_missing_or_too_many_are_reported_by_node() -> None:
    ends = (node("n1", "source"), node("n3", "target"))
    assert "no_input" in {each.code for each in problems(lowered(*ends, edges=[]))}
    twice = [{"source": "n1", "target": "n3"}, {"source": "n2", "target": "n3"}]
    found = problems(lowered(ends[0], node("n2", "source"), ends[1], edges=twice))
    assert [(each.path, each.code) for each in found if each.code == "several_inputs"] == [
        ("nodes[2].id", "several_inputs")
    ]


def test_nothing_at_all_is_reported_as_such() -> None:
    assert {each.code for each in problems(lowered(edges=[]))} >= {"no_source", "no_target"}


def test_the_names_of_stores_differ_between_connectors_and_sources() -> None:
    found = lowered(node("n1", "source"), node("n3", "target"), connector_type="aws_s3")
    assert found.document["nodes"][0]["connector"] == "s3"


def test_a_target_may_say_how_it_loads() -> None:
    found = lowered(node("n1", "source"), node("n3", "target", writeMode="insert", table="public.ds_x"))
    assert found.document["nodes"][1] | {"input": ""} == {
        "id": "n3", "kind": "target", "schema": "public.ds_x", "loadMode": "append", "input": ""
    }  # fmt: skip
