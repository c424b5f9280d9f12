"""Logins, connection tests, discovery, and the addresses that are connected to."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from headrace.connectors.connector import Context, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake.connector import SNOWFLAKE
from headrace.connectors.snowflake.login import access, host_of
from tests.connectors.reading import rows
from tests.connectors.snowflake.double import PASSWORD, Double


def tried(context: Context) -> Found:
    return SNOWFLAKE.tried(context)


def refused(context: Context) -> SourceError:
    with pytest.raises(SourceError) as error:
        tried(context)
    assert PASSWORD not in str(error.value)
    return error.value


@pytest.fixture(scope="module")
def pair() -> tuple[rsa.RSAPrivateKey, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key, public.decode()


def pem(key: rsa.RSAPrivateKey, passphrase: str | None = None) -> str:
    how: Any = serialization.NoEncryption()
    if passphrase is not None:
        how = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode()


def test_it_says_what_it_sees(account: Double) -> None:
    account.make("CREATE TABLE t (id INT)", "CREATE TABLE v (id INT)")
    found = tried(account.context({"table": "t"}, role="loader"))
    assert "account acc, database ANALYTICS, warehouse COMPUTE_WH, role LOADER: 2 tables can be seen" in found.message
    assert found.message.endswith("ANALYTICS.PUBLIC.T has 1 columns")
    assert found.sample == {"tables": ["PUBLIC.T", "PUBLIC.V"]}


def test_every_way_to_log_in(account: Double, pair: tuple[rsa.RSAPrivateKey, str]) -> None:
    key, public = pair
    account.control(publicKey=public)
    for way, given in (
        ("SNOWFLAKE", {"username": "anna", "password": PASSWORD}),
        ("SNOWFLAKE_JWT", {"username": "anna", "privateKey": pem(key)}),
        ("SNOWFLAKE_JWT", {"username": "anna", "privateKey": pem(key, "open"), "privateKeyPassphrase": "open"}),
        ("OAUTH", {"accessToken": "oauth-good"}),
        ("OAUTH", {"username": "anna", "accessToken": "oauth-good"}),
        ("PROGRAMMATIC_ACCESS_TOKEN", {"username": "anna", "token": "pat-good"}),
    ):
        assert tried(account.context({}, credentials=given)).message.startswith("Snowflake ")
        assert str(account.info()["logins"][-1]["way"]).upper() in (way, "NONE")


@pytest.mark.parametrize(
    ("given", "said", "remedy"),
    [
        ({"username": "anna", "password": "wrong"}, "Incorrect username or password", "'username' and 'password'"),
        ({"username": "anna", "token": "wrong"}, "access token is invalid", "'token'"),
        ({"accessToken": "wrong"}, "OAuth access token", "give a new one"),
        ({"username": "anna", "privateKey": "no key"}, "", "'privateKey' (PEM text)"),
    ],
)
def test_a_login_that_is_refused(account: Double, given: dict[str, Any], said: str, remedy: str) -> None:
    error = refused(account.context({}, credentials=given))
    assert (error.code, said in error.message, remedy in error.hint) == ("bad_credentials", True, True), error


def test_a_key_of_another_pair_or_with_another_passphrase(account: Double, pair: tuple[rsa.RSAPrivateKey, str]) -> None:
    account.control(publicKey=pair[1])
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for given in (
        {"privateKey": pem(stranger)},
        {"privateKey": pem(pair[0], "open"), "privateKeyPassphrase": "shut"},
    ):
        error = refused(account.context({}, credentials={"username": "anna", **given}))
        assert (error.code, "privateKey" in error.hint) == ("bad_credentials", True), error


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"username": "anna"},
        {"password": "x"},
        {"username": "anna", "password": "x", "token": "y"},
        {"username": "anna", "password": {"a": 1}},
    ],
)
def test_a_login_that_is_none_is_reported_before_anything_is_dialled(account: Double, given: dict[str, Any]) -> None:
    assert refused(account.context({}, credentials=given)).code == "bad_credentials"
    assert account.info()["seen"] == []


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        ({"account": "other"}, "unknown_account", "other"),
        ({"role": "NOBODY"}, "not_permitted", "'role'"),
        ({"warehouse": "NONE_WH"}, "not_permitted", "'warehouse'"),
        ({"database": "NOTHING"}, "not_permitted", "'database'"),
    ],
)
def test_what_is_wrong_is_reported_by_name(account: Double, config: dict[str, Any], code: str, said: str) -> None:
    error = refused(account.context({}, **config))
    assert (error.code, said in str(error)) == (code, True), error


def test_a_host_that_does_not_answer(account: Double) -> None:
    error = refused(account.context({}, url="http://127.0.0.1:9"))
    assert error.code == "connection_failed"


def test_a_table_that_is_not_there_is_reported_with_the_nearest(account: Double) -> None:
    account.make("CREATE TABLE customers (id INT)")
    error = refused(account.context({"table": "costumers"}))
    assert (error.code, "ANALYTICS.PUBLIC.CUSTOMERS" in error.hint) == ("missing_table", True)


def test_what_can_be_read_is_listed_and_described(account: Double) -> None:
    account.make("CREATE TABLE customers (id INT, name VARCHAR)", 'CREATE TABLE "lower" (id INT)')
    assert SNOWFLAKE.streams is not None
    assert SNOWFLAKE.stream is not None
    found = {each.name: each for each in SNOWFLAKE.streams(account.context({}), "")}
    assert set(found) == {"PUBLIC.CUSTOMERS", 'PUBLIC."lower"'}
    assert [each.name for each in SNOWFLAKE.streams(account.context({}), "cust")] == ["PUBLIC.CUSTOMERS"]
    for each in found.values():  # its settings read it
        assert rows(account.source(**each.settings)) == []
    described = SNOWFLAKE.stream(account.context(dict(found["PUBLIC.CUSTOMERS"].settings)))
    assert [field.name for field in described.fields or ()] == ["ID", "NAME"]
    assert described.kind == "table"


class TestAddresses:
    def test_an_account_inside_the_servers_network_is_not_dialled(self, account: Double) -> None:
        error = refused(account.context({}, networks=()))
        assert error.code == "address_refused"
        assert account.info()["seen"] == []

    def test_pieces_of_a_result_are_not_fetched_from_there(self, account: Double) -> None:
        account.control(chunkRows=5, chunkHost="127.0.0.2")
        account.make("CREATE TABLE t AS SELECT seq4() AS id FROM TABLE(GENERATOR(ROWCOUNT => 20))")
        source = account.opened(account.context({"table": "t"}, networks=(ip_network("127.0.0.1/32"),)))
        with pytest.raises(SourceError) as error:
            rows(source)
        assert error.value.code == "address_refused"
        assert "127.0.0.2" in error.value.message
        assert not [each for each in account.info()["seen"] if "/chunk/" in each]

    def test_http_is_for_the_operators_networks(self, account: Double) -> None:
        error = refused(account.context({}, url="http://192.0.43.8", networks=()))
        assert error.code == "insecure"

    def test_proxies_of_the_environment_are_not_used_and_nothing_else_is_asked(
        self, account: Double, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        account.control(chunkRows=5)
        account.make("CREATE TABLE t AS SELECT seq4() AS id FROM TABLE(GENERATOR(ROWCOUNT => 20))")
        source = account.source(table="t")
        assert len(rows(source)) == 20
        source.close()
        seen = {each.split(" ")[2].split("/")[1] for each in account.info()["seen"]}
        assert seen <= {"session", "queries", "chunk"}  # no telemetry
        assert account.info()["logins"][-1]["session"]["QUERY_TAG"] == "headrace"


@pytest.mark.parametrize(
    ("account", "host"),
    [
        ("myorg-my_account", "myorg-my-account.snowflakecomputing.com"),
        ("XY12345.eu-central-1", "xy12345.eu-central-1.snowflakecomputing.com"),
        ("xy12345.cn-north-1", "xy12345.cn-north-1.snowflakecomputing.cn"),
        ("xy12345.us-east-1.snowflakecomputing.com", "xy12345.us-east-1.snowflakecomputing.com"),
    ],
)
def test_the_host_of_an_account(account: str, host: str) -> None:
    assert host_of(account) == host


def test_a_door_shows_no_secret(account: Double) -> None:
    assert PASSWORD not in repr(access(account.context({})))


def test_a_fork_of_a_process_that_has_used_the_driver_says_so(account: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hang: the driver's threads are not in the fork."""
    monkeypatch.setattr("headrace.connectors.snowflake.session._process", 1)
    assert refused(account.context({})).code == "driver_forked"
