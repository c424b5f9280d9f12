"""A missing or unknown watermark column is reported when the pipeline is saved."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from tests.flows.pipelines import document, logical

MODE = "incremental_watermark"


def saved(**target: Any) -> list[tuple[str, str]]:
    raw = document()
    raw["nodes"][0] |= {"config": {"path": "a.csv"}, "fields": [{"name": "id", "dataType": "bigint"}]}
    raw["nodes"][-1].update(target)
    ir = parse_ir(raw).ir
    assert ir is not None
    return [(problem.path, problem.code) for problem in check_types(ir)]


def test_incremental_needs_a_column() -> None:
    assert saved(loadMode=MODE) == [("nodes[1].watermarkColumn", "missing_field")]
    assert saved(loadMode=MODE, watermarkColumn="id") == []
    assert saved(loadMode="append") == []


def test_the_data_have_the_column() -> None:
    unknown = [("nodes[1].watermarkColumn", "unknown_column")]
    assert saved(loadMode=MODE, watermarkColumn="ident") == unknown
    assert saved(loadMode=MODE, watermarkColumn="ident", mapping={"ident": "id"}) == []
    assert saved(loadMode="append", watermarkColumn="ident") == []


@pytest.mark.parametrize(("column", "hint"), [("price", None), ("day", "")])
def test_the_table_has_the_column(column: str, hint: str | None) -> None:
    found = logical(loadMode=MODE, watermarkColumn=column).problems
    assert [problem.code for problem in found] == ([] if hint is not None else ["unknown_column"])


def test_a_misspelt_column_is_guessed() -> None:
    [problem] = logical(loadMode=MODE, watermarkColumn="dya").problems
    assert (problem.path, problem.hint) == ("nodes[1].watermarkColumn", "did you mean 'day'?")
