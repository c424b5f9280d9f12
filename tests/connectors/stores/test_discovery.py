"""Discovery of file stores."""

from __future__ import annotations

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.registry import of_type
from tests.connectors.stores.conftest import made
from tests.connectors.stores.places import Place, context


def test_files_and_folders_are_listed_with_their_size_and_format(place: Place) -> None:
    place.add("orders.csv", b"id,at\n1,2024-01-31\n2,2024-02-01\n")
    place.add("2024/part one.parquet", b"x")
    place.add("2024/01/deep.csv.gz", b"x")
    connector = of_type(place.type)
    assert connector is not None
    found = connector.listed(context(place))
    assert [(each.name, each.kind, each.format, each.size) for each in found] == [
        ("2024/", "folder", None, None),
        ("orders.csv", "file", "csv", 32),
    ]
    within = connector.listed(context(place), "2024/")
    assert [each.name for each in within] == ["2024/", "2024/01/", "2024/part one.parquet"]
    assert [each.format for each in connector.listed(context(place), "2024/01/DEEP")] == ["csv"]
    seen = connector.described(context(place), "orders.csv")
    assert [(field.name, field.data_type) for field in seen.fields or ()] == [("id", "integer"), ("at", "date")]
    assert (seen.rows, seen.settings) == (2, {"path": "orders.csv"})
    with pytest.raises(SourceError, match="part one"):
        connector.described(context(place), "2024/part on.parquet")


def test_files_of_web_servers_are_listed(request: pytest.FixtureRequest) -> None:
    place = made("http_pull", request)
    place.add("orders.csv", b"id\n1\n")
    connector = of_type("http_pull")
    assert connector is not None
    assert [each.name for each in connector.listed(context(place))] == ["orders.csv"]
    seen = connector.described(context(place), "orders.csv")
    assert ([field.name for field in seen.fields or ()], seen.rows) == (["id"], 1)
