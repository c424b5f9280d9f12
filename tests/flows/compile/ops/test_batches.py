"""Every op gives the same however the rows are cut into batches: values, error rows and counts."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.ir.ops import OPS
from tests.effort import examples
from tests.flows.compile.ops.cases import frame, passed, planned
from tests.flows.compile.ops.every_op import CASES
from tests.flows.compile.ops.shelf import Shelf

texts = st.sampled_from(
    [None, "", "  ", "1", "a", "ä", "a,b", "ü-7", "x, y, z", '{"count": 1}', '{"count": "x"}', "{", "It is a great day"]
)
rows = st.lists(
    st.tuples(
        st.sampled_from([None, -1, 1, 2, 2**40]),
        texts,
        texts,
        st.sampled_from([None, 0.0, 48.1, 95.0, float("nan")]),
        st.sampled_from([None, Decimal("11.50"), Decimal(-200)]),
        st.sampled_from([None, date(2024, 2, 29)]),
        st.sampled_from([None, time(8, 30)]),
        st.sampled_from([None, datetime(2024, 2, 29, 8, 30)]),
    ),
    min_size=1,
    max_size=12,
)
COLUMNS = ("id", "text", "other", "price", "amount", "day", "clock", "stamp")


def test_there_is_a_case_for_every_op_that_sees_one_row() -> None:
    assert {op["type"] for op in CASES.values()} >= set(OPS) - {
        *("deduplicate", "aggregate", "summarize", "sort", "sql", "pivot", "unpivot")
    }


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=examples(12))
@given(rows, st.integers(1, 6))
def test_batches_of_any_size_give_the_same(name: str, data: list[tuple[Any, ...]], size: int) -> None:
    plan = planned(CASES[name], tables=Shelf().tables)
    whole = frame(**dict(zip(COLUMNS, map(list, zip(*data, strict=True)), strict=True)))
    made, cells, counters = passed(plan, whole)
    parts = [passed(plan, whole[start : start + size]) for start in range(0, whole.height, size)]
    assert pl.concat([part[0] for part in parts]).equals(made)
    assert Counter(cell for part in parts for cell in part[1]) == Counter(cells)
    total = Counter[str]()
    for part in parts:
        total.update(part[2])
    assert +total == +Counter(counters)
    assert made.height + counters["failed"] + counters["skipped"] == whole.height + counters.get("made", 0)
