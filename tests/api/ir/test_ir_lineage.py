"""The lineage of the columns of a saved IR over REST."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, created, error_of

pytestmark = pytest.mark.postgres


@pytest.fixture
def path(facade: Facade) -> str:
    return f"{BASE_PATH}/pipelines/{facade.pipeline()['id']}/ir"


def typed() -> dict[str, Any]:
    """The IR with declared fields and an op that makes `amount` of one of them."""
    ir = copy.deepcopy(IR)
    ir["nodes"][0]["fields"] = [{"name": "amt", "dataType": "integer"}, {"name": "paid", "dataType": "boolean"}]
    ops = [
        {"type": "filter", "expression": "paid"},
        {"type": "expression", "field": "amount", "expression": "amt * 100"},
    ]
    ir["nodes"].insert(1, {"id": "clean", "kind": "transform", "input": "src", "ops": ops})
    ir["nodes"][-1]["input"] = "clean"
    return ir


def test_each_column_is_reported_with_its_inputs_and_steps(facade: Facade, path: str) -> None:
    created(facade.editor, path, {"ir": typed()})
    found = facade.viewer.get(f"{path}/lineage").json()
    assert found == {
        "version": 2,
        "targets": [
            {
                "node": "tgt",
                "table": "public.ds_orders",
                "fields": [
                    {
                        "name": "amount",
                        "inputFields": [
                            {
                                "node": "src",
                                "table": None,
                                "field": "amt",
                                "transformations": [{"type": "DIRECT", "subtype": "TRANSFORMATION", "masking": False}],
                            }
                        ],
                        "steps": [{"node": "clean", "path": "nodes[1].ops[1]", "label": "amount = amt * 100"}],
                    }
                ],
                "dataset": [
                    {
                        "node": "src",
                        "table": None,
                        "field": "paid",
                        "transformations": [{"type": "INDIRECT", "subtype": "FILTER", "masking": False}],
                        "steps": [{"node": "clean", "path": "nodes[1].ops[0]", "label": "filter paid"}],
                    }
                ],
            }
        ],
        "unknown": [],
    }


def test_what_only_a_run_can_know_is_named_and_older_versions_can_be_asked_for(facade: Facade, path: str) -> None:
    created(facade.editor, path, {"ir": typed()})
    found = facade.viewer.get(f"{path}/lineage?version=1").json()
    assert (found["version"], found["targets"]) == (1, [])
    assert [each["node"] for each in found["unknown"]] == ["src", "tgt"]
    error_of(facade.viewer.get(f"{path}/lineage?version=9"), 404)
