"""Limits of requests: nesting, time-outs, cross-origin access, security headers, logs."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
import structlog
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from headrace.api.app import BASE_PATH, create_app
from headrace.api.monitoring.logs import configure_logs
from headrace.catalog.engine import make_engine
from tests.api.conftest import Facade, LocalOrchestrator, error_of, settings_for

pytestmark = pytest.mark.postgres

CONNECTORS = f"{BASE_PATH}/connectors"


def nested(levels: int) -> dict[str, Any]:
    value: Any = "x"  # itself a level, and there are three around the config
    for _ in range(levels - 4):
        value = {"a": value}
    return {"name": "deep", "nodes": [{"id": "n1", "nodeType": "source", "config": value}]}


def test_a_body_may_be_nested_to_the_limit_and_no_deeper(facade: Facade) -> None:
    limit = facade.app.state.services.settings.max_body_depth
    like = facade.pipeline()
    references = {key: like[key] for key in ("connectorId", "schemaId")}
    pipelines = f"{BASE_PATH}/pipelines"
    assert facade.editor.post(pipelines, json=nested(limit) | references).status_code == 201
    error = error_of(facade.editor.post(pipelines, json=nested(limit + 1) | references), 400)
    assert [detail["code"] for detail in error["details"]] == ["too_deep"]
    error_of(facade.editor.post(pipelines, json=nested(900)), 400)


def test_a_body_that_does_not_arrive_is_408(facade: Facade) -> None:
    settings = facade.app.state.services.settings.model_copy(update={"body_timeout_s": 0.05})
    app = create_app(settings, orchestrator=LocalOrchestrator(), engine=facade.engine)
    sent: list[Any] = []

    async def ask() -> None:
        pieces = iter([{"type": "http.request", "body": b"{", "more_body": True}])

        async def receive() -> Any:
            piece = next(pieces, None)
            return await asyncio.Event().wait() if piece is None else piece

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
        headers.append((b"x-api-key", facade.editor.headers["X-API-Key"].encode()))
        scope = {"type": "http", "method": "POST", "path": CONNECTORS, "raw_path": CONNECTORS.encode()}
        scope |= {"headers": headers, "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1"}
        await app(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["code"] == "request_timeout"


def test_a_query_that_takes_too_long_is_given_up(facade_url: str) -> None:
    engine = make_engine(facade_url, query_timeout_s=0.05)
    try:
        with pytest.raises(DBAPIError, match="statement timeout"), engine.connect() as connection:
            connection.execute(text("SELECT pg_sleep(5)"))
    finally:
        engine.dispose()


def test_a_database_that_is_too_slow_is_503(facade: Facade, facade_url: str) -> None:
    engine = make_engine(facade_url, query_timeout_s=0.2)
    app = create_app(settings_for(facade_url), orchestrator=LocalOrchestrator(), engine=engine)
    client = TestClient(app, headers=facade.editor.headers, raise_server_exceptions=False)
    try:
        with facade.engine.begin() as connection:
            connection.execute(text("LOCK TABLE headrace.connectors IN ACCESS EXCLUSIVE MODE"))
            response = client.get(CONNECTORS)
        assert "too long" in error_of(response, 503)["message"]
        assert response.headers["Retry-After"].isdigit()
    finally:
        engine.dispose()


def test_a_query_parameter_may_be_given_once(facade: Facade) -> None:
    details = error_of(facade.viewer.get(f"{CONNECTORS}?limit=1&limit=2"), 400)["details"]
    assert [(detail["path"], detail["code"]) for detail in details] == [("limit", "repeated_parameter")]


def test_every_answer_has_the_security_headers(facade: Facade) -> None:
    for response in (facade.viewer.get(CONNECTORS), facade.anonymous.get(CONNECTORS), facade.anonymous.get("/x")):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "script-src 'self'" in facade.anonymous.get("/docs").headers["Content-Security-Policy"]


PREFLIGHT = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}


def test_a_foreign_page_may_not_read_unless_it_is_named(facade: Facade) -> None:
    origin = {"Origin": "https://app.example"}
    assert "Access-Control-Allow-Origin" not in facade.viewer.get(CONNECTORS, headers=origin).headers
    error_of(facade.anonymous.options(CONNECTORS, headers=PREFLIGHT), 405)
    named = settings_for("postgresql:///x", cors_origins=("https://app.example",))
    app = create_app(named, orchestrator=LocalOrchestrator(), engine=facade.engine)
    client = TestClient(app, headers=facade.viewer.headers)
    assert client.get(CONNECTORS, headers=origin).headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert client.options(CONNECTORS, headers=PREFLIGHT).status_code == 200
    other = client.get(CONNECTORS, headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_405_names_every_method_of_the_path(facade: Facade) -> None:
    for path, item in facade.app.openapi()["paths"].items():
        methods = {method.upper() for method in item}
        missing = next(method for method in ("PATCH", "TRACE") if method not in methods)
        response = facade.admin.request(missing, path.replace("{", "").replace("}", ""))
        error_of(response, 405)
        assert set(response.headers["Allow"].split(", ")) >= methods, path


def test_a_log_line_has_the_ids_of_its_request_and_run_and_none_of_its_data(facade: Facade) -> None:
    path = f"{BASE_PATH}/pipelines/pipe_1/runs/run_{'0' * 32}"
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        facade.viewer.get(path, params={"secret": "the answer"}, headers={"X-Request-ID": "trace-7"})
    [line] = [line for line in lines if line["event"] == "request"]
    assert (line["request_id"], line["tenant"], line["status"]) == ("trace-7", "default", 404)
    assert (line["pipeline"], line["run"]) == ("pipe_1", f"run_{'0' * 32}")
    assert "the answer" not in str(line)
    assert facade.viewer.headers["X-API-Key"] not in str(line)


def test_the_server_does_not_log_requests_a_second_time(facade: Facade) -> None:
    # its line would have the query string
    configure_logs()
    access = logging.getLogger("uvicorn.access")
    assert (access.handlers, access.propagate) == ([], False)
