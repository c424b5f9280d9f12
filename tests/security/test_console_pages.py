"""Attacks on the console's forms: secrets in pages, uploads, hostile documents, and forms of other sites."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from headrace.api.console.router import GUARDED
from tests.api.conftest import Facade, created
from tests.api.console.looking import with_files
from tests.api.console.people import People, elements, people_of
from tests.api.console.worlds import new_world

pytestmark = pytest.mark.postgres

CONNECTORS = f"{BASE_PATH}/connectors"
SECRETS = ("pw-of-reader-1", "pw-in-url-2", "pem-of-key-3")


@pytest.fixture
def people(facade: Facade) -> People:
    return people_of(facade)


@pytest.fixture
def looking(facade: Facade, tmp_path: Path) -> Iterator[Facade]:
    with with_files(facade, tmp_path) as found:
        yield found


class TestSecrets:
    def test_a_stored_secret_is_in_no_page(self, facade: Facade, people: People) -> None:
        auth = {"username": "reader", "password": SECRETS[0], "sslKey": SECRETS[2]}
        config = {"host": "127.0.0.1", "port": 1, "database": "shop"}
        body = {"name": "db", "type": "postgresql", "config": config, "authConfig": auth}
        database = created(facade.editor, CONNECTORS, body)["id"]
        url = {"url": f"https://reader:{SECRETS[1]}@files.example.com/a.csv"}
        web = created(facade.editor, CONNECTORS, {"name": "web", "type": "http_pull", "config": url})["id"]
        pages = ["/connectors", "/audit"]
        for each in (database, web):
            pages += [f"/connectors/{each}", f"/connectors/{each}/edit", f"/audit?kind=connector&entity={each}"]
        for path in pages:
            shown = people.admin.get(path)
            assert shown.status_code == 200
            assert not [secret for secret in SECRETS if secret in shown.text], path
        tested = people.admin.post(f"/connectors/{database}/test").text
        assert not [secret for secret in SECRETS if secret in tested]
        for field in elements(people.admin.get(f"/connectors/{database}/edit").text, "input"):
            if field.attributes.get("name", "").startswith("auth."):
                assert field.attributes["value"] == ""
                assert field.attributes.get("type") == "password" or field.attributes["name"] == "auth.username"

    def test_a_form_that_is_refused_comes_back_without_its_secrets(self, facade: Facade, people: People) -> None:
        form = {"name": "x", "auth.username": "u", "auth.password": SECRETS[0], "auth.sslKey": SECRETS[2]}
        database = form | {"type": "postgresql", "config.host": "h", "config.port": SECRETS[1]}
        web = form | {"type": "http_pull", "config.url": f"https://u:{SECRETS[1]}@h/a", "config.manifest": "no"}
        for given in (database, web):
            refused = people.editor.post("/connectors/new", data=given)
            assert refused.status_code == 400
            known = SECRETS if given is web else (SECRETS[0], SECRETS[2])  # a number is where a port belongs
            assert not [secret for secret in known if secret in refused.text]

    def test_a_key_is_in_the_response_that_makes_it_and_nowhere_else(self, facade: Facade, people: People) -> None:
        made = people.admin.post("/keys", data={"name": "k", "role": "viewer"})
        assert made.headers["Cache-Control"] == "no-store"
        [key] = [e.attributes["value"] for e in elements(made.text, "input") if e.attributes.get("id") == "made"]
        assert key.startswith("hr_")
        for path in ("/keys", "/audit"):
            assert key not in people.admin.get(path).text


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver:4200"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: headers.get("Sec-Fetch-Site", "neither"))
def test_no_form_of_another_site_does_anything(facade: Facade, people: People, headers: dict[str, str]) -> None:
    made = facade.pipeline("mine")
    ids = {
        "pipeline_id": made["id"],
        "connector_id": made["connectorId"],
        "run_id": "run_x",
        "replication_id": "repl_x",
        "schema_id": "x",
        "name": "a",
    }
    before = facade.admin.get(f"{BASE_PATH}/audit-logs").json()["total"]
    client = people.admin
    for name in ("Sec-Fetch-Site", "Origin"):
        del client.headers[name]
    count = 0
    for route in (route for router in GUARDED for route in router.routes):
        path: Any = getattr(route, "path", "")
        if getattr(route, "methods", None) != {"POST"}:
            continue
        count += 1
        files = {"file": ("a.csv", b"a\n1\n")} if path.endswith("/files") else None
        response = client.post(path.format(**ids), data=None if files else {"a": "1"}, files=files, headers=headers)
        assert response.status_code == 403, path
    assert count >= 20
    assert facade.admin.get(f"{BASE_PATH}/audit-logs").json()["total"] == before


class TestReplications:
    def test_a_document_is_changed_by_its_own_tenant_alone_and_reaches_no_connector_of_another(
        self, facade: Facade, people: People
    ) -> None:
        world = new_world(facade)
        place = f"/replications/{world.replication_id}/edit"
        stored = facade.viewer.get(f"{BASE_PATH}/replications/{world.replication_id}").json()
        database = {"type": "postgresql", "config": {"host": "127.0.0.1", "port": 1, "database": "theirs"}}
        theirs = created(facade.foreign, CONNECTORS, {"name": "their database", **database})
        for connection in (theirs["id"], theirs["name"]):
            text = json.dumps(stored["document"] | {"connection": connection})
            for path in (place, f"{place}/plan"):
                answer = people.editor.post(path, data={"text": text, "based_on": "1"})
                assert answer.status_code == 400
                assert "There is no connector" in answer.text
            assert "There is no connector" in people.editor.post(f"{place}/problems", data={"text": text}).text
        text = json.dumps(stored["document"] | {"schedule": None})
        assert people.foreign.get(place).status_code == 404
        for path in (place, f"{place}/problems", f"{place}/difference", f"{place}/plan"):
            answer = people.foreign.post(path, data={"text": text, "based_on": "1"})
            assert answer.status_code == 404
            assert stored["name"] not in answer.text
        assert facade.viewer.get(f"{BASE_PATH}/replications/{world.replication_id}").json() == stored

    def test_what_was_typed_is_shown_as_text(self, facade: Facade, people: People) -> None:
        place = f"/replications/{new_world(facade).replication_id}/edit"
        hostile = "</textarea><script>alert(1)</script>: {{ 7 * 7 }}\n"
        for path in (place, f"{place}/problems", f"{place}/difference", f"{place}/plan"):
            shown = people.editor.post(path, data={"text": hostile, "based_on": "1"}).text
            assert "<script>alert" not in shown


class TestUploads:
    @pytest.mark.parametrize("name", ["../evil.csv", "/etc/evil.csv", "..", "a/b.csv", "a\\b.csv", ".hidden.csv"])
    def test_a_name_leads_to_no_other_place(self, looking: Facade, people: People, name: str, tmp_path: Path) -> None:
        made = created(looking.editor, CONNECTORS, {"name": "uploads", "type": "csv_upload"})["id"]
        before = {path for path in tmp_path.rglob("*") if path.is_file()}
        answer = people.editor.post(f"/connectors/{made}/files", files={"file": (name, b"a\n1\n")})
        kept = {path for path in tmp_path.rglob("*") if path.is_file()} - before
        assert answer.status_code in (303, 400)
        assert all(made in str(path) for path in kept)
        assert (answer.status_code == 400) == (not kept)
        gone = people.editor.post(f"/connectors/{made}/files/..%2F..%2Fin%2Forders.csv/delete")
        assert gone.status_code == 404
        assert (tmp_path / "in" / "orders.csv").exists()

    def test_a_file_is_no_field_of_another_form(self, people: People) -> None:
        for path in ("/connectors/new", "/keys", "/pipelines/new"):
            answer = people.admin.post(path, files={"name": ("a.csv", b"x")})
            assert answer.status_code == 400
        twice = people.admin.post(
            "/keys",
            content="role=viewer&role=admin",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert twice.status_code == 400

    def test_an_upload_is_limited_and_needs_a_role(self, looking: Facade, people: People) -> None:
        made = created(looking.editor, CONNECTORS, {"name": "uploads", "type": "csv_upload"})["id"]
        services = looking.app.state.services
        small_files = services.settings.model_copy(update={"max_upload_bytes": 1000})
        looking.app.state.services = replace(services, settings=small_files)
        answer = people.editor.post(f"/connectors/{made}/files", files={"file": ("a.csv", b"a" * 1001)})
        assert answer.status_code == 413
        small = {"file": ("a.csv", b"a")}
        assert people.viewer.post(f"/connectors/{made}/files", files=small).status_code == 403
        assert people.foreign.post(f"/connectors/{made}/files", files=small).status_code == 404
        assert looking.viewer.get(f"{CONNECTORS}/{made}/files").json()["data"] == []


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "more than"),
        ("[" * 5000, "deeper than"),
        ('{"a":' * 5000, "deeper than"),
        ("a: !!python/object/apply:os.system [id]", "tag"),
        ("a: &x [*x]", "inside the value"),
        ('a: "\\ud800"', "surrogate"),
        ('metadata: {name: "\\0"}', "NUL"),
        ("kind: pipeline\n" + "x: 1e999", "too large"),
    ],
    ids=["aliases", "deep yaml", "deep json", "tag", "loop", "surrogate", "nul", "infinite"],
)
def test_a_hostile_text_is_a_problem_and_nothing_else(facade: Facade, people: People, text: str, reason: str) -> None:
    pipeline = facade.pipeline()["id"]
    for path in (f"/pipelines/{pipeline}/edit/problems", "/pipelines/new/problems"):
        shown = people.editor.post(path, data={"text": text, "now": "true"})
        assert shown.status_code == 200
        assert reason in shown.text
    saved = people.editor.post(f"/pipelines/{pipeline}/edit", data={"text": text, "based_on": "1"})
    assert saved.status_code == 400
    assert facade.viewer.get(f"{BASE_PATH}/pipelines/{pipeline}/ir").json()["version"] == 1


def test_a_text_that_is_too_long_is_not_read(facade: Facade, people: People) -> None:
    pipeline = facade.pipeline()["id"]
    shown = people.editor.post(f"/pipelines/{pipeline}/edit/problems", data={"text": "- a\n" * 130_000, "now": "true"})
    assert "has more than 500,000 characters" in shown.text
