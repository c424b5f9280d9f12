"""Filters and projections: allowed operators and values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Int64, ObjectId
from bson.binary import Binary
from bson.decimal128 import Decimal128
from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.mongodb.filters import OPERATORS, Refused, checked_filter, checked_projection
from headrace.connectors.mongodb.settings import problems


@pytest.mark.parametrize(
    ("given_", "sent"),
    [
        ({"a": 1, "b.c": None, "d": True}, {"a": 1, "b.c": None, "d": True}),
        ({"a": {"$gt": 5, "$lt": 9}}, {"a": {"$gt": 5, "$lt": 9}}),
        ({"$or": [{"a": 1}, {"b": {"$in": ["x", 2]}}]}, {"$or": [{"a": 1}, {"b": {"$in": ["x", 2]}}]}),
        ({"a": {"$not": {"$gt": 5}}}, {"a": {"$not": {"$gt": 5}}}),
        ({"a": {"$elemMatch": {"b": 1}}}, {"a": {"$elemMatch": {"b": 1}}}),
        ({"a": {"$elemMatch": {"$gt": 1}}}, {"a": {"$elemMatch": {"$gt": 1}}}),
        ({"a": {"$type": "date"}}, {"a": {"$type": ["date"]}}),
        ({"a": {"b": 1, "c": [1]}}, {"a": {"b": 1, "c": [1]}}),
        ({"a": {"$regex": "^x", "$options": "i"}}, {"a": {"$regex": "^x", "$options": "i"}}),
        ({"a": {"$oid": "0" * 24}}, {"a": ObjectId("0" * 24)}),
        ({"a": {"$gte": {"$date": "2024-01-01"}}}, {"a": {"$gte": datetime(2024, 1, 1, tzinfo=UTC)}}),
        ({"a": {"$numberLong": "5"}}, {"a": Int64(5)}),
        ({"a": {"$numberDecimal": "1.10"}}, {"a": Decimal128("1.10")}),
        ({"a": {"$binary": {"base64": "AP8=", "subType": "05"}}}, {"a": Binary(b"\0\xff", 5)}),
    ],
)
def test_what_only_compares_is_sent(given_: dict[str, Any], sent: dict[str, Any]) -> None:
    assert checked_filter(given_) == sent


@pytest.mark.parametrize(
    "given_",
    [
        {"$where": "this.a == 1"},
        {"a": {"$where": "1"}},
        {"$expr": {"$function": {"body": "f", "args": [], "lang": "js"}}},
        {"$and": [{"a": 1}, {"$or": [{"$where": "1"}]}]},
        {"a": {"$not": {"$where": "1"}}},
        {"a": {"$elemMatch": {"$where": "1"}}},
        {"a": {"$elemMatch": {"b": {"$function": 1}}}},
        {"a": {"$in": [{"$function": 1}]}},
        {"a": {"x": {"$where": 1}}},
        {"a": [{"$accumulator": 1}]},
        {"a": {"$code": "f()"}},
        {"$jsonSchema": {}},
        {"$text": {"$search": "x"}},
        {"$comment": "x"},
        {"": 1},
        {"a.$b": 1},
        {"a\0": 1},
        {"$and": []},
        {"$or": {"a": 1}},
        {"a": {"$regex": "x" * 1001}},
        {"a": {"$options": "i"}},
        {"a": {"$exists": 1}},
        {"a": 2**63},
        {"a": {"$oid": "xyz"}},
        {"a": {"$date": "yesterday"}},
        {"a": {"$numberDecimal": "1" * 35}},
        {"a": {"$type": "where"}},
        {"a": {"$gt": 1, "b": 2}},
    ],
    ids=str,
)
def test_nothing_else_is(given_: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        checked_filter(given_)


def test_a_filter_has_a_size() -> None:
    deep: dict[str, Any] = {"a": 1}
    for _ in range(30):
        deep = {"$and": [deep]}
    for large in (deep, {"a": {"$in": list(range(3000))}}):
        with pytest.raises(Refused, match="too large"):
            checked_filter(large)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["a", "b.c", "$and", "$or", "$gt", "$in", "$where", "$expr", "$oid", "$date", "$not", "$fn"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["a", "$and", "$where", "$expr", "$nor"]), JSON, max_size=3))
def test_whatever_is_given_only_known_operators_are_sent(given_: dict[str, Any]) -> None:
    try:
        sent = checked_filter(given_)
    except Refused:
        return
    assert _operators(sent) <= OPERATORS | {"$options"}


def _operators(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {name for name in value if name.startswith("$")}.union(*map(_operators, value.values()))
    return set().union(*map(_operators, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("given_", [{"a": 1, "b.c": 1}, {"a": 0}, {"_id": 1, "a": 0}, {"a": True}])
def test_a_projection_names_what_is_read_or_what_is_not(given_: dict[str, Any]) -> None:
    assert checked_projection(given_) == given_


@pytest.mark.parametrize(
    "given_",
    [
        *({}, {"a": 1, "b": 0}, {"_id": 0, "a": 1}, {"a": {"$slice": 1}}, {"a": "$b"}, {"$a": 1}, {"a": 2}, {"a": 1.0}),
        {"a": {"$function": {"body": "f", "args": [], "lang": "js"}}},
    ],
    ids=str,
)
def test_and_nothing_else(given_: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        checked_projection(given_)


class TestWhenItIsSaved:
    @pytest.mark.parametrize(
        ("config", "path", "hint"),
        [
            ({}, "config.collection", "add 'collection'"),
            ({"collection": "a", "filter": {"$where": "1"}}, "config.filter", "one of: $all"),
            ({"collection": "a", "filter": {"x": {"$gtt": 1}}}, "config.filter", "did you mean '$gt'?"),
            ({"collection": "a", "projection": {"b": "$c"}}, "config.projection", "computed"),
            ({"collection": "system.users"}, "config.collection", "orders"),
            ({"collection": "a", "pipeline": []}, "config.pipeline", ""),
            ({"collection": "a", "cursor": {"column": "at", "lag": "soon"}}, "config.cursor.lag", "PT5M"),
            ({"collection": "a", "cursor": {"column": "at"}, "projection": {"b": 1}}, "config", "add it"),
            ({"collection": "a", "cursor": {"column": "at"}, "projection": {"at": 0}}, "config", "add it"),
        ],
    )
    def test_what_is_wrong_is_reported_with_its_place(self, config: dict[str, Any], path: str, hint: str) -> None:
        [found] = problems(config)
        assert (found.path, hint in found.hint) == (path, True), found

    def test_a_runs_parameters_are_evaluated_when_they_are_known(self) -> None:
        assert problems({"collection": "a", "filter": {"at": {"$gte": {"$date": "{{since}}"}}}}) == []
        assert problems({"collection": "a", "cursor": {"column": "at", "lag": "{{lag}}"}}) == []
