"""TLS, certificates, and connections that are lost while rows come."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.source import ROW, Batch, Discovery, Wanted
from headrace.connectors.sql.postgresql.connector import POSTGRESQL
from headrace.connectors.sql.postgresql.dialect import PostgresDialect
from headrace.connectors.sql.source import SqlSource
from tests.connectors.reading import batches, frame
from tests.connectors.sql.postgresql.front import Front
from tests.connectors.sql.postgresql.shop import PASSWORD, Certificates, Shop

pytestmark = pytest.mark.postgres


@pytest.fixture
def front(shop: Shop) -> Iterator[Front]:
    front = Front(shop.port)
    yield front
    front.close()


@pytest.fixture
def sealed(shop: Shop, certificates: Certificates) -> Iterator[Front]:
    front = Front(shop.port, certificates)
    yield front
    front.close()


@pytest.fixture
def asking(shop: Shop, certificates: Certificates) -> Iterator[Front]:
    front = Front(shop.port, certificates, asks_for_certificate=True)
    yield front
    front.close()


def checked(shop: Shop, port: int, **config: Any) -> str:
    return POSTGRESQL.tried(shop.context({}, port=port, **config)).message


def test_tls_is_as_strict_as_the_mode_says(shop: Shop, sealed: Front, certificates: Certificates) -> None:
    for mode in ("prefer", "require"):
        assert ", TLS:" in checked(shop, sealed.port, sslmode=mode)
    for mode in ("verify-ca", "verify-full"):
        assert ", TLS:" in checked(shop, sealed.port, sslmode=mode, sslRootCert=certificates.authority)
    assert "not encrypted" in checked(shop, shop.port, sslmode="disable")
    # by its address it is not the server that the certificate is of
    assert ", TLS:" in checked(
        shop, sealed.port, sslmode="verify-ca", sslRootCert=certificates.authority, host="127.0.0.1"
    )


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        ({"sslmode": "verify-full", "host": "127.0.0.1"}, "the name that is in the certificate"),
        ({"sslmode": "verify-full", "sslRootCert": "stranger"}, "'sslRootCert'"),
        ({"sslmode": "verify-full", "sslRootCert": None}, "'sslRootCert'"),
        ({"sslmode": "verify-ca", "sslRootCert": None}, "'sslRootCert'"),
        ({"sslmode": "verify-ca", "sslRootCert": "no PEM text"}, "'sslRootCert'"),
    ],
)
def test_a_server_that_is_not_the_one_meant_is_not_logged_in_to(
    shop: Shop, sealed: Front, certificates: Certificates, config: dict[str, Any], hint: str
) -> None:
    given = {"sslRootCert": certificates.authority} | config
    if given["sslRootCert"] == "stranger":
        given["sslRootCert"] = certificates.stranger
    with pytest.raises(SourceError, match=hint) as refused:
        checked(shop, sealed.port, **given)
    assert refused.value.code == "connection_failed"
    assert PASSWORD not in str(refused.value)


def test_a_client_certificate_is_shown_and_leaves_no_file(
    shop: Shop, asking: Front, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    certificate, key = certificates.badge
    with_badge = shop.logged_in_as(**shop.credentials, sslCert=certificate, sslKey=key)
    assert ", TLS:" in checked(with_badge, asking.port, sslmode="verify-full", sslRootCert=certificates.authority)
    assert list(tmp_path.iterdir()) == []
    assert not [link for link in open_files() if "headrace-tls" in link]
    for credentials in ({}, {"sslCert": certificate, "sslKey": "no key"}):
        with pytest.raises(SourceError) as refused:
            checked(shop.logged_in_as(**shop.credentials, **credentials), asking.port, sslmode="require")
        assert refused.value.code == "connection_failed"
        assert refused.value.hint
        assert "PRIVATE" not in str(refused.value)
    with pytest.raises(SourceError, match="'sslKey'") as incomplete:
        checked(shop.logged_in_as(**shop.credentials, sslCert=certificate), asking.port)
    assert incomplete.value.code == "bad_credentials"


def filled(shop: Shop, *, key: bool = True) -> None:
    shop.make(
        f"CREATE TABLE t (id int {'PRIMARY KEY' if key else ''}, x text)",
        "INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 20000) i",
    )


def through(shop: Shop, front: Front, *pauses: float, **settings: Any) -> SqlSource:
    context = replace(shop, config=shop.config | {"port": front.port}).context({"table": "shop.t", **settings})
    return SqlSource(context, PostgresDialect.of(context), pauses=pauses or (0.01, 0.01, 0.01))


def test_a_lost_connection_is_made_again_and_reading_goes_on(shop: Shop, front: Front) -> None:
    filled(shop)
    source = through(shop, front)
    found = source.discover(max_partitions=1)
    came, front.cut_after = front.came, 2_000_000
    read = list(source.read(found.partitions[0], found.schema))
    assert front.cut_after is None
    assert front.came == came + 2
    whole = frame(read)
    assert whole["id"].to_list() == list(range(1, 20001))
    assert whole[ROW].to_list() == list(range(1, 20001))


def test_a_server_that_is_away_for_a_moment_is_asked_again(shop: Shop, front: Front) -> None:
    filled(shop)
    source = through(shop, front)
    found = source.discover(max_partitions=1)
    came, front.cut_after = front.came, 2_000_000
    reading = batches_of(source, found)
    first = next(reading)
    front.refuse = 2
    rest = list(reading)
    assert front.came == came + 4
    assert frame([first, *rest])["id"].to_list() == list(range(1, 20001))


def test_one_that_stays_away_is_reported(shop: Shop, front: Front) -> None:
    filled(shop)
    source = through(shop, front)
    found = source.discover(max_partitions=1)
    front.cut_after = 2_000_000
    reading = batches_of(source, found)
    next(reading)
    front.refuse = 100
    with pytest.raises(SourceError) as lost:
        list(reading)
    assert lost.value.code == "connection_failed"


def test_without_a_position_a_lost_connection_is_reported(shop: Shop, front: Front) -> None:
    filled(shop, key=False)
    source = through(shop, front)
    found = source.discover(max_partitions=1)
    front.cut_after = 2_000_000
    reading = batches_of(source, found)
    next(reading)
    with pytest.raises(SourceError, match="can be retried") as lost:
        list(reading)
    assert lost.value.code == "connection_lost"


def open_files() -> list[str]:
    """What the descriptors of this process lead to, where that can be seen."""
    folder = Path("/proc/self/fd")
    found = []
    for each in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):
            found.append(os.readlink(each))
    return found


def batches_of(source: SqlSource, found: Discovery) -> Iterator[Batch]:
    wanted = Wanted(frozenset(("id", "x")), batch_rows=500)
    return source.read(found.partitions[0], found.schema, wanted=wanted)


def test_a_statement_that_takes_too_long_is_given_up(shop: Shop) -> None:
    source = shop.source(query="SELECT 1 AS a, pg_sleep(60)::text AS b", timeoutSeconds=1)
    found = source.discover(max_partitions=1)
    with pytest.raises(SourceError, match="timeoutSeconds") as refused:
        batches(source, found, found.partitions[0])
    assert refused.value.code == "timed_out"


def test_nothing_is_written_and_no_session_stays(shop: Shop) -> None:
    filled(shop)
    source = shop.source(table="shop.t", partitioning={"partitions": 2})
    found = source.discover(max_partitions=2)
    reading = source.read(found.partitions[0], found.schema)
    next(reading)
    reading.close()
    source.close()
    with psycopg.connect(shop.owner, autocommit=True) as connection:
        for _ in range(100):
            left = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'").fetchone()
            if left == (0,):
                break
            connection.execute("SELECT pg_sleep(0.05)")
        assert left == (0,)
