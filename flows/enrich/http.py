"""`http`: one request for each question, one value out of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.enrich.base import Answer, Inputs, Request, filled_in, typed
from ir.providers import HttpConfig


class Http:
    """See Provider."""

    together = 1

    def __init__(self, config: HttpConfig) -> None:
        self._config = config

    def request(self, questions: Sequence[Inputs]) -> Request:
        """The fields in the URL; posted, as a JSON object too."""
        (inputs,) = questions
        body = dict(inputs) if self._config.method == "POST" else None
        return Request(self._config.method, filled_in(self._config.url, inputs), body)

    def answers(self, said: Any, questions: Sequence[Inputs]) -> list[Answer]:
        """What the pointer leads to."""
        return [typed(self._config, self._config.pointer, said)]
