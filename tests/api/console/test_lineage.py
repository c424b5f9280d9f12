"""The drawing of lineage: what is linked, and that it shows everything or says so."""

from __future__ import annotations

import json

import pytest

from headrace.api.console.lineage_graph import MAX_COLUMNS, ROWS, drawn
from headrace.api.ir.lineage_schemas import (
    ColumnLineage,
    IrLineage,
    LineageInput,
    LineageStep,
    LineageUse,
    RowLineage,
    TargetLineage,
)
from tests.api.conftest import Facade
from tests.api.console.people import People, elements
from tests.api.console.worlds import checked_ir


def given(field: str, node: str | None = "src", *, masking: bool = False, subtype: str = "IDENTITY") -> LineageInput:
    use = LineageUse.model_validate({"type": "DIRECT", "subtype": subtype, "masking": masking})
    return LineageInput(node=node, table=None if node else "public.rates", field=field, transformations=[use])


def column(name: str, *inputs: LineageInput, steps: tuple[str, ...] = ()) -> ColumnLineage:
    made = [LineageStep(node="clean", path="nodes[1].ops[0]", label=each) for each in steps]
    return ColumnLineage(name=name, input_fields=list(inputs), steps=made)


def lineage(*columns: ColumnLineage, rows: tuple[LineageInput, ...] = ()) -> IrLineage:
    dataset = [RowLineage(**each.model_dump(), steps=[]) for each in rows]
    target = TargetLineage(node="tgt", table="public.ds_orders", fields=list(columns), dataset=dataset)
    return IrLineage(version=1, targets=[target], unknown=[])


def test_columns_are_linked_to_those_that_they_come_from() -> None:
    total = column("total", given("price"), given("rate", None), steps=("price * rate",))
    graph = drawn(lineage(column("id", given("id")), total, column("loaded_at"), rows=(given("price"),)))
    assert graph["sources"] == [
        {"title": "src", "columns": ["id", "price"]},
        {"title": "public.rates", "columns": ["rate"]},
    ]
    assert graph["targets"] == [
        {"title": "public.ds_orders", "node": "tgt", "columns": ["id", "total", "loaded_at", ROWS]}
    ]
    found = [(each["from"], each["to"], each["steps"], each["rows"]) for each in graph["links"]]
    steps = ["clean: price * rate"]
    assert found == [
        ([0, 0], [0, 0], [], False),
        ([0, 1], [0, 1], steps, False),
        ([1, 0], [0, 1], steps, False),
        ([0, 1], [0, 3], [], True),
    ]
    assert graph["whole"]


def test_a_wide_table_is_drawn_in_part_and_says_so() -> None:
    graph = drawn(lineage(*(column(f"c{n}", given(f"c{n}")) for n in range(MAX_COLUMNS + 1))))
    assert len(graph["links"]) == MAX_COLUMNS
    assert not graph["whole"]


@pytest.mark.postgres
def test_the_page_has_the_drawing_and_the_same_as_a_table(facade: Facade, people: People) -> None:
    made = facade.pipeline("orders", ir=checked_ir())
    page = people.viewer.get(f"/pipelines/{made['id']}/lineage").text
    [holder] = [each for each in elements(page) if "data-lineage" in each.attributes]
    graph = json.loads(holder.attributes["data-lineage"])
    assert graph["sources"] == [{"title": "src", "columns": ["amount"]}]
    assert graph["targets"][0]["columns"] == ["amount", ROWS]
    assert [each["to"] for each in graph["links"]] == [[0, 0], [0, 1]]
    assert "src." in page[page.index("<table") :]
