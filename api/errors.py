"""One error envelope for every 4xx and 5xx, whoever raised it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from catalog.errors import Conflict, Invalid
from deployments.orchestrator import OrchestratorAway, OrchestratorRefused
from ir.problems import Problem

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
    500: "internal_error",
    503: "unavailable",
}

_TOO_SLOW = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable)

_PROBLEMCODES = {"missing": "missing_field", "extra_forbidden": "unknown_field", "json_invalid": "malformed_json"}


class Detail(BaseModel):
    """One problem: where, a stable code, a sentence, and how to mend it."""

    path: str
    code: str
    message: str
    hint: str = ""


class ErrorBody(BaseModel):
    """What went wrong, for a program (`code`) and for a person (`message`)."""

    code: str
    message: str
    status: int
    requestId: str
    details: list[Detail]


class ErrorEnvelope(BaseModel):
    """The body of every response with a status of 400 or more."""

    error: ErrorBody


class ApiError(HTTPException):
    """An answer that is not a success. `details` name the problems one by one."""

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
    """The same answer for an object that does not exist and for one of another tenant."""
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
) -> JSONResponse:
    """The response of a failed request."""
    body = {
        "code": CODES.get(status, "error"),
        "message": message,
        "status": status,
        "requestId": request.state.request_id,
        "details": [problem.as_dict() for problem in details],
    }
    return JSONResponse({"error": body}, status_code=status, headers=dict(headers or {}))


def install(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Every exception a handler may meet, and the answer it becomes. `routers` are those the application includes."""
    app.state.methods = defaultdict(set)
    for route in (route for router in routers for route in router.routes if isinstance(route, APIRoute)):
        app.state.methods[route.path] |= route.methods or set()
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(Conflict, _conflict)
    app.add_exception_handler(Invalid, _invalid)
    app.add_exception_handler(OrchestratorAway, _prefect_away)
    app.add_exception_handler(OrchestratorRefused, _prefect_refuses)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeout, _database_away)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    messages = {404: "There is nothing here", 405: f"{request.method} is not allowed here"}
    message = error.detail if isinstance(error, ApiError) else messages.get(error.status_code, str(error.detail))
    details = error.details if isinstance(error, ApiError) else ()
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return envelope(request, error.status_code, message, details=details, headers=headers)


def _allowed(request: Request) -> str:
    """Every method of the path: the router itself names only those of the first route that has it."""
    route = request.scope["route"]
    methods: set[str] = request.app.state.methods.get(route.path) or route.methods
    return ", ".join(sorted(methods))


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [_problem(each) for each in error.errors()]
    message = "The request is not valid" if len(problems) != 1 else problems[0].message
    return envelope(request, 400, message, details=problems)


def _problem(error: Mapping[str, Any]) -> Problem:
    where, *steps = error["loc"]
    path = ""
    for step in steps if error["type"] != "json_invalid" else ():
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    context = error.get("ctx", {})
    kind = _PROBLEMCODES.get(error["type"], error["type"])
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


async def _conflict(request: Request, error: Exception) -> JSONResponse:
    return envelope(request, 409, str(error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Invalid)
    return envelope(request, 400, str(error), details=error.problems)


async def _prefect_away(request: Request, error: Exception) -> JSONResponse:
    _log.warning("prefect away", reason=str(error))
    return _away(request, "Prefect cannot be reached; try again in a moment")


async def _prefect_refuses(request: Request, error: Exception) -> JSONResponse:
    problem = Problem("deployment", "refused", str(error))
    return envelope(request, 422, "Prefect does not take the pipeline as it is", details=[problem])


async def _database(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DBAPIError)
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(error, DataError):
        return envelope(request, 400, "A value cannot be stored")
    # without an SQLSTATE the server never answered; the classes are connection, resources, shutdown
    if isinstance(error, OperationalError | InterfaceError) and (state is None or state[:3] in ("080", "530", "57P")):
        return await _database_away(request, error)
    if isinstance(error.orig, _TOO_SLOW):
        _log.warning("query given up", kind=type(error.orig).__name__)
        return _away(request, "The database took too long to answer; try again later or ask for less")
    _log.error("database error", sqlstate=state, kind=type(error.orig).__name__)
    deadlock = isinstance(error.orig, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)
    if deadlock:
        return _away(request, "The database was busy; try again")
    return envelope(request, 500, "Something went wrong here")


async def _database_away(request: Request, error: Exception) -> JSONResponse:
    _log.warning("database away", kind=type(error).__name__)
    return _away(request, "The database cannot be reached; try again in a moment")


def _away(request: Request, message: str) -> JSONResponse:
    return envelope(request, 503, message, headers={"Retry-After": str(RETRY_AFTER_S)})
