"""Concurrent requests to retry a run start one retry."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from httpx import Response

from headrace.api.app import BASE_PATH
from tests.api.conftest import Facade, created, error_of

pytestmark = pytest.mark.postgres


def test_of_many_retries_at_once_one_is_started(facade: Facade) -> None:
    pipeline = facade.pipeline()["id"]
    path = f"{BASE_PATH}/pipelines/{pipeline}"
    run_id = created(facade.editor, f"{path}/run", {})["id"]
    facade.store.started(run_id, total_rows=2, fingerprint={}, plan={}, partitions=[(0, 0, 2)])
    facade.store.finished(run_id, status="failed", failure_reason="the disk is full")
    asked = len(facade.orchestrator.states)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: facade.editor.post(f"{path}/runs/{run_id}/retry"), range(8)))
    assert Counter(each.status_code for each in answers) == {201: 1, 422: 7}, [each.text for each in answers]
    assert len(facade.orchestrator.states) == asked + 1
    assert facade.editor.post(f"{path}/runs/{run_id}/retry").status_code == 422


@pytest.fixture
def replayable(facade: Facade) -> str:
    """The path of a pipeline whose newest run, a retry that never planned, completed with errors."""
    path = f"{BASE_PATH}/pipelines/{facade.pipeline()['id']}"
    run_id = created(facade.editor, f"{path}/run", {})["id"]
    facade.store.started(run_id, total_rows=2, fingerprint={}, plan={}, partitions=[(0, 0, 2)])
    facade.store.finished(run_id, status="failed", failure_reason="the disk is full")
    again = created(facade.editor, f"{path}/runs/{run_id}/retry", {})["id"]
    facade.store.finished(again, status="completed_with_errors", failure_reason=None)
    return path


def test_a_replay_with_the_same_key_gives_the_same_run(facade: Facade, replayable: str) -> None:
    asked = len(facade.orchestrator.states)

    def replay(key: str) -> Response:
        headers = {"Idempotency-Key": key}
        return facade.editor.post(f"{replayable}/run", json={"replayDlqOnly": True}, headers=headers)

    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(replay, ["monday"] * 8))
    assert Counter(each.status_code for each in answers) == {201: 1, 200: 7}, [each.text for each in answers]
    assert len({each.json()["id"] for each in answers}) == 1
    assert len(facade.orchestrator.states) == asked + 1
    error_of(replay("tuesday"), 422)
    facade.store.finished(answers[0].json()["id"], status="completed_with_errors", failure_reason=None)
    assert (replay("monday").status_code, replay("wednesday").status_code) == (200, 201)


@pytest.mark.parametrize("given", [{"irVersion": 1}, {"parameters": {"day": "2024-01-01"}}])
def test_a_replay_refuses_what_it_would_ignore(facade: Facade, replayable: str, given: dict[str, Any]) -> None:
    asked = len(facade.orchestrator.states)
    error = error_of(facade.editor.post(f"{replayable}/run", json={"replayDlqOnly": True} | given), 400)
    assert "takes neither 'irVersion' nor 'parameters'" in error["details"][0]["message"]
    assert len(facade.orchestrator.states) == asked
    assert facade.editor.post(f"{replayable}/run", json={"replayDlqOnly": True, "parameters": {}}).status_code == 201
