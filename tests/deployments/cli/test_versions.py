"""The commands of versions (list, compare, publish) and of schedules (pause, resume)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade
from tests.deployments.cli.conftest import Terminal

pytestmark = pytest.mark.postgres


def test_versions_are_listed_compared_and_rolled_back(headrace: Terminal, facade: Facade) -> None:
    made = facade.pipeline("orders")
    assert "There is only one version" in headrace.fails("diff", "orders")
    later = IR | {"metadata": {"name": "orders", "owner": "shop"}}
    path = f"{BASE_PATH}/pipelines/{made['id']}/ir"
    assert facade.editor.post(path, json={"ir": later, "comment": "owned"}).status_code == 201
    listed = json.loads(headrace("versions", "orders", "--json").stdout)
    assert [(each["version"], each["live"]) for each in listed] == [(2, True), (1, False)]
    assert "owned" in headrace("versions", "orders").stdout
    assert "owner" in headrace("diff", "orders").stdout
    assert "nothing changed" in headrace("diff", "orders", "2", "2").stdout
    assert json.loads(headrace("diff", "orders", "1", "2", "--json").stdout)["to"] == 2
    assert headrace("publish", "orders", "1").stdout == "version 1 is live\n"
    listed = json.loads(headrace("versions", "orders", "--json").stdout)
    assert [(each["version"], each["live"]) for each in listed] == [(2, False), (1, True)]
    assert "There is no such IR version" in headrace.fails("publish", "orders", "7")


def test_a_schedule_is_paused_and_resumed(headrace: Terminal, facade: Facade) -> None:
    made = facade.pipeline("orders", schedule="0 2 * * *")
    assert headrace("pause", "orders").stdout == "orders is paused\n"
    assert facade.viewer.get(f"{BASE_PATH}/pipelines/{made['id']}").json()["status"] == "paused"
    assert headrace("resume", "orders").stdout == "orders is draft\n"  # it has not completed a run yet


def test_the_counts_of_a_run_are_shown(headrace: Terminal, facade: Facade) -> None:
    facade.pipeline("orders")
    run_id = headrace("run", "orders").stdout.strip()
    facade.store.started(run_id, total_rows=2_000, fingerprint={}, plan={}, partitions=[(0, 0, 2_000)])
    facade.store.counts.report(
        run_id, 0, 0, status="completed", rows_in=2_000, rows_out=1_990, failed=7, skipped=3, nodes={}
    )
    facade.store.finished(run_id, status="completed_with_errors", failure_reason=None)
    [row] = [line for line in headrace("runs", "orders").stdout.splitlines() if run_id in line]
    assert row.split()[-4:] == ["2,000", "1,990", "7", "3"]


def test_connectors_are_listed_and_tried(headrace: Terminal, facade: Facade) -> None:
    facade.pipeline("orders")
    [listed] = json.loads(headrace("connectors", "list", "--json").stdout)
    assert listed["name"] == "files of orders"
    assert "files of orders" in headrace("connectors", "list").stdout
    assert "There is no connector 'filez'" in headrace.fails("connectors", "test", "filez")


def test_what_a_connector_can_be_read_for_is_shown(headrace: Terminal, facade: Facade, tmp_path: Path) -> None:
    services = facade.app.state.services
    changed = services.settings.model_copy(update={"files_root": tmp_path})
    facade.app.state.services = replace(services, settings=changed)
    (tmp_path / "orders.csv").write_text("id,amount\n1,2.5\n")
    facade.pipeline("orders")
    try:
        [found] = json.loads(headrace("connectors", "discover", "files of orders", "--json").stdout)
        assert (found["name"], found["size"]) == ("orders.csv", 16)
        assert "orders.csv" in headrace("connectors", "discover", "files of orders", "--filter", "ord").stdout
        shown = headrace("connectors", "discover", "files of orders", "--columns", "orders.csv").stdout
        assert "orders.csv: file, 1 rows" in shown
        assert shown.splitlines()[-1].split() == ["amount", "double"]
    finally:
        facade.app.state.services = services
