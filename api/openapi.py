"""The OpenAPI document: what FastAPI knows of the routes, completed by what the guard and the middleware do to each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.errors import CODES, RETRY_AFTER_S, ErrorEnvelope
from api.openapi_examples import EXAMPLES

Document = dict[str, Any]

_METHODS = ("get", "post", "put", "patch", "delete")

_REASONS = {
    400: "The request is malformed or not valid; `details` say where and how to mend it",
    401: "No key, or one that is unknown, revoked or expired",
    403: "The key's role may not do this, or the key belongs to another tenant than the one named",
    404: "There is no such object, or it is another tenant's",
    408: "The body did not arrive in time",
    409: "The change contradicts what is stored",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "A well-formed request that the state of the object forbids",
    429: "The key has made too many requests",
    500: "A fault of ours",
    503: "Prefect or the database is away; nothing was changed",
}

_ALWAYS = (401, 403, 429, 500, 503)
_WITH_BODY = (400, 408, 413, 415)
_OF_WRITES = (409, 422)

_TAGS = {
    "pipelines": "Pipelines and the versions of their IR",
    "pipeline IR": "The document of a pipeline, its versions, and what can be said of one before it runs",
    "plans": "What a run would do",
    "lineage": "Where the rows of a table came from",
    "scheduler": "What runs by itself, and when",
    "dlq": "Rows that failed and were kept",
    "runs": "Runs of pipelines: started, watched, retried and cancelled",
    "connectors": "Where data comes from",
    "schemas": "The tables data goes to",
    "api-keys": "Keys of the tenant",
    "applied sets": "Which objects came from files (`headrace apply`)",
    "audit": "Every write of the tenant, provably complete",
    "health": "Whether the facade lives and works",
}

_DESCRIPTION = """Pipelines as documents, run by Prefect, loaded exactly once.

Every request carries an API key (`X-API-Key`, or as a bearer token), which belongs to one tenant and has one role:
`x-roles` of an operation lists those that may use it. Every answer carries `X-Request-ID`; every failure is an
`ErrorEnvelope`. Lists are paged by an opaque `cursor`. The IR of a pipeline has a JSON Schema of its own, at
`/api/v1/ir/schema`."""


def operation_id(route: APIRoute) -> str:
    """The name of the route's function: short, and what generated clients call their methods."""
    return route.name


def install(app: FastAPI) -> None:
    """Makes the application give the completed document, put together once."""
    document: Document = {}

    def openapi() -> Document:
        if not document:
            document.update(_complete(app))
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(app: FastAPI) -> Document:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=_DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/", "description": "This facade"}],
    )
    components = document.setdefault("components", {})
    components.setdefault("headers", {})["RequestId"] = {
        "description": "The request's id in the logs and the audit log: the client's own, when it sent a fit one",
        "schema": {"type": "string"},
    }
    schemas = components.setdefault("schemas", {})
    envelope = ErrorEnvelope.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= envelope.pop("$defs") | {"ErrorEnvelope": envelope}
    for method, path, operation in _operations(document):
        responses = operation["responses"]
        if "HTTPValidationError" in str(responses.get("422")):
            del responses["422"]
        declared = {int(status) for status in responses if int(status) >= 400}
        for status in sorted(declared | _errors_of(method, path, operation)):
            responses[str(status)] = _error(status)
        for response in responses.values():
            response.setdefault("headers", {})["X-Request-ID"] = {"$ref": "#/components/headers/RequestId"}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    _close_maps(schemas)
    return document


def _close_maps(node: object) -> None:
    """A map whose keys follow a pattern takes no others; pydantic refuses them, and forgets to say so."""
    if isinstance(node, dict):
        if "patternProperties" in node:
            node.setdefault("additionalProperties", False)
        for each in node.values():
            _close_maps(each)
    elif isinstance(node, list):
        for each in node:
            _close_maps(each)


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in _METHODS:
                yield method, path, operation


def _errors_of(method: str, path: str, operation: Document) -> set[int]:
    """What the guard and the middleware may answer; a route declares what is its own."""
    roles = operation.get("x-roles")
    if roles is None:  # open to everybody
        return {500}
    statuses = set(_ALWAYS)
    if operation.get("parameters"):
        statuses.add(400)
    if "{" in path or any(parameter["name"] == "id" for parameter in operation.get("parameters", ())):
        statuses.add(404)
    if "requestBody" in operation:
        statuses |= {404, *_WITH_BODY}
    if method != "get" and "viewer" not in roles:
        statuses |= {*_OF_WRITES}
    return statuses


def _error(status: int) -> Document:
    example = {
        "code": CODES[status],
        "message": _REASONS[status],
        "status": status,
        "requestId": "req_5f0c1e8a4b2d",
        "details": [],
    }
    response: Document = {
        "description": _REASONS[status],
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ErrorEnvelope"},
                "example": {"error": example},
            }
        },
    }
    if status in (429, 503):
        retry = {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}, "example": RETRY_AFTER_S}
        response["headers"] = {"Retry-After": retry}
    if status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "example": "Bearer"}}
    return response
