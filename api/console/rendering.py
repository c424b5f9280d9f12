"""Renders templates as pages, with the headers that every page has; also the page of an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from headrace.api.console import formats
from headrace.api.console.assets import url_of
from headrace.api.console.navigation import entries
from headrace.catalog.security.api_keys import Principal
from headrace.ir.problems import Problem

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    # no-referrer would make a browser send `Origin: null` with forms
    "Referrer-Policy": "same-origin",
}

_TEMPLATES = Path(__file__).parent / "templates"
_HEADINGS = {
    400: "That request is not valid",
    403: "Not allowed",
    404: "Not found",
    409: "Not possible now",
    422: "Not possible",
    429: "Too many requests",
    503: "Unavailable for the moment",
}


def render(request: Request, template: str, *, status_code: int = 200, **context: Any) -> HTMLResponse:
    """The page. Everything in `context` is escaped where it is written.

    `title` is in `context` for whole pages; `principal` is the caller's, None before a login."""
    body = _environment().get_template(template).render(**_shared(request), **context)
    return HTMLResponse(body, status_code, headers=dict(HEADERS))


def fragment(template: str, **context: Any) -> str:
    """A part of a page without its frame, as it is sent to a page that is open."""
    return _environment().get_template(template).render(**context)


def error_page(
    request: Request,
    status: int,
    message: str,
    details: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The page of an error: one sentence, the problems if there are several, and the id of the request."""
    template = "error_part.html" if "HX-Request" in request.headers else "error.html"
    heading = _HEADINGS.get(status, "Something went wrong here" if status >= 500 else "That did not work")
    shown = render(
        request,
        template,
        status_code=status,
        title=heading,
        message=message.rstrip("."),
        details=[each for each in details if each.message != message],
        hint=next((each.hint for each in details if each.message == message), "").rstrip("."),
        where=next((each.path for each in details if each.message == message), ""),
        request_id=request.state.request_id,
    )
    shown.headers.update(headers or {})
    return shown


def _shared(request: Request) -> dict[str, Any]:
    principal: Principal | None = getattr(request.state, "principal", None)
    return {
        "principal": principal,
        "may_write": principal is not None and principal.role != "viewer",
        "navigation": entries(principal, request.url.path),
        "may_log_out": getattr(request.state, "session_token", None) is not None,
        "may_log_in": principal is None and request.url.path != "/login",
        "tenant": principal.tenant_id if principal is not None else "",
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["asset"] = url_of
    for name in (
        "number",
        "counted",
        "short_number",
        "percent",
        "duration",
        "moment",
        "iso",
        "relative",
        "size",
        "as_json",
    ):
        environment.filters[name] = getattr(formats, name)
    environment.filters["status_words"] = formats.status_words
    environment.filters["tone"] = formats.tone
    return environment
