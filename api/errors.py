"""The error envelope of all 4xx and 5xx responses, and the exception handlers that produce it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import psycopg
import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from headrace.api.wire import title
from headrace.catalog.errors import Conflict, Invalid
from headrace.deployments.prefect.orchestrator import OrchestratorAway, OrchestratorRefused
from headrace.ir.problems import MAX_PROBLEMS, Problem

_log = structlog.get_logger("headrace.api")

RETRY_AFTER_S = 5

CODES = {
    400: "validation_error",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: "unprocessable",
    429: "too_many_requests",
    431: "headers_too_large",
    499: "client_closed_request",
    500: "internal_error",
    503: "unavailable",
}

_TOO_SLOW = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable)

_PROBLEM_CODES = {"missing": "missing_field", "extra_forbidden": "unknown_field", "json_invalid": "malformed_json"}


class Detail(BaseModel):
    """One problem of a request or of a document."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    path: str
    """The place in the body or document, such as `nodes[1].ops[0].field`, or the name of a parameter or header."""
    code: str
    """Stable text for programs, such as `missing_field`; there may be further codes in later releases."""
    message: str
    """What is wrong, for people."""
    hint: str = ""
    """How to fix it; empty if there is no advice."""


class ErrorBody(BaseModel):
    """The reason for an error status, for programs (`code`) and for people (`message`)."""

    model_config = ConfigDict(use_attribute_docstrings=True, field_title_generator=title)

    code: str
    """Stable text for programs, one per status, such as `not_found`; `error` for a status without one."""
    message: str
    """What went wrong, for people."""
    status: int
    """The HTTP status of the response."""
    requestId: str
    """The request's id in the logs and in the audit log, as in the header `X-Request-ID`."""
    details: list[Detail]
    """Every problem that was found; empty if `message` says all."""


class ErrorEnvelope(BaseModel):
    """The body of every response with a status of 400 or more."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    error: ErrorBody
    """Why the request failed."""


class ApiError(HTTPException):
    """An error response. `details` list the individual problems."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        details: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.details = details


def not_found(noun: str) -> ApiError:
    """A 404, the same for an object that does not exist and for one of another tenant."""
    return ApiError(404, f"There is no such {noun}")


def invalid(path: str, code: str, message: str, hint: str = "") -> ApiError:
    """A 400 with one detail."""
    return ApiError(400, message, details=[Problem(path, code, message, hint)])


def envelope(
    request: Request,
    status: int,
    message: str,
    *,
    details: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The error response of a request: as a page if the request is for a page of the console, which leaves in
    `state.error_page` how that is made."""
    as_page = getattr(request.state, "error_page", None)
    if as_page is not None:
        page: Response = as_page(request, status, message, details[:MAX_PROBLEMS], headers)
        return page
    body = {
        "code": CODES.get(status, "error"),
        "message": message,
        "status": status,
        "requestId": request.state.request_id,
        "details": [problem.as_dict() for problem in details[:MAX_PROBLEMS]],
    }
    return JSONResponse({"error": body}, status_code=status, headers=dict(headers or {}))


def install(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Registers the exception handlers. `routers` are all that the application includes."""
    app.state.methods = defaultdict(set)
    for route in (route for router in routers for route in router.routes if isinstance(route, APIRoute)):
        app.state.methods[route.path] |= route.methods or set()
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(Conflict, _conflict)
    app.add_exception_handler(Invalid, _invalid)
    app.add_exception_handler(OrchestratorAway, _prefect_unavailable)
    app.add_exception_handler(OrchestratorRefused, _prefect_refused)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeout, _database_unavailable)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {404: "There is nothing here", 405: f"{request.method} is not allowed here"}
    message = error.detail if isinstance(error, ApiError) else messages.get(error.status_code, str(error.detail))
    details = error.details if isinstance(error, ApiError) else ()
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    nowhere = "route" not in request.scope and not request.url.path.startswith("/api/")
    if nowhere and "text/html" in request.headers.get("accept", ""):  # somebody mistyped an address
        request.state.error_page = request.app.state.error_page
        await request.app.state.recognise(request)
    return envelope(request, error.status_code, message, details=details, headers=headers)


def _allowed(request: Request) -> str:
    """All methods of the path; Starlette reports only those of the first matching route."""
    route = request.scope["route"]
    methods: set[str] = request.app.state.methods.get(route.path) or route.methods
    return ", ".join(sorted(methods))


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [_problem(each) for each in islice(error.errors(), MAX_PROBLEMS)]
    message = "The request is not valid" if len(problems) != 1 else problems[0].message
    return envelope(request, 400, message, details=problems)


def _problem(error: Mapping[str, Any]) -> Problem:
    where, *steps = error["loc"]
    path = ""
    for step in steps if error["type"] != "json_invalid" else ():
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    context = error.get("ctx", {})
    kind = _PROBLEM_CODES.get(error["type"], error["type"])
    if error["type"] == "json_invalid":
        return Problem(where, kind, f"The body is not JSON: {context.get('error')} at character {steps[0]}")
    if error["type"] in ("missing", "extra_forbidden"):
        name = steps[-1] if steps else where
        return Problem(
            path or where, kind, f"'{name}' is required" if kind == "missing_field" else f"Unknown field '{name}'"
        )
    if "text" in context:  # raised by ir.problems.fault
        return Problem(path or where, kind, str(context["text"]), str(context.get("hint", "")))
    return Problem(path or where, kind, str(error["msg"]).removeprefix("Value error, "))


def answer_of(error: ApiError | Conflict | Invalid | ValidationError) -> tuple[int, str, Sequence[Problem]]:
    """Status, message and problems of the response that an exception leads to."""
    match error:
        case ApiError():
            return error.status_code, str(error.detail), error.details
        case Conflict():
            return 409, str(error), ()
        case Invalid():
            return 400, str(error), error.problems
    found = [_problem({**each, "loc": ("body", *each["loc"])}) for each in islice(error.errors(), MAX_PROBLEMS)]
    return 400, "The request is not valid" if len(found) != 1 else found[0].message, found


async def _conflict(request: Request, error: Exception) -> Response:
    return envelope(request, 409, str(error))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, Invalid)
    return envelope(request, 400, str(error), details=error.problems)


async def _prefect_unavailable(request: Request, error: Exception) -> Response:
    _log.warning("prefect unreachable", reason=str(error))
    return _unavailable(request, "Prefect cannot be reached; try again in a moment")


async def _prefect_refused(request: Request, error: Exception) -> Response:
    problem = Problem("deployment", "refused", str(error))
    return envelope(request, 422, "Prefect rejected the pipeline", details=[problem])


async def _database(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(error, DataError):
        return envelope(request, 400, "A value cannot be stored")
    # no SQLSTATE: the server did not respond; classes 08, 53 and 57P: connection, resources, shutdown
    if isinstance(error, OperationalError | InterfaceError) and (state is None or state[:3] in ("080", "530", "57P")):
        return await _database_unavailable(request, error)
    if isinstance(error.orig, _TOO_SLOW):
        _log.warning("query timed out", kind=type(error.orig).__name__)
        return _unavailable(request, "The database took too long to answer; try again later or ask for less")
    _log.error("database error", sqlstate=state, kind=type(error.orig).__name__)
    deadlock = isinstance(error.orig, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)
    if deadlock:
        return _unavailable(request, "The database was busy; try again")
    return envelope(request, 500, "Something went wrong here")


async def _database_unavailable(request: Request, error: Exception) -> Response:
    _log.warning("database unreachable", kind=type(error).__name__)
    return _unavailable(request, "The database cannot be reached; try again in a moment")


def _unavailable(request: Request, message: str) -> Response:
    return envelope(request, 503, message, headers={"Retry-After": str(RETRY_AFTER_S)})
