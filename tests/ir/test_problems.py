"""Hints of problems."""

from __future__ import annotations

import pytest

from headrace.ir.problems import nearest_column


@pytest.mark.parametrize(("header", "mark"), [("id;name;amount", '";"'), ("id\tname", '"\\t"'), ("id|name", '"|"')])
def test_a_header_that_was_read_as_one_column_is_told_by_the_delimiter_in_it(header: str, mark: str) -> None:
    assert nearest_column("name", [header]).endswith(f"set options.delimiter to {mark}")


def test_columns_are_named_otherwise() -> None:
    assert nearest_column("amont", ["amount", "id"]) == "did you mean 'amount'?"
    assert nearest_column("x", ["a;b", "id"]) == "one of: a;b, id"
    assert nearest_column("x", ["id"]) == "one of: id"
    assert not nearest_column("x", [])
