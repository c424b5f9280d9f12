"""A document is type-checked when it is saved, as far as its types are declared."""

from __future__ import annotations

from flows.check import check_types
from ir import parse_ir
from tests.flows.pipelines import document

OPS = [{"type": "expression", "field": "total", "expression": "amont * 2"}]


def found(fields: list[dict[str, str]] | None) -> list[tuple[str, str]]:
    raw = document(OPS)
    if fields is not None:
        raw["nodes"][0]["fields"] = fields
    ir = parse_ir(raw).ir
    assert ir is not None
    return [(problem.path, problem.code) for problem in check_types(ir)]


def test_a_misspelt_column_of_a_declared_source_is_told() -> None:
    assert found([{"name": "amount", "dataType": "integer"}]) == [("nodes[1].ops[0].expression", "unknown_column")]
    assert found([{"name": "amont", "dataType": "integer"}]) == []


def test_an_undeclared_source_is_not_judged() -> None:
    assert found(None) == []
