"""A connector type: its name, the typed model of its config, and the connector of source nodes it corresponds to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, JsonValue, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, ErrorDetails

from headrace.ir.base import refuse_booleans
from headrace.ir.problems import MAX_PROBLEMS, Problem, nearest

Category = Literal["files", "database", "warehouse", "stream", "crm", "marketing", "commerce", "web"]
AuthMethod = Literal["none", "access_key", "iam_role", "basic", "token", "oauth2", "service_account", "key_pair"]

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Port = Annotated[int, Field(ge=1, le=65535)]
Url = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^https?://[^\s/?#]+", max_length=2000)]

_ADDRESS = "x-address"
HARMLESS: dict[str, JsonValue] = {_ADDRESS: False}
"""For a field's `json_schema_extra`: the setting does not influence where, or how safely, credentials are sent. All
other settings are assumed to: changing one requires to enter the credentials again."""


class Config(BaseModel):
    """Settings of a connector as JSON. Unknown settings are kept: the reference pages show some by example."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", hide_input_in_errors=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        refuse_booleans(schema)
        return schema


class ClosedConfig(Config):
    """Settings of a connector that rejects unknown settings, to catch typing errors."""

    model_config = ConfigDict(extra="forbid")


class AnyCredentials(Config):
    """Credentials whose fields depend on the auth method."""


def no_auth_problems(config: Mapping[str, Any], credentials: Mapping[str, Any]) -> list[Problem]:
    """No problems: the credentials are tried by a connection test."""
    del config, credentials
    return []


@dataclass(frozen=True, slots=True)
class ConnectorType:
    """One connector type. `source` is the connector that source nodes of the IR use with it; None if it is only written
    to or called."""

    name: str
    title: str
    category: Category
    summary: str
    config: type[Config]
    source: str | None
    auth: type[Config] = AnyCredentials
    auth_methods: tuple[AuthMethod, ...] = ("access_key",)
    auth_problems: Callable[[Mapping[str, Any], Mapping[str, Any]], list[Problem]] = no_auth_problems
    """The problems of credentials, with the config, that can be found when they are saved."""

    @property
    def config_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of `config`."""
        schema = _json_schema(self.config)
        for each in schema["properties"].values():
            if not each.setdefault(_ADDRESS, True):
                del each[_ADDRESS]
        return schema

    @property
    def auth_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of `authConfig`."""
        return _json_schema(self.auth)

    @property
    def setting_names(self) -> tuple[str, ...]:
        """The names of its known settings."""
        return tuple(self.config_schema["properties"])

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """All problems of a config, including credentials written into it."""
        return problems_of(self.config, dict(config))

    def address(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that decide where, and how safely, credentials are sent: all settings, defaults and unknown ones
        included, except those declared harmless."""
        harmless = {name for name, each in self.config_schema["properties"].items() if not each.get(_ADDRESS)}
        try:
            whole = self.config.model_validate(dict(config)).model_dump(by_alias=True, mode="json")
        except ValidationError:  # stored by an older release with fewer requirements
            whole = dict(config)
        return {name: value for name, value in whole.items() if name not in harmless and value is not None}


def problems_of(model: type[Config], settings: object, *, path: str = "config") -> list[Problem]:
    """All problems of settings that should be a `model`; `path` is their path in the document."""
    try:
        model.model_validate(settings)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        return [_problem(model, path, each) for each in found[:MAX_PROBLEMS]]
    return []


def one_of(*names: str) -> dict[str, Any]:
    """For a model's `json_schema_extra`: at least one of these must be given."""
    return {"anyOf": [{"required": [name]} for name in names]}


def _json_schema(model: type[Config]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    schema.pop("description", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {}, **schema}


def _problem(model: type[Config], path: str, error: ErrorDetails) -> Problem:
    path = ".".join([path, *(str(step) for step in error["loc"])])
    name = str(error["loc"][-1]) if error["loc"] else ""
    match error["type"]:
        case "missing":
            return Problem(path, "missing_field", f"'{name}' is required", f"add '{name}'")
        case "extra_forbidden":
            known = _settings_at(model, error["loc"][:-1])
            return Problem(path, "unknown_field", f"Unknown setting '{name}'", nearest(name, known))
    context = error.get("ctx", {})
    if "text" in context:  # raised by ir.problems.fault
        return Problem(path, error["type"], str(context["text"]), str(context.get("hint", "")))
    return Problem(path, error["type"], error["msg"])


def _settings_at(model: type[Config], steps: Sequence[str | int]) -> list[str]:
    """The settings that an object at that place may have."""
    kinds: list[Any] = [model]
    for step in steps:
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    models = [each for kind in kinds for each in _alternatives(kind) if isinstance(each, type)]
    fields = [each.model_fields for each in models if issubclass(each, BaseModel)]
    return list(dict.fromkeys(field.alias or name for known in fields for name, field in known.items()))


def _inside(kind: Any, step: str | int) -> Iterator[Any]:
    """The annotations of what is at a step into a value of an annotation."""
    for each in _alternatives(kind):
        if get_origin(each) in (list, dict):
            yield get_args(each)[-1]
        elif isinstance(each, type) and issubclass(each, BaseModel):
            yield from (field.annotation for name, field in each.model_fields.items() if step in (name, field.alias))


def _alternatives(kind: Any) -> Iterator[Any]:
    if get_origin(kind) in (Union, UnionType):
        for each in get_args(kind):
            yield from _alternatives(each)
    elif get_origin(kind) is Annotated:
        yield from _alternatives(get_args(kind)[0])
    else:
        yield kind
