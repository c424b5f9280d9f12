"""The enrich node: a column that another system answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails

from ir.base import ColumnName, Shorthand
from ir.nodes.base import SingleInput
from ir.ops.ordering import Columns
from ir.problems import fault, nearest
from ir.providers import GeocodeConfig, HttpConfig, LlmTagConfig, MlScoreConfig, ProviderConfig
from ir.providers.base import placeholders


def _none_if_empty(config: Any) -> Any:
    return None if config == {} else config


_EMPTY = Shorthand(lambda _: {"type": "object", "maxProperties": 0})


class EnrichNode(SingleInput):
    """Asks `provider` for each distinct combination of `fields` and writes its answer into `outputField`. Rows whose
    fields are all null or blank are not asked for. Without `config`, and without the credential it names, nobody is
    asked: rows pass with null, and the run's log says so."""

    kind: Literal["enrich"]
    provider: str
    fields: Annotated[Columns, Field(min_length=1)]
    """The columns that are asked about."""
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
        """The placeholders of a URL are fields."""
        if config is None or not config.asks_by_template or "fields" not in info.data:
            return config
        fields, found = info.data["fields"], placeholders(config.url)
        unknown = [name for name in found if name not in fields]
        if unknown:
            message = f"'{{{unknown[0]}}}' is none of the node's fields"
            raise _at_url(config.url, fault("unknown_placeholder", message, nearest(unknown[0], fields)))
        if not found and getattr(config, "method", "GET") == "GET":
            message = "The URL names no field, so that every row would ask the same"
            raise _at_url(config.url, fault("no_placeholder", message, f"for example …?q={{{fields[0]}}}"))
        return config


def _at_url(url: str, error: Any) -> ValidationError:
    details = InitErrorDetails(type=error, loc=("url",), input=url)
    return ValidationError.from_exception_data("config", [details])


class LlmTagNode(EnrichNode):
    """`provider: "llm_tag"`."""

    provider: Literal["llm_tag"]
    config: Annotated[LlmTagConfig | None, BeforeValidator(_none_if_empty), _EMPTY] = None
    """How it is asked."""


class GeocodeNode(EnrichNode):
    """`provider: "geocode"`."""

    provider: Literal["geocode"]
    config: Annotated[GeocodeConfig | None, BeforeValidator(_none_if_empty), _EMPTY] = None
    """How it is asked."""


class MlScoreNode(EnrichNode):
    """`provider: "ml_score"`."""

    provider: Literal["ml_score"]
    config: Annotated[MlScoreConfig | None, BeforeValidator(_none_if_empty), _EMPTY] = None
    """How it is asked."""


class HttpNode(EnrichNode):
    """`provider: "http"`."""

    provider: Literal["http"]
    config: Annotated[HttpConfig | None, BeforeValidator(_none_if_empty), _EMPTY] = None
    """How it is asked."""


AnyEnrichNode = Annotated[LlmTagNode | GeocodeNode | MlScoreNode | HttpNode, Field(discriminator="provider")]
