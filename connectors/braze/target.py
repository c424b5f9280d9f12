"""The `config` of a target node for Braze: objects of `POST /users/track`, at most 75 in a request.

Braze knows no key of a request. Attributes that are sent twice are the same as once. Events and purchases of a request
that had no answer are sent again, and may then be there twice, or end the run (`onUnknown: fail`); all others are sent
once, by the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from headrace.connectors.connector import Connection, Context
from headrace.connectors.errors import TargetError
from headrace.connectors.http.settings import is_parameter
from headrace.connectors.http.target.settings import HttpTarget
from headrace.connectors.http.target.settings import problems as http_problems
from headrace.connectors.specs.base import ClosedConfig, problems_of
from headrace.ir.base import ColumnName
from headrace.ir.problems import Problem, fault

PATH = "/users/track"
MOST_OBJECTS = 75
"""The most objects of a kind in a request, by Braze's documentation."""

_Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class UserAlias(ClosedConfig):
    """An alias of a user."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: ColumnName
    """The column with the alias."""
    label: _Name
    """The label, the same for all rows."""


class BrazeUser(ClosedConfig):
    """The column that identifies the user of a row: one of them."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    external_id: ColumnName | None = None
    """The column with `external_id`."""
    braze_id: ColumnName | None = None
    """The column with `braze_id`."""
    email: ColumnName | None = None
    """The column with an email address."""
    phone: ColumnName | None = None
    """The column with a phone number."""
    user_alias: UserAlias | None = None
    """An alias."""

    @model_validator(mode="after")
    def _one(self) -> BrazeUser:
        given = [self.external_id, self.braze_id, self.email, self.phone, self.user_alias]
        if sum(each is not None for each in given) != 1:
            raise fault("missing_field", "'user' has one of externalId, brazeId, email, phone, userAlias", "name one")
        return self

    @property
    def record(self) -> dict[str, Any]:
        """Its part of a record's template."""
        if self.user_alias is not None:
            alias = {"alias_name": _column(self.user_alias.name, "text"), "alias_label": self.user_alias.label}
            return {"user_alias": alias}
        columns = {
            "external_id": self.external_id,
            "braze_id": self.braze_id,
            "email": self.email,
            "phone": self.phone,
        }
        return {name: _column(column, "text") for name, column in columns.items() if column is not None}


class BrazeTarget(ClosedConfig):
    """The target config of Braze."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    objects: Literal["attributes", "events", "purchases"]
    """What rows are."""
    user: BrazeUser
    """The user of a row."""
    attributes: dict[_Name, Any] = {}
    """For `attributes`: the attributes by name, each a constant or `{"$field": "column"}`."""
    event: _Name | dict[str, Any] | None = None
    """For `events`: the event's name, or `{"$field": "column"}`."""
    product: _Name | dict[str, Any] | None = None
    """For `purchases`: the `product_id`, or its column."""
    currency: _Name | dict[str, Any] | None = None
    """For `purchases`: the currency by ISO 4217, or its column."""
    price: ColumnName | None = None
    """For `purchases`: the column with the price."""
    quantity: ColumnName | None = None
    """For `purchases`: the column with the quantity; 1 without it."""
    time: ColumnName | None = None
    """For `events` and `purchases`: the column with the time, UTC if it has no time zone."""
    properties: dict[_Name, Any] = {}
    """For `events` and `purchases`: the properties by name, as for `attributes`."""
    app_id: _Name | None = None
    """For `events` and `purchases`: the app identifier."""
    update_existing_only: bool = False
    """Rows of users that do not exist create none."""
    nulls: Literal["send", "omit"] = "send"
    """Nulls of attributes and properties: `send` removes the attribute of the user, `omit` leaves it as it is."""
    on_unknown: Literal["resend", "fail"] = "resend"
    """What becomes of a request without an answer: events and purchases that are sent again may be there twice."""
    batch_rows: int = Field(default=MOST_OBJECTS, ge=1, le=MOST_OBJECTS)
    """The most objects in a request."""
    requests_per_second: float | None = Field(default=None, gt=0, le=1_000)
    """The most requests per second, besides the rate limit that Braze reports."""

    @model_validator(mode="after")
    def _whole(self) -> BrazeTarget:
        needed: dict[str, dict[str, Any]] = {
            "attributes": {"attributes": self.attributes},
            "events": {"event": self.event, "time": self.time},
            "purchases": {
                "product": self.product,
                "currency": self.currency,
                "price": self.price,
                "time": self.time,
            },
        }
        for name, value in needed[self.objects].items():
            if not value:
                raise fault("missing_field", f"{self.objects} need '{name}'", f"add '{name}'")
        allowed = {*needed[self.objects], *(() if self.objects == "attributes" else ("properties", "app_id"))}
        allowed |= {"quantity"} if self.objects == "purchases" else set()
        own = {"attributes", "event", "product", "currency", "price", "quantity", "time", "properties", "app_id"}
        for name in sorted(own & self.model_fields_set - allowed):
            raise fault("bad_option", f"'{name}' is not for {self.objects}", "remove it")
        return self

    @property
    def record(self) -> dict[str, Any]:
        """The template of an object."""
        record: dict[str, Any] = dict(self.user.record)
        if self.objects == "attributes":
            record |= {name: _with_nulls(value, self.nulls) for name, value in self.attributes.items()}
        else:
            if self.objects == "events":
                record["name"] = _needed(self.event)
            else:
                record |= {"product_id": _needed(self.product), "currency": _needed(self.currency)}
                record["price"] = _column(str(self.price), "decimal")
                record["quantity"] = 1 if self.quantity is None else _column(self.quantity, "bigint")
            record["time"] = _column(str(self.time), "timestamptz")
            if self.properties:
                record["properties"] = {n: _with_nulls(value, self.nulls) for n, value in self.properties.items()}
            record |= {} if self.app_id is None else {"app_id": self.app_id}
        record |= {"_update_existing_only": True} if self.update_existing_only else {}
        return record

    @property
    def http(self) -> dict[str, Any]:
        """The config of the HTTP target that this is."""
        return {
            "path": PATH,
            "record": self.record,
            "records": self.objects,
            "batch": {"rows": self.batch_rows, "bytes": 4_000_000},
            "accepts": [200, 201],
            "refuses": [400, 413],
            "rejects": {"path": "errors", "index": "index", "message": "type"},
            "independent": True,
            "repeatable": self.objects == "attributes",
            "onUnknown": self.on_unknown,
            **({} if self.requests_per_second is None else {"requestsPerSecond": self.requests_per_second}),
        }


def settings_of(config: Mapping[str, Any]) -> HttpTarget:
    """A node's config, with the run's parameters filled in, as that of an HTTP target. Raises TargetError."""
    if found := list(_problems(config)):
        raise TargetError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    return HttpTarget.model_validate(BrazeTarget.model_validate(dict(config)).http)


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """All problems of a config, checked when it is saved; a run parameter may replace any value."""
    return [each for each in _problems(config) if not is_parameter(config, each)]


def context_of(context: Context) -> Context:
    """The context for the client of HTTP APIs. Raises TargetError(`bad_option`) without the REST endpoint."""
    found = context.connection
    url = found.config.get("restEndpoint") or found.config.get("url")
    if not isinstance(url, str):
        text = "The connector has no REST endpoint of Braze."
        raise TargetError("bad_option", text, "Set config.restEndpoint: https://rest.iad-01.braze.com.")
    kept = ("insecureLogin", "requestsPerSecond", "maxWaitSeconds")
    config: dict[str, Any] = {"url": url, "auth": {"type": "bearer"}}
    config |= {name: found.config[name] for name in kept if name in found.config}
    token = found.credentials.get("apiKey") or found.credentials.get("token")
    credentials = {} if token is None else {"token": token}
    return Context(Connection(found.id, found.type, config, credentials), context.surroundings)


def _problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    found = problems_of(BrazeTarget, dict(config))
    yield from found
    if not found:
        built = BrazeTarget.model_validate(dict(config))
        for each in http_problems(built.http):
            yield replace(each, path=_own_path(each.path))


def _own_path(path: str) -> str:
    """The place in this config of a problem of the template."""
    names = {"properties": "properties", "name": "event", "product_id": "product", "currency": "currency"}
    first, _, rest = path.removeprefix("config.record.").partition(".")
    if first in names:
        return f"config.{names[first]}" + (f".{rest}" if rest else "")
    return path.replace("config.record", "config.attributes")


def _column(name: str, data_type: str) -> dict[str, Any]:
    return {"$field": name, "type": data_type, "nulls": "reject"}


def _needed(value: Any) -> Any:
    return {"nulls": "reject", **value} if isinstance(value, dict) else value


def _with_nulls(value: Any, nulls: str) -> Any:
    """The value of a template; columns in it get the setting, unless they have one."""
    match value:
        case {"$field": _}:
            return {"nulls": nulls, **value}
        case dict():
            return {key: _with_nulls(each, nulls) for key, each in value.items()}
        case list():
            return [_with_nulls(each, "send") for each in value]
    return value
