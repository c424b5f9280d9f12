"""Log lines of a run in Prefect: they are also in the catalog, and problems are warnings."""

from __future__ import annotations

import logging

import pytest

from headrace.catalog.runs.records import DatasetRuleOutcome
from headrace.flows.prefect.run_recorder import PrefectRecorder
from tests.api.conftest import Facade, facade, facade_roles, facade_url, running_facade

__all__ = ["facade", "facade_roles", "facade_url", "running_facade"]

pytestmark = pytest.mark.postgres


def test_a_dataset_rule_that_does_not_hold_is_a_warning(facade: Facade, caplog: pytest.LogCaptureFixture) -> None:
    run = facade.editor.post(f"/api/v1/pipelines/{facade.pipeline()['id']}/run", json={}).json()["id"]
    recorder = PrefectRecorder(facade.store, run, run, logger=logging.getLogger("a run"))
    evaluated = [
        DatasetRuleOutcome(
            "check", f"nodes[1].datasetLevel.{name}", "at least 1 row", "0 rows", holds=holds, on_fail="warn"
        )
        for name, holds in (("rowCount[0]", False), ("rowCount[1]", True))
    ]
    with caplog.at_level(logging.INFO, "a run"):
        recorder.evaluated(evaluated)
    reported = [
        (record.levelname, "BROKEN" in record.getMessage()) for record in caplog.records if record.name == "a run"
    ]
    assert reported == [("WARNING", True), ("INFO", False)]
    assert facade.store.snapshot(run).rules == tuple(evaluated)
