"""The interface of providers: requests made from values, and values read from answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import quote

from headrace.connectors.network.egress import Network
from headrace.ir.providers import ProviderConfig
from headrace.ir.providers.configs import PLACEHOLDER
from headrace.ir.schema import DataType

Inputs = Mapping[str, str | int | float | bool | None]
"""The fields of one question, by name."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request; `body` is sent as JSON unless None."""

    method: Literal["GET", "POST"]
    url: str
    body: Any = None


class Unanswered(Exception):
    """There is no usable answer. `reason` never holds a value of a row; `detail`, the provider's text, may. `passing`:
    the same question may be answered later."""

    def __init__(self, reason: str, detail: str = "", *, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.passing = reason, detail, passing


Answer = str | None | Unanswered
"""An answer as text, to be read as its data type; None if the provider has none."""


class Provider(Protocol):
    """One kind of provider, made from a node's `config`."""

    def __init__(self, config: Any) -> None: ...

    @property
    def together(self) -> int:
        """The most questions per request."""

    def request(self, questions: Sequence[Inputs]) -> Request:
        """The request for at most `together` questions."""

    def answers(self, said: Any, questions: Sequence[Inputs]) -> list[Answer]:
        """One answer per question, from the decoded JSON of a response. Raises Unanswered when it has none for any."""


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """A run's access to providers: `networks` that may be reached besides the public internet, and `stopped`, which is
    set when the run stops. `reasons` has the last reason why a node had no answer, by node."""

    networks: tuple[Network, ...] = ()
    stopped: threading.Event = field(default_factory=threading.Event)
    reasons: dict[str, str] = field(default_factory=dict)


class Interrupted(Exception):
    """The run stops, so answers are not needed any more."""


def filled_in(template: str, inputs: Inputs) -> str:
    """The URL with each `{field}` replaced by its value, escaped; empty for null."""
    return PLACEHOLDER.sub(lambda found: quote(plain(inputs[found[1]]), safe=""), template)


def plain(value: str | int | float | bool | None) -> str:
    """A value as text; empty for null."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value)


def at(said: Any, pointer: str) -> Any:
    """The value at a JSON pointer (RFC 6901); None where there is none."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(said, Mapping):
            said = said.get(name)
        elif isinstance(said, list) and name.isdecimal() and int(name) < len(said):
            said = said[int(name)]
        else:
            return None
    return said


def as_answer(value: Any, data_type: DataType) -> str | None:
    """A JSON value as an answer: strings as they are, other values as JSON; all as JSON for data type `json`."""
    if value is None:
        return None
    if isinstance(value, str) and data_type != "json":
        return value
    return json.dumps(value, ensure_ascii=False)


def typed(config: ProviderConfig, pointer: str, said: Any) -> Answer:
    """The value at the pointer, as an answer."""
    return as_answer(at(said, pointer), config.data_type)
