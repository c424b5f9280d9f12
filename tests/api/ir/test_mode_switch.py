"""Changes of load mode on a table with rows: refused, with confirmation, or allowed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, error_of

pytestmark = pytest.mark.postgres

TARGET = next(index for index, node in enumerate(IR["nodes"]) if node["kind"] == "target")
WHERE = f"nodes[{TARGET}].loadMode"


def loading(mode: str, **options: Any) -> dict[str, Any]:
    ir = copy.deepcopy(IR)
    ir["nodes"][TARGET] |= {"loadMode": mode, **options}
    return ir


@pytest.fixture
def path(facade: Facade) -> str:
    """The IR of a pipeline whose table has a row."""
    path = f"{BASE_PATH}/pipelines/{facade.pipeline()['id']}/ir"
    sql(facade, "INSERT INTO public.ds_orders DEFAULT VALUES")
    return path


def sql(facade: Facade, statement: str) -> None:
    with facade.engine.begin() as connection:
        connection.execute(text(statement))


def save(facade: Facade, path: str, ir: dict[str, Any], query: str = "") -> Any:
    return facade.editor.post(f"{path}{query}", json=ir)


@pytest.mark.parametrize("mode", ["replace", "truncate", "blue_green"])
def test_a_mode_that_replaces_the_rows_wants_to_be_confirmed(facade: Facade, path: str, mode: str) -> None:
    error = error_of(save(facade, path, loading(mode)), 400)
    ((where, code, message),) = [(each["path"], each["code"], each["message"]) for each in error["details"]]
    assert (where, code) == (WHERE, "confirmation_required")
    assert "the next run replaces all rows that are in public.ds_orders" in message
    assert [each["version"] for each in facade.viewer.get(f"{path}/versions").json()] == [1]
    assert save(facade, path, loading(mode), "?confirm=true").status_code == 201
    again = loading("replace" if mode != "replace" else "truncate")
    assert save(facade, path, again).status_code == 201, "from one full load to another nothing more is lost"


def test_whose_rows_would_be_replaced_is_said(facade: Facade, path: str) -> None:
    facade.editor.post(f"{BASE_PATH}/pipelines", json=facade.references(path.split("/")[-2], IR))
    error = error_of(save(facade, path, loading("replace")), 400)
    assert "replaces all rows of public.ds_orders, those that 'another' loaded too" in error["details"][0]["message"]


@pytest.mark.parametrize(
    ("mode", "options", "says"),
    [
        ("append", {}, "come again are there twice"),
        ("incremental_watermark", {"watermarkColumn": "id"}, "there is no watermark yet"),
    ],
)
def test_a_mode_that_doubles_rows_wants_to_be_confirmed(
    facade: Facade, path: str, mode: str, options: dict[str, Any], says: str
) -> None:
    save(facade, path, loading("replace"), "?confirm=true")
    error = error_of(save(facade, path, loading(mode, **options)), 400)
    assert says in error["details"][0]["message"]
    assert save(facade, path, loading(mode, **options), "?confirm=true").status_code == 201


def test_what_the_table_does_not_allow_is_refused_whatever_is_confirmed(facade: Facade, path: str) -> None:
    sql(facade, "ALTER TABLE public.ds_orders DROP CONSTRAINT ds_orders_pkey")
    for mode, code in (("upsert", "upsert_key_not_unique"), ("scd2", None)):
        error = error_of(save(facade, path, loading(mode, upsertKey="id"), "?confirm=true"), 400)
        assert error["details"][0]["path"] == WHERE
        assert code in (None, error["details"][0]["code"])
    sql(facade, "ALTER TABLE public.ds_orders ADD UNIQUE (id)")
    assert save(facade, path, loading("upsert", upsertKey="id")).status_code == 201


def test_an_empty_table_has_nothing_to_lose(facade: Facade, path: str) -> None:
    sql(facade, "DELETE FROM public.ds_orders")
    assert save(facade, path, loading("replace")).status_code == 201


def test_it_is_asked_when_the_version_goes_live(facade: Facade, path: str) -> None:
    assert save(facade, path, loading("replace"), "?publish=false").status_code == 201
    publish = f"{path}/publish"
    error_of(facade.editor.post(publish, json={"version": 2}), 400)
    assert facade.editor.post(f"{publish}?confirm=true", json={"version": 2}).json()["live"]
    error = error_of(facade.editor.post(publish, json={"version": 1}), 400)
    assert "From replace to append".lower() in error["details"][0]["message"].lower()


def test_any_other_change_needs_no_word(facade: Facade, path: str) -> None:
    ir = copy.deepcopy(IR)
    ir["nodes"][0]["config"]["path"] = "another.csv"
    assert save(facade, path, ir).status_code == 201


def test_a_hook_on_somebody_elses_table_is_400(facade: Facade, path: str) -> None:
    hook = {"type": "sql", "statement": "ANALYZE public.ds_payroll"}
    error = error_of(save(facade, path, loading("append", preHook=hook)), 400)
    ((where, code),) = [(each["path"], each["code"]) for each in error["details"]]
    assert (where, code) == (f"nodes[{TARGET}].preHook.statement", "foreign_table")
    assert save(facade, path, loading("append", preHook=hook | {"statement": "ANALYZE {table}"})).status_code == 201
