"""A document is type-checked when it is saved, as far as its types are declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from headrace.flows.compile import expression_types
from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from tests.flows.pipelines import document

OPS = [{"type": "expression", "field": "total", "expression": "amont * 2"}]


def found(fields: list[dict[str, str]] | None) -> list[tuple[str, str]]:
    raw = document(OPS)
    if fields is not None:
        raw["nodes"][0]["fields"] = fields
    ir = parse_ir(raw).ir
    assert ir is not None
    return [(problem.path, problem.code) for problem in check_types(ir)]


def test_a_misspelt_column_of_a_declared_source_is_reported() -> None:
    assert found([{"name": "amount", "dataType": "integer"}]) == [("nodes[1].ops[0].expression", "unknown_column")]
    assert found([{"name": "amont", "dataType": "integer"}]) == []


def test_an_undeclared_source_is_not_evaluated() -> None:
    assert found(None) == []


def evaluated(*nodes: dict[str, Any], columns: int = 4) -> list[str]:
    """The codes of the problems of consecutive nodes, of which the first reads that many columns."""
    raw = document()
    raw["nodes"][0]["fields"] = [{"name": f"c{number}", "dataType": "bigint"} for number in range(columns)]
    for node in nodes:
        raw["nodes"].insert(-1, node | {"input": raw["nodes"][-2]["id"]})
        raw["nodes"][-1]["input"] = node["id"]
    ir = parse_ir(raw).ir
    assert ir is not None
    return [problem.code for problem in check_types(ir)]


def transform(ops: list[dict[str, Any]], name: str = "clean") -> dict[str, Any]:
    return {"id": name, "kind": "transform", "ops": ops}


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The columns that each query for types reads."""
    asked: list[int] = []
    ask = expression_types._asked

    def counted(expressions: Sequence[pl.Expr], schema: expression_types.Columns) -> pl.Schema:
        asked.append(len(expressions))
        return ask(expressions, schema)

    monkeypatch.setattr(expression_types, "_asked", counted)
    monkeypatch.setattr(expression_types, "_known", {})
    return asked


def test_many_expressions_are_asked_for_together_and_once(queries: list[int]) -> None:
    ops = [{"type": "expression", "field": f"e{number}", "expression": f"c0 + {number}"} for number in range(1_000)]
    row_level = [{"id": f"r{number}", "field": "c1", "rule": f"expr:c1 > {number} AND c2 < 3"} for number in range(990)]
    nodes = [transform(ops), {"id": "check", "kind": "validate", "rowLevel": row_level}]
    assert evaluated(*nodes) == []
    assert len(queries) < 50
    first = len(queries)
    assert evaluated(*nodes) == []
    assert len(queries) == first  # a document that is saved again


def test_a_fault_among_many_is_reported_at_its_place(queries: list[int]) -> None:
    ops = [{"type": "expression", "field": f"e{number}", "expression": f"c0 + {number}"} for number in range(150)]
    ops[70]["expression"], ops[140]["expression"] = "c0 + missing", "upper(c0)"
    assert evaluated(transform(ops)) == ["unknown_column", "invalid_expression"]


@pytest.mark.parametrize(
    ("columns", "ops", "nodes"),
    [
        (20_000, [{"type": "expression", "field": "e", "expression": "c0 + 1"}], 60),
        (20_000, [{"type": "expression", "field": "e", "expression": f"c0 + {n}"} for n in range(500)], 1),
        (5_000, [{"type": "drop", "fields": [f"c{n}"]} for n in range(1, 30)], 1),
        (3_000, [{"type": "sort", "by": ["c0"]}] * 12, 1),
    ],
    ids=["nodes", "columns made", "columns dropped", "rows gathered"],
)
@pytest.mark.first_variant
def test_wide_tables_through_many_steps_are_refused(columns: int, ops: list[dict[str, Any]], nodes: int) -> None:
    assert evaluated(*(transform(ops, f"t{n}") for n in range(nodes)), columns=columns) == ["too_wide"]


def test_a_long_chain_of_joins_is_refused_before_it_is_wide() -> None:
    raw = document()
    raw["nodes"][0]["fields"] = [{"name": f"c{number}", "dataType": "bigint"} for number in range(1_000)]
    for number in range(20):
        last = raw["nodes"][-2]["id"]
        join = {"id": f"j{number}", "kind": "join", "inputs": [last, "src"], "suffix": f"_{number}"}
        raw["nodes"].insert(-1, join | {"type": "semi", "on": [{"left": "c0", "right": "c0"}]})
        raw["nodes"][-1]["input"] = join["id"]
    ir = parse_ir(raw).ir
    assert ir is not None
    assert [problem.code for problem in check_types(ir)] == ["too_wide"]
