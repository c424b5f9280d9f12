"""The OpenAPI document: FastAPI's, completed with errors, examples, tags and text patterns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from headrace.api.errors import CODES, RETRY_AFTER_S, ErrorEnvelope
from headrace.api.openapi_examples import EXAMPLES
from headrace.api.wire import title

Document = dict[str, Any]

TEXT = r"^[^\u0000]*$"
_CONSTRAINTS = ("pattern", "enum", "const", "format")
_NESTED = ("items", "additionalProperties", "contains", "not")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")


def add_text_patterns(document: Document) -> None:
    """Adds the pattern to query parameters and to strings and keys in request bodies, in place."""
    schemas = document["components"]["schemas"]
    seen: set[str] = set()
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    _complete_schema(parameter["schema"], schemas, seen)
            for content in operation.get("requestBody", {}).get("content", {}).values():
                _complete_schema(content["schema"], schemas, seen)


def _complete_schema(schema: Document, schemas: Document, seen: set[str]) -> None:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            seen.add(name)
            _complete_schema(schemas[name], schemas, seen)
        return
    if schema.get("type") == "string" and not any(word in schema for word in _CONSTRAINTS):
        schema["pattern"] = TEXT
    if isinstance(schema.get("additionalProperties"), dict):
        schema.setdefault("propertyNames", {"pattern": TEXT})
    inner = [schema[word] for word in _NESTED if isinstance(schema.get(word), dict)]
    inner += [each for word in _LISTS for each in schema.get(word, ())]
    inner += [*schema.get("properties", {}).values(), *schema.get("patternProperties", {}).values()]
    for each in inner:
        _complete_schema(each, schemas, seen)


_METHODS = ("get", "post", "put", "patch", "delete")

_REASONS = {
    400: "The request is malformed or not valid; `details` say where and how to fix it",
    401: "No API key, or one that is unknown, revoked or expired",
    403: "The key's role may not do this, or the key belongs to another tenant than the one named",
    404: "The object does not exist, or belongs to another tenant",
    408: "The body did not arrive in time",
    409: "The change conflicts with the stored state",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "The request is well-formed, but the state of the object does not allow it",
    429: "The key or its tenant has too many requests per minute or in progress, streams open or runs waiting",
    500: "Internal error",
    503: "Prefect or the database is unavailable, or too many requests are in progress; nothing was changed",
}

_ALWAYS = (401, 403, 429, 500, 503)
_WITH_BODY = (400, 408, 413, 415)
_OF_WRITES = (409, 422)

_TAGS = {
    "pipelines": "Pipelines and the versions of their IR",
    "pipeline IR": "The document of a pipeline, its versions, and checks before it runs",
    "plans": "What a run would do",
    "lineage": "The runs and sources that rows of a table came from",
    "sources": "What the sources of pipelines are, and how far they were read",
    "scheduler": "The state of schedules",
    "dlq": "Rows in quarantine",
    "runs": "Runs of pipelines: start, watch, retry, cancel",
    "replications": "Many tables of one connection, each copied by a pipeline of its own",
    "connectors": "Where data comes from",
    "connector documents": "HTTP APIs described in YAML, with versions",
    "schemas": "The tables data goes to",
    "api-keys": "Keys of the tenant",
    "applied sets": "Which objects came from files (`headrace apply`)",
    "audit": "Every write of the tenant, in a verifiable hash chain",
    "health": "Health, readiness and metrics of the API",
}

_DESCRIPTION = """Pipelines as documents, run by Prefect, loaded exactly once.

Every request needs an API key (`X-API-Key`, or as a bearer token), which belongs to one tenant and has one role:
`x-roles` of an operation lists the roles that may call it. Every response has `X-Request-ID`; every error is an
`ErrorEnvelope`. Times are ISO 8601 in UTC, with milliseconds. Lists are paged by an opaque `cursor`. Limits of a key or
tenant are answered 429 and limits of the server 503, with `Retry-After`. The server may also answer 400, 408, 431 or
503 before it has read a request's headers, and then closes the connection. The IR of a pipeline has its own JSON
Schema, at `/api/v1/ir/schema`."""


def operation_id(route: APIRoute) -> str:
    """The name of the route's function, which generated clients use as method name."""
    return route.name


def install(app: FastAPI) -> None:
    """Makes the application serve the completed document, which is built once."""
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
        "description": "The request's id in the logs and the audit log: the client's own, if it sent a valid one",
        "schema": {"type": "string"},
    }
    schemas = components.setdefault("schemas", {})
    envelope = ErrorEnvelope.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= envelope.pop("$defs") | {"ErrorEnvelope": envelope}
    for method, path, operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            parameter["schema"]["title"] = title(parameter["name"])
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
    schemas["JsonValue"]["description"] = "Any JSON value."
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    _name_by_title(document)
    _close_maps(document["components"]["schemas"])
    add_text_patterns(document)
    return document


def _name_by_title(document: Document) -> None:
    """Gives generic models the names that they have as titles: pydantic derives others from their parameters."""
    schemas = document["components"]["schemas"]
    names = {name: schema["title"] for name, schema in schemas.items() if name.endswith("_")}
    renamed = {names.get(name, name): schema for name, schema in schemas.items()}
    assert len(renamed) == len(schemas), f"two schemas have the same name, one of {sorted(names.values())}"
    document["components"]["schemas"] = renamed
    _rename(document, {f"#/components/schemas/{name}": f"#/components/schemas/{new}" for name, new in names.items()})


def _rename(node: object, references: dict[str, str]) -> None:
    if isinstance(node, dict):
        if node.get("$ref") in references:
            node["$ref"] = references[node["$ref"]]
        for each in node.values():
            _rename(each, references)
    elif isinstance(node, list):
        for each in node:
            _rename(each, references)


def _close_maps(node: object) -> None:
    """Forbids keys that match no pattern: pydantic refuses them, but leaves that out of its schema."""
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
    """Error statuses that GuardedRoute and middleware may return; a route declares further ones itself."""
    roles = operation.get("x-roles")
    if roles is None:  # public
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
        retry = {
            "description": "Seconds to wait before the request is sent again",
            "schema": {"type": "integer", "minimum": 1},
            "example": RETRY_AFTER_S,
        }
        response["headers"] = {"Retry-After": retry}
    if status == 401:
        scheme = {"description": "How to authenticate", "schema": {"type": "string"}, "example": "Bearer"}
        response["headers"] = {"WWW-Authenticate": scheme}
    return response
