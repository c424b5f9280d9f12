"""What every provider's `config` has: where it is asked, with which key, how patiently, and what an answer is."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from ir.base import Doc
from ir.datatypes import DataType
from ir.problems import fault
from ir.secrets import SecretReference, secret_name

_SECRET = "enrich"  # noqa: S105 - the beginning of a name
_URL = re.compile(r"https?://[^\s/?#@{}]+([/?][^\s#]*)?")
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def _own_secret(reference: str) -> str:
    # It is sent to wherever the document says: a database's password must not be.
    if not (name := secret_name(reference)).startswith(_SECRET):
        hint = f"name it so in the authConfig of the pipeline's connector, for example {_SECRET}ApiKey"
        raise fault("invalid_secret", f"'{name}' does not begin with '{_SECRET}'", hint)
    return reference


def placeholders(url: str) -> list[str]:
    """The names in the braces of a URL."""
    return PLACEHOLDER.findall(url)


ApiKey = Annotated[SecretReference, AfterValidator(_own_secret)]
"""`${credentials.NAME}`, NAME beginning with `enrich`."""


def _address(url: str) -> str:
    if not _URL.fullmatch(url):
        hint = "for example https://api.example.com/v1: no user name and no '#'; braces stand behind the host only"
        raise fault("invalid_url", f"'{url}' is not an address that can be asked", hint)
    return url


def _plain_address(url: str) -> str:
    if placeholders(_address(url)):
        raise fault("invalid_url", "This provider is asked at one address", "leave the braces out")
    return url


Url = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_plain_address)]
"""An http(s) address."""

UrlTemplate = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_address)]
"""An http(s) address with `{field}` in its path or query, never in its host."""

Pointer = Annotated[str, StringConstraints(pattern=r"^(/.*)?$", max_length=1000)]
"""A place in JSON, by RFC 6901: `/results/0/score`; empty for all of it."""

OnError = Literal["null", "quarantine", "abort"]


class ProviderConfig(Doc):
    """`apiKey` goes into the header `apiKeyHeader`, or into the parameter `apiKeyParam` of the query; without either it
    is `Authorization: Bearer …`. Lost connections, 408, 425, 429 and 5xx are tried again, `maxAttempts` times in all,
    after `Retry-After` where the answer says it. At most `maxConnections` requests are under way in a process, and
    `requestsPerSecond` begin.

    `dataType` is what an answer is read as. A value without a usable one gives null (`null`: how many there are is
    told once), sends its rows to the errors (`quarantine`), or fails the run (`abort`)."""

    asks_by_template: ClassVar[bool] = False
    """Whether fields get into the request by the placeholders of the URL alone."""

    url: str
    """Where it is asked."""
    api_key: ApiKey | None = None
    """A credential of the pipeline's connector whose name begins with `enrich`."""
    api_key_header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$")] | None = None
    """The header for the key."""
    api_key_param: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] | None = None
    """The parameter for the key."""
    data_type: DataType = "text"
    """What an answer is read as."""
    on_error: OnError = "null"
    """What becomes of a value without a usable answer."""
    timeout_seconds: int = Field(default=30, ge=1, le=600)
    """For one request."""
    max_connections: int = Field(default=8, ge=1, le=64)
    """Requests under way in a process."""
    max_attempts: int = Field(default=5, ge=1, le=10)
    """The first one included."""
    requests_per_second: float | None = Field(default=None, gt=0, le=1000)
    """That begin, of a process."""

    @model_validator(mode="after")
    def _one_place_for_the_key(self) -> ProviderConfig:
        if self.api_key_header is not None and self.api_key_param is not None:
            raise fault("two_places", "'apiKeyHeader' and 'apiKeyParam' are both given", "leave one out")
        return self
