"""Schemas, calendar, audit and keys at the console."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.catalog.engine import make_engine
from tests.api.conftest import Facade, created
from tests.api.console.people import People, elements, signed_in
from tests.api.console.worlds import new_world
from tests.catalog.tampering import tamper
from tests.databases import Roles, in_public

pytestmark = pytest.mark.postgres


def cells(page: str) -> list[str]:
    return [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", each)).strip() for each in re.split(r"<t[dh]\b", page)]


class TestSchemas:
    def test_rows_keep_all_their_digits_and_pages_follow_each_other(self, facade: Facade, people: People) -> None:
        fields = [
            {"name": "id", "dataType": "bigint", "isPrimaryKey": True, "isNullable": False},
            {"name": "amount", "dataType": "decimal", "precision": 38, "scale": 18},
            {"name": "facts", "dataType": "json"},
        ]
        body = {"name": "exact", "displayName": "Exact", "fields": fields}
        made = created(facade.editor, f"{BASE_PATH}/schemas", body)
        exact = "12345678901234567890.123456789012345678"
        rows = [{"id": n, "amount": exact, "facts": {"on": True, "list": [n]}} for n in range(1, 26)]
        facade.editor.post(f"{BASE_PATH}/schemas/{made['id']}/data", json={"rows": rows})
        place = f"/schemas/{made['id']}"
        first = people.viewer.get(place).text
        assert "1 to 20 of 25" in first
        assert first.count(exact) == 20
        assert html.escape('{"on": true, "list": [3]}').replace("&quot;", "&#34;") in first
        [following] = [e.attributes["href"] for e in elements(first, "a") if "offset=" in e.attributes.get("href", "")]
        assert "21 to 25 of 25" in people.viewer.get(following).text
        statistics = people.viewer.get(f"{place}/statistics").text
        assert "25 rows" in statistics
        assert ">Exact</a>" in people.viewer.get("/schemas").text

    def test_an_empty_table_says_so(self, facade: Facade, people: People) -> None:
        made = facade.pipeline("nothing yet")
        page = people.viewer.get(f"/schemas/{made['schemaId']}").text
        assert "The table has no rows yet" in page
        assert ">nothing yet</a>" in page


class TestCalendar:
    def test_runs_are_on_their_days_and_fires_are_to_come(self, facade: Facade, people: People) -> None:
        world = new_world(facade, "by hand")
        facade.pipeline("nightly", schedule="30 2 * * *")
        facade.pipeline("often", schedule="*/5 * * * *")
        yesterday = datetime.now(UTC) - timedelta(days=1)
        with facade.engine.begin() as connection:
            moved = text("UPDATE headrace.pipeline_runs SET created_at = :at WHERE id = :id")
            connection.execute(moved, {"at": yesterday, "id": world.failed_id})
        begins = f"{yesterday:%Y-%m-%d}"
        page = people.viewer.get("/calendar", params={"from": begins, "all": "true"}).text
        _, *rows = page.split("<tr>")[1:]
        by_name = {re.sub(r"<[^>]+>", "", cells(row)[1]).split(">")[-1].strip(): cells(row)[2:] for row in rows}
        [hand] = [found for name, found in by_name.items() if "by hand" in name]
        assert "1 failed" in hand[0]
        assert "1 completed with errors" in hand[1]
        assert "1 waiting" in hand[1]
        [nightly] = [found for name, found in by_name.items() if "nightly" in name]
        assert "02:30" not in nightly[0]
        assert all("02:30" in day for day in nightly[2:7])
        [often] = [found for name, found in by_name.items() if "often" in name]
        assert all("over 8 times" in day for day in often[2:7])
        assert f'href="/runs/{world.failed_id}"' in page
        scheduled = people.viewer.get("/calendar").text
        assert "nightly" in scheduled
        assert "by hand" not in scheduled

    def test_a_paused_pipeline_has_no_fires(self, facade: Facade, people: People) -> None:
        made = facade.pipeline("nightly", schedule="30 2 * * *")["id"]
        people.editor.post(f"/pipelines/{made}/status", data={"status": "paused"})
        page = people.viewer.get("/calendar", params={"from": f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"}).text
        assert "paused" in page
        assert "02:30" not in page

    @pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2026-13-01", "x"])
    def test_days_that_are_far_away_or_none_are_refused(self, people: People, day: str) -> None:
        assert people.viewer.get("/calendar", params={"from": day}).status_code == 400


class TestAudit:
    def test_entries_are_filtered_and_say_what_changed(self, facade: Facade, people: People) -> None:
        made = facade.pipeline("before")["id"]
        people.editor.post(f"/pipelines/{made}/settings", data={"name": "after"})
        page = people.admin.get("/audit", params={"kind": "pipeline", "entity": made}).text
        for said in ("editor", "before", "after"):
            assert said in page
        others = people.admin.get("/audit", params={"kind": "schema"}).text
        assert made not in others
        assert "No entry matches" in people.admin.get("/audit", params={"entity": "none"}).text

    def test_the_log_is_verified_and_a_changed_entry_is_found(
        self, facade: Facade, people: People, facade_roles: Roles
    ) -> None:
        attacker = make_engine(in_public(facade_roles.superuser))
        made = facade.pipeline("written")["id"]
        assert "The log is intact" in people.admin.get("/audit/verification").text
        change = "UPDATE headrace.audit_log SET entity_name = :name WHERE entity_id = :id AND action = 'create'"
        tamper(attacker, change, name="another", id=made)
        try:
            found = people.admin.get("/audit/verification").text
            assert "The log is not intact" in found
            assert "An entry was changed" in found
        finally:  # other tests use the same log
            tamper(attacker, change, name="written", id=made)
            attacker.dispose()
        assert "The log is intact" in people.admin.get("/audit/verification").text


class TestKeys:
    def test_a_key_is_shown_once_works_and_is_revoked_with_its_sessions(self, facade: Facade, people: People) -> None:
        name = f"nightly {uuid4().hex[:8]}"  # keys of other tests stay
        made = people.admin.post("/keys", data={"name": name, "role": "editor", "expires": "2099-01-01"})
        assert made.status_code == 201
        [key] = [e.attributes["value"] for e in elements(made.text, "input") if e.attributes.get("id") == "made"]
        holder = signed_in(facade.app, key)
        assert holder.get("/").status_code == 200
        page = people.admin.get("/keys").text
        assert key not in page
        assert name in page
        keys = facade.admin.get(f"{BASE_PATH}/api-keys").json()["data"]
        [key_id] = [each["id"] for each in keys if each["name"] == name]
        assert people.admin.post("/keys/revoke", data={"id": key_id, "reason": "lost"}).headers["location"] == "/keys"
        assert holder.get("/").status_code == 303
        assert people.admin.post("/keys/revoke", data={"id": key_id}).status_code == 404

    @pytest.mark.parametrize(
        ("form", "reason"),
        [({"expires": "2001-01-01"}, "in the past"), ({"role": "owner"}, "role"), ({"expires": "soon"}, "expiresAt")],
    )
    def test_what_is_wrong_makes_no_key(
        self, facade: Facade, people: People, form: dict[str, str], reason: str
    ) -> None:
        before = facade.admin.get(f"{BASE_PATH}/api-keys").json()["total"]
        refused = people.admin.post("/keys", data={"name": "x", **form})
        assert refused.status_code == 400
        assert reason in refused.text or "No key was made" in refused.text
        assert facade.admin.get(f"{BASE_PATH}/api-keys").json()["total"] == before

    def test_only_admins_are_led_to_keys_and_audit(self, people: People) -> None:
        for client, seen in ((people.admin, True), (people.editor, False), (people.viewer, False)):
            links = {e.attributes.get("href") for e in elements(client.get("/").text, "a")}
            assert ({"/keys", "/audit"} <= links) == seen
