"""Columns are added, altered and dropped together with their metadata, and data is lost only with confirmation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from headrace.catalog.errors import Conflict, Invalid
from headrace.catalog.models import DataSchema, SchemaField
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.schemas import definition_of
from headrace.catalog.schemas.alter import possible_loss
from tests.catalog.conftest import add_pipeline
from tests.catalog.tables import columns_of, create, field


@pytest.mark.parametrize(
    ("before", "after", "keeps"),
    [
        (("smallint",), ("bigint",), True),
        (("bigint",), ("integer",), False),
        (("integer",), ("double",), True),
        (("bigint",), ("double",), False),
        (("bigint",), ("decimal",), True),
        (("double",), ("decimal",), False),
        (("decimal", {"precision": 10, "scale": 2}), ("decimal", {"precision": 12, "scale": 4}), True),
        (("decimal", {"precision": 10, "scale": 2}), ("decimal", {"precision": 10, "scale": 4}), False),
        (("decimal", {"precision": 10, "scale": 2}), ("decimal",), True),
        (("decimal",), ("decimal", {"precision": 30, "scale": 9}), False),
        (("varchar", {"length": 10}), ("varchar", {"length": 20}), True),
        (("varchar", {"length": 10}), ("varchar", {"length": 9}), False),
        (("varchar", {"length": 10}), ("text",), True),
        (("text",), ("varchar",), True),
        (("text",), ("varchar", {"length": 10}), False),
        (("uuid",), ("text",), True),
        (("text",), ("uuid",), False),
        (("date",), ("timestamp",), True),
        (("timestamp",), ("timestamptz",), False),
    ],
)
def test_only_a_change_that_may_lose_something_says_so(
    before: tuple[str, dict[str, Any]], after: tuple[str, dict[str, Any]], keeps: bool
) -> None:
    old, new = (field("a", given[0], **(given[1] if len(given) > 1 else {})) for given in (before, after))
    assert (possible_loss(old, new) is None) == keeps


def test_a_new_name_breaks_whoever_reads_the_old_one() -> None:
    assert "'a'" in str(possible_loss(field("a"), field("b")))
    assert possible_loss(field("a"), field("a", is_nullable=False, is_unique=True, description="x")) is None


@pytest.fixture
def orders(mine: TenantCatalog, session: Session) -> DataSchema:
    fields = [field("id", "bigint", is_primary_key=True), field("amount", "integer", default_value="1"), field("note")]
    schema = create(mine, "orders", fields)
    session.execute(text("INSERT INTO ds_orders (id, amount, note) VALUES (1, 5, '7'), (2, NULL, 'x')"))
    session.commit()
    return schema


def change(mine: TenantCatalog, schema: DataSchema, name: str, /, **changes: Any) -> SchemaField:
    locked = mine.schemas.locked(schema.id)
    assert locked is not None
    found = named(locked, name)
    return mine.schemas.change_field(locked, found, replace(definition_of(found), **changes))


def named(schema: DataSchema, name: str) -> SchemaField:
    return next(each for each in schema.fields if each.name == name)


@pytest.mark.postgres
def test_a_column_is_added_after_the_others(mine: TenantCatalog, session: Session, orders: DataSchema) -> None:
    locked = mine.schemas.locked(orders.id)
    assert locked is not None
    wanted = field("price", "decimal", precision=8, scale=2, default_value="1.5", is_nullable=False, is_unique=False)
    added = mine.schemas.add_field(locked, wanted)
    assert (added.ordinal, columns_of(session, "ds_orders")["price"]) == (4, "numeric")
    assert session.scalars(text("SELECT DISTINCT price::text FROM ds_orders")).all() == ["1.50"]
    session.commit()
    assert [each.name for each in mine.schemas.get(orders.id).fields] == ["id", "amount", "note", "price"]  # type: ignore[union-attr]


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        (field("AMOUNT"), Conflict),
        (field("must", is_nullable=False), Conflict),
        (field("n", "integer", default_value="many"), Invalid),
        (field("k", is_primary_key=True), Invalid),
        (field("ctid"), Invalid),
        (field("n", "intger"), Invalid),
    ],
)
def test_what_cannot_be_added_changes_nothing(
    mine: TenantCatalog, session: Session, orders: DataSchema, wanted: Any, refusal: type[Exception]
) -> None:
    before = columns_of(session, "ds_orders")
    locked = mine.schemas.locked(orders.id)
    assert locked is not None
    with pytest.raises(refusal):
        mine.schemas.add_field(locked, wanted)
    session.rollback()
    assert columns_of(session, "ds_orders") == before
    assert len(mine.schemas.get(orders.id).fields) == 3  # type: ignore[union-attr]


@pytest.mark.postgres
def test_a_generated_id_is_not_added_twice(mine: TenantCatalog) -> None:
    schema = create(mine, "plain", [field("a")])
    with pytest.raises(Conflict, match="exists"):
        mine.schemas.add_field(schema, field("id"))


@pytest.mark.postgres
def test_name_type_default_and_constraints_change_with_the_rows_kept(
    mine: TenantCatalog, session: Session, orders: DataSchema
) -> None:
    change(mine, orders, "amount", name="total", data_type="bigint", default_value="9", is_unique=True)
    change(mine, orders, "total", is_unique=False)
    change(mine, orders, "note", data_type="varchar", length=3, is_nullable=False)
    session.commit()
    assert columns_of(session, "ds_orders") == {
        "id": "bigint",
        "total": "bigint",
        "note": "character varying",
        "_headrace_load_id": "bigint",
    }
    session.execute(text("INSERT INTO ds_orders (id, note) VALUES (3, 'y')"))
    session.execute(text("INSERT INTO ds_orders (id, total, note) VALUES (4, 9, 'z')"))  # not unique any more
    rows = session.execute(text("SELECT id, total, note FROM ds_orders ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [(1, 5, "7"), (2, None, "x"), (3, 9, "y"), (4, 9, "z")]
    with pytest.raises(Exception, match=r"too long|null value"):
        session.execute(text("INSERT INTO ds_orders (id, note) VALUES (5, 'abcd')"))


@pytest.mark.postgres
def test_a_default_of_the_old_type_does_not_stand_in_the_way(mine: TenantCatalog, orders: DataSchema) -> None:
    change(mine, orders, "amount", data_type="text")
    change(mine, orders, "amount", default_value="none")
    with pytest.raises(Invalid) as refused:
        change(mine, orders, "amount", data_type="integer")
    assert refused.value.problems[0].path == "defaultValue"


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("name", "changes", "refusal", "reported"),
    [
        ("note", {"data_type": "integer"}, Conflict, "invalid input syntax"),
        ("amount", {"data_type": "uuid", "default_value": None}, Invalid, "cannot cast"),
        ("amount", {"is_nullable": False}, Conflict, "null values"),
        ("amount", {"name": "Note"}, Conflict, "already"),
        ("amount", {"name": "a b"}, Invalid, "not valid"),
        ("amount", {"is_primary_key": True}, Invalid, "not valid"),
        ("amount", {"length": 3}, Invalid, "not valid"),
    ],
)
def test_rows_that_do_not_fit_forbid_a_change_and_nothing_is_left_of_it(
    mine: TenantCatalog,
    session: Session,
    orders: DataSchema,
    name: str,
    changes: dict[str, Any],
    refusal: type[Exception],
    reported: str,
) -> None:
    before = columns_of(session, "ds_orders")
    with pytest.raises(refusal, match=reported):
        change(mine, orders, name, description="changed", **changes)
    session.rollback()
    assert columns_of(session, "ds_orders") == before
    assert "changed" not in [each.description for each in mine.schemas.get(orders.id).fields]  # type: ignore[union-attr]


@pytest.mark.postgres
def test_duplicates_forbid_unique(mine: TenantCatalog, session: Session, orders: DataSchema) -> None:
    session.execute(text("UPDATE ds_orders SET note = 'same'"))
    session.commit()
    with pytest.raises(Conflict, match="could not create unique index"):
        change(mine, orders, "note", is_unique=True)


@pytest.mark.postgres
def test_a_dropped_column_is_gone_and_its_name_free(mine: TenantCatalog, session: Session, orders: DataSchema) -> None:
    locked = mine.schemas.locked(orders.id)
    assert locked is not None
    mine.schemas.drop_field(locked, named(locked, "amount"))
    mine.schemas.add_field(locked, field("amount", "text"))
    assert columns_of(session, "ds_orders")["amount"] == "text"
    assert [(each.name, each.ordinal) for each in locked.fields] == [("id", 1), ("note", 3), ("amount", 4)]


@pytest.mark.postgres
def test_the_primary_key_and_what_a_view_needs_stay(mine: TenantCatalog, session: Session, orders: DataSchema) -> None:
    session.execute(text("CREATE VIEW amounts AS SELECT amount FROM ds_orders"))
    session.commit()
    for name, reported in (("id", "primary key"), ("amount", "view amounts depends")):
        locked = mine.schemas.locked(orders.id)
        assert locked is not None
        with pytest.raises(Conflict, match=reported):
            mine.schemas.drop_field(locked, named(locked, name))
        session.rollback()
    with pytest.raises(Conflict, match="view amounts depends"):
        mine.schemas.remove(orders)
    session.rollback()
    assert mine.schemas.get(orders.id) is not None


@pytest.mark.postgres
def test_a_table_that_a_run_holds_is_not_waited_for(
    mine: TenantCatalog, session: Session, orders: DataSchema, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.catalog.schemas.alter._LOCK_TIMEOUT", "50ms")
    with psycopg.connect(database_url) as loading:
        loading.execute("INSERT INTO ds_orders (id) VALUES (9)")
        with pytest.raises(Conflict, match="in use"):
            change(mine, orders, "note", data_type="varchar")
        session.rollback()
    change(mine, orders, "note", data_type="varchar")


@pytest.mark.postgres
def test_changes_at_the_same_time_wait_for_each_other(
    mine: TenantCatalog, session: Session, orders: DataSchema, engine: Engine
) -> None:
    schema_id = orders.id
    session.commit()

    def add(number: int) -> int:
        with Session(engine) as own, own.begin():
            catalog = TenantCatalog(own, "default")
            schema = catalog.schemas.locked(schema_id)
            assert schema is not None
            return catalog.schemas.add_field(schema, field(f"f{number}")).ordinal

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(add, range(6))) == [4, 5, 6, 7, 8, 9]


@pytest.mark.postgres
def test_a_schema_that_pipelines_load_stays(
    mine: TenantCatalog, theirs: TenantCatalog, session: Session, orders: DataSchema
) -> None:
    loading = add_pipeline(mine, "by reference")  # its IR loads public.ds_orders, its own schema is another
    foreign = add_pipeline(theirs, "of a stranger")  # names the same table, which is none of its tenant's
    with pytest.raises(Conflict, match=r"'by reference'$"):
        mine.schemas.remove(orders)
    referenced = mine.schemas.get(loading.schema_id)
    assert referenced is not None
    with pytest.raises(Conflict, match=r"'by reference'$"):
        mine.schemas.remove(referenced)
    session.delete(loading)
    session.flush()
    mine.schemas.remove(orders)
    session.commit()
    assert columns_of(session, "ds_orders") == {}
    assert theirs.pipelines.get(foreign.id) is not None


@pytest.mark.postgres
def test_a_removed_schema_that_is_rolled_back_is_there_with_its_rows(
    mine: TenantCatalog, session: Session, orders: DataSchema
) -> None:
    mine.schemas.remove(orders)
    session.rollback()
    assert session.scalar(text("SELECT count(*) FROM ds_orders")) == 2
    assert mine.schemas.get(orders.id) is not None
