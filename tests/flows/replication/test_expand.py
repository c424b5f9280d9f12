"""Plans of a replication for the found tables: modes, keys, cursors, and problems."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.connectors.sql.postgresql.connector import POSTGRESQL
from headrace.flows.replication.ddl import statements
from headrace.flows.replication.expand import Expansion
from headrace.flows.replication.found import FoundColumn, FoundError, FoundTable
from headrace.flows.replication.table_plan import KnownTable, Now, TablePlan
from headrace.ir import parse_ir
from headrace.ir.replication import parse_replication
from tests.replicated import document

ID = FoundColumn(name="id", data_type="integer", native="integer", nullable=False)
AT = FoundColumn(name="updated_at", data_type="timestamptz", native="timestamp with time zone", sure=False)
NOTE = FoundColumn(name="note", data_type="text", native="text")


def table(name: str = "orders", *columns: FoundColumn, key: tuple[str, ...] = ("id",), **more: Any) -> FoundTable:
    where = f"sales.{name}"
    return FoundTable(name=where, settings={"table": where}, key=key, columns=columns or (ID, AT, NOTE), **more)


def plans(*tables: FoundTable, now: Now | None = None, tenant: str = "default", **more: Any) -> list[TablePlan]:
    parsed = parse_replication(document("shop", "db", **more)).document
    assert parsed is not None
    return Expansion(parsed, POSTGRESQL, tenant, now or Now()).plans(tables)


def one(*tables: FoundTable, **more: Any) -> TablePlan:
    [plan] = plans(*(tables or (table(),)), **more)
    return plan


def problems(plan: TablePlan) -> list[tuple[str, str]]:
    return [(each.path, each.code) for each in plan.problems]


@pytest.mark.parametrize(
    ("key", "settings", "mode", "cursor"),
    [
        (("id",), {}, "upsert", None),
        ((), {}, "replace", None),
        (("id",), {"cursor": "updated_at"}, "upsert", "updated_at"),
        ((), {"cursor": "updated_at"}, "replace", None),  # nothing identifies its rows
        ((), {"cursor": {"column": "updated_at", "key": []}}, "append", "updated_at"),
        ((), {"key": "note", "cursor": "updated_at"}, "upsert", "updated_at"),
        (("id",), {"cursor": "nowhere"}, "upsert", None),
        (("id",), {"loadMode": "replace", "cursor": "updated_at"}, "replace", None),
    ],
)
def test_the_mode_follows_from_the_key_and_the_cursor(
    key: tuple[str, ...], settings: dict[str, Any], mode: str, cursor: str | None
) -> None:
    plan = one(table(key=key), defaults=settings)
    assert (plan.load_mode, plan.cursor, problems(plan)) == (mode, cursor, [])


@pytest.mark.parametrize(
    ("key", "settings", "found"),
    [
        (("id",), {"cursor": "nowhere"}, ("cursor", "missing_column")),
        ((), {"cursor": "updated_at"}, ("cursor.key", "no_key")),
        (("id",), {"cursor": "updated_at", "loadMode": "truncate"}, ("cursor", "cursor_replaces")),
        ((), {"loadMode": "upsert"}, ("loadMode", "no_key")),
        (("id",), {"key": ["nowhere"]}, ("key", "missing_column")),
        (("id",), {"config": {"columns": ["id", "nowhere"]}}, ("config.columns", "missing_column")),
        (("id",), {"loadMode": "scd2", "config": {"columns": ["id"]}}, ("loadMode", "nothing_to_update")),
        (("id",), {"target": "東"}, ("target", "invalid_name")),
        (("id",), {"target": "x" * 61}, ("target", "too_long")),
    ],
)
def test_what_an_override_asks_in_vain_is_a_problem_of_its_table_alone(
    key: tuple[str, ...], settings: dict[str, Any], found: tuple[str, str]
) -> None:
    wrong, right = plans(table(key=key), table("other"), overrides=[{"tables": "sales.orders", **settings}])
    assert problems(wrong) == [found]
    assert not wrong.runs
    assert statements(wrong) == []
    assert right.runs


def test_types_keys_and_comments_become_those_of_the_table() -> None:
    columns = (
        FoundColumn(name="id", data_type="bigint", native="bigint", comment="it's 100%"),
        FoundColumn(name="Line No.", data_type="varchar", precision=20, native="character varying(20)"),
        FoundColumn(name="price", data_type="decimal", precision=12, scale=2, native="numeric(12,2)", sure=False),
        FoundColumn(name="exact", data_type="decimal", native="numeric", sure=False),
        FoundColumn(name="wide", data_type="text", native="numeric(60,20)"),
        FoundColumn(name="widest", data_type="text", native="BIGNUMERIC"),
        FoundColumn(name="doc", data_type="json", native="json"),
        FoundColumn(name="raw", data_type="text", native="bytea"),
    )
    plan = one(table("orders", *columns, comment="All orders"), tenant="shop")
    [target] = [node for node in (plan.document or {})["nodes"] if node["kind"] == "target"]
    name = target["schema"].removeprefix("public.")
    assert statements(plan) == [
        f'CREATE TABLE "public"."{name}" ("id" bigint NOT NULL, "Line_No" varchar(20), "price" numeric(12, 2), '
        '"exact" numeric, "wide" numeric(60, 20), "widest" numeric, "doc" jsonb, "raw" text, PRIMARY KEY ("id"), '
        '"_headrace_load_id" bigint);',
        f'COMMENT ON TABLE "public"."{name}" IS \'All orders\';',
        f'COMMENT ON COLUMN "public"."{name}"."id" IS \'it\'\'s 100%\';',
    ]
    assert target["mapping"] == {"Line_No": "Line No."}
    assert plan.notes == (
        "doc: json is held as jsonb: spaces, the order of keys and repeated keys are not kept",
        "raw: bytea is held as text, as the source writes it",
        "price (numeric(12,2)): a value without a counterpart (NaN, infinity, 24:00, zero dates, nanoseconds) makes "
        "its row an error",
    )
    assert parse_ir(dict(plan.document or {})).problems == []


def test_two_tables_are_never_loaded_into_one_schema() -> None:
    first, second, third = plans(table("a-b"), table("a_b"), table("c"))
    assert problems(first) == problems(second) == [("target", "same_target")]
    assert third.runs


def known(*columns: FoundColumn, **more: Any) -> KnownTable:
    before = one(table("orders", *columns))
    facts: dict[str, Any] = {"columns": before.columns, "names": before.names, "fields": before.fields}
    return KnownTable("sales.orders", "pipe_1", "schema_1", "sales_orders", **{**facts, **more})


def test_columns_that_come_are_added_and_wider_types_widened_without_loss() -> None:
    now = Now(tables={"sales.orders": known(ID, NOTE)})
    wider = FoundColumn(name="id", data_type="bigint", native="bigint")
    plan = one(table("orders", wider, NOTE, AT), now=now)
    assert plan.change == "changed"
    assert [(each.name, each.before, each.after) for each in plan.column_changes] == [
        ("id", "integer", "bigint"),
        ("updated_at", None, "timestamp with time zone"),
    ]
    assert statements(plan) == [
        'ALTER TABLE "public"."ds_sales_orders" ADD COLUMN "updated_at" timestamptz;',
        'ALTER TABLE "public"."ds_sales_orders" ALTER COLUMN "id" TYPE bigint USING "id"::bigint;',
    ]


def test_a_type_that_the_table_cannot_take_without_loss_stays_and_is_reported() -> None:
    now = Now(tables={"sales.orders": known(ID, NOTE)})
    dated = FoundColumn(name="note", data_type="date", native="date")
    plan = one(table("orders", ID, dated), now=now)
    assert statements(plan) == []
    assert plan.runs
    narrower = FoundColumn(name="id", data_type="text", native="text")
    widened = one(table("orders", narrower, NOTE), now=now)
    assert statements(widened) == [
        'ALTER TABLE "public"."ds_sales_orders" ALTER COLUMN "id" TYPE text USING "id"::text;'
    ]
    stays = Now(tables={"sales.orders": known(ID, dated)})
    numbers = FoundColumn(name="note", data_type="integer", native="integer")
    reported = one(table("orders", ID, numbers), now=stays)
    assert reported.notes == (
        "note: it is date in the table and integer in the source; a value that does not fit makes its row an error",
    )


@pytest.mark.parametrize(("contract", "added", "found"), [("freeze", [], ["schema_frozen"]), ("discard_value", [], [])])
def test_new_columns_are_as_the_contract_says(contract: str, added: list[str], found: list[str]) -> None:
    now = Now(tables={"sales.orders": known(ID, NOTE)})
    plan = one(now=now, defaults={"schemaContract": contract})
    assert ([each.name for each in plan.added], [each.code for each in plan.problems]) == (added, found)


@pytest.mark.parametrize(
    ("new_tables", "change", "runs"), [("follow", "new", True), ("ignore", "ignored", False), ("fail", "new", False)]
)
def test_new_tables_are_followed_left_out_or_refused(new_tables: str, change: str, runs: bool) -> None:
    now = Now(tables={"sales.orders": known()}, settled=True, seen=frozenset({"sales.seen"}))
    found = {plan.name: plan for plan in plans(table(), table("seen"), table("z"), now=now, newTables=new_tables)}
    assert (found["sales.z"].change, found["sales.z"].runs) == (change, runs)
    assert found["sales.orders"].runs
    assert found["sales.seen"].runs  # it was there before, and could not be copied
    first = plans(table("z"), newTables=new_tables)
    assert first[0].runs


def test_tables_that_vanish_are_reported_and_kept_apart_from_those_left_out() -> None:
    tables = {name: known() for name in ("sales.orders", "sales.gone", "other.t")}
    found = plans(table(), now=Now(tables=tables))
    assert {plan.name: plan.change for plan in found} == {
        "sales.orders": "known",
        "sales.gone": "gone",
        "other.t": "left_out",
    }


def test_a_schema_or_a_pipeline_of_somebody_else_is_not_taken() -> None:
    taken = one(now=Now(taken={"sales_orders": "the pipeline 'daily'"}, pipelines=frozenset({"shop: sales.orders"})))
    assert problems(taken) == [("target", "target_taken"), ("metadata.name", "name_taken")]


def test_a_schema_that_is_there_is_used_and_gets_what_it_lacks() -> None:
    before = one(table("orders", ID, NOTE))
    plan = one(now=Now(schemas={"sales_orders": before.fields}))
    assert statements(plan) == ['ALTER TABLE "public"."ds_sales_orders" ADD COLUMN "updated_at" timestamptz;']
    keyless = one(table("orders", ID, NOTE, key=()))
    assert problems(one(now=Now(schemas={"sales_orders": keyless.fields}))) == [("key", "key_differs")]


def test_what_cannot_be_looked_at_or_read_says_why() -> None:
    error = FoundError(code="not_permitted", message="It may not be read.", hint="GRANT it.")
    hidden = one(FoundTable(name="sales.hidden", error=error))
    assert [(each.code, each.hint) for each in hidden.problems] == [("not_permitted", "GRANT it.")]
    odd = one(table("orders", ID, FoundColumn(name="__secret", data_type="text")))
    assert [code for _, code in problems(odd)] == ["unreadable_column"]
    assert [code for _, code in problems(one(table("orders").model_copy(update={"columns": ()})))] == ["no_columns"]


OP = FoundColumn(name="op", data_type="varchar", precision=1, native="character(1)")


@pytest.mark.parametrize(
    ("key", "columns", "settings", "found"),
    [
        (("id",), (ID, AT, NOTE), {"key": "note"}, [("loadMode", "no_operation")]),
        (("id",), (ID, AT, OP, NOTE), {}, [("key", "no_key")]),
        ((), (ID, AT, OP, NOTE), {"key": "note"}, [("cursor", "no_order")]),
        (("id",), (ID, AT, OP, NOTE), {"key": "note"}, []),
        ((), (ID, AT, OP, NOTE), {"key": "note", "cursor": {"column": "id", "key": []}}, []),
    ],
)
def test_change_events_need_an_operation_a_key_and_an_order(
    key: tuple[str, ...], columns: tuple[FoundColumn, ...], settings: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    plan = one(table("changes", *columns, key=key), defaults={"loadMode": "cdc_mirror", **settings})
    assert problems(plan) == found
    if not found:
        assert "op" not in [field.name for field in plan.fields]
        assert [field.name for field in plan.fields if field.is_primary_key] == ["note"]
        source, target = (plan.document or {})["nodes"]
        assert target["upsertKey"] == ["note"]
        assert "key" not in source["config"], "several events have the key of one row"


def test_deletes_are_noticed_where_keys_are_compared() -> None:
    first, second = plans(table(), table("log", key=()), defaults={"deletes": {"maxShare": 0.1}})
    by_name = {plan.name: plan for plan in (first, second)}
    [target] = [node for node in (by_name["sales.orders"].document or {})["nodes"] if node["kind"] == "target"]
    assert target["deletes"] == {"maxShare": 0.1}
    assert by_name["sales.log"].notes[0] == "deletes are not noticed: with replace the table has what the source has"
    marked = one(defaults={"deletes": {"action": "mark", "column": "gone_at"}})
    assert marked.fields[-1].name == "gone_at"
    wrong = one(overrides=[{"tables": "sales.orders", "loadMode": "append", "deletes": {}}])
    assert problems(wrong) == [("deletes", "bad_option")]
    closed = one(overrides=[{"tables": "sales.orders", "loadMode": "scd2", "deletes": {"action": "remove"}}])
    assert problems(closed) == [("deletes.action", "bad_option")]
