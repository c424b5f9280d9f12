"""The connectors that send rows to an API, by their names in target nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.connectors.braze import target as braze
from headrace.connectors.connector import Context
from headrace.connectors.errors import TargetError
from headrace.connectors.http.target import settings as http
from headrace.connectors.http.target.settings import HttpTarget
from headrace.connectors.http.target.target import ApiTarget
from headrace.connectors.specs.base import Config
from headrace.ir.problems import Problem


@dataclass(frozen=True, slots=True)
class ApiConnector:
    """A kind of API."""

    name: str
    """Its name in target nodes: `http`."""
    types: tuple[str, ...]
    """The types of its connector records."""
    settings: type[Config]
    """The model of a target node's `config`."""
    problems: Callable[[Mapping[str, Any]], list[Problem]]
    """All problems of a config; paths begin with `config`."""
    settings_of: Callable[[Mapping[str, Any]], HttpTarget]
    """The requests of a config. Raises TargetError."""
    context_of: Callable[[Context], Context] = lambda context: context
    """The context for the client. Raises TargetError."""

    def target(self, context: Context) -> ApiTarget:
        """The target of a node, by its config in `context.settings`; does not connect. Raises TargetError."""
        found = context.connection
        if found.type not in self.types:
            raise TargetError(
                "wrong_connection",
                f"'{self.name}' sends through a connector of type {' or '.join(self.types)}; {found.id} is of type "
                f"{found.type}.",
                "Name another one in the target's `connection`.",
            )
        return ApiTarget(self.context_of(context), self.settings_of(context.settings))


API_TARGETS: Mapping[str, ApiConnector] = {
    each.name: each
    for each in (
        ApiConnector("http", ("rest_api",), HttpTarget, http.problems, http.settings_of),
        ApiConnector(
            "braze", ("braze",), braze.BrazeTarget, braze.problems, braze.settings_of, context_of=braze.context_of
        ),
    )
}
