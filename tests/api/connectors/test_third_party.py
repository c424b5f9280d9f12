"""A type of connector records that an installed package brings: everything over REST as with the built-in ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.api.subprocesses.fork_client import ForkClient
from headrace.api.subprocesses.pool import PRELOADED, SubprocessPool
from headrace.connectors import registry
from tests.api.conftest import IR, Facade, created, error_of

pytestmark = pytest.mark.postgres

CONNECTORS = f"{BASE_PATH}/connectors"
CODE = """
import polars as pl
from pydantic import SecretStr

from headrace.connectors import (
    ROW, Batch, ClosedConfig, Connector, ConnectorType, Discovery, Found, Partition, SourceError, StreamFound,
)
from headrace.ir.schema import Field


class LedgerConfig(ClosedConfig):
    year: int


class LedgerLogin(ClosedConfig):
    token: SecretStr


class LedgerSettings(ClosedConfig):
    book: str


class Ledger:
    note = None

    def __init__(self, context):
        if context.connection.credentials.get("token") != "the right token":
            raise SourceError("login_refused", "The ledger does not take the token.", "Ask for another one.")
        self._year, self._book = context.connection.config["year"], context.settings.get("book")

    def discover(self, *, max_partitions):
        fields = (Field("id", "integer"), Field("name", "text"))
        return Discovery(fields, [Partition(0, 1, 3, {})], 3, self.fingerprint(), frozenset({"id", "name"}))

    def fingerprint(self):
        return f"{self._year}/{self._book}"

    def types_of(self, columns):
        return {}

    def sample(self, rows):
        return next(iter(self.read(None, self.discover(max_partitions=1).schema))).frame.head(rows)

    def read(self, partition, schema, *, wanted=None, rows_done=0, position=None):
        rows = {
            "id": pl.Series([self._year, 2, 3], dtype=pl.Int32),
            "name": pl.Series([self._book] * 3),
            ROW: pl.Series([1, 2, 3], dtype=pl.Int64),
        }
        yield Batch(pl.DataFrame(rows), rows=3, rows_done=3)


def check(context):
    Ledger(context)
    return Found(f"The ledger of {context.connection.config['year']} is there", {})


def streams(context, text):
    Ledger(context)
    return [StreamFound(name, {"book": name}) for name in ("cash", "bank") if text in name]


LEDGER = Connector(
    "ledger", ("shop_ledger",), check=check, open=Ledger, settings=LedgerSettings, streams=streams,
    stream_setting="book",
    record_types=(
        ConnectorType(
            "shop_ledger", "Ledger", "database", "Books of the shop", LedgerConfig, "ledger", LedgerLogin, ("token",)
        ),
    ),
)
"""


@pytest.fixture
def shop(facade: Facade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Facade]:
    """A facade and its child processes, where the package is installed as pip leaves it."""
    info = tmp_path / "site" / "shop_ledger-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "shop_ledger.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-ledger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\nledger = shop_ledger:LEDGER\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    services, children = facade.app.state.services, ForkClient(PRELOADED)
    caches = (registry.connectors, registry.connector_types)
    for each in caches:
        each.cache_clear()
    settings = services.settings.model_copy(update={"files_root": tmp_path})
    facade.app.state.services = replace(services, settings=settings, subprocesses=SubprocessPool(settings, children))
    yield facade
    facade.app.state.services = services
    children.close()
    sys.modules.pop("shop_ledger", None)
    for each in caches:
        each.cache_clear()


def record(**changes: object) -> dict[str, object]:
    body = {"name": "books", "type": "shop_ledger", "config": {"year": 2024}, "authMethod": "token"}
    return body | {"authConfig": {"token": "the right token"}} | changes


def test_its_config_is_checked_its_secrets_sealed_it_is_tried_listed_and_read(shop: Facade) -> None:
    listed = {each["type"]: each for each in shop.viewer.get(f"{BASE_PATH}/connector-types").json()["data"]}
    assert (listed["shop_ledger"]["status"], listed["shop_ledger"]["testable"]) == ("ready", True)
    assert set(listed["shop_ledger"]["configSchema"]["properties"]) == {"year"}

    [problem] = error_of(shop.editor.post(CONNECTORS, json=record(config={"yaer": 2024, "year": 1})), 400)["details"]
    assert (problem["path"], problem["code"]) == ("config.yaer", "unknown_field")
    made = created(shop.editor, CONNECTORS, record())
    assert "the right token" not in str(made)
    with shop.engine.connect() as connection:
        row = connection.execute(text("SELECT auth_sealed, config::text FROM headrace.connectors")).one()
    assert row.auth_sealed
    assert b"right token" not in row.auth_sealed
    assert "token" not in row.config

    found = shop.editor.post(f"{CONNECTORS}/{made['id']}/test").json()
    assert (found["ok"], found["message"]) == (True, "The ledger of 2024 is there"), found
    wrong = {"type": "shop_ledger", "config": {"year": 1}, "authConfig": {"token": "another token"}}
    refused = shop.editor.post(f"{CONNECTORS}/test", json=wrong).json()
    assert (refused["ok"], "does not take the token" in str(refused)) == (False, True)
    assert "another token" not in str(refused)

    streams = shop.editor.get(f"{CONNECTORS}/{made['id']}/streams").json()["data"]
    assert [each["name"] for each in streams] == ["bank", "cash"]
    bank = shop.editor.get(f"{CONNECTORS}/{made['id']}/stream", params={"name": "bank"}).json()
    assert [each["name"] for each in bank["fields"]] == ["id", "name"]

    changed = {"id": made["id"], "config": {"year": 2025}}
    assert error_of(shop.editor.put(CONNECTORS, json=changed), 400)["details"][0]["path"] == "authConfig"

    src = {"id": "src", "kind": "source", "connector": "ledger", "connection": "books", "config": {"book": "bank"}}
    tgt = {"id": "tgt", "kind": "target", "input": "src", "schema": "public.ds_orders"}
    pipeline = shop.pipeline(ir=IR | {"nodes": [src, tgt]})["id"]
    shown = shop.editor.post(f"{BASE_PATH}/pipelines/{pipeline}/preview", json={"node": "src"})
    assert shown.is_success, shown.text
    assert [row["values"]["id"] for row in shown.json()["nodes"][0]["rows"]] == [2024, 2, 3]


def test_a_type_that_is_not_installed_is_refused(facade: Facade) -> None:
    assert error_of(facade.editor.post(CONNECTORS, json=record()), 400)["details"][0]["code"] == "unknown_type"
