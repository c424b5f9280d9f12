"""Every format in every place that keeps files passes the tests that all sources pass.

`make test` tries every format on the local disk and one in every place; `make test-all` tries all pairs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connection, Connector, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.registry import connectors
from tests.connectors.conformance.matrix import FORMATS, PLACES, ROWS, Format, content
from tests.connectors.stores.conftest import made
from tests.connectors.stores.places import context

_IN_EVERY_PLACE = ("csv",)
_PAIRS = [
    pytest.param(
        (place, name),
        id=f"{place}-{name}",
        marks=() if place == "local_fs" or name in _IN_EVERY_PLACE else pytest.mark.slow,
    )
    for place in PLACES
    for name in FORMATS
]


class TestFiles(SourceConformance):
    numbers = "id"
    rows = ROWS

    @pytest.fixture(autouse=True, params=_PAIRS)
    def _file(self, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        self.kind, name = request.param
        self.folder = tmp_path
        self.place = None if self.kind == "local_fs" else made(self.kind, request)
        self.format: Format = FORMATS[name]
        self._put(self.format.name, content(self.format))

    @property
    def connector(self) -> Connector:  # type: ignore[override]
        return connectors()[self.kind]

    def _put(self, name: str, data: bytes) -> None:
        if self.place is None:
            (self.folder / name).write_bytes(data)
        else:
            self.place.add(name, data)

    def context(self) -> Context:
        return self._context(self.format.name)

    def _context(self, name: str) -> Context:
        settings = {"path": name, **self.format.settings}
        if self.place is None:
            root = Surroundings(FilesRoot(self.folder), scratch=self.folder)
            return Context(Connection("conn_1", "local_fs"), root, settings, self.format.fields)
        opened = context(self.place, settings)
        return Context(opened.connection, opened.surroundings, settings, self.format.fields)

    def broken(self) -> list[Context]:
        return [self._context("no-such-file" + self.format.name)]

    def change(self) -> bool:
        self._put(self.format.name, content(self.format, rows=250))
        return True
