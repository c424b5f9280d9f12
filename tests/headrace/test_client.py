"""The API from Python, and pipelines inside other people's flows, on a running stack."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import temporary_settings

from headrace import ApiRefused, Client, HeadraceError, RowError, RowSource
from headrace.prefect import HeadraceServer, PipelineFailed, run_pipeline
from tests.conftest import RunningStack
from tests.rest import Api

pytestmark = pytest.mark.stack


@pytest.fixture
def api(stack: RunningStack) -> Iterator[Api]:
    api = Api(stack).create()
    yield api
    api.close()


@pytest.fixture
def client(stack: RunningStack) -> Iterator[Client]:
    with Client(stack.api_url.removesuffix("/api/v1"), stack.api_key) as client:
        yield client


def test_a_run_is_started_waited_for_and_read(client: Client, api: Api) -> None:
    started = client.run(api.name, idempotency_key="the first")
    assert client.run(api.pipeline, idempotency_key="the first").id == started.id
    result = client.wait(started, timeout_s=120)
    assert (result.status, result.rows_in, result.rows_out, result.failed) == ("completed_with_errors", 3, 2, 1)
    [error] = client.errors(result)
    sources = (RowSource("src", api.file.name, 3),)
    assert error == RowError(3, "amount", "x", "Expected integer", error.node, error.rule, "failed", 0, sources)
    assert [*client.errors(result, node=error.node, file=api.file.name)] == [error]
    assert [*client.errors(result, kind="warned")] == [*client.errors(result, file="others.csv")] == []
    [total] = client.error_totals(result)
    assert (total.node, total.rule, total.column, total.file) == (error.node, error.rule, "amount", api.file.name)
    assert (total.cells, total.rows) == (1, 1)
    assert api.get(result.url).json()["id"] == result.id
    api.file.write_text("amount,note\n1,a\n2,b\n3,c\n")
    with pytest.raises(ApiRefused) as refused:
        client.retry(client.run(api.name))
    assert refused.value.status == 422


def test_what_is_not_there_is_said(client: Client, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HeadraceError, match=f"did you mean '{api.name}'"):
        client.run(api.name + "x")
    with pytest.raises(ApiRefused) as refused:
        Client(client.url, "hr_no_key_of_this_api").pipelines()
    assert refused.value.status == 401
    monkeypatch.delenv("HEADRACE_URL", raising=False)
    with pytest.raises(HeadraceError, match="HEADRACE_URL"):
        Client()


def test_a_pipeline_runs_inside_somebody_elses_flow(stack: RunningStack, api: Api) -> None:
    server = HeadraceServer(url=stack.api_url, api_key=stack.api_key)

    @flow
    def nightly() -> tuple[int, int]:
        found = run_pipeline(api.name, server=server)
        return found.rows_out, found.failed

    @flow
    def strict() -> None:
        run_pipeline(api.name, server=server, fail_on="errors")

    with temporary_settings(stack.prefect_settings):
        assert nightly() == (2, 1)
        with pytest.raises(PipelineFailed, match="2 rows loaded, 1 failed") as failed:
            strict()
    assert failed.value.result.failed == 1


def test_the_block_can_be_registered(stack: RunningStack) -> None:
    with temporary_settings(stack.prefect_settings):
        command = [sys.executable, "-m", "prefect", "block", "register", "-m", "headrace.prefect"]
        subprocess.run(command, env=_environment(stack), check=True, capture_output=True, timeout=120)
        with get_client(sync_client=True) as prefect:
            assert prefect.read_block_type_by_slug("headrace-server").name == "Headrace Server"


def _environment(stack: RunningStack) -> dict[str, str]:
    reported = {setting.name: str(value) for setting, value in stack.prefect_settings.items()}
    return {**os.environ, **reported}
