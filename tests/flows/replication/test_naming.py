"""Names of targets are valid, distinct and stable."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.catalog.schemas.ddl import definition_problems
from headrace.catalog.schemas.names import FieldDefinition
from headrace.flows.replication.found import FoundTable
from headrace.flows.replication.naming import column_names, pipeline_name, schema_name

NAMES = st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=12, unique=True)


@given(NAMES)
def test_any_columns_get_names_that_a_table_may_have(names: list[str]) -> None:
    found = column_names(names, {})
    assert list(found) == names
    assert definition_problems("ds_t", [FieldDefinition(each, each, "text") for each in found.values()]) == []
    assert not any(each.startswith("__") for each in found.values())
    assert column_names([*names, "more"], found) == {**found, **column_names(["more"], found)}


def test_what_a_table_may_have_stays_as_it_is() -> None:
    names = ["id", "Größe", "select", "Line No.", "line_no", "LINE_NO", "2nd", "xmin", "_headrace_load_id", "."]
    assert column_names(names, {}) == {
        "id": "id",
        "Größe": "Größe",
        "select": "select",
        "Line No.": "Line_No",
        "line_no": "line_no_2",
        "LINE_NO": "LINE_NO_3",
        "2nd": "c_2nd",
        "xmin": "xmin_2",
        "_headrace_load_id": "c_headrace_load_id",
        ".": "column",
    }


def test_a_schema_is_called_by_its_template() -> None:
    plain = FoundTable(name="sales.orders", settings={"table": "sales.orders"})
    assert schema_name("{schema}_{table}", plain, "shop") == "sales_orders"
    assert schema_name("{replication}_{table}", plain, "My Shop") == "my_shop_orders"
    dotted = FoundTable(name="a.b.c.d", settings={"table": '"a.b"."c.{schema}"'})
    assert schema_name("{schema}__{table}", dotted, "shop") == "a_b_c_schema"
    warehouse = FoundTable(name="SALES.ORDERS", settings={"table": "SHOP.SALES.ORDERS"})
    assert schema_name("{database}_{schema}_{table}", warehouse, "x") == "shop_sales_orders"
    assert schema_name("{schema}_{table}", FoundTable(name="東.京", settings={"table": "東.京"}), "x") == ""


def test_pipelines_are_called_by_their_tables_in_one_line() -> None:
    assert pipeline_name("shop", "sales.orders") == "shop: sales.orders"
    odd = [pipeline_name("shop", "a\nb"), pipeline_name("shop", "a\tb"), pipeline_name("shop", "x" * 300)]
    assert len(set(odd)) == 3
    assert all(len(each) <= 200 and each.isprintable() for each in odd)
