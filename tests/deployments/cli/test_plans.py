"""The output of `headrace plan`. (`tests/api/plans` checks that nothing is changed.)"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.api.conftest import IR, Facade
from tests.deployments.cli.conftest import Terminal

pytestmark = pytest.mark.postgres


@pytest.fixture
def files_root(facade: Facade, tmp_path: Path) -> Iterator[Path]:
    """Where the facade looks for files, for this test alone."""
    services = facade.app.state.services
    settings = services.settings.model_copy(update={"files_root": tmp_path})
    facade.app.state.services = replace(services, settings=settings)
    yield tmp_path
    facade.app.state.services = services


def test_rows_that_are_only_measured_are_reported_apart_from_those_that_go_on(
    headrace: Terminal, facade: Facade, files_root: Path
) -> None:
    (files_root / "orders.csv").write_text("id\n1\n2\n")
    rules = {"rowCount": {"min": 1}, "uniqueness": [{"fields": "id"}, {"fields": ["id"], "min": 0.5}]}
    nodes = [
        {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.csv"}},
        {"id": "check", "kind": "validate", "input": "src", "datasetLevel": rules},
        {"id": "tgt", "kind": "target", "input": "check", "schema": "public.ds_orders"},
    ]
    fields = [{"name": "id", "dataType": "bigint"}]
    facade.pipeline(ir=IR | {"nodes": nodes}, schema={"name": "orders", "displayName": "Orders", "fields": fields})
    planned = headrace("plan", "orders").stdout
    assert "src > check > tgt → public.ds_orders (append), dataset rules, later stages" in planned
    assert "check: different id → dataset rules" in planned
    assert "2 rows in 1 partition\n" in planned
