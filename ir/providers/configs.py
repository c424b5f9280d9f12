"""The `config` models of enrich providers: geocode, http, llm_tag, ml_score, and what they share."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from headrace.ir.base import Doc
from headrace.ir.problems import fault
from headrace.ir.schema import DataType
from headrace.ir.secrets import ApiKey
from headrace.ir.web_address import check_web_address

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def placeholders(url: str) -> list[str]:
    """Returns the names in braces of a URL."""
    return PLACEHOLDER.findall(url)


def _plain_address(url: str) -> str:
    if placeholders(check_web_address(url)):
        raise fault("invalid_url", "This provider has one address", "leave the braces out")
    return url


Url = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_plain_address)]
"""An http(s) address."""

UrlTemplate = Annotated[str, StringConstraints(max_length=2000), AfterValidator(check_web_address)]
"""An http(s) address with `{field}` in its path or query, never in its host."""

Pointer = Annotated[str, StringConstraints(pattern=r"^(/.*)?$", max_length=1000)]
"""A JSON Pointer (RFC 6901) such as `/results/0/score`; empty for the whole document."""

OnError = Literal["null", "quarantine", "abort"]


class ProviderConfig(Doc):
    """`apiKey` is sent in the header `apiKeyHeader`, or in the query parameter `apiKeyParam`; by default as
    `Authorization: Bearer …`. Lost connections, 408, 425, 429 and 5xx are retried, up to `maxAttempts` attempts, after
    the time in `Retry-After` if there is one. A process has at most `maxConnections` open requests and starts at most
    `requestsPerSecond`.

    `dataType` is the type of an answer. Without a usable answer, rows get null (`null`: the number is logged once),
    become errors (`quarantine`), or fail the run (`abort`)."""

    fields_in_url: ClassVar[bool] = False
    """Whether the request has its fields only in the placeholders of the URL."""

    url: str
    """The address of the provider."""
    api_key: ApiKey | None = None
    """A credential of the pipeline's connector whose name begins with `enrich`, with the hosts it may be sent to."""
    api_key_header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$")] | None = None
    """The header for the key."""
    api_key_param: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] | None = None
    """The query parameter for the key."""
    data_type: DataType = "text"
    """The type of an answer."""
    on_error: OnError = "null"
    """What to do with rows without a usable answer."""
    timeout_seconds: int = Field(default=30, ge=1, le=600)
    """The time limit of one request, in seconds."""
    max_connections: int = Field(default=8, ge=1, le=64)
    """The largest number of open requests of a process."""
    max_attempts: int = Field(default=5, ge=1, le=10)
    """The largest number of attempts, including the first."""
    requests_per_second: float | None = Field(default=None, gt=0, le=1000)
    """The largest number of requests that a process starts per second."""

    @model_validator(mode="after")
    def _one_place_for_the_key(self) -> ProviderConfig:
        if self.api_key_header is not None and self.api_key_param is not None:
            raise fault("two_places", "'apiKeyHeader' and 'apiKeyParam' are both given", "leave one out")
        return self


class GeocodeConfig(ProviderConfig):
    """Asks a geocoder that answers like Nominatim, OpenCage, Google or in GeoJSON (Photon, Mapbox, Pelias), and takes
    its first result: `{"lat": …, "lon": …, "address": …}`, or the part at `pointer` (`/lat`). An unknown address gives
    null."""

    fields_in_url: ClassVar[bool] = True
    url: UrlTemplate
    """The address, with `{field}` in its path or query."""
    pointer: Pointer = ""
    """The part of the result to take (RFC 6901)."""
    data_type: DataType = "json"
    """The type of an answer."""


class HttpConfig(ProviderConfig):
    """Sends GET to `url`, or POST with the fields as a JSON object, and takes the value at `pointer` in the answer, or
    null if there is none. `{field}` in the URL is replaced by the field's value."""

    fields_in_url: ClassVar[bool] = True
    method: Literal["GET", "POST"] = "GET"
    """The HTTP method."""
    url: UrlTemplate
    """The address, with `{field}` in its path or query."""
    pointer: Pointer = ""
    """The part of the answer to take (RFC 6901)."""


Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class LlmTagConfig(ProviderConfig):
    """Asks `model` at `url`, an API compatible with OpenAI's chat completions, for the one of `labels` that fits the
    fields best. `prompt` adds instructions. An answer that is none of the labels is unusable. `apiKey: null` sends no
    key."""

    url: Url = "https://api.openai.com/v1/chat/completions"
    """The address of an API compatible with OpenAI's chat completions."""
    api_key: ApiKey | None = "${credentials.enrichApiKey}"
    """A credential of the pipeline's connector; null sends no key."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The model's name."""
    labels: tuple[Label, ...] = Field(min_length=1, max_length=200)
    """The labels to choose from."""
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=10_000)] | None = None
    """Instructions for the choice."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) < len(labels):
            raise fault("duplicate_label", "'labels' has one twice", "give each label once")
        return labels


class MlScoreConfig(ProviderConfig):
    """Posts `{"instances": […]}` and reads `{"predictions": […]}`, as TensorFlow Serving, Vertex AI and KServe (V1) do,
    for `batchSize` values at a time. An instance is an object of the fields, or with `instance: "array"` the list of
    their values. `pointer` is the place of the score in a prediction."""

    url: Url
    """The address of the model."""
    instance: Literal["object", "array"] = "object"
    """The form of an instance."""
    batch_size: int = Field(default=100, ge=1, le=10_000)
    """The number of instances in a request."""
    pointer: Pointer = ""
    """The part of a prediction to take (RFC 6901)."""
    data_type: DataType = "double"
    """The type of a score."""
