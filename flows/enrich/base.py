"""What a provider is to those who ask it: requests out of values, values out of answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import quote

from connectors.egress import Network
from ir.datatypes import DataType
from ir.providers import ProviderConfig
from ir.providers.base import PLACEHOLDER

Inputs = Mapping[str, str | int | float | bool | None]
"""The fields of one question, by name."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent; `body` as JSON where there is one."""

    method: Literal["GET", "POST"]
    url: str
    body: Any = None


class Unanswered(Exception):
    """There is no usable answer. `reason` never holds a value of a row; `detail`, what the provider said, may.
    `passing`: the same question may have one later."""

    def __init__(self, reason: str, detail: str = "", *, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.passing = reason, detail, passing


Answer = str | None | Unanswered
"""An answer as text, ready to be read as its data type; None where the provider knows of none."""


class Provider(Protocol):
    """One kind of system, as a node's `config` says."""

    def __init__(self, config: Any) -> None: ...

    @property
    def together(self) -> int:
        """How many questions one request may hold."""

    def request(self, questions: Sequence[Inputs]) -> Request:
        """The request for that many questions at most."""

    def answers(self, said: Any, questions: Sequence[Inputs]) -> list[Answer]:
        """One answer for each question, out of the decoded JSON. Raises Unanswered when it is none for any."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What a run lends to its nodes that ask others: the networks besides the public internet that may be dialled,
    and its wish to stop. `reasons` keeps why a node had no answer, the last time."""

    networks: tuple[Network, ...] = ()
    stopped: threading.Event = field(default_factory=threading.Event)
    reasons: dict[str, str] = field(default_factory=dict)


class Interrupted(Exception):
    """The run stops: nobody waits for answers any more."""


def filled_in(template: str, inputs: Inputs) -> str:
    """The URL with each `{field}` as its value, escaped; nothing for null."""
    return PLACEHOLDER.sub(lambda found: quote(plain(inputs[found[1]]), safe=""), template)


def plain(value: str | int | float | bool | None) -> str:
    """A value as a person would write it; nothing for null."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value)


def at(said: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to; None where nothing is there."""
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
    """A JSON value as an answer: texts as they are, the rest as JSON; everything as JSON where that is the type."""
    if value is None:
        return None
    if isinstance(value, str) and data_type != "json":
        return value
    return json.dumps(value, ensure_ascii=False)


def typed(config: ProviderConfig, pointer: str, said: Any) -> Answer:
    """What the pointer leads to, as an answer."""
    return as_answer(at(said, pointer), config.data_type)
