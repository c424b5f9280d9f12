"""The transform node, an ordered list of ops, and the enrich node, a column from another system."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails

from headrace.ir.base import ColumnName, Shorthand
from headrace.ir.nodes.base import SingleInput
from headrace.ir.ops import Op
from headrace.ir.ops.rows import Columns
from headrace.ir.problems import fault, nearest
from headrace.ir.providers import GeocodeConfig, HttpConfig, LlmTagConfig, MlScoreConfig, ProviderConfig
from headrace.ir.providers.configs import placeholders


class TransformNode(SingleInput):
    """Applies `ops` in order, each to the columns that the previous one produced. Without ops, rows pass unchanged."""

    kind: Literal["transform"]
    ops: tuple[Op, ...]
    """The ops, in order."""


def _none_if_empty(config: Any) -> Any:
    return None if config == {} else config


_EMPTY = Shorthand(lambda _: {"type": "object", "maxProperties": 0})


class EnrichNode(SingleInput):
    """Sends one request to `provider` for each distinct combination of `fields` and writes the answer into
    `outputField`. Rows whose fields are all null or blank get null without a request. Without `config`, or without
    the credential it names, no request is sent: all rows get null, and the run's log says so."""

    kind: Literal["enrich"]
    provider: str
    fields: Annotated[Columns, Field(min_length=1)]
    """The columns that are sent to the provider."""
    output_field: ColumnName
    """The new column."""
    config: ProviderConfig | None = None

    @field_validator("fields")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise fault("duplicate_column", "'fields' names a column twice", "name each once")
        return names

    @field_validator("config", mode="after")
    @classmethod
    def _templated(cls, config: ProviderConfig | None, info: ValidationInfo) -> ProviderConfig | None:
        """Checks that the placeholders of the URL are fields of the node."""
        if config is None or not config.fields_in_url or "fields" not in info.data:
            return config
        fields, found = info.data["fields"], placeholders(config.url)
        unknown = [name for name in found if name not in fields]
        if unknown:
            message = f"'{{{unknown[0]}}}' is none of the node's fields"
            raise _at_url(config.url, fault("unknown_placeholder", message, nearest(unknown[0], fields)))
        if not found and getattr(config, "method", "GET") == "GET":
            message = "The URL names no field, so every row would send the same request"
            raise _at_url(config.url, fault("no_placeholder", message, f"for example …?q={{{fields[0]}}}"))
        return config


def _at_url(url: str, error: Any) -> ValidationError:
    details = InitErrorDetails(type=error, loc=("url",), input=url)
    return ValidationError.from_exception_data("config", [details])


class LlmTagNode(EnrichNode):
    """`provider: "llm_tag"`."""

    provider: Literal["llm_tag"]
    config: Annotated[LlmTagConfig | None, BeforeValidator(_none_if_empty), _EMPTY] = None
    """The settings of the provider."""


class GeocodeNode(EnrichNode):
    """`provider: "geocode"`."""

    provider: Literal["geocode"]
    config: Annotated[GeocodeConfig | None, BeforeValidator(_none_if_empty), _EMPTY] = None
    """The settings of the provider."""


class MlScoreNode(EnrichNode):
    """`provider: "ml_score"`."""

    provider: Literal["ml_score"]
    config: Annotated[MlScoreConfig | None, BeforeValidator(_none_if_empty), _EMPTY] = None
    """The settings of the provider."""


class HttpNode(EnrichNode):
    """`provider: "http"`."""

    provider: Literal["http"]
    config: Annotated[HttpConfig | None, BeforeValidator(_none_if_empty), _EMPTY] = None
    """The settings of the provider."""


AnyEnrichNode = Annotated[LlmTagNode | GeocodeNode | MlScoreNode | HttpNode, Field(discriminator="provider")]
