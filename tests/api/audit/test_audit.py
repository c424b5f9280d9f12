"""Every write over REST is recorded in the audit log, with its author and request id."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from tests.api.conftest import CONNECTOR, SCHEMA, Facade, created, error_of

pytestmark = pytest.mark.postgres

LOGS = f"{BASE_PATH}/audit-logs"
CONNECTORS = f"{BASE_PATH}/connectors"


def of_request(facade: Facade, request_id: str) -> list[dict[str, Any]]:
    logs = facade.admin.get(LOGS, params={"limit": 100}).json()["logs"]
    return [entry for entry in logs if entry["requestId"] == request_id]


def test_a_write_names_the_key_and_the_request(facade: Facade) -> None:
    made = facade.editor.post(CONNECTORS, json=CONNECTOR, headers={"X-Request-ID": "trace-42"})
    [entry] = of_request(facade, "trace-42")
    assert (entry["action"], entry["entityType"], entry["entityId"]) == ("create", "connector", made.json()["id"])
    assert (entry["entityName"], entry["tenantId"], entry["userName"]) == ("files", "default", "editor")
    assert entry["userId"].startswith("key_")
    assert entry["before"] is None
    assert entry["after"]["authMethod"] == "access_key"
    assert len(entry["integrityHash"]) == len(entry["prevHash"]) == 64


def test_credentials_are_not_in_the_log(facade: Facade) -> None:
    created(facade.editor, CONNECTORS, CONNECTOR | {"authConfig": {"password": "correct horse"}})
    assert "correct horse" not in facade.admin.get(LOGS).text


def test_an_action_that_changes_no_object_is_reported_all_the_same(facade: Facade) -> None:
    made = created(facade.editor, CONNECTORS, CONNECTOR)
    response = facade.editor.post(f"{CONNECTORS}/{made['id']}/test")
    assert response.status_code == 200
    [entry] = of_request(facade, response.headers["X-Request-ID"])
    assert (entry["action"], entry["entityType"], entry["entityId"]) == ("test_connector", "connector", made["id"])


def test_reading_and_failing_leave_nothing(facade: Facade) -> None:
    created(facade.editor, CONNECTORS, CONNECTOR)
    before = facade.admin.get(LOGS).json()["total"]
    error_of(facade.editor.post(CONNECTORS, json=CONNECTOR), 409)
    error_of(facade.viewer.post(CONNECTORS, json=CONNECTOR), 403)
    facade.viewer.get(CONNECTORS)
    assert facade.admin.get(LOGS).json()["total"] == before


def test_the_log_is_paged_filtered_and_of_one_tenant(facade: Facade) -> None:
    pipeline = facade.pipeline()
    page = facade.admin.get(LOGS, params={"page": 2, "limit": 1}).json()
    assert (len(page["logs"]), page["page"], page["limit"]) == (1, 2, 1)
    [only] = facade.admin.get(LOGS, params={"entityType": "pipeline_ir", "entityId": pipeline["id"]}).json()["logs"]
    assert only["entityVersion"] == 1
    assert pipeline["id"] not in facade.foreign.get(LOGS, params={"limit": 100}).text


@pytest.mark.parametrize("query", ["page=0", "limit=0", "limit=101", "page=x"])
def test_a_bad_page_is_400(facade: Facade, query: str) -> None:
    error_of(facade.admin.get(f"{LOGS}?{query}"), 400)


@pytest.mark.parametrize(
    ("query", "place"), [("entityId=%00", "entityId"), ("entityType=a%00b", "entityType"), ("%00=1", "query")]
)
def test_what_no_entry_can_be_is_400_with_its_place(facade: Facade, query: str, place: str) -> None:
    [detail] = error_of(facade.admin.get(f"{LOGS}?{query}"), 400)["details"]
    assert (detail["path"], detail["code"]) == (place, "unstorable_text")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_log_cannot_be_written(facade: Facade, method: str) -> None:
    response = facade.admin.request(method, LOGS)
    error_of(response, 405)
    assert response.headers["Allow"] == "GET"


def test_verify_proves_the_chain_and_finds_an_unlogged_change(facade: Facade) -> None:
    created(facade.foreign, CONNECTORS, CONNECTOR)
    whole = facade.foreign.get(f"{LOGS}/verify").json()
    assert whole["intact"]
    assert whole["verified"] == whole["total"] == whole["scanned"] > 0
    assert set(whole) == {"intact", "verified", "total", "scanned", "headHash", "sealed"}
    newest = facade.foreign.get(LOGS).json()["logs"][0]
    assert whole["headHash"] == newest["integrityHash"]
    rename = "UPDATE headrace.audit_log SET user_name = :name WHERE id = :id"
    try:
        with facade.engine.begin() as connection:
            connection.execute(text("ALTER TABLE headrace.audit_log DISABLE TRIGGER append_only"))
            connection.execute(text(rename), {"name": "mallory", "id": newest["id"]})
            connection.execute(text("ALTER TABLE headrace.audit_log ENABLE TRIGGER append_only"))
        broken = facade.foreign.get(f"{LOGS}/verify").json()
        assert (broken["intact"], broken["brokenAtId"]) == (False, newest["id"])
        assert broken["brokenReason"] == "hash_mismatch"
        assert facade.admin.get(f"{LOGS}/verify").json()["intact"]
    finally:
        with facade.engine.begin() as connection:
            connection.execute(text("ALTER TABLE headrace.audit_log DISABLE TRIGGER append_only"))
            connection.execute(text(rename), {"name": newest["userName"], "id": newest["id"]})
            connection.execute(text("ALTER TABLE headrace.audit_log ENABLE TRIGGER append_only"))


def test_rows_and_their_entry_are_stored_together_or_not_at_all(facade: Facade) -> None:
    schema = created(facade.editor, f"{BASE_PATH}/schemas", SCHEMA | {"name": "together"})
    data = f"{BASE_PATH}/schemas/{schema['id']}/data"
    stored = facade.editor.post(data, json={"rows": [{"amount": 1}]})
    [entry] = of_request(facade, stored.headers["X-Request-ID"])
    assert (entry["action"], entry["entityName"], entry["after"]) == ("insert_rows", "together", {"inserted": 1})
    with facade.engine.begin() as connection:
        connection.execute(text("ALTER TABLE headrace.audit_log ADD CONSTRAINT nothing_fits CHECK (id = '') NOT VALID"))
    try:
        error_of(facade.editor.post(data, json={"rows": [{"amount": 2}]}), 500)
    finally:
        with facade.engine.begin() as connection:
            connection.execute(text("ALTER TABLE headrace.audit_log DROP CONSTRAINT nothing_fits"))
    assert [row["amount"] for row in facade.viewer.get(data).json()["rows"]] == [1]


def test_a_cancelled_run_has_one_entry(facade: Facade) -> None:
    pipeline = facade.pipeline()
    run = created(facade.editor, f"{BASE_PATH}/pipelines/{pipeline['id']}/run", {})
    response = facade.editor.post(f"{BASE_PATH}/pipelines/{pipeline['id']}/runs/{run['id']}/cancel")
    assert response.status_code == 202
    [entry] = of_request(facade, response.headers["X-Request-ID"])
    assert (entry["action"], entry["entityType"], entry["entityId"]) == ("cancel_run", "run", run["id"])
