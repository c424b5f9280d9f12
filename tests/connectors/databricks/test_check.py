"""Logins, connection tests, discovery, and the addresses that are connected to."""

from __future__ import annotations

import ssl
from ipaddress import ip_network
from typing import Any

import pytest

from headrace.connectors.connector import Context, Found
from headrace.connectors.databricks.connector import DATABRICKS
from headrace.connectors.databricks.login import access
from headrace.connectors.errors import SourceError
from tests.connectors.databricks.double import CLIENT, SECRET, TOKEN, Double


def tried(context: Context) -> Found:
    return DATABRICKS.tried(context)


def refused(context: Context) -> SourceError:
    with pytest.raises(SourceError) as error:
        tried(context)
    assert TOKEN not in str(error.value)
    assert SECRET not in str(error.value)
    return error.value


def test_it_says_what_it_sees(databricks: Double) -> None:
    databricks.make("CREATE TABLE t (id INT, name VARCHAR)", "CREATE VIEW v AS SELECT id FROM t")
    found = tried(databricks.context({"table": "t"}))
    assert found.message == (
        "Databricks, catalog dev, schema sales, as anna@example.com: 2 tables can be seen; dev.sales.t has 2 columns"
    )
    assert found.sample == {"tables": ["sales.t", "sales.v"]}


def test_a_service_principal_gets_one_token(databricks: Double) -> None:
    databricks.make("CREATE TABLE t (id INT)")
    tried(databricks.context({"table": "t"}, credentials={"clientId": CLIENT, "clientSecret": SECRET}))
    assert databricks.tokens <= 2  # one of each source


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"token": "dapi-wrong"}, "authConfig"),
        ({"clientId": CLIENT, "clientSecret": "wrong"}, "'clientId' and 'clientSecret'"),
        ({}, "'token'"),
        ({"token": "x", "clientSecret": "y"}, "'token'"),
        ({"clientId": "x"}, "'token'"),
        ({"token": {"a": 1}}, "'token'"),
    ],
)
def test_a_login_that_is_refused(databricks: Double, given: dict[str, Any], remedy: str) -> None:
    error = refused(databricks.context({}, credentials=given))
    assert (error.code, remedy in error.hint) == ("bad_credentials", True), error


@pytest.mark.parametrize(
    ("config", "settings", "code", "said"),
    [
        ({"httpPath": "/sql/1.0/warehouses/none"}, {}, "unknown_warehouse", "httpPath"),
        ({"schema": "nothing"}, {}, "missing_table", "nothing"),
        ({}, {"table": "costumers"}, "missing_table", "Did you mean 'dev.sales.customers'?"),
        ({}, {"query": "SELECT nothing FROM customers"}, "missing_column", "nothing"),
        ({"url": "http://127.0.0.1:9"}, {}, "connection_failed", "127.0.0.1"),
        ({"url": "ftp://x"}, {}, "bad_option", "url"),
    ],
)
def test_what_is_wrong_is_reported_by_name(
    databricks: Double, config: dict[str, Any], settings: dict[str, Any], code: str, said: str
) -> None:
    databricks.make("CREATE TABLE customers (id INT)")
    error = refused(databricks.context(settings, **config))
    assert (error.code, said in str(error)) == (code, True), error


def test_a_right_that_lacks(databricks: Double) -> None:
    databricks.make("CREATE TABLE t (id INT)")
    databricks.denied = True
    error = refused(databricks.context({"table": "t"}))
    assert (error.code, "GRANT USE CATALOG, USE SCHEMA and SELECT" in error.hint) == ("not_permitted", True), error


def test_what_can_be_read_is_listed_and_described(databricks: Double) -> None:
    databricks.make("CREATE TABLE customers (id INT, name VARCHAR)", "CREATE VIEW rich AS SELECT id FROM customers")
    found = {each.name: each for each in DATABRICKS.listed(databricks.context({}))}
    assert {name: each.kind for name, each in found.items()} == {"sales.customers": "table", "sales.rich": "view"}
    assert [each.name for each in DATABRICKS.listed(databricks.context({}), "CUST")] == ["sales.customers"]
    described = DATABRICKS.described(databricks.context({}), "sales.customers")
    assert [field.name for field in described.fields or ()] == ["id", "name"]


class TestAddresses:
    def test_a_place_inside_the_servers_network_is_not_dialled(self, databricks: Double) -> None:
        for url in (f"http://127.0.0.2:{databricks.port}", f"https://127.0.0.2:{databricks.port}"):
            error = refused(databricks.context({}, networks=(ip_network("127.0.0.1/32"),), url=url))
            assert error.code == "address_refused"
        assert databricks.seen == []

    def test_http_is_for_the_operators_networks(self, databricks: Double) -> None:
        assert refused(databricks.context({}, url="http://192.0.43.8")).code == "insecure"

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_proxies_of_the_environment_are_not_used(
        self, databricks: Double, monkeypatch: pytest.MonkeyPatch, scheme: str
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        context = databricks.context({}, url=f"{scheme}://127.0.0.1:{databricks.port}")
        if scheme == "http":
            assert tried(context).message.startswith("Databricks")
        else:  # the double speaks no TLS, and is reached for it
            assert "SSL" in refused(context).message.upper()

    def test_nothing_else_is_asked(self, databricks: Double) -> None:
        """No telemetry, no flags, no exchange of tokens."""
        tried(databricks.context({}))
        assert {each.split(" ")[1] for each in databricks.seen} == {"/sql/1.0/warehouses/abc"}

    def test_certificates_are_verified(self) -> None:
        from databricks.sql.types import SSLOptions

        made = SSLOptions().create_ssl_context()
        assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_door_shows_no_secret(databricks: Double) -> None:
    assert TOKEN not in repr(access(databricks.context({})))
    given = {"clientId": CLIENT, "clientSecret": SECRET}
    assert SECRET not in repr(access(databricks.context({}, credentials=given)))
