"""What a run shows in Prefect: name, log lines, artifacts and events, for every way to start it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.deployments.stack.environment import base_environment
from tests.conftest import RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack

Make = Callable[..., Api]
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"


@pytest.fixture
def make(stack: RunningStack) -> Iterator[Make]:
    """Pipelines on the running stack."""
    made: list[Api] = []

    def build(*args: Any, **kwargs: Any) -> Api:
        made.append(Api(stack, *args, **kwargs))
        return made[-1].create()

    yield build
    for api in made:
        api.close()


def prefect(api: Api, path: str, **body: Any) -> Any:
    return api.stack.prefect.post(path, json=body, timeout=30).json()


def flow_run(api: Api, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.stack.prefect.get(f"/flow_runs/{run_id.removeprefix('run_')}", timeout=30).json()
    return found


def ended(api: Api, run_id: str) -> dict[str, Any]:
    """The flow run once Prefect knows its end, which is a moment after the run's own word."""
    return eventually(lambda: run if (run := flow_run(api, run_id))["end_time"] else None)


def artifacts(api: Api, run_id: str) -> dict[str, dict[str, Any]]:
    """The run's artifacts by the end of their keys."""
    found = prefect(api, "/artifacts/filter", artifacts={"flow_run_id": {"any_": [run_id.removeprefix("run_")]}})
    return {each["key"].rpartition("-")[2]: each for each in found}


def lines(api: Api, run_id: str) -> list[tuple[int, str]]:
    wanted = {"flow_run_id": {"any_": [run_id.removeprefix("run_")]}}
    found = prefect(api, "/logs/filter", logs=wanted, sort="TIMESTAMP_ASC")
    return [(line["level"], line["message"]) for line in found]


def events(api: Api, last: str) -> dict[str, dict[str, Any]]:
    """The pipeline's events by name, as soon as `last` is among them."""

    def found() -> dict[str, dict[str, Any]] | None:
        wanted = {"any_resource": {"id": [f"headrace.pipeline.{api.pipeline}"]}}
        page = prefect(api, "/events/filter", filter=wanted, limit=50)
        named = {each["event"]: each for each in page["events"]}
        return named if last in named else None

    return eventually(found)


def cli(api: Api, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Prefect's own command line, as its users have it."""
    environment = base_environment() | api.stack.prefect_api.environment | {"COLUMNS": "300"}
    environment["PREFECT_HOME"] = str(api.stack.data_dir / "cli")
    command = [sys.executable, "-m", "prefect", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def deployment_name(api: Api) -> str:
    return f"default: {api.name}/{api.name}"


def test_a_run_with_errors_is_reported_by_name_lines_artifacts_and_events(make: Make) -> None:
    api = make("amount,note\n" + "".join(f"{'x' if row % 3 == 0 else row},n\n" for row in range(1, 601)))
    run_id = api.start()
    assert api.finished(run_id)["status"] == "completed_with_errors"
    run = ended(api, run_id)

    assert re.fullmatch(f"{api.name} {MOMENT}", run["name"])

    shown = artifacts(api, run_id)
    report = shown["report"]["data"]
    assert f"## {api.name.replace('_', chr(92) + '_')}: completed with errors" in report
    console = api.stack.api_url.removesuffix("/api/v1")
    assert f"]({console}/runs/{run_id})" in report
    assert "| src | 600 | 400 | 200 | 0 | 0 |" in report
    assert f"{api.stack.api_url}/pipelines/{api.pipeline}/runs/{run_id}/retry" in report
    table = json.loads(shown["errors"]["data"])
    assert len(table) == 100
    assert table[0] == {"row": 3, "column": "amount", "value": "x", "error": "Expected integer", "node": "src"}
    assert shown["progress"]["data"] == 100.0

    def reported() -> list[tuple[int, str]] | None:
        found = lines(api, run_id)
        return found if any("Finished in state Completed" in text for _, text in found) else None

    log = eventually(reported)
    assert (20, f"{api.name} ({api.pipeline}), IR version 1") in log
    assert (20, "append: 600 rows in 1 partition, up to 4 at a time") in log
    assert next(text for level, text in log if level == 30) == "src: row 3, column amount: Expected integer"
    assert any(level == 30 and text.startswith("200 rows failed; every one of them") for level, text in log)
    assert any(re.fullmatch(r"completed with errors: 600 rows in [\d.]+ s, [\d,]+ rows/s", text) for _, text in log)

    heard = events(api, "headrace.run.completed_with_errors")
    assert set(heard) == {"headrace.run.started", "headrace.partition.completed", "headrace.run.completed_with_errors"}
    end = heard["headrace.run.completed_with_errors"]
    counts = {"rowsIn": 600, "rowsOut": 400, "failedRows": 200, "skippedRows": 0, "runId": run_id}
    assert end["payload"] | counts == end["payload"]
    assert end["follows"] == heard["headrace.run.started"]["id"]
    related = {each["prefect.resource.id"] for each in heard["headrace.partition.completed"]["related"]}
    assert {
        "headrace.tenant.default",
        f"prefect.flow-run.{run['id']}",
        f"prefect.deployment.{api.deployment()}",
    } <= related

    again = api.make(f"/pipelines/{api.pipeline}/runs/{run_id}/retry", {})["id"]
    assert re.fullmatch(f"{api.name} {MOMENT}, retry of {MOMENT}", flow_run(api, again)["name"])
    api.finished(again)


def test_a_run_that_fails_says_why_what_is_kept_and_how_to_go_on(make: Make) -> None:
    api = make(None)
    run_id = api.start()
    assert api.finished(run_id)["status"] == "failed"
    run = ended(api, run_id)
    reason = run["state"]["message"]
    report = artifacts(api, run_id)["report"]["data"]
    assert "does not exist" in report
    assert "No row was committed: a retry starts from the beginning." in report
    assert f'curl -X POST -H "X-API-Key: $HEADRACE_API_KEY" {api.stack.api_url}/pipelines/{api.pipeline}' in report
    heard = events(api, "headrace.run.missed_file")
    assert heard["headrace.run.failed"]["payload"]["failureReason"] == reason
    assert eventually(lambda: (40, reason) in lines(api, run_id) or None)


def test_partitions_that_stop_because_another_failed_are_no_crashes(make: Make) -> None:
    # The first row of the file ends its partition; the other one is amid its rows then.
    api = make(
        "amount,note\n1,x\n" + "".join(f"{row},{1:040}\n" for row in range(250_000)),
        nodes=[
            {
                "id": "clean",
                "kind": "transform",
                "ops": [{"type": "cast", "field": "note", "to": "integer", "onError": "abort"}],
            }
        ],
        execution={"parallelism": 2, "batchSize": 2000},
    )
    run_id = api.start()
    assert api.finished(run_id)["status"] == "failed"
    ended(api, run_id)

    def states() -> list[str]:
        wanted = {"id": {"any_": [run_id.removeprefix("run_")]}}
        return sorted(each["state"]["name"] for each in prefect(api, "/task_runs/filter", flow_runs=wanted))

    # Prefect learns of tasks and their states from events, one after the other.
    assert eventually(lambda: states() == ["Cancelled", "Failed"] or None)

    def reported() -> list[str] | None:
        found = [text for _, text in lines(api, run_id)]
        return found if any("another part of the run failed" in text for text in found) else None

    assert not [text for text in eventually(reported) if "rash" in text]


def test_progress_is_reported_while_the_run_goes_and_a_cancelled_run_reports_where_it_stopped(make: Make) -> None:
    rows = 1_000_000
    api = make(
        "amount,note\n" + "".join(f"{row},some note\n" for row in range(rows)),
        execution={"parallelism": 1, "batchSize": 500},  # small ones: it must not end before it is cancelled
    )
    run_id = api.start()

    def halfway() -> float | None:
        shown = artifacts(api, run_id).get("progress")
        return shown["data"] if shown is not None and 0 < shown["data"] < 100 else None

    eventually(halfway)
    assert api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/cancel").status_code == 202
    assert api.finished(run_id)["status"] == "failed"
    heard = events(api, "headrace.run.cancelled")
    assert 0 < heard["headrace.run.cancelled"]["payload"]["rowsOut"] < rows
    shown = artifacts(api, run_id)  # who hears the event finds the report
    assert shown["report"]["data"].splitlines()[0].endswith(": cancelled")
    assert "retry continues after them" in shown["report"]["data"]
    assert ": cancelled, " in shown["progress"]["description"]
    assert eventually(lambda: run if (run := flow_run(api, run_id))["state"]["type"] == "CANCELLED" else None)


@pytest.mark.slow
def test_a_run_from_prefects_command_line_is_one_like_any_other(make: Make) -> None:
    api = make()
    assert cli(api, "deployment", "run", deployment_name(api), "--watch").returncode == 0
    [item] = api.runs()
    assert item["status"] == "completed_with_errors"
    assert flow_run(api, item["id"])["name"].startswith(f"{api.name} 20")
    assert api.detail(item["id"])["statistics"]["failedRows"] == 1
    again = api.make(f"/pipelines/{api.pipeline}/runs/{item['id']}/retry", {})
    assert again["metadata"]["retryOf"] == item["id"]
    api.finished(again["id"])
    assert len(api.rows()) == 2


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("ir_version", "x"), ("pipeline_id", "pipe_another"), ("tenant_id", "another"), ("parameters", {"day": [1]})],
)
def test_parameters_that_cannot_be_are_refused_when_the_run_is_asked_for(
    make: Make, parameter: str, value: Any
) -> None:
    api = make()
    url = f"/deployments/{api.deployment()}/create_flow_run"
    refused = api.stack.prefect.post(url, json={"parameters": {parameter: value}}, timeout=30)
    assert refused.status_code == 409
    assert f"'{parameter}" in refused.text
    assert api.runs() == []


def test_parameters_that_turn_out_wrong_fail_the_run_with_a_sentence(make: Make) -> None:
    api = make()
    url = f"/deployments/{api.deployment()}/create_flow_run"
    asked = {"ir_version": 7, "pipeline_id": api.pipeline, "tenant_id": "default"}
    run_id = "run_" + api.stack.prefect.post(url, json={"parameters": asked}, timeout=30).json()["id"].replace("-", "")
    assert api.finished(run_id)["status"] == "failed"
    assert api.detail(run_id)["failureReason"] == f"The pipeline '{api.name}' has no IR version 7"


def test_two_runs_of_one_pipeline_never_overlap(make: Make) -> None:
    api = make("amount,note\n" + "".join(f"{row},some note\n" for row in range(400_000)))
    first, second = api.start(), api.start()
    for run_id in (first, second):
        assert api.finished(run_id)["status"] == "completed"
    times = sorted((ended(api, run_id)["start_time"], ended(api, run_id)["end_time"]) for run_id in (first, second))
    assert times[0][1] <= times[1][0]
