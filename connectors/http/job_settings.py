"""Asynchronous jobs of an HTTP API as settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from headrace.connectors.http.request_settings import Header, HeaderValue, Name, Path, Request, Scalar, address_of
from headrace.connectors.specs.base import ClosedConfig
from headrace.ir.problems import fault, nearest


class Sent(ClosedConfig):
    """A request of an asynchronous job."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    path: Path
    """The path below the connector's `url`."""
    method: Literal["GET", "POST"] = "POST"
    """The HTTP method."""
    params: dict[Name, Scalar | list[Scalar]] = {}
    """Parameters of the query."""
    headers: dict[Header, HeaderValue] = {}
    """Headers, besides the authentication."""
    body: dict[str, Any] | None = None
    """A JSON body, for POST."""
    values: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")], Path] = {}
    """Values of the response by path, for placeholders: `{"id": "id"}` for `{job.id}`."""

    @property
    def request(self) -> Request:
        """The request."""
        return Request(path=self.path, method=self.method, params=self.params, headers=self.headers, body=self.body)

    @model_validator(mode="after")
    def _sendable(self) -> Sent:
        if self.method == "GET" and self.body is not None:
            raise fault("bad_option", "a GET has no body", "set 'method' to POST")
        address_of(self.path)
        return self


class Status(Sent):
    """The request for the status of a job."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    method: Literal["GET", "POST"] = "GET"
    """The HTTP method."""
    at: Path
    """The path of the status in the response: `state`."""
    done: list[Name] = Field(min_length=1)
    """The statuses of a job whose results are there."""
    failed: list[Name] = []
    """The statuses of a job that failed."""
    message: Path | None = None
    """The path of the reason in the response."""


class Job(ClosedConfig):
    """An asynchronous job: it is created, its status is polled, and the endpoint's own request gets its results."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    create: Sent
    """The request that creates the job. It is not sent again after it was answered."""
    status: Status | None = None
    """The request for its status; without it, the results are requested until they are there (`notYet`)."""
    download: Name | None = None
    """The value with the complete URL of the results, instead of the endpoint's `path`: `url`. It may be on another
    server, which gets no credentials."""
    not_yet: list[Annotated[int, Field(ge=400, le=499)]] = Field(default=[], max_length=10)
    """Statuses of responses that mean that the results are not there yet."""
    every_seconds: float = Field(default=5, ge=0, le=3600)
    """The pause between two polls."""
    max_minutes: float = Field(default=120, gt=0, le=10_080)
    """The longest time that a job may take."""

    @property
    def at_once(self) -> bool:
        """Whether the results are one response, instead of pages."""
        return self.download is not None or self.status is None

    @model_validator(mode="after")
    def _named(self) -> Job:
        known = {*self.create.values, *(self.status.values if self.status is not None else ())}
        if self.download is not None and self.download not in known:
            raise fault("bad_option", f"there is no value '{self.download}' of the job", nearest(self.download, known))
        if self.status is None and not self.not_yet:
            raise fault("missing_field", "a job has a 'status', or results that are 'notYet' there", "add one of them")
        for status in self.not_yet:
            if status in (401, 429):
                raise fault("bad_option", f"the status {status} does not mean that results are not there yet", "")
        return self
