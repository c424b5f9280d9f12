"""What a connector type is: its name, the config it needs as a typed model, and what it becomes in an IR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from ir.problems import Problem, nearest

Category = Literal["files", "database", "warehouse", "stream", "crm", "marketing", "commerce", "web"]
AuthMethod = Literal["none", "access_key", "iam_role", "basic", "token", "oauth2", "service_account", "key_pair"]

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Address = Annotated[Text, Field(json_schema_extra={"x-address": True})]
"""Decides where credentials are sent: whoever changes it has to give them again."""
Port = Annotated[int, Field(ge=1, le=65535, json_schema_extra={"x-address": True})]
Url = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^https?://[^\s/?#]+", max_length=2000),
    Field(json_schema_extra={"x-address": True}),
]


class Config(BaseModel):
    """Settings of a connector as JSON. Settings it does not name are kept: the reference pages show some by example."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", hide_input_in_errors=True)


class ClosedConfig(Config):
    """Settings of a connector all of which are known, so that a misspelt one is told."""

    model_config = ConfigDict(extra="forbid")


class AnyCredentials(Config):
    """Credentials whose fields depend on the auth method."""


@dataclass(frozen=True, slots=True)
class ConnectorType:
    """One type. `source` is the connector of an IR's source node that reads through it; None for one that is only
    written to or called."""

    name: str
    title: str
    category: Category
    summary: str
    config: type[Config]
    source: str | None
    auth: type[Config] = AnyCredentials
    auth_methods: tuple[AuthMethod, ...] = ("access_key",)

    @property
    def config_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of `config`."""
        return _json_schema(self.config)

    @property
    def auth_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of `authConfig`."""
        return _json_schema(self.auth)

    @property
    def setting_names(self) -> tuple[str, ...]:
        """The settings it knows by name."""
        return tuple(self.config_schema["properties"])

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Everything that is wrong with a config, credentials written into it included."""
        return problems_of(self.config, dict(config))

    def address(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a config that decides where credentials are sent."""
        properties = self.config_schema["properties"]
        named = (name for name, schema in properties.items() if _is_address(schema))
        return {name: config[name] for name in named if config.get(name) is not None}


def problems_of(model: type[Config], settings: object, *, path: str = "config") -> list[Problem]:
    """Everything that is wrong with settings that should be a `model`; `path` is where in the document they stand."""
    try:
        model.model_validate(settings)
    except ValidationError as error:
        return [_problem(model, path, each) for each in error.errors(include_url=False, include_input=False)]
    return []


def one_of(*names: str) -> dict[str, Any]:
    """For a model's `json_schema_extra`: at least one of these must be given."""
    return {"anyOf": [{"required": [name]} for name in names]}


def _json_schema(model: type[Config]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    schema.pop("description", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {}, **schema}


def _is_address(schema: Mapping[str, Any]) -> bool:
    return any(each.get("x-address") for each in (schema, *schema.get("anyOf", ())))


def _problem(model: type[Config], path: str, error: ErrorDetails) -> Problem:
    path = ".".join([path, *(str(step) for step in error["loc"])])
    name = str(error["loc"][-1]) if error["loc"] else ""
    known = [field.alias or key for key, field in model.model_fields.items()]
    match error["type"]:
        case "missing":
            return Problem(path, "missing_field", f"'{name}' is required", f"add '{name}'")
        case "extra_forbidden":
            return Problem(path, "unknown_field", f"Unknown setting '{name}'", nearest(name, known))
    context = error.get("ctx", {})
    if "text" in context:  # raised by ir.problems.fault
        return Problem(path, error["type"], str(context["text"]), str(context.get("hint", "")))
    return Problem(path, error["type"], error["msg"])
