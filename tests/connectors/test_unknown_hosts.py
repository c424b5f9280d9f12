"""A host that no name server knows is told by its name, by every database."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.registry import of_type
from tests.connectors.nowhere import HOST, PLACES, credentials


@pytest.mark.parametrize("kind", sorted(PLACES))
def test_a_host_that_is_unknown_is_told_by_its_name(kind: str) -> None:
    connector = of_type(kind)
    assert connector is not None
    connection = Connection("conn_1", kind, PLACES[kind], credentials(kind))
    with pytest.raises(SourceError) as error:
        connector.tried(Context(connection, Surroundings(FilesRoot(Path("/nowhere")))))
    assert error.value.code == "unknown_host", error.value
    assert HOST in error.value.message
    assert error.value.hint
    assert "hunter2" not in str(error.value)
