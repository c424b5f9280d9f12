"""What a test of a connection says is wrong, and the remedy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.redshift.connector import REDSHIFT
from tests.connectors.redshift.cluster import Cluster
from tests.connectors.sql.postgresql.front import Front as TlsFront
from tests.connectors.sql.postgresql.shop import PASSWORD, Certificates, certificates

__all__ = ["certificates"]

pytestmark = pytest.mark.postgres


@pytest.fixture
def stocked(small_cluster: Cluster) -> Cluster:
    small_cluster.make(
        "CREATE TABLE orders (id int, amount numeric(8,2))",
        "CREATE TABLE hidden (id int)",
        "REVOKE SELECT ON hidden FROM reader",
    )
    return small_cluster


def test_it_says_what_it_sees(stocked: Cluster) -> None:
    found = REDSHIFT.tried(stocked.context({"table": "orders"}))
    assert "Redshift, database warehouse, not encrypted: 1 table can be seen" in found.message
    assert found.message.endswith("has 2 columns")


@pytest.mark.parametrize(
    ("settings", "config", "credentials", "code", "told"),
    [
        ({"table": "order"}, {}, {}, "missing_table", "Did you mean 'shop.orders'"),
        ({"query": "SELECT * FROM shop.hidden"}, {}, {}, "not_permitted", "GRANT SELECT"),
        ({}, {"port": 1}, {}, "connection_failed", "No server listens there"),
        ({}, {"host": "nowhere.invalid"}, {}, "unknown_host", "cannot be found"),
        ({}, {"database": "nowhere"}, {}, "connection_failed", "Check 'database'"),
        ({}, {}, {"password": "wrong"}, "connection_failed", "Check 'username' and 'password'"),
        ({}, {"sslmode": "require"}, {}, "connection_failed", "'sslmode'"),
    ],
)
def test_a_check_says_what_is_wrong_and_the_remedy(
    stocked: Cluster,
    settings: dict[str, Any],
    config: dict[str, Any],
    credentials: dict[str, Any],
    code: str,
    told: str,
) -> None:
    context = stocked.context(settings, **config)
    asked = replace(
        context, connection=replace(context.connection, credentials={**context.connection.credentials, **credentials})
    )
    with pytest.raises(SourceError) as refused:
        REDSHIFT.tried(asked)
    assert refused.value.code == code, refused.value
    assert told in str(refused.value)
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        ({"sslmode": "verify-full", "host": "127.0.0.1"}, "Give as 'host' the name that is in the certificate"),
        ({"sslmode": "verify-full", "sslRootCert": "stranger"}, "the authority that signed it in 'sslRootCert'"),
        ({"sslmode": "verify-ca", "sslRootCert": None}, "'sslRootCert'"),
    ],
)
def test_a_server_that_is_not_the_one_meant_is_not_logged_in_to(
    stocked: Cluster, certificates: Certificates, config: dict[str, Any], remedy: str
) -> None:
    sealed = TlsFront(stocked.front.port, certificates)
    try:
        good: dict[str, Any] = {"port": sealed.port, "sslmode": "verify-full", "sslRootCert": certificates.authority}
        assert ", TLS:" in REDSHIFT.tried(stocked.context({}, **good)).message
        given: dict[str, Any] = good | config
        if given["sslRootCert"] == "stranger":
            given["sslRootCert"] = certificates.stranger
        with pytest.raises(SourceError) as refused:
            REDSHIFT.tried(stocked.context({}, **given))
    finally:
        sealed.close()
    assert (refused.value.code, remedy in refused.value.hint) == ("connection_failed", True), refused.value
    assert PASSWORD not in str(refused.value)
