"""Every format in every place that keeps files passes the tests that all sources pass."""

from __future__ import annotations

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connection, Connector, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.registry import connectors
from tests.connectors.conformance.matrix import FORMATS, PLACES, ROWS, Format, content
from tests.connectors.stores.conftest import made
from tests.connectors.stores.places import context


class TestFiles(SourceConformance):
    numbers = "id"
    rows = ROWS

    @pytest.fixture(autouse=True, params=PLACES)
    def _place(self, request: pytest.FixtureRequest, tmp_path) -> None:  # type: ignore[no-untyped-def]
        self.kind, self.folder = request.param, tmp_path
        self.place = None if request.param == "local_fs" else made(request.param, request)

    @pytest.fixture(autouse=True, params=list(FORMATS))
    def _format(self, request: pytest.FixtureRequest, _place: None) -> None:
        self.format: Format = FORMATS[request.param]
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
