"""Logins, connection tests, discovery, and the addresses that are connected to."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from headrace.connectors.bigquery.connector import BIGQUERY
from headrace.connectors.bigquery.login import access
from headrace.connectors.connector import Context, Found
from headrace.connectors.errors import SourceError
from tests.connectors.bigquery.double import EMAIL, Double, pem
from tests.connectors.reading import rows


def tried(context: Context) -> Found:
    return BIGQUERY.tried(context)


def refused(context: Context) -> SourceError:
    with pytest.raises(SourceError) as error:
        tried(context)
    said = str(error.value)
    assert "PRIVATE KEY" not in said
    assert "ya29" not in said
    return error.value


def test_it_says_what_it_sees(bigquery: Double) -> None:
    bigquery.make("CREATE TABLE t (id INT64, name STRING)", "CREATE TABLE v (id INT64)")
    found = tried(bigquery.context({"table": "t"}))
    assert "BigQuery, project acme, dataset sales: 2 tables can be seen" in found.message
    assert found.message.endswith("acme.sales.t has 2 columns and can be read")
    assert found.sample == {"tables": ["sales.t", "sales.v"]}
    assert bigquery.reads() == []


def test_the_key_signs_for_a_token_which_is_used_again(bigquery: Double) -> None:
    bigquery.make("CREATE TABLE t (id INT64)")
    tried(bigquery.context({"table": "t"}))
    [claims] = bigquery.info()["tokens"]
    assert (claims["iss"], claims["scope"]) == (EMAIL, "https://www.googleapis.com/auth/bigquery")


@pytest.mark.parametrize(
    ("given", "code", "remedy"),
    [
        ({}, "bad_credentials", "authConfig.serviceAccount"),
        ({"serviceAccount": "no json"}, "bad_credentials", "authConfig.serviceAccount"),
        ({"private_key": "no key"}, "bad_credentials", "Copy the JSON file again"),
    ],
)
def test_an_account_that_is_none(bigquery: Double, given: dict[str, Any], code: str, remedy: str) -> None:
    if "private_key" in given:
        given = {"serviceAccount": {**bigquery.account, **given}}
    error = refused(bigquery.context({}, credentials=given))
    assert (error.code, remedy in error.hint) == (code, True), error


def test_a_key_that_is_not_the_accounts(bigquery: Double) -> None:
    stranger = {**bigquery.account, "private_key": pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))}
    error = refused(bigquery.context({}, credentials={"serviceAccount": stranger}))
    assert (error.code, "Invalid JWT Signature" in error.message) == ("login_refused", True)


@pytest.mark.parametrize(
    ("denied", "settings", "remedy"),
    [
        ("/jobs", {"query": "SELECT 1 AS x"}, "BigQuery Job User"),
        ("/tables", {}, "BigQuery"),
        ("CreateReadSession", {"table": "t"}, "BigQuery Read Session User"),
    ],
)
def test_a_right_that_lacks_is_reported_with_its_role(
    bigquery: Double, denied: str, settings: dict[str, Any], remedy: str
) -> None:
    bigquery.make("CREATE TABLE t (id INT64)")
    bigquery.control(denied=denied)
    error = refused(bigquery.context(settings))
    assert (error.code, remedy in error.hint) == ("not_permitted", True), error


@pytest.mark.parametrize(
    ("config", "settings", "code", "said"),
    [
        ({"project": "other"}, {}, "missing_table", "project"),
        ({"dataset": "nothing"}, {}, "missing_table", "nothing"),
        ({"dataset": "nothing"}, {"table": "sales.costumers"}, "missing_table", "nothing"),
        ({}, {"table": "costumers"}, "missing_table", "Did you mean 'acme.sales.customers'?"),
        ({}, {"table": "nowhere.t"}, "missing_table", "There is no dataset acme.nowhere"),
        ({}, {"query": "SELECT nothing FROM customers"}, "query_failed", "nothing"),
        ({"storageEndpoint": "http://127.0.0.1:9"}, {"table": "customers"}, "connection_lost", "acme.sales.customers"),
        ({"endpoint": "http://127.0.0.1:9"}, {}, "connection_failed", "127.0.0.1"),
        ({"endpoint": "ftp://x"}, {}, "bad_option", "endpoint"),
    ],
)
def test_what_is_wrong_is_reported_by_name(
    bigquery: Double, config: dict[str, Any], settings: dict[str, Any], code: str, said: str
) -> None:
    bigquery.make("CREATE TABLE customers (id INT64)")
    error = refused(bigquery.context(settings, **config))
    assert (error.code, said in str(error)) == (code, True), error


def test_what_can_be_read_is_listed_with_its_rows_and_described(bigquery: Double) -> None:
    bigquery.make(
        "CREATE TABLE customers (id INT64, name STRING)", "CREATE VIEW rich AS SELECT id FROM sales.customers"
    )
    bigquery.control(keys={"sales.customers": ["id"]})
    found = {each.name: each for each in BIGQUERY.listed(bigquery.context({}))}
    assert {name: each.kind for name, each in found.items()} == {"sales.customers": "table", "sales.rich": "view"}
    assert (found["sales.customers"].rows, found["sales.rich"].rows) == (0, None)
    assert [each.name for each in BIGQUERY.listed(bigquery.context({}), "CUST")] == ["sales.customers"]
    for each in found.values():  # its settings read it
        assert rows(bigquery.source(**each.settings)) == []
    described = BIGQUERY.described(bigquery.context({}), "sales.customers")
    assert [field.name for field in described.fields or ()] == ["id", "name"]
    assert (described.kind, described.key) == ("table", ("id",))


class TestAddresses:
    @pytest.mark.parametrize("name", ["endpoint", "storageEndpoint"])
    def test_a_place_inside_the_servers_network_is_not_dialled(self, bigquery: Double, name: str) -> None:
        bigquery.make("CREATE TABLE t (id INT64)")
        inside = bigquery.config[name].replace("127.0.0.1", "127.0.0.2")
        context = bigquery.context({"table": "t"}, networks=(ip_network("127.0.0.1/32"),), **{name: inside})
        before = len(bigquery.info()["seen"])
        error = refused(context)
        assert (error.code, "127.0.0.2" in error.message) == ("address_refused", True)
        asked = bigquery.info()["seen"][before:]
        assert not [each for each in asked if each.startswith("grpc" if name == "storageEndpoint" else "rest")]

    def test_nor_is_the_place_that_the_key_names(self, bigquery: Double) -> None:
        account = {**bigquery.account, "token_uri": "http://127.0.0.2/token"}
        context = bigquery.context({}, networks=(ip_network("127.0.0.1/32"),), credentials={"serviceAccount": account})
        assert refused(context).code == "address_refused"

    @pytest.mark.parametrize("name", ["endpoint", "storageEndpoint"])
    def test_http_is_for_the_operators_networks(self, bigquery: Double, name: str) -> None:
        bigquery.make("CREATE TABLE t (id INT64)")
        assert refused(bigquery.context({"table": "t"}, **{name: "http://192.0.43.8"})).code == "insecure"

    def test_proxies_of_the_environment_are_not_used(self, bigquery: Double, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "grpc_proxy", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        bigquery.make("CREATE TABLE t AS SELECT 1 AS id")
        assert rows(bigquery.source(table="t")) == [(1,)]


def test_a_door_shows_no_secret(bigquery: Double) -> None:
    assert "PRIVATE" not in repr(access(bigquery.context({})))


def test_a_fork_of_a_process_that_has_used_grpc_says_so(bigquery: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could hang: the library's threads are not in the fork."""
    bigquery.make("CREATE TABLE t (id INT64)")
    monkeypatch.setattr("headrace.connectors.bigquery.storage._process", 1)
    assert refused(bigquery.context({"table": "t"})).code == "driver_forked"
