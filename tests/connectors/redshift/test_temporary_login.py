"""IAM logins: the API is an emulator; the server gets its password if the login should succeed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.redshift.models import RedshiftBackend

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.redshift.login import access
from tests.connectors.reading import rows
from tests.connectors.redshift.cluster import Cluster
from tests.connectors.sql.postgresql.shop import LOOPBACK, PASSWORD

pytestmark = pytest.mark.postgres

_DENIED = b"""<ErrorResponse xmlns="http://redshift.amazonaws.com/doc/2012-12-01/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>User headrace is not authorized</Message></Error></ErrorResponse>"""


@pytest.fixture
def iam(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    assert cluster.store is not None
    api = cluster.store.environment["AWS_ENDPOINT_URL"]
    key = {"aws_access_key_id": "headrace", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("redshift", endpoint_url=api, **key)
    if not client.describe_clusters()["Clusters"]:
        client.create_cluster(
            ClusterIdentifier="shop", NodeType="ra3.large", MasterUsername="m", MasterUserPassword="Passw0rd"
        )
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    return cluster


def context(cluster: Cluster) -> Context:
    assert cluster.store is not None
    api = cluster.store.environment["AWS_ENDPOINT_URL"]
    config = cluster.config | {"clusterIdentifier": "shop", "apiEndpoint": api}
    key = {"username": "reader", "accessKeyId": "headrace", "secretAccessKey": "x"}
    surroundings = Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK)
    return Context(Connection("c", "redshift", config, key), surroundings, {"table": "t"})


def test_the_password_that_the_api_gives_is_what_logs_in(iam: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="password authentication failed"):
        access(context(iam)).connect()  # the emulator's password is nobody's
    asked = []

    def known(self: RedshiftBackend, *given: object) -> dict[str, object]:
        asked.append(given)
        return {"DbUser": "reader", "DbPassword": PASSWORD, "Expiration": "2030-01-01T00:00:00Z"}

    monkeypatch.setattr(RedshiftBackend, "get_cluster_credentials", known)
    iam.make("CREATE TABLE t AS SELECT 1 AS id")
    from headrace.connectors.redshift.connector import REDSHIFT

    assert rows(REDSHIFT.source(context(iam))) == [(1,)]
    assert asked
    assert all("shop" in given and "reader" in given for given in asked)


def test_what_the_api_refuses_is_reported_and_no_other_address_is_asked(iam: Cluster) -> None:
    def denied(environ: dict[str, Any], start: Any) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start("403 Forbidden", [("Content-Type", "text/xml"), ("Content-Length", str(len(_DENIED)))])
        return [_DENIED]

    assert iam.store is not None
    iam.store._faults.append(("POST", denied))
    with pytest.raises(SourceError, match="User headrace is not authorized") as refused:
        access(context(iam)).connect()
    assert refused.value.code == "not_permitted"
    inside = replace(context(iam), surroundings=Surroundings(FilesRoot(Path("/nowhere"))))
    with pytest.raises(SourceError) as kept:
        access(inside).connect()
    assert kept.value.code == "address_refused"


def test_a_key_is_whole_and_none_of_the_machines_is_used(iam: Cluster) -> None:
    given = context(iam)
    half = replace(given, connection=replace(given.connection, credentials={"username": "reader", "accessKeyId": "a"}))
    with pytest.raises(SourceError) as wrong:
        access(half)
    assert wrong.value.code == "bad_credentials"
