"""The stack's own Prefect: open to its owner alone, and even its owner's deployments run nothing but our flow.

Whoever can write to Prefect's API has code run by a worker, so each of these is a way to the machine.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.prefect.orchestrator import Orchestrator, OrchestratorAway
from headrace.deployments.prefect.registered_pipeline import ENTRYPOINT, PARAMETER_SCHEMA
from headrace.deployments.stack.environment import base_environment, prefect_client_environment
from tests.conftest import RunningStack, command_of
from tests.rest import Api, ask, eventually

pytestmark = pytest.mark.stack

STRANGE_NAMES = ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.7", "[2001:db8::1]", "")
STRANGE_ORIGINS = ("http://evil.example", "https://evil.example", "null", "http://127.0.0.1", "http://localhost:1")
SOCKETS = (
    "/events/in",
    "/events/out",
    "/logs/out",
    "/task_runs/subscriptions/scheduled",
    "/work_pools/headrace/workers/connect",
)


@pytest.fixture
def stranger(stack: RunningStack) -> Iterator[httpx.Client]:
    """Somebody on the machine who knows the address and nothing else."""
    with httpx.Client(base_url=stack.prefect_api_url, timeout=30, verify=False) as client:
        yield client


def test_no_route_answers_without_credentials(stack: RunningStack, stranger: httpx.Client) -> None:
    routes = [
        (method.upper(), path)
        for path, methods in stack.prefect.get("/openapi.json").raise_for_status().json()["paths"].items()
        for method in methods
    ]
    assert len(routes) > 100
    open_to_all = {
        (method, path)
        for method, path in routes
        if stranger.request(method, path.replace("{", "").replace("}", "")).status_code != 401
    }
    assert open_to_all == {("GET", "/health"), ("GET", "/ready")}
    assert stranger.get("/openapi.json").status_code == 401


@pytest.mark.parametrize(
    "given",
    ["", "Basic", "Basic !", "Basic " + base64.b64encode(b"headrace:").decode(), "Bearer {secret}", "basic {secret}"],
)
def test_wrong_credentials_are_none(stack: RunningStack, stranger: httpx.Client, given: str) -> None:
    header = given.format(secret=stack.prefect_auth_string)
    assert stranger.get("/admin/version", headers={"Authorization": header}).status_code == 401


def test_a_deployment_that_a_stranger_makes_is_none(stranger: httpx.Client) -> None:
    name = uuid4().hex
    body = {"name": name, "flow_id": str(uuid4()), "work_pool_name": "headrace", "entrypoint": ENTRYPOINT}
    assert stranger.post("/flows/", json={"name": name}).status_code == 401
    assert stranger.post("/deployments/", json=body).status_code == 401


@pytest.mark.parametrize("origin", STRANGE_ORIGINS)
def test_a_page_of_another_origin_is_refused_even_with_credentials(stack: RunningStack, origin: str) -> None:
    sent = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answers = [
        stack.prefect.options("/deployments/", headers=sent),
        stack.prefect.post("/deployments/filter", json={}, headers={"Origin": origin}),
        stack.prefect.get("/admin/version", headers={"Origin": origin}),
        ask("GET", f"{stack.prefect_url}/ui-settings", headers={"Origin": origin}),
    ]
    assert [each.status_code for each in answers] == [403] * 4
    assert not any("access-control-allow-origin" in each.headers for each in answers)


def test_its_own_pages_are_not(stack: RunningStack) -> None:
    port = urlsplit(stack.prefect_url).port
    for name in ("127.0.0.1", "localhost"):
        origin = f"http://{name}:{port}"
        sent = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        assert stack.prefect.options("/deployments/", headers=sent).headers["access-control-allow-origin"] == origin
        answer = stack.prefect.get("/admin/version", headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"})
        assert answer.is_success
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    page = ask("GET", stack.prefect_url, headers=link, follow_redirects=True)
    assert page.is_success, "a link of somebody else's may lead there"
    assert page.headers["x-frame-options"] == "SAMEORIGIN"
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert stack.prefect.get("/admin/version", headers=embedded).status_code == 403


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_name_that_leads_here_by_rebinding_is_refused(stack: RunningStack, name: str) -> None:
    port = urlsplit(stack.prefect_url).port
    for host in {name, f"{name}:{port}"}:
        assert stack.prefect.get("/admin/version", headers={"Host": host}).status_code == 403
        assert ask("GET", stack.prefect_url, headers={"Host": host}).status_code == 403
        # As such a page's request looks: everything of one origin.
        same = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert stack.prefect.post("/deployments/filter", json={}, headers=same).status_code == 403


def _handshake(stack: RunningStack, path: str, token: str | None, *, name: str = "127.0.0.1", **headers: str) -> str:
    """What a websocket comes to: `refused` at once, `closed` before it was let in, or `open`. `name` is whom it asks
    for; it reaches the stack's server all the same."""
    port = urlsplit(stack.prefect_url).port
    protocols: list[Any] = ["prefect"] if token is not None else []
    try:
        with (
            socket.create_connection(("127.0.0.1", port)) as way,
            connect(
                f"ws://{name}:{port}/api{path}", sock=way, subprotocols=protocols, additional_headers=headers
            ) as there,
        ):
            there.send(json.dumps({"type": "auth", "token": token}))
            return "open" if json.loads(there.recv(timeout=30)).get("type") == "auth_success" else "closed"
    except InvalidStatus as refusal:
        return "refused" if refusal.response.status_code == 403 else str(refusal)
    except ConnectionClosed:
        return "closed"


@pytest.mark.parametrize("path", SOCKETS)
def test_websockets_are_no_way_round(stack: RunningStack, path: str) -> None:
    right = stack.prefect_auth_string
    assert _handshake(stack, path, None) != "open"
    assert _handshake(stack, path, "") == "closed"
    assert _handshake(stack, path, "headrace:guess") == "closed"
    assert _handshake(stack, path, right) == "open"
    assert _handshake(stack, path, right, Origin="http://evil.example") == "refused"
    assert _handshake(stack, path, right, name="evil.example") == "refused"


def test_the_server_starts_with_an_auth_string_only() -> None:
    command = [sys.executable, "-P", "-m", "headrace.deployments.stack.prefect_server", "start", "--port", "1"]
    done = subprocess.run(command, env=base_environment(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "PREFECT_SERVER_API_AUTH_STRING" in done.stderr


def test_it_listens_on_this_machine_only(stack: RunningStack) -> None:
    port = urlsplit(stack.prefect_url).port
    listening = {
        each.laddr.ip
        for each in _process(stack, "headrace.deployments.stack.prefect_server").net_connections()
        if each.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    assert port is not None


# What its owner's credentials are worth, when somebody has them: Prefect's own API, and no code.


def _marking(marker: Path) -> str:
    return f"touch {marker}"


def _pull_step(marker: Path, _stack: RunningStack) -> dict[str, Any]:
    step = {"prefect.deployments.steps.run_shell_script": {"script": _marking(marker)}}
    return {"deployment": {"pull_steps": [step]}}


def _file_entrypoint(marker: Path, _stack: RunningStack) -> dict[str, Any]:
    code = marker.with_suffix(".py")
    code.write_text(f"import pathlib\npathlib.Path({str(marker)!r}).touch()\ndef f(): pass\n")
    return {"deployment": {"entrypoint": f"{code}:f"}}


def _storage(marker: Path, stack: RunningStack) -> dict[str, Any]:
    [kind] = stack.prefect.post(
        "/block_types/filter", json={"block_types": {"slug": {"any_": ["local-file-system"]}}}
    ).json()
    wanted = {"block_schemas": {"block_type_id": {"any_": [kind["id"]]}}}
    schema = stack.prefect.post("/block_schemas/filter", json=wanted).json()[0]
    block = {"name": marker.name, "block_type_id": kind["id"], "block_schema_id": schema["id"]}
    made = stack.prefect.post("/block_documents/", json=block | {"data": {"basepath": str(marker.parent)}})
    return {"deployment": {"storage_document_id": made.raise_for_status().json()["id"]}}


def _job(**variables: Any) -> Callable[[Path, RunningStack], dict[str, Any]]:
    return lambda _marker, _stack: {"deployment": {"job_variables": variables}}


def _run_job(**variables: Any) -> Callable[[Path, RunningStack], dict[str, Any]]:
    return lambda _marker, _stack: {"run": {"job_variables": variables}}


def _command(marker: Path, _stack: RunningStack) -> dict[str, Any]:
    return {"deployment": {"job_variables": {"command": _marking(marker)}}}


def _run_command(marker: Path, _stack: RunningStack) -> dict[str, Any]:
    return {"run": {"job_variables": {"command": _marking(marker)}}}


def _parameters(**parameters: Any) -> Callable[[Path, RunningStack], dict[str, Any]]:
    return lambda _marker, _stack: {"run": {"parameters": parameters}}


ATTACKS: dict[str, Callable[[Path, RunningStack], dict[str, Any]]] = {
    "a shell as pull step": _pull_step,
    "a file as entrypoint": _file_entrypoint,
    "another module": lambda _marker, _stack: {"deployment": {"entrypoint": "os.system"}},
    "no entrypoint": lambda _marker, _stack: {"deployment": {"entrypoint": None}},
    "a path": lambda marker, _stack: {"deployment": {"path": str(marker.parent)}},
    "a storage block": _storage,
    "a command": _command,
    "a command of the run": _run_command,
    "LD_PRELOAD": _job(env={"LD_PRELOAD": "/tmp/evil.so"}),
    "PYTHONPATH": _job(env={"PYTHONPATH": "/tmp/evil"}),
    "a variable with dots": _job(**{"env.PYTHONPATH": "/tmp/evil"}),
    "another Prefect": _run_job(env={"PREFECT_API_URL": "http://evil.example/api"}),
    "another database": _run_job(env={"HEADRACE_DATABASE_URL": "postgresql://evil.example/"}),
    "an entrypoint of the run": _run_job(env={"PREFECT__FLOW_ENTRYPOINT": "os.system"}),
    "an image": _job(image="evil/evil"),
    "a working directory": _job(working_dir="/tmp"),
    "a parameter that the flow has not": _parameters(pipeline_id="p", tenant_id="t", evil="x"),
    "a parameter that is a block": _parameters(pipeline_id="p", tenant_id="t", parameters={"a": {"$ref": "x"}}),
    "no pipeline": _parameters(tenant_id="t"),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_deployment_of_another_kind_is_refused(
    stack: RunningStack, tmp_path: Path, attack: Callable[[Path, RunningStack], dict[str, Any]]
) -> None:
    marker = tmp_path / f"marker-{uuid4().hex}"
    asked = attack(marker, stack)
    flow = stack.prefect.post("/flows/", json={"name": marker.name}).json()["id"]
    body = {"name": marker.name, "flow_id": flow, "work_pool_name": "headrace", "entrypoint": ENTRYPOINT}
    body |= {"pull_steps": [], "enforce_parameter_schema": False} | asked.get("deployment", {})
    deployment = stack.prefect.post("/deployments/", json=body).raise_for_status().json()["id"]
    parameters = {"pipeline_id": "pipe_none", "tenant_id": "default"}
    run = stack.prefect.post(
        f"/deployments/{deployment}/create_flow_run", json={"parameters": parameters} | asked.get("run", {})
    )
    state = _ended(stack, run.raise_for_status().json()["id"])
    assert (state["type"], state["name"]) == ("FAILED", "Failed")
    assert "Refused: the pool 'headrace' does not execute this run: " in state["message"]
    assert not marker.exists()
    stack.prefect.delete(f"/deployments/{deployment}")


def test_a_run_without_a_deployment_is_refused(stack: RunningStack, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    flow = stack.prefect.post("/flows/", json={"name": uuid4().hex}).json()["id"]
    body = {"flow_id": flow, "work_pool_name": "headrace", "state": {"type": "SCHEDULED"}}
    made = stack.prefect.post("/flow_runs/", json=body | {"job_variables": {"command": _marking(marker)}})
    state = _ended(stack, made.raise_for_status().json()["id"])
    assert (state["type"], state["name"]) == ("FAILED", "Failed")
    assert not marker.exists()


def test_the_log_says_why_and_the_next_run_of_a_pipeline_goes_well(stack: RunningStack) -> None:
    api = Api(stack).create()
    own = stack.prefect.get(f"/deployments/{api.deployment()}").json()
    kept = ("flow_id", "entrypoint", "parameters", "parameter_openapi_schema", "work_pool_name")
    beside = {name: own[name] for name in kept} | {"name": "beside", "job_variables": {"env": {"A": "secret value"}}}
    deployment = stack.prefect.post("/deployments/", json=beside).raise_for_status().json()["id"]
    run = stack.prefect.post(f"/deployments/{deployment}/create_flow_run", json={}).json()["id"]
    message = _ended(stack, run)["message"]
    assert "sets job variables (env); set the worker's environment instead" in message

    def logged() -> bool | None:
        wanted = {"logs": {"flow_run_id": {"any_": [run]}}}
        lines = [line["message"] for line in stack.prefect.post("/logs/filter", json=wanted).json()]
        assert not [line for line in lines if "secret value" in line]
        return message in lines or None

    assert eventually(logged)
    stack.prefect.delete(f"/deployments/{deployment}")
    assert api.run()["status"] == "completed_with_errors"
    api.close()


def test_what_the_pool_is_made_to_say_changes_no_run(stack: RunningStack, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pool = stack.prefect.get("/work_pools/headrace").json()["base_job_template"]
    evil = json.loads(json.dumps(pool))
    evil["job_configuration"]["command"] = _marking(marker)
    api = Api(stack).create()
    try:
        assert stack.prefect.patch("/work_pools/headrace", json={"base_job_template": evil}).is_success
        # The worker hears of it with a heartbeat, so the first runs may still be good ones.
        statuses = set()

        def refused() -> bool | None:
            run = stack.prefect.post(f"/deployments/{api.deployment()}/create_flow_run", json={}).json()["id"]
            statuses.add((state := _ended(stack, run))["name"])
            return "its work pool sets 'command'" in (state["message"] or "") or None

        assert eventually(refused)
        assert statuses <= {"Failed", "Completed"}
        assert not marker.exists()
    finally:
        stack.prefect.patch("/work_pools/headrace", json={"base_job_template": pool})
        eventually(lambda: api.run()["status"] == "completed_with_errors" or None)
        api.close()


def _ended(stack: RunningStack, run: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        state: dict[str, Any] = stack.prefect.get(f"/flow_runs/{run}").json()["state"]
        return state if state["type"] not in ("SCHEDULED", "PENDING", "RUNNING") else None

    return eventually(ended)


# A client without them gets an error.


def test_ours_without_credentials_say_what_to_set(stack: RunningStack, tmp_path: Path) -> None:
    api = PrefectApi(stack.prefect_api_url)
    orchestrator = Orchestrator(api)
    with pytest.raises(OrchestratorAway, match="Set PREFECT_API_AUTH_STRING to what the server has"):
        orchestrator.registered()
    with pytest.raises(OrchestratorAway, match="Set PREFECT_API_AUTH_STRING"):
        orchestrator.emit({"event": "e", "resource": {"prefect.resource.id": "r"}})
    assert not orchestrator.healthy()
    assert Orchestrator(stack.prefect_api).healthy()
    environment = base_environment() | prefect_client_environment(tmp_path, api)
    command = [sys.executable, "-P", "-m", "headrace.deployments.worker", "--pool", "headrace"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 1
    assert "Set PREFECT_API_AUTH_STRING to what the server has" in done.stderr
    assert "Traceback" not in done.stderr


# A link that signs in.


def _headrace(*arguments: str) -> subprocess.CompletedProcess[str]:
    screenless = {name: value for name, value in base_environment().items() if "DISPLAY" not in name}
    return subprocess.run(
        [sys.executable, "-P", "-m", "headrace.deployments.cli.app", *arguments],
        env=screenless,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_link_signs_in_once_and_holds_no_secret(stack: RunningStack) -> None:
    reported = _headrace("open", "prefect", "/runs", "--data-dir", str(stack.data_dir))
    assert reported.returncode == 0, reported.stderr
    link = urlsplit(reported.stdout.strip())
    token, _, page = link.fragment.partition("/")
    assert page == "runs"
    assert not {stack.prefect_auth_string, stack.prefect_auth_string.partition(":")[2]} & {reported.stdout, token}
    address = f"{link.scheme}://{link.netloc}{link.path}"
    html = ask("GET", address)
    assert html.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in html.headers["content-security-policy"]
    assert stack.prefect_auth_string not in html.text
    for wrong in ({"token": "x"}, {"token": None}, {"token": ["x"]}, [], {}):
        assert ask("POST", address, json=wrong).status_code == 403
    assert ask("POST", address, content=b"x" * 100_000).status_code == 403
    foreign = {"Origin": "http://evil.example"}
    assert ask("POST", address, json={"token": token}, headers=foreign).status_code == 403
    kept = ask("POST", address, json={"token": token}).raise_for_status().json()["password"]
    assert base64.b64decode(kept).decode() == stack.prefect_auth_string
    assert ask("POST", address, json={"token": token}).status_code == 403
    assert ask("POST", f"{address}-links").status_code == 401, "nobody makes links but who has the auth string"


def test_a_page_of_another_server_is_no_page(stack: RunningStack) -> None:
    for page in ("//evil.example/", "https://evil.example/"):
        reported = _headrace("open", "prefect", page, "--data-dir", str(stack.data_dir))
        assert (reported.returncode, reported.stdout) == (1, "")


# Other users of the machine.


def _process(stack: RunningStack, what: str) -> psutil.Process:
    [found] = [each for each in psutil.Process(stack.pid).children() if what in " ".join(command_of(each))]
    return found


def test_no_secret_is_where_others_can_read_it(stack: RunningStack) -> None:
    kept = json.loads((stack.data_dir / "secrets.json").read_text())
    secrets = {stack.prefect_auth_string.partition(":")[2], stack.api_key, kept["keyPepper"], *kept["encryptionKeys"]}
    secrets.add(base64.b64encode(stack.prefect_auth_string.encode()).decode())
    Api(stack).create().run()
    for name in ("secrets.json", "stack.json"):
        assert stat.S_IMODE((stack.data_dir / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((stack.data_dir / "prefect").stat().st_mode) == 0o700
    supervisor = psutil.Process(stack.pid)
    for process in [supervisor, *supervisor.children(recursive=True)]:
        assert not [secret for secret in secrets if secret in " ".join(command_of(process))]
    for log in (stack.data_dir / "logs").iterdir():
        text = log.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], log.name


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux shows a process's environment")
def test_each_part_is_reported_what_it_needs(stack: RunningStack) -> None:
    def environment(what: str) -> dict[str, str]:
        with suppress(psutil.Error):
            return _process(stack, what).environ()
        raise AssertionError(f"{what} does not run")

    kept = json.loads((stack.data_dir / "secrets.json").read_text())
    assert not [
        name for name in environment("headrace.deployments.stack.prefect_server") if name.startswith("HEADRACE")
    ]
    for what in (
        "headrace.deployments.stack.prefect_server",
        "headrace.deployments.worker",
        "headrace.api.server",
    ):
        values = environment(what).values()
        assert stack.api_key not in values, "the admin's key is for people"
        if what != "headrace.api.server":
            assert kept["keyPepper"] not in values, "the API alone checks keys"


def test_the_schema_that_runs_are_held_to_is_the_flows() -> None:
    # Imported here: it takes seconds.
    from headrace.flows.run import run_pipeline

    assert set(PARAMETER_SCHEMA["properties"]) == set(run_pipeline.parameters.properties)
    assert set(PARAMETER_SCHEMA["required"]) == set(run_pipeline.parameters.required or [])
    assert os.environ.get("PREFECT_API_AUTH_STRING") is None, "these tests are nobody's clients by accident"
