"""HTTP APIs pass the conformance tests of sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from headrace.connectors.http.connector import REST_API
from tests.connectors.http.api_server import ApiServer, numbered
from tests.connectors.http.conftest import api
from tests.connectors.http.opening import PAGINATION, context, paged

__all__ = ["api"]


class _Api(SourceConformance):
    connector: ClassVar[Connector] = REST_API
    numbers = "id"
    rows = 450
    settings: dict[str, Any]

    @pytest.fixture(autouse=True)
    def _served(self, api: ApiServer) -> None:
        self.api = api
        api.key = ("Authorization", "Bearer t-of-the-tests")
        api.records["orders"] = numbered(450)

    def context(self) -> Context:
        return self._context(self.settings)

    def _context(self, settings: dict[str, Any], token: str = "t-of-the-tests") -> Context:
        test = {"path": "/token/orders", "records": "items"}
        return context(self.api, settings, credentials={"token": token}, test=test)

    def broken(self) -> Sequence[Context]:
        return (
            self._context(self.settings, token="not-this-one"),
            self._context({"path": "/nowhere"}),
            self._context({**self.settings, "records": "nothing"}),
            self._context(paged("token", maxPages=2)),
            self._context({"pagination": {"type": "page"}}),
        )


class TestPages(_Api):
    @pytest.fixture(autouse=True, params=PAGINATION)
    def _way(self, request: pytest.FixtureRequest) -> None:
        self.settings = paged(request.param)


@pytest.mark.slow
class TestKey(_Api):
    settings = paged("token", key=["id"])


class TestCursor(_Api):
    settings = paged("token", cursor={"field": "at"}, params={"since": "{cursor}"})


@pytest.mark.slow
class TestParents(_Api):
    settings = paged(
        "token", "{parent.id}", parent={**paged("token", "parents"), "keys": ["id"], "include": {"of": "id"}}
    )

    @pytest.fixture(autouse=True)
    def _parents(self, _served: None) -> None:
        self.api.records["parents"] = [f'{{"id": "p{n}"}}' for n in range(9)]
        self.api.records |= {f"p{n}": numbered(50, begin=50 * n + 1) for n in range(9)}
