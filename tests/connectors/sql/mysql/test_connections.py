"""TLS, certificates, and connections that are lost while rows come."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.source import ROW, Wanted
from headrace.connectors.sql.mysql.connector import MYSQL
from headrace.connectors.sql.mysql.dialect import MySqlDialect
from headrace.connectors.sql.source import SqlSource
from tests.connectors.reading import batches, frame
from tests.connectors.sql.mysql.market import Market
from tests.connectors.sql.postgresql.front import Front
from tests.connectors.sql.postgresql.shop import PASSWORD, Certificates


def checked(market: Market, **config: Any) -> str:
    return MYSQL.tried(market.context({}, **config)).message


def test_tls_is_as_strict_as_the_mode_says(market: Market, certificates: Certificates) -> None:
    for mode in ("prefer", "require"):
        assert ", TLS:" in checked(market, sslmode=mode)
    for mode in ("verify-ca", "verify-full"):
        assert ", TLS:" in checked(market, sslmode=mode, sslRootCert=certificates.authority)
    assert "not encrypted" in checked(market, sslmode="disable")
    # by its address it is not the server that the certificate is of
    by_address = {"host": "127.0.0.1", "sslRootCert": certificates.authority}
    assert ", TLS:" in checked(market, sslmode="verify-ca", **by_address)
    sealed = market.logged_in_as(username="sealed", password=PASSWORD)
    sealed.make("GRANT SELECT ON shop.* TO sealed@'%'")
    assert ", TLS:" in checked(sealed)


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
    market: Market, certificates: Certificates, config: dict[str, Any], hint: str
) -> None:
    given = {"sslRootCert": certificates.authority} | config
    if given["sslRootCert"] == "stranger":
        given["sslRootCert"] = certificates.stranger
    with pytest.raises(SourceError, match=hint) as refused:
        checked(market, **given)
    assert refused.value.code == "connection_failed"
    assert PASSWORD not in str(refused.value)


def test_a_client_certificate_is_shown_and_leaves_no_file(
    market: Market, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    market.make("GRANT SELECT ON shop.* TO badge@'%'")
    certificate, key = certificates.badge
    login = {"username": "badge", "password": PASSWORD}
    opened = os.listdir("/proc/self/fd") if Path("/proc/self/fd").is_dir() else []
    assert ", TLS:" in checked(market.logged_in_as(**login, sslCert=certificate, sslKey=key))
    assert list(tmp_path.iterdir()) == []
    if opened:
        assert len(os.listdir("/proc/self/fd")) <= len(opened)
    for more in ({}, {"sslCert": certificate, "sslKey": "no key"}):
        with pytest.raises(SourceError) as refused:
            checked(market.logged_in_as(**login, **more), sslmode="require")
        assert refused.value.code == "connection_failed"
        assert refused.value.hint
        assert "PRIVATE" not in str(refused.value)
    with pytest.raises(SourceError, match="'sslKey'"):
        checked(market.logged_in_as(**login, sslCert=certificate))


def filled(market: Market, *, key: bool = True, rows: int = 20_000) -> None:
    market.make(
        f"CREATE TABLE t (id int {'PRIMARY KEY' if key else ''}, x text)",
        f"INSERT INTO t SELECT seq, REPEAT('x', 200) FROM seq_1_to_{rows}",
    )


@pytest.fixture
def front(market: Market) -> Iterator[Front]:
    front = Front(market.port)
    yield front
    front.close()


def through(market: Market, front: Front) -> SqlSource:
    config = market.config | {"port": front.port, "sslmode": "disable"}
    context = replace(market, config=config).context({"table": "shop.t"})
    return SqlSource(context, MySqlDialect.of(context), pauses=(0.01, 0.01, 0.01))


def test_a_lost_connection_is_made_again_and_reading_goes_on(market: Market, front: Front) -> None:
    filled(market)
    source = through(market, front)
    found = source.discover(max_partitions=1)
    came, front.cut_after = front.came, 2_000_000
    read = list(source.read(found.partitions[0], found.schema, wanted=Wanted(frozenset(("id", "x")), batch_rows=3000)))
    assert front.cut_after is None
    assert front.came == came + 2
    whole = frame(read)
    assert whole["id"].to_list() == list(range(1, 20001))
    assert whole[ROW].to_list() == list(range(1, 20001))


def kill(market: Market) -> None:
    for (number,) in market.rows("SELECT id FROM information_schema.PROCESSLIST WHERE user = 'reader'"):
        market.make(f"KILL {number}")


def test_a_killed_connection_is_made_again_while_reading(market: Market) -> None:
    filled(market, rows=60_000)
    context = market.context({"table": "t"})
    source = SqlSource(context, MySqlDialect.of(context), pauses=(0.01, 0.01))
    found = source.discover(max_partitions=1)
    reading = source.read(found.partitions[0], found.schema, wanted=Wanted(frozenset(("id", "x")), batch_rows=500))
    read = [next(reading)]
    kill(market)
    read += list(reading)
    assert frame(read)["id"].to_list() == list(range(1, 60_001))


def test_without_a_position_a_lost_connection_is_reported(market: Market) -> None:
    filled(market, key=False, rows=60_000)
    source = market.source(table="t")
    found = source.discover(max_partitions=1)
    reading = source.read(found.partitions[0], found.schema, wanted=Wanted(frozenset(("id", "x")), batch_rows=500))
    next(reading)
    kill(market)
    with pytest.raises(SourceError, match="can be retried") as lost:
        list(reading)
    assert lost.value.code == "connection_lost"


def test_a_statement_that_takes_too_long_is_given_up(market: Market) -> None:
    source = market.source(query="SELECT 1 AS a, SLEEP(60) AS b", timeoutSeconds=1)
    found = source.discover(max_partitions=1)
    with pytest.raises(SourceError, match="timeoutSeconds") as refused:
        batches(source, found, found.partitions[0])
    assert refused.value.code == "timed_out"


def test_nothing_is_written_and_no_session_stays(market: Market) -> None:
    filled(market)
    source = market.source(table="t", partitioning={"partitions": 2})
    found = source.discover(max_partitions=2)
    reading = source.read(found.partitions[0], found.schema)
    next(reading)
    reading.close()
    source.close()
    for _ in range(100):
        left = market.rows("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE user = 'reader'")
        if left == [("0",)]:
            break
        time.sleep(0.05)
    assert left == [("0",)]
    # and none keeps others from changing the table
    market.make("SET lock_wait_timeout = 1", "ALTER TABLE t ADD COLUMN y int")


def test_what_nobody_has_asked_for_yet_stays_with_the_server(market: Market) -> None:
    from headrace.connectors.sql.mysql.login import access
    from headrace.connectors.sql.mysql.session import session

    filled(market, rows=60_000)
    with session(access(market.context({})), "t") as reading:
        reading.begin("SELECT id, x FROM t")
        wire: Any = reading.wire
        for _ in range(500):
            assert len(reading.some(10)) == 10
            assert len(wire._connection._proto.buffer) <= 4 * 2**18


def test_several_statements_in_one_are_refused_by_the_server_too(market: Market) -> None:
    from headrace.connectors.sql.mysql.login import access
    from headrace.connectors.sql.mysql.session import session

    market.make("CREATE TABLE t (id int)", "GRANT ALL ON shop.* TO reader@'%'")
    with session(access(market.context({})), "x") as asked:
        with pytest.raises(SourceError, match="syntax"):
            asked.rows("SELECT 1; DROP TABLE t")
        with pytest.raises(SourceError, match="READ ONLY"):
            asked.rows("DELETE FROM t")
    market.make("REVOKE ALL ON shop.* FROM reader@'%'", "GRANT SELECT ON shop.* TO reader@'%'")
