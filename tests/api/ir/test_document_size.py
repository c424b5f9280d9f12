"""A document that is too large is refused with the limit it exceeds, at low cost."""

from __future__ import annotations

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, error_of

pytestmark = pytest.mark.postgres

NODES = [IR["nodes"][0], *({**IR["nodes"][1], "id": f"t{number}"} for number in range(9_999))]


def test_ten_thousand_nodes_are_refused(facade: Facade) -> None:
    path = f"{BASE_PATH}/pipelines/{facade.pipeline()['id']}/ir"
    error = error_of(facade.editor.post(path, json={**IR, "nodes": NODES}), 400)
    assert [(each["path"], each["code"]) for each in error["details"]] == [("nodes", "too_many_nodes")]
    checked = facade.viewer.post(f"{BASE_PATH}/ir/validate", json={**IR, "nodes": NODES}).json()
    assert [each["code"] for each in checked["issues"]] == ["too_many_nodes"]


def test_five_megabytes_are_refused(facade: Facade) -> None:
    large = {**IR, "metadata": {"name": "x", "description": "x" * 5_000_000}}
    error_of(facade.viewer.post(f"{BASE_PATH}/ir/validate", json=large), 413)
    within = {**IR, "metadata": {"name": "x", "description": "x" * 3_000_000}}
    checked = facade.viewer.post(f"{BASE_PATH}/ir/validate", json=within).json()
    assert [each["code"] for each in checked["issues"]] == ["too_large"]
