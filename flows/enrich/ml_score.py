"""`ml_score`: predictions for many instances at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.enrich.base import Answer, Inputs, Request, Unanswered, at, typed
from ir.providers import MlScoreConfig


class MlScore:
    """See Provider."""

    def __init__(self, config: MlScoreConfig) -> None:
        self._config = config
        self.together = config.batch_size

    def request(self, questions: Sequence[Inputs]) -> Request:
        """`{"instances": […]}`"""
        as_list = self._config.instance == "array"
        instances = [list(inputs.values()) if as_list else dict(inputs) for inputs in questions]
        return Request("POST", self._config.url, {"instances": instances})

    def answers(self, said: Any, questions: Sequence[Inputs]) -> list[Answer]:
        """One of `{"predictions": […]}` for each."""
        found = at(said, "/predictions")
        if not isinstance(found, list) or len(found) != len(questions):
            many = f"{len(found)} predictions" if isinstance(found, list) else "no predictions"
            raise Unanswered(f"the answer has {many} for {len(questions)} instances")
        return [typed(self._config, self._config.pointer, prediction) for prediction in found]
