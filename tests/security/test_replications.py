"""What a replication reads from a source is names and comments that a stranger may have chosen: none is ever run, none
reaches another tenant, and what a run writes cannot make the API do more than expand its own replication."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text

from tests.api.conftest import created, error_of, facade, facade_roles, facade_url, running_facade
from tests.api.replications.copying import CONNECTORS, REPLICATIONS, SCHEMAS, Copying, copying
from tests.replicated import document, replicated, server

__all__ = ["copying", "facade", "facade_roles", "facade_url", "replicated", "running_facade", "server"]

pytestmark = pytest.mark.postgres

HOSTILE = "x'); DROP TABLE headrace.tenants; --"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def test_names_and_comments_of_a_source_are_data_wherever_they_go(copying: Copying) -> None:
    odd = [HOSTILE, 'a"b; --', "%s %(x)s %", "{schema}", "tab\tand\nline", "..", "*", "a.b.c"]
    columns = ", ".join(f"{quoted(each)} text" for each in odd)
    comment = HOSTILE.replace("'", "''")
    for number, name in enumerate(odd):
        copying.source.make(
            f"CREATE TABLE sales.{quoted(name)} (id{number} int PRIMARY KEY, {columns})",
            f"COMMENT ON TABLE sales.{quoted(name)} IS '{comment}'",
            f"COMMENT ON COLUMN sales.{quoted(name)}.{quoted(odd[0])} IS '%s {{x}} {comment}'",
            f"GRANT SELECT ON sales.{quoted(name)} TO reader",
        )
    patterns = {number: f"sales.{name}".replace("\t", "?").replace("\n", "?") for number, name in enumerate(odd)}
    overrides = [{"tables": each, "target": f"odd_{number}"} for number, each in patterns.items() if each != "sales.*"]
    replication = copying.replication(defaults={"target": "t_{table}"}, overrides=overrides)
    run = copying.prepared(replication)
    refused = {each["name"]: each["message"] for each in run["results"] if each["status"] == "refused"}
    assert refused == {}
    with copying.facade.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM headrace.tenants")).scalar_one() == 2
        found = connection.execute(
            text("SELECT obj_description('public.ds_odd_0'::regclass), col_description('public.ds_odd_0'::regclass, 2)")
        ).one()
    assert tuple(found) == (HOSTILE, f"%s {{x}} {HOSTILE}")


def test_a_replication_reads_through_no_connector_of_another_tenant(copying: Copying) -> None:
    foreign = created(copying.facade.foreign, CONNECTORS, copying.source.connector("theirs"))
    for named in ("theirs", foreign["id"]):
        refused = copying.editor.post(REPLICATIONS, json={"document": document("shop", named)})
        assert error_of(refused, 400)["details"][0]["code"] == "unknown_connection"
    copying.connector()
    created(copying.facade.foreign, CONNECTORS, copying.source.connector("shop db") | {"name": "second"})
    mine = created(copying.editor, REPLICATIONS, {"document": document("shop", "shop db")})["id"]
    for path in ("", "/runs"):
        error_of(copying.facade.foreign.get(f"{REPLICATIONS}/{mine}{path}"), 404)
    run = created(copying.editor, f"{REPLICATIONS}/{mine}/run", {})["id"]
    theirs = created(copying.facade.foreign, REPLICATIONS, {"document": document("shop", "theirs")})["id"]
    for ask in ("", "/progress"):
        error_of(copying.facade.foreign.get(f"{REPLICATIONS}/{theirs}/runs/{run}{ask}"), 404)
    for write in ("retry", "cancel"):
        error_of(copying.facade.foreign.post(f"{REPLICATIONS}/{theirs}/runs/{run}/{write}"), 404)


def test_two_tenants_with_one_source_have_tables_of_their_own(copying: Copying) -> None:
    replication = copying.replication()
    copying.prepared(replication)
    mine = {each["tableName"] for each in copying.editor.get(SCHEMAS).json()["data"]}
    created(copying.facade.foreign, CONNECTORS, copying.source.connector("shop db"))
    theirs = created(copying.facade.foreign, REPLICATIONS, {"document": document("shop", "shop db")})["id"]
    planned = copying.facade.foreign.post(f"{REPLICATIONS}/{theirs}/plan").json()["tables"]
    assert all(each["problems"] == [] for each in planned)
    assert mine.isdisjoint({each["target"].removeprefix("public.") for each in planned})


@pytest.mark.parametrize(
    "found",
    [
        [{"name": "sales.log", "columns": "all of them"}],
        [{"name": "sales.log", "columns": [{"name": "a", "data_type": "regclass"}]}],
        {"name": "sales.log"},
        [None],
    ],
)
def test_what_a_run_claims_to_have_found_is_read_strictly(copying: Copying, found: Any) -> None:
    replication = copying.replication()
    run_id = copying.begin(replication)
    with copying.facade.engine.begin() as connection:
        changed = text("UPDATE headrace.replication_runs SET found = CAST(:found AS jsonb) WHERE id = :id")
        connection.execute(changed, {"found": json.dumps(found), "id": run_id})
    copying.preparer.step()
    run = copying.run(replication, run_id)
    assert (run["status"], run["failureReason"]) == ("failed", "Its pipelines could not be made: ValidationError")
    assert copying.editor.get(SCHEMAS).json()["data"] == []


def test_a_source_in_a_network_that_is_not_allowed_is_not_dialled(copying: Copying) -> None:
    replication = copying.replication()
    services = copying.facade.app.state.services
    settings = services.settings.model_copy(update={"connector_networks": ()})
    copying.facade.app.state.services = type(services)(
        **{**{name: getattr(services, name) for name in services.__dataclass_fields__}, "settings": settings}
    )
    answer = copying.editor.post(f"{REPLICATIONS}/{replication}/plan")
    assert "HEADRACE_CONNECTOR_NETWORKS" in str(error_of(answer, 422)["details"])
