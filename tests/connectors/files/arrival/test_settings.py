"""Validation of waitPolicy, atomicity and settleSeconds when a document is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.inbox import WaitPolicy
from headrace.connectors.files.arrival.settings import ArrivalRules, arrival_problems
from headrace.connectors.files.local.local_fs import local_files
from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from tests.flows.pipelines import document


@pytest.mark.parametrize(
    ("config", "path", "says"),
    [
        ({"waitPolicy": {"maxRetries": -1}}, "waitPolicy.maxRetries", "greater than or equal to 0"),
        ({"waitPolicy": {"maxRetrys": 1}}, "waitPolicy.maxRetrys", "Unknown setting 'maxRetrys'"),
        ({"waitPolicy": {"intervalMinutes": 0}}, "waitPolicy.intervalMinutes", "greater than 0"),
        ({"waitPolicy": {"onMissAction": "shout"}}, "waitPolicy.onMissAction", "'alert', 'skip' or 'fail'"),
        ({"waitPolicy": 3}, "waitPolicy", "valid dictionary"),
        ({"atomicity": True}, "atomicity", "valid dictionary"),
        ({"atomicity": {"stagingFolder": "/tmp/x"}}, "atomicity.stagingFolder", "not a folder inside"),
        ({"atomicity": {"successFolder": "../done"}}, "atomicity.successFolder", "not a folder inside"),
        ({"atomicity": {"failureFolder": "./"}}, "atomicity.failureFolder", "not a folder inside"),
        ({"atomicity": {"successFolder": "done/{YYY}"}}, "atomicity.successFolder", "'{YYY}' means nothing"),
        ({"atomicity": {"successFolder": "done/{YYYY"}}, "atomicity.successFolder", "'{YYYY' means nothing"),
        ({"atomicity": {"stagingFolder": "{DD}/"}}, "atomicity.stagingFolder", "has no date"),
        ({"atomicity": {"successFolder": "x/", "failureFolder": "x"}}, "atomicity", "are the same"),
        ({"atomicity": {"successFolder": ".processing/done"}}, "atomicity", "lies in the staging folder"),
        ({"settleSeconds": -1}, "settleSeconds", "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_reported_when_it_is_saved_and_when_it_runs(
    config: dict[str, Any], path: str, says: str
) -> None:
    raw = document()
    raw["nodes"][0]["config"] = {"path": "orders/", **config}
    ir = parse_ir(raw).ir
    assert ir is not None
    [problem] = check_types(ir)
    assert problem.path == f"nodes[0].config.{path}"
    assert says in problem.message
    with pytest.raises(SourceError) as caught:
        local_files(raw["nodes"][0]["config"], files_root=Path())
    assert caught.value.code == "bad_option"
    assert f"config.{path}: " in str(caught.value)


def test_the_documented_example_is_taken() -> None:
    config = {
        "waitPolicy": {"maxRetries": 6, "intervalMinutes": 10, "onMissAction": "alert"},
        "atomicity": {"stagingFolder": ".processing/", "successFolder": ".archive/{YYYY-MM-DD}/"},
    }
    rules = ArrivalRules.from_config(config)
    assert rules.wait == WaitPolicy(6, 600, "alert")
    assert rules.atomicity is not None
    assert rules.atomicity.success_folder == ".archive/{YYYY-MM-DD}"
    assert rules.atomicity.failure_folder == ".failed"
    assert rules.settle_seconds == 2


def test_a_source_that_asks_for_nothing_is_left_alone() -> None:
    assert not ArrivalRules.from_config({"path": "x", "waitPolicy": None}).any


def test_run_parameters_are_evaluated_once_they_are_filled_in() -> None:
    given = {"waitPolicy": {"maxRetries": "{{times}}"}, "atomicity": {"successFolder": "done/{{region}}/"}}
    assert arrival_problems(given) == []
    filled = {"waitPolicy": {"maxRetries": "4"}, "atomicity": {"successFolder": "done/north/"}}
    assert ArrivalRules.from_config(filled).wait == WaitPolicy(4, 300, "fail")
