"""Connectors at the console: forms made from schemas, tests, streams, files, and refusals in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.api.console.connectors import types
from headrace.api.console.schema_form import fields_of, label_of, values_of
from headrace.api.errors import ApiError
from tests.api.conftest import IR, Facade, created
from tests.api.console.looking import with_files
from tests.api.console.people import People, elements
from tests.network_postgres import NetworkPostgres, network_postgres

__all__ = ["network_postgres"]

CONNECTORS = f"{BASE_PATH}/connectors"
DATABASE = {
    **{"type": "postgresql", "name": "shop", "authMethod": "basic", "auth.username": "reader"},
    **{"config.host": "db.example.com", "config.port": "5432", "config.database": "shop", "auth.password": "s3cr3t"},
}


@pytest.mark.parametrize("kind", sorted(types()))
def test_every_type_has_a_form_whose_values_are_those_that_were_entered(kind: str) -> None:
    known = types()[kind]
    for schema, secret in ((known.config_schema, False), (known.auth_config_schema, True)):
        fields = fields_of(schema, "x.", {}, secret=secret)
        assert {each.name for each in fields} == set(schema.get("properties", {}))
        assert [each.required for each in fields] == sorted((each.required for each in fields), reverse=True)
        samples = {
            **{"integer": "7", "number": "1.5", "boolean": "true", "list": "a\r\nb", "json": '{"a": 1}'},
            **{"text": "t", "long": "t", "secret": " t ", "long_secret": "t"},
        }
        form = {each.field: each.choices[0] if each.kind == "choice" else samples[each.kind] for each in fields}
        meant = {"integer": 7, "number": 1.5, "boolean": True, "list": ["a", "b"], "json": {"a": 1}, "secret": " t "}
        found = values_of(schema, "x.", form)
        assert found == {each.name: meant.get(each.kind, form[each.field]) for each in fields}
        again = fields_of(schema, "x.", found, secret=secret)
        for each in again:
            hidden = secret or each.kind in ("secret", "long_secret")
            assert bool(each.value) != hidden
        assert values_of(schema, "x.", {each.field: "" for each in fields}) == {}


def test_passwords_tokens_and_keys_are_secrets_in_the_forms() -> None:
    kinds = {
        f"{kind}.{each.name}": each.kind
        for kind, known in types().items()
        for each in fields_of(known.auth_config_schema, "", {}, secret=True)
    }
    open_ones = {name.split(".")[1] for name, kind in kinds.items() if kind not in ("secret", "long_secret")}
    assert open_ones <= {"username", "accessKeyId", "roleArn", "clientId", "registryUsername"}


def test_labels_are_words() -> None:
    names = ("accessKeyId", "sslRootCert", "sslmode", "url", "requestsPerSecond", "apiKey")
    assert list(map(label_of, names)) == [
        *("Access key id", "SSL root cert", "SSL mode", "URL", "Requests per second", "API key")
    ]


def test_a_text_that_is_not_of_its_kind_is_named_and_not_repeated() -> None:
    schema = types()["postgresql"].config_schema
    with pytest.raises(ApiError, match="'Port' is not a number"):
        values_of(schema, "", {"port": "secret"})
    with pytest.raises(ApiError, match="'Auth' is not JSON"):
        values_of(types()["rest_api"].config_schema, "", {"auth": "{"})


@pytest.mark.postgres
class TestForms:
    def test_a_connector_is_made_changed_and_deleted(self, facade: Facade, people: People) -> None:
        made = people.editor.post("/connectors/new", data=DATABASE)
        assert made.status_code == 303, made.text
        place = made.headers["location"]
        stored = facade.viewer.get(f"{BASE_PATH}{place}").json()
        assert stored["config"] == {"host": "db.example.com", "port": 5432, "database": "shop"}
        assert "db.example.com" in people.viewer.get(place).text
        form = {**DATABASE, "name": "shop 2", "config.schema": "sales", "auth.username": "", "auth.password": ""}
        assert people.editor.post(f"{place}/edit", data=form).headers["location"] == place
        stored = facade.viewer.get(f"{BASE_PATH}{place}").json()
        assert (stored["name"], stored["config"]["schema"]) == ("shop 2", "sales")
        assert people.editor.post(f"{place}/delete").headers["location"] == "/connectors"
        assert people.editor.get(place).status_code == 404

    def test_credentials_do_not_go_to_another_host_by_themselves(self, facade: Facade, people: People) -> None:
        place = people.editor.post("/connectors/new", data=DATABASE).headers["location"]
        form = {**DATABASE, "config.host": "elsewhere.example", "auth.username": "", "auth.password": ""}
        refused = people.editor.post(f"{place}/edit", data=form)
        assert refused.status_code == 400
        assert "it may send them elsewhere" in refused.text
        assert 'value="elsewhere.example"' in refused.text  # nothing that was typed is lost
        given = form | {"auth.username": "reader", "auth.password": "other"}
        assert people.editor.post(f"{place}/edit", data=given).status_code == 303

    def test_what_is_wrong_is_said_at_once_and_in_words(self, facade: Facade, people: People) -> None:
        form = {**DATABASE, "config.host": "", "config.port": "70000"}
        refused = people.editor.post("/connectors/new", data=form)
        assert refused.status_code == 400
        for said in ("Nothing was saved", "host", "port", 'value="shop"', 'value="70000"'):
            assert said in refused.text
        assert facade.viewer.get(CONNECTORS).json()["data"] == []
        people.editor.post("/connectors/new", data=DATABASE)
        taken = people.editor.post("/connectors/new", data=DATABASE)
        assert taken.status_code == 409
        assert "already a connector of that name" in taken.text
        assert people.editor.post("/connectors/new", data={"type": "nope"}).status_code == 400

    def test_a_connector_in_use_is_not_deleted_and_the_page_says_by_what(self, facade: Facade, people: People) -> None:
        made = facade.pipeline("loads orders")
        refused = people.editor.post(f"/connectors/{made['connectorId']}/delete")
        assert refused.status_code == 409
        assert "loads orders" in refused.text
        assert ">loads orders</a>" in people.viewer.get(f"/connectors/{made['connectorId']}").text

    def test_types_are_by_category_and_those_of_later_have_no_form(self, people: People) -> None:
        page = people.editor.get("/connectors/new").text
        links = {e.attributes["href"] for e in elements(page, "a")}
        ready = {each.type for each in types().values() if each.status == "ready"}
        assert {link.split("=")[1] for link in links if "?type=" in link} == ready
        assert people.editor.get("/connectors/new", params={"type": "nope"}).status_code == 400


@pytest.mark.postgres
class TestLooking:
    @pytest.fixture
    def looking(self, facade: Facade, tmp_path: Path) -> Iterator[Facade]:
        with with_files(facade, tmp_path) as found:
            yield found

    def test_a_test_says_what_it_found_and_stays_with_the_connector(
        self, looking: Facade, people: People, network_postgres: NetworkPostgres
    ) -> None:
        config = {f"config.{name}": str(value) for name, value in network_postgres.config.items()}
        auth = {f"auth.{name}": str(value) for name, value in network_postgres.credentials.items()}
        form = {"type": "postgresql", "name": "shop", **config, **auth}
        before = people.editor.post("/connectors/test", data=form).text
        assert "It works" in before
        assert looking.viewer.get(CONNECTORS).json()["data"] == []
        wrong = people.editor.post("/connectors/test", data=form | {"auth.password": "not-this-one"}).text
        assert "It does not work" in wrong
        assert "password authentication failed" in wrong
        assert "not-this-one" not in wrong
        place = people.editor.post("/connectors/new", data=form | {"auth.password": "x"}).headers["location"]
        people.editor.post(f"{place}/test")
        listed = people.viewer.get("/connectors").text
        assert "Failed" in listed
        assert "password authentication failed" in listed

    def test_streams_and_their_columns(self, looking: Facade, people: People) -> None:
        body = {"name": "drop", "type": "local_fs", "config": {"basePath": "in"}}
        place = f"/connectors/{created(looking.editor, CONNECTORS, body)['id']}"
        assert "orders.csv" in people.editor.get(f"{place}/streams").text
        assert "orders.csv" not in people.editor.get(f"{place}/streams", params={"filter": "cust"}).text
        columns = people.editor.get(f"{place}/stream", params={"name": "orders.csv"}).text
        for said in ("Amount due", "a guess", "/pipelines/new?connector="):
            assert said in columns
        assert people.editor.get(f"{place}/stream", params={"name": "none.csv"}).status_code == 404
        assert "/streams" not in people.viewer.get(place).text

    def test_the_first_rows_of_a_stream_are_shown_with_their_types(self, looking: Facade, people: People) -> None:
        body = {"name": "drop", "type": "local_fs", "config": {"basePath": "in"}}
        place = f"/connectors/{created(looking.editor, CONNECTORS, body)['id']}/stream/rows"
        page = people.editor.get(place, params={"name": "orders.csv"}).text
        for said in ("Amount due", "<td>2.5</td>", "<td>3.75</td>", "The first 2 rows"):
            assert said in page
        assert people.viewer.get(place, params={"name": "orders.csv"}).status_code == 403
        found = looking.editor.get(f"{BASE_PATH}{place}", params={"name": "orders.csv", "limit": 1}).json()
        assert found["rows"] == [{"id": 1, "Amount due": 2.5, "note": "a"}]
        assert [each["dataType"] for each in found["fields"]] == ["integer", "double", "text"]
        assert looking.editor.get(f"{BASE_PATH}{place}", params={"name": "none.csv"}).status_code == 404

    @pytest.mark.parametrize("declares", [True, False])
    def test_a_stream_says_what_the_pipelines_that_read_it_do_not_know(
        self, looking: Facade, people: People, tmp_path: Path, declares: bool
    ) -> None:
        source, target = IR["nodes"]
        fields = [{"name": name, "dataType": "text"} for name in ("id", "Amount due", "note")]
        source = {**source, "config": {"path": "in/orders.csv"}, **({"fields": fields} if declares else {})}
        made = looking.pipeline("reads orders", ir={**IR, "nodes": [source, target]})
        place = f"/connectors/{made['connectorId']}/stream"
        before = people.editor.get(place, params={"name": "in/orders.csv"}).text
        assert f'href="/pipelines/{made["id"]}">reads orders</a>' in before
        assert ("The same" if declares else "It has not run yet") in before
        with looking.engine.begin() as connection:  # as a run notes what it was planned with
            connection.execute(text("UPDATE headrace.found_columns SET run_columns = columns, run_at = now()"))
        (tmp_path / "in" / "orders.csv").write_text("id,note,extra\n1,a,9\n")
        after = people.editor.get(place, params={"name": "in/orders.csv"}).text
        for said in ("Drifted", "Amount due is gone", "extra (integer) is new"):
            assert said in after

    def test_files_are_uploaded_replaced_and_deleted(self, looking: Facade, people: People) -> None:
        made = created(looking.editor, CONNECTORS, {"name": "uploads", "type": "csv_upload"})["id"]
        place = f"/connectors/{made}"

        def send(content: bytes, query: str = "") -> int:
            files = {"file": ("orders.csv", content)}
            return int(people.editor.post(f"{place}/files{query}", files=files).status_code)

        assert [send(b"a\n1\n"), send(b"a\n1\n"), send(b"a\n2\n"), send(b"a\n2\n", "?replace=true")] == [
            *(303, 303, 409, 303)
        ]
        assert "orders.csv" in people.viewer.get(place).text
        [file] = looking.viewer.get(f"{CONNECTORS}/{made}/files").json()["data"]
        assert file["size"] == 4
        assert people.editor.post(f"{place}/files/none.csv/delete").status_code == 404
        assert people.editor.post(f"{place}/files/orders.csv/delete").status_code == 303
        assert looking.viewer.get(f"{CONNECTORS}/{made}/files").json()["data"] == []
