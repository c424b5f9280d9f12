"""Logins, TLS, connection tests and discovery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.connector import Context, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.mongodb.connector import MONGODB
from headrace.connectors.mongodb.login import access
from headrace.ir.schema import Field
from tests.connectors.mongodb.double import CREDENTIALS, PASSWORD, SUBJECT, USERS, Double, double
from tests.connectors.reading import rows
from tests.connectors.sql.postgresql.shop import Certificates, certificates

__all__ = ["certificates"]


def tried(context: Context) -> Found:
    return MONGODB.tried(context)


def refused(context: Context) -> SourceError:
    with pytest.raises(SourceError) as error:
        tried(context)
    assert PASSWORD not in str(error.value)
    return error.value


@pytest.fixture(scope="module")
def closed(pytestconfig: pytest.Config, certificates: Certificates, tmp_path_factory: Any) -> Iterator[Double]:
    """One that wants a login, under TLS, and looks at certificates."""
    folder: Path = tmp_path_factory.mktemp("mongodb-tls")
    (folder / "ca.pem").write_text(certificates.authority)
    (folder / "cert.pem").write_text(certificates.server[0])
    (folder / "key.pem").write_text(certificates.server[1])
    tls = {"certificate": f"{folder}/cert.pem", "key": f"{folder}/key.pem", "authority": f"{folder}/ca.pem"}
    assert pytestconfig.cache is not None
    with double(pytestconfig.cache.mkdir("doubles"), users=USERS, tls=tls) as server:
        more = {"authMechanism": "SCRAM-SHA-256"}  # the double does not say which it has
        server.config |= {"host": "localhost", "tls": True, "sslRootCert": certificates.authority, **more}
        server.credentials = CREDENTIALS
        server.options = {
            **CREDENTIALS,
            **more,
            "tls": True,
            "tlsCAFile": f"{folder}/ca.pem",
            "tlsAllowInvalidHostnames": True,
        }
        server.fill("t", [{"_id": 1, "a": 1}])
        yield server
        server.close()


def test_it_says_what_it_sees(mongo: Double) -> None:
    mongo.fill("t", [{"_id": 1, "a": 1}])
    mongo.fill("u", [{"_id": 1}])
    found = tried(mongo.context({}))
    assert found.message == "MongoDB 7.0.0, database shop, not encrypted: 2 collections can be read"
    assert found.sample == {"collections": ["t", "u"]}
    assert tried(mongo.context({"collection": "t"})).message.endswith("; t has 2 columns")


def test_a_collection_that_is_not_there_is_reported_with_the_nearest(mongo: Double) -> None:
    mongo.fill("customers", [{"_id": 1}])
    error = refused(mongo.context({"collection": "costumers"}))
    assert (error.code, error.hint) == ("missing_collection", "Did you mean 'customers'?")


def test_a_database_that_is_not_there_is_empty_and_the_check_says_so(mongo: Double) -> None:
    """MongoDB makes databases when something is written, and reads those that are not there."""
    mongo.fill("t", [{"_id": 1}])
    found = tried(mongo.context({}, database="nowhere"))
    assert found.message.endswith(
        "database nowhere, not encrypted: 0 collections can be read (a database that does not exist looks the same: "
        "check 'database', and the rights of the login)"
    )


def test_a_right_that_lacks_is_reported_with_its_role(mongo: Double) -> None:
    mongo.fill("t", [{"_id": 1}])
    for command in ("find", "aggregate"):
        mongo.steer("fail", name=command, after=0, code=13, times=100)
    error = refused(mongo.context({"collection": "t"}))
    assert (error.code, "role 'read' on the database" in error.hint) == ("not_permitted", True), error


def test_what_can_be_read_is_listed_and_described(mongo: Double) -> None:
    mongo.fill("orders", [{"_id": n, "a": n, "b": {"c": 1}} for n in range(30)])
    mongo.fill("old.orders", [{"_id": 1}])
    mongo.fill("other", [{"_id": 1}])
    context = mongo.context({})
    assert [(each.name, each.rows, each.kind) for each in MONGODB.listed(context, "ORDERS")] == [
        ("old.orders", 1, "collection"),
        ("orders", 30, "collection"),
    ]
    found = MONGODB.described(context, "orders")
    assert found.fields == (Field("_id", "integer"), Field("a", "integer"), Field("b", "json"))
    assert found.remark == "as in 30 documents that were sampled: others may have more"
    assert (found.settings, found.key, found.comment) == ({"collection": "orders"}, ("_id",), "")


class TestLogins:
    def test_a_user_and_a_password_under_tls(self, closed: Double) -> None:
        assert tried(closed.context({})).message == "MongoDB 7.0.0, database shop, TLS: 1 collection can be read"
        assert rows(closed.source("t", (Field("a", "integer"),))) == [(1,)]

    def test_a_connection_string_with_the_password_in_it(self, closed: Double) -> None:
        text = (
            f"mongodb://reader:{PASSWORD}@localhost:{closed.port}/shop?tls=true&authMechanism=SCRAM-SHA-256&w=majority"
        )
        config = {
            "sslRootCert": closed.config["sslRootCert"],
            "host": None,
            "port": None,
            "database": None,
            "tls": None,
            "authMechanism": None,
        }
        assert (
            ", TLS: 1 collection" in tried(closed.context({}, credentials={"connectionString": text}, **config)).message
        )

    def test_a_client_certificate_alone(self, closed: Double, certificates: Certificates) -> None:
        certificate, key = certificates.badge
        given = {"username": SUBJECT, "sslCert": certificate, "sslKey": key}
        assert ", TLS: " in tried(closed.context({}, credentials=given, authMechanism="MONGODB-X509")).message

    @pytest.mark.parametrize(
        ("credentials", "code"),
        [
            ({"username": "reader", "password": "not-this-one"}, "bad_credentials"),
            ({"username": "nobody", "password": "not-this-one"}, "bad_credentials"),
            ({}, "not_permitted"),
            ({"username": "reader"}, "bad_credentials"),
            ({"password": "x"}, "bad_credentials"),
            ({"username": "reader", "sslCert": "x"}, "bad_credentials"),
        ],
    )
    def test_that_are_refused(self, closed: Double, credentials: dict[str, Any], code: str) -> None:
        more = {} if credentials else {"authMechanism": None}
        error = refused(closed.context({}, credentials=credentials, **more))
        assert error.code == code, error
        assert error.hint

    @pytest.mark.parametrize(
        ("config", "remedy"),
        [
            ({"sslRootCert": None}, "sslRootCert"),
            ({"host": "127.0.0.1"}, "name that is in the certificate"),
            ({"tls": False}, "'tls' to true"),
        ],
    )
    @pytest.mark.first_variant
    def test_tls_that_is_not_as_it_should_be(self, closed: Double, config: dict[str, Any], remedy: str) -> None:
        error = refused(closed.context({}, **config))
        assert error.code in ("connection_failed", "connection_lost"), error
        assert remedy in error.hint, error

    def test_a_server_without_tls(self, mongo: Double) -> None:
        error = refused(mongo.context({}, tls=True))
        assert (error.code, "switch it on at the server" in error.hint) == ("connection_failed", True), error


def test_a_port_at_which_nobody_listens(mongo: Double) -> None:
    error = refused(mongo.context({}, port=1))
    assert (error.code, error.hint) == ("connection_failed", "No server listens there: check 'host' and 'port'.")


def test_a_door_shows_no_secret(closed: Double, certificates: Certificates) -> None:
    given = {**CREDENTIALS, "sslCert": certificates.badge[0], "sslKey": certificates.badge[1]}
    shown = repr(access(closed.context({}, credentials=given)))
    assert PASSWORD not in shown
    assert "PRIVATE" not in shown
