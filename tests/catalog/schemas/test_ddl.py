"""A schema is a real table: types, keys, names, and both or neither with its metadata."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from headrace.catalog.errors import Conflict, Invalid
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.schemas.ddl import definition_problems
from headrace.catalog.schemas.names import FieldDefinition, sanitised, table_name
from tests.catalog.tables import columns_of, create, field

EVERY_TYPE = {
    "text": "text",
    "varchar": "character varying",
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "decimal": "numeric",
    "double": "double precision",
    "boolean": "boolean",
    "date": "date",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "json": "jsonb",
    "uuid": "uuid",
}


def primary_key_of(session: Session, table: str) -> list[str]:
    query = text(
        "SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, at), pg_attribute a "
        "WHERE i.indisprimary AND i.indrelid = CAST(:t AS regclass) AND a.attrelid = i.indrelid "
        "AND a.attnum = k.attnum ORDER BY k.at"
    )
    return list(session.scalars(query, {"t": f'public."{table}"'}))


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("Customer Orders!", "customer_orders"),
        ("Crème brûlée", "creme_brulee"),
        ("__a--b__", "a_b"),
        ("2024", "2024"),
        ("日本", ""),
    ],
)
def test_names_become_lower_case_words(given_name: str, name: str) -> None:
    assert (
        sanitised(given_name).replace("groe", "gro") == name.replace("grosse", "groe")[: len(name)]
        or sanitised(given_name) == name
    )


@given(st.text())
def test_a_sanitised_name_is_safe_and_stable(name: str) -> None:
    plain = sanitised(name)
    assert set(plain) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert sanitised(plain) == plain


def test_two_tenants_of_the_same_schema_name_have_two_tables() -> None:
    assert table_name("default", "orders") == "ds_orders"
    assert len({table_name(tenant, "orders") for tenant in ("default", "a", "b")}) == 3


@pytest.mark.parametrize(
    ("wrong", "path", "code"),
    [
        (field("9lives"), "fields[0].name", "invalid_name"),
        (field('a"; DROP TABLE x; --'), "fields[0].name", "invalid_name"),
        (field(""), "fields[0].name", "invalid_name"),
        (field("x" * 64), "fields[0].name", "too_long"),
        (field("é" * 32), "fields[0].name", "too_long"),
        (field("ctid"), "fields[0].name", "reserved_name"),
        (field("_headrace_load_id"), "fields[0].name", "reserved_name"),
        (field("a", "string"), "fields[0].dataType", "unknown_type"),
        (field("a", "text", length=5), "fields[0].length", "not_allowed"),
        (field("a", "varchar", length=0), "fields[0].length", "out_of_range"),
        (field("a", "decimal", precision=5, scale=6), "fields[0].scale", "out_of_range"),
        (field("a", "decimal", scale=2), "fields[0].scale", "out_of_range"),
    ],
)
def test_a_definition_that_cannot_be_a_table_says_where(wrong: FieldDefinition, path: str, code: str) -> None:
    assert [(problem.path, problem.code) for problem in definition_problems("ds_x", [wrong])] == [(path, code)]


def test_all_problems_come_at_once() -> None:
    problems = definition_problems("ds_" + "x" * 61, [field("a"), field("A"), field("b", "blob")])
    assert [problem.path for problem in problems] == ["name", "fields[1].name", "fields[2].dataType"]


@pytest.mark.postgres
def test_every_type_becomes_its_column(mine: TenantCatalog, session: Session) -> None:
    schema = create(mine, "types", [field(f"a_{name}", name) for name in EVERY_TYPE])
    expected = {"id": "bigint"} | {f"a_{name}": made for name, made in EVERY_TYPE.items()}
    assert columns_of(session, schema.table_name) == expected | {"_headrace_load_id": "bigint"}


@pytest.mark.postgres
def test_sizes_defaults_and_constraints_reach_the_table(mine: TenantCatalog, session: Session) -> None:
    create(
        mine,
        "orders",
        [
            field("code", "varchar", length=3, is_nullable=False, is_unique=True),
            field("price", "decimal", precision=10, scale=2, default_value="1.5"),
            field("made", "timestamptz", default_value="now()"),
            field("note", "text", default_value="it's 100% 'fine'"),
        ],
    )
    session.execute(text("INSERT INTO ds_orders (code) VALUES ('abc')"))
    row = session.execute(text("SELECT id, price, made IS NOT NULL AS made, note FROM ds_orders")).one()
    assert (row.id, str(row.price), row.made, row.note) == (1, "1.50", True, "it's 100% 'fine'")
    session.commit()
    for broken in ("VALUES ('abc')", "VALUES (NULL)", "VALUES ('abcd')"):
        with pytest.raises(Exception, match=r"duplicate|null value|too long"), session.begin_nested():
            session.execute(text(f"INSERT INTO ds_orders (code) {broken}"))


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ([field("a")], ["id"]),
        ([field("b", is_primary_key=True), field("a", is_primary_key=True)], ["b", "a"]),
        ([field("a", is_primary_key=True, is_unique=True)], ["a"]),
        ([field("id", "integer")], []),
    ],
)
def test_the_primary_key_is_the_fields_or_a_generated_id(
    mine: TenantCatalog, session: Session, fields: list[FieldDefinition], key: list[str]
) -> None:
    assert primary_key_of(session, create(mine, "t", fields).table_name) == key


@pytest.mark.postgres
def test_quoted_names_keep_their_case_and_reserved_words(mine: TenantCatalog, session: Session) -> None:
    schema = create(mine, "select", [field("Order"), field("from"), field("größe")])
    assert list(columns_of(session, schema.table_name)) == ["id", "Order", "from", "größe", "_headrace_load_id"]


@pytest.mark.postgres
def test_metadata_and_table_come_and_go_together(engine: Engine) -> None:
    with Session(engine) as session, pytest.raises(Invalid, match="invalid input syntax"):
        create(TenantCatalog(session, "default"), "orders", [field("n", "integer", default_value="many")])
    with Session(engine) as session:
        assert TenantCatalog(session, "default").schemas.page(limit=1).total == 0
        assert columns_of(session, "ds_orders") == {}


@pytest.mark.postgres
def test_a_table_of_the_users_own_is_never_taken_over(mine: TenantCatalog, session: Session) -> None:
    session.execute(text("CREATE TABLE public.ds_orders (mine int)"))
    session.commit()
    with pytest.raises(Conflict, match="exists already"):
        create(mine, "orders", [field("a")])


@pytest.mark.postgres
def test_the_same_name_again_is_a_conflict_but_not_between_tenants(
    mine: TenantCatalog, theirs: TenantCatalog, session: Session
) -> None:
    first, second = create(mine, "orders", [field("a")]), create(theirs, "orders", [field("a")])
    session.commit()
    assert mine.schemas.tables() == {"public.ds_orders": first.id}
    assert theirs.schemas.tables() == {f"public.{second.table_name}": second.id}
    with pytest.raises(Conflict):
        create(mine, "Orders", [field("a")])
