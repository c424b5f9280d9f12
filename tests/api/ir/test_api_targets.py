"""Pipelines whose target is an API, over REST: saved, refused, planned."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, created, error_of

pytestmark = pytest.mark.postgres

SOURCE = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.csv"}}


def document(**target: Any) -> dict[str, Any]:
    config = {"path": "/in", "record": {"amount": {"$field": "amount", "type": "decimal"}}}
    sending = {
        "id": "out",
        "kind": "target",
        "input": "src",
        "connector": "http",
        "connection": "CRM",
        "config": config,
    }
    return IR | {"nodes": [SOURCE, {**sending, **target}]}


def test_it_is_saved_and_its_problems_are_listed(facade: Facade) -> None:
    body = {"name": "CRM", "type": "rest_api", "config": {"url": "https://api.example"}, "authConfig": {"token": "t"}}
    created(facade.editor, f"{BASE_PATH}/connectors", body)
    created(facade.editor, f"{BASE_PATH}/connectors", {"name": "a folder", "type": "local_fs", "config": {}})
    path = f"{BASE_PATH}/pipelines/{facade.pipeline(ir=document())['id']}"
    assert facade.viewer.get(f"{path}/ir").json()["ir"]["nodes"][1]["connector"] == "http"

    def refused(**target: Any) -> list[tuple[str, str]]:
        answer = facade.editor.post(f"{path}/ir", json={"ir": document(**target)})
        return [(each["path"], each["code"]) for each in error_of(answer, 400)["details"]]

    assert refused(connection="a folder") == [("nodes[1].connection", "wrong_connection")]
    assert refused(connection="nobody") == [("nodes[1].connection", "unknown_connection")]
    assert refused(connector="braze")[-1] == ("nodes[1].connection", "wrong_connection")
    assert refused(loadMode="replace", config={"record": {}}) == [
        ("nodes[1].config.record", "missing_field"),
        ("nodes[1].loadMode", "bad_option"),
    ]
