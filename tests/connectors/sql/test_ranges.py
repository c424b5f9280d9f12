"""Key ranges are together the whole, half-open, with nulls in exactly one, and about as large as each other."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.sql.ranges import KeyRange, cuts, of_histogram, partitions_for, ranges

VALUES = st.one_of(st.none(), st.integers(-1000, 1000))
POINTS = st.lists(st.integers(-1000, 1000), unique=True, max_size=20).map(sorted)


def holds(part: KeyRange, value: int | None) -> bool:
    if value is None:
        return part.nulls
    low, high = part.low, part.high
    assert low is None or isinstance(low, int)
    assert high is None or isinstance(high, int)
    return (low is None or value >= low) and (high is None or value < high)


@given(POINTS, VALUES)
def test_every_value_and_null_is_in_exactly_one_range(points: list[int], value: int | None) -> None:
    found = ranges(list(points))
    assert len(found) == len(points) + 1
    assert sum(holds(each, value) for each in found) == 1


@given(POINTS)
def test_ranges_adjoin(points: list[int]) -> None:
    found = ranges(list(points))
    assert found[0].low is None
    assert found[-1].high is None
    assert [each.high for each in found[:-1]] == [each.low for each in found[1:]]
    assert [each.nulls for each in found] == [True] + [False] * len(points)


@given(POINTS, st.data(), st.integers(1, 30))
def test_cuts_are_ascending_values_and_never_the_least(points: list[int], data: st.DataObject, parts: int) -> None:
    weights = data.draw(st.lists(st.floats(0, 1e9), min_size=len(points), max_size=len(points)))
    found = cuts(points, weights, parts)
    assert found == sorted(set(found))
    assert set(found) <= set(points[1:])
    assert len(found) <= max(0, parts - 1)


@given(st.lists(st.integers(), unique=True, min_size=101, max_size=101).map(sorted), st.integers(1, 16))
def test_a_histogram_gives_parts_of_about_one_size(bounds: list[int], parts: int) -> None:
    points = of_histogram(bounds, parts)
    assert len(points) == parts - 1
    places = [0, *(bounds.index(point) for point in points), len(bounds) - 1]
    sizes = [high - low for low, high in pairwise(places)]
    assert max(sizes) - min(sizes) <= 1


def test_gaps_and_outliers_do_not_make_empty_ranges() -> None:
    """What least and greatest alone would do: one range of four with all rows but one."""
    assert of_histogram([*range(0, 1000, 10), 10**15], 4) == [250, 500, 750]


def test_a_value_that_most_rows_have_is_a_range_of_its_own() -> None:
    assert cuts(["a", "b", "c", "d"], [1.0, 1.0, 90.0, 1.0], 3) == ["c", "d"]


def test_small_tables_are_one_partition() -> None:
    assert [partitions_for(rows, 0, 8) for rows in (None, 0, 50_000, 50_001, 10**9)] == [1, 1, 1, 2, 8]
    assert (partitions_for(10, 3, 8), partitions_for(10, 12, 8)) == (3, 8)
