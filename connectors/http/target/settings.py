"""The `config` of a target node that sends rows to an HTTP API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from headrace.connectors.errors import TargetError
from headrace.connectors.http.request_settings import OWN_HEADERS, Header, HeaderValue, Name, Path, Scalar
from headrace.connectors.http.settings import is_parameter
from headrace.connectors.http.target.path import PLACE, columns_of
from headrace.connectors.http.target.template import FieldPlace, Members, fields_of, parsed
from headrace.connectors.specs.base import ClosedConfig, problems_of
from headrace.ir.problems import MAX_PROBLEMS, Problem

MOST_BYTES = 64 << 20
NOT_OF_RECORDS = (401, 403, 407, 408, 425, 429)
"""Statuses that are about the login or the rate of requests."""

_ALL = "all"
T = TypeVar("T")


class BatchSize(ClosedConfig):
    """The size of a request. A single record that has more bytes is an error row."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    rows: int = Field(default=100, ge=1, le=10_000)
    """The most records."""
    bytes: int = Field(default=1_000_000, ge=1_000, le=MOST_BYTES)
    """The most bytes of the body."""


class RejectPlaces(ClosedConfig):
    """The places of rejected records in a response that accepts the others."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    path: Path
    """The path of a list with one entry per rejected record: `errors`."""
    index: Path = "index"
    """The path in an entry of the record's position in the request."""
    first: Literal[0, 1] = 0
    """The position of the first record."""
    message: Path = "message"
    """The path in an entry of the API's message."""


class HttpTarget(ClosedConfig):
    """The target config of an HTTP API."""

    model_config = ConfigDict(use_attribute_docstrings=True, ignored_types=(cached_property,))

    path: Path = ""
    """The path below the connector's `url`: `/v1/contacts/batch`. `{field.id}` in it is the value of a column,
    percent-encoded, for `batch.rows` 1: `/v1/contacts/{field.id}`."""
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    """The HTTP method."""
    params: dict[Name, Scalar | list[Scalar]] = {}
    """Parameters of the query."""
    headers: dict[Header, HeaderValue] = {}
    """Headers, besides the authentication."""
    record: dict[str, Any]
    """The template of a record: `{"id": {"$field": "id"}, "source": "shop"}`. Columns without a place are not sent."""
    nulls: Literal["send", "omit"] = "send"
    """Whether nulls are sent, or their keys left out."""
    format: Literal["json", "jsonl", "object"] = "json"
    """The body: `json` a list of records, `jsonl` one record per line, `object` a single record, for `batch.rows` 1."""
    records: Path = ""
    """The path of the list in a JSON body: `data.items`; by default the body is the list."""
    body: dict[str, Any] = {}
    """Other values of a JSON body, for `records`: `{"partner": "headrace"}`."""
    batch: BatchSize = BatchSize()
    """The size of a request."""
    accepts: list[int] = Field(default=[200, 201, 202, 204], min_length=1)
    """The statuses of responses that take the records."""
    refuses: list[int] = [400, 409, 413, 422]
    """The statuses of responses that refuse the records of a request for what is in them: error rows. Others end the
    run."""
    ok: Path | None = None
    """The path of a value in an accepting response that is false, 0, null or missing if the API refused the request."""
    rejects: RejectPlaces | None = None
    """Where an accepting response lists single rejected records."""
    independent: bool = False
    """Records do not depend on each other: a refused request is sent again in halves until the refused records are
    alone. Otherwise all its records are error rows."""
    idempotency_header: Header | None = None
    """The header for a key by which the API ignores a request that it has already had: `Idempotency-Key`."""
    repeatable: bool = False
    """A record that is sent twice has the same effect as once, as in an upsert by id."""
    on_unknown: Literal["resend", "fail"] = "resend"
    """Without an answer, it is not known whether the API has taken a request: `resend` sends its records again, so that
    they may arrive twice; `fail` ends the run."""
    requests_per_second: float | None = Field(default=None, gt=0, le=10_000)
    """The most requests per second, if fewer than the connector allows."""

    @field_validator("record")
    @classmethod
    def _template(cls, record: dict[str, Any]) -> dict[str, Any]:
        return _whole(record, parsed(record)[1])

    @model_validator(mode="after")
    def _sendable(self) -> HttpTarget:
        return _whole(self, [Problem(f"config.{at}", "bad_option", *said) for at, *said in self._faults()])

    def _faults(self) -> Iterator[tuple[str, str, str]]:
        plain = PLACE.sub("x", self.path)
        if "://" in plain or plain.startswith("//") or any(sign in plain for sign in "?#\\{}"):
            hint = "write /v1/contacts or /v1/contacts/{field.id}; parameters go into 'params'"
            yield "path", f"'{self.path}' is not a path", hint
        if plain != self.path and self.batch.rows != 1:
            yield "batch.rows", "a path with values is that of one record", "set batch.rows to 1"
        if any(part in (".", "..") for part in plain.split("/")):
            yield "path", f"'{self.path}' leaves its folder", "write it without dots"
        for at, name in (*(("headers", each) for each in self.headers), ("idempotencyHeader", self.idempotency_header)):
            if name is not None and name.lower() in (*OWN_HEADERS, "content-type"):
                yield at, f"the header '{name}' is set by the client", "remove it"
        if self.format == "object" and self.batch.rows != 1:
            yield "format", "the format 'object' sends one record per request", "set batch.rows to 1"
        if self.format != "json" and (self.records or self.body):
            yield "format", "'records' and 'body' are for the format 'json'", "remove them"
        if self.body and not self.records:
            yield "body", "'body' has other values beside the list", "set 'records' to the list's path"
        steps = self.records.split(".") if self.records else []
        if not all(steps):
            yield "records", f"'{self.records}' is not a path", "write data.items"
        elif steps and steps[0] in self.body:
            yield "body", f"'body' and 'records' both set '{steps[0]}'", "rename one"
        for status in self.accepts:
            if not 200 <= status < 300:
                yield "accepts", f"{status} is not a status that takes records", "from 200 to 299"
        for status in self.refuses:
            if not 200 <= status < 500 or status in NOT_OF_RECORDS or status in self.accepts:
                yield "refuses", f"{status} does not say that records are refused", "400, 409, 413 or 422"

    @cached_property
    def template(self) -> Members:
        """The parsed `record`."""
        return parsed(self.record)[0]

    @property
    def fields(self) -> dict[str, FieldPlace]:
        """The columns that are sent, by name, in records and in the path."""
        in_path = {name: FieldPlace.model_validate({"$field": name}) for name in columns_of(self.path)}
        return in_path | {each.field: each for each in fields_of(self.template)}

    @property
    def once(self) -> bool:
        """Whether a request that is sent twice has its effect once."""
        return self.idempotency_header is not None or self.repeatable


def _whole(value: T, problems: list[Problem]) -> T:
    """The value. Raises the first of the problems, with all of them in its context."""
    if problems:
        first = problems[0]
        context = {"text": first.message, "hint": first.hint, _ALL: problems}
        raise PydanticCustomError("bad_option", "{text}", context)
    return value


def settings_of(config: Mapping[str, Any]) -> HttpTarget:
    """A node's config, with the run's parameters filled in. Raises TargetError(`bad_option`)."""
    if found := _problems(config):
        raise TargetError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    return HttpTarget.model_validate(dict(config))


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """All problems of a config, checked when it is saved; a run parameter may replace any value."""
    return [each for each in _problems(config) if not is_parameter(config, each)]


def _problems(config: Mapping[str, Any]) -> list[Problem]:
    try:
        HttpTarget.model_validate(dict(config))
    except ValidationError as error:
        inner = [each["ctx"][_ALL] for each in error.errors() if _ALL in each.get("ctx", {})]
        of = {each[0].message for each in inner}
        plain = [each for each in problems_of(HttpTarget, dict(config)) if each.message not in of]
        return [*plain, *(each for several in inner for each in several)][:MAX_PROBLEMS]
    return []
