"""Archive nodes of old documents: their folder is the source's, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.flows.lineage.declared import declared_lineage
from headrace.flows.validation.check import check_types
from headrace.ir import PipelineIR, parse_ir
from headrace.ir.nodes import SourceNode, TransformNode

Node = dict[str, Any]


def document(*between: Node, target: str = "src", config: Node | None = None, connector: str = "local_fs") -> Node:
    source = {"id": "src", "kind": "source", "connector": connector, "config": {"path": "orders/", **(config or {})}}
    last = {"id": "tgt", "kind": "target", "input": target, "schema": "public.t"}
    nodes = [source, *between, last]
    return {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": nodes}


def archive(before: str, **fields: Any) -> Node:
    return {"id": "arc", "kind": "archive", "input": before, **fields}


def folded(raw: Node) -> PipelineIR:
    result = parse_ir(raw)
    assert result.ir is not None, result.problems
    return result.ir


def atomicity(ir: PipelineIR) -> Any:
    (source,) = (node for node in ir.nodes if isinstance(node, SourceNode))
    return source.config.get("atomicity")


@pytest.mark.parametrize(
    "fields",
    [
        {"folder": "done/{YYYY}/"},
        {"path": "done/{YYYY}/"},
        {"config": {"successFolder": "done/{YYYY}/"}},
        {"folder": "orders/done/{YYYY}/"},
    ],
)
def test_the_folder_becomes_the_sources(fields: Node) -> None:
    raw = document(archive("tgt", **fields))
    ir = folded(raw)
    assert atomicity(ir) == {"successFolder": "done/{YYYY}/"}
    assert "atomicity" not in raw["nodes"][0]["config"]  # the document is as it was written
    assert folded(ir.model_dump(mode="json", exclude_none=True)) == ir
    assert check_types(ir) == []
    assert "arc" not in declared_lineage(ir, {}).unknown


def test_other_folders_of_the_source_stay_and_none_is_the_default() -> None:
    given = {"atomicity": {"failureFolder": "bad/", "successFolder": "done"}}
    assert atomicity(folded(document(archive("tgt", folder="done/"), config=given))) == given["atomicity"]
    assert atomicity(folded(document(archive("tgt")))) == {}


def test_what_reads_from_it_reads_from_what_is_before_it() -> None:
    trim = {"id": "trim", "kind": "transform", "input": "arc", "ops": [{"type": "trim", "fields": ["a"]}]}
    ir = folded(document(archive("src", folder="done"), trim, target="trim"))
    (clean,) = (node for node in ir.nodes if isinstance(node, TransformNode))
    assert clean.input == "src"
    assert [node.id for node in ir.nodes] == ["src", "arc", "trim", "tgt"]  # so that places stay what they are


JOIN: Node = {
    "id": "both",
    "kind": "join",
    "inputs": ["src", "other"],
    "type": "inner",
    "on": [{"left": "a", "right": "a"}],
}
OTHER: Node = {"id": "other", "kind": "source", "connector": "local_fs", "config": {"path": "x.csv"}}
DROPS: Node = {"id": "drop", "kind": "transform", "input": "src", "ops": [{"type": "drop", "fields": ["a"]}]}


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (
            document(archive("tgt", folder="done"), config={"atomicity": {"successFolder": "old/"}}),
            ("nodes[1].folder", "another_folder"),
        ),
        (document(OTHER, JOIN, archive("both", folder="x"), target="both"), ("nodes[3].input", "several_sources")),
        (document(archive("tgt", folder="a", config={"path": "b"})), ("nodes[1]", "several_folders")),
        (document(archive("tgt", foldr="a")), ("nodes[1].foldr", "unknown_field")),
        (document(archive("src", folder="a"), DROPS), ("nodes[2]", "unused_node")),
        (document(archive("drop"), DROPS), ("nodes[2]", "unused_node")),
    ],
)
def test_what_cannot_be_folded_is_reported(raw: Node, problem: tuple[str, str]) -> None:
    assert [(each.path, each.code) for each in parse_ir(raw).problems] == [problem]


def test_rows_cannot_be_read_through_it_from_a_target() -> None:
    again = {"id": "again", "kind": "target", "input": "arc", "schema": "public.u"}
    raw = document(archive("tgt", folder="done"), again)
    assert [(each.path, each.code) for each in parse_ir(raw).problems] == [("nodes[2].input", "reads_target")]


def test_a_folder_that_cannot_be_is_reported_where_it_was_written() -> None:
    ir = folded(document(archive("tgt", config={"path": "/elsewhere/{DAY}"})))
    assert [(each.path, each.code) for each in check_types(ir)] == [("nodes[1].config.path", "bad_folder")]


@pytest.mark.parametrize("connector", ["postgresql", "http_pull"])
def test_what_has_no_files_to_put_away_is_reported(connector: str) -> None:
    ir = folded(document(archive("tgt", folder="done"), connector=connector))
    assert ("nodes[1].input", "no_files") in [(each.path, each.code) for each in check_types(ir)]
