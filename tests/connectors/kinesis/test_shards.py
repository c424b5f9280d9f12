"""Which shards are read, and from where, over splits, merges and what is not kept any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.kinesis.records import Shard, Summary, _Sequences
from headrace.connectors.kinesis.shards import Beginning, Plan, checked, planned, where_of

HOUR = 3_600_000
NOW = 1000 * HOUR
CREATED = 42


def shard(name: str, *parents: str, closed: bool = False) -> Shard:
    found = Shard(name, parent=parents[0] if parents else None, other_parent=parents[1] if parents[1:] else None)
    found.sequences = _Sequences("9" if closed else None)
    return found


def read(sequence: str = "1", until: int = NOW, **more: Any) -> dict[str, Any]:
    return {"created": CREATED, "sequence": sequence, "until": until, **more}


def plan(
    shards: list[Shard],
    cursors: Mapping[str, Mapping[str, Any]] | None = None,
    first: Beginning | None = None,
    *,
    goes_on: bool = False,
) -> Plan:
    return planned("s", Summary(CREATED, 24), shards, cursors or {}, first or Beginning(), NOW, goes_on=goes_on)


def names(found: Plan) -> list[str]:
    return [each.id for each, _ in found.shards]


SPLIT = [shard("a", closed=True), shard("b", "a"), shard("c", "a")]


def test_a_child_is_read_when_its_parent_was_read_to_its_end() -> None:
    first = plan(SPLIT)
    assert names(first) == ["a"]
    assert "b, c" in first.notes[0]
    assert names(plan(SPLIT, {"a": read()})) == ["a"]
    after = plan(SPLIT, {"a": read(ended=True)})
    assert names(after) == ["b", "c"]
    assert not after.notes
    assert [where_of(place)["ShardIteratorType"] for _, place in after.shards] == ["TRIM_HORIZON"] * 2


def test_a_child_of_two_waits_for_both() -> None:
    merged = [shard("a", closed=True), shard("b", closed=True), shard("c", "a", "b")]
    assert names(plan(merged)) == ["a", "b"]
    assert names(plan(merged, {"a": read(ended=True), "b": read()})) == ["b"]
    assert names(plan(merged, {"a": read(ended=True), "b": read(ended=True)})) == ["c"]


def test_a_shard_that_is_over_and_not_kept_any_more_is_forgotten() -> None:
    ended = {"a": read(ended=True, until=0), "b": read(), "c": read()}
    assert names(plan(SPLIT[1:], ended)) == ["b", "c"]
    assert names(plan([shard("b", "a")])) == ["b"]
    grand = [shard("b", "a", closed=True), shard("d", "b")]
    assert names(plan(grand, {"a": read(ended=True, until=0), "b": read(ended=True)})) == ["d"]


def test_a_run_that_begins_with_what_is_new_reads_no_closed_shard_then_or_later() -> None:
    latest = Beginning(NOW, open_only=True)
    found = plan(SPLIT, first=latest)
    assert names(found) == ["b", "c"]
    assert {where_of(place)["ShardIteratorType"] for _, place in found.shards} == {"AT_TIMESTAMP"}
    cursors = {name: {"created": CREATED, "begin": NOW, "until": NOW} for name in ("b", "c")}
    assert names(plan(SPLIT, cursors, latest)) == ["b", "c"]
    more = [*SPLIT[:2], shard("c", "a", closed=True), shard("d", "c")]
    assert names(plan(more, {**cursors, "c": {**cursors["c"], "ended": True}}, latest)) == ["b", "d"]


def test_a_time_to_begin_at_holds_for_children_too() -> None:
    """A child may be older than the time; and a setting that is changed later moves nothing."""
    begun = {"a": {"created": CREATED, "begin": 77_000, "until": NOW, "ended": True}}
    found = plan(SPLIT, begun, Beginning(99_000))
    assert [where_of(place) for _, place in found.shards] == [
        {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 77.0}
    ] * 2


def test_records_that_may_be_gone_are_missed() -> None:
    old = {"a": read(until=NOW - 25 * HOUR)}
    with pytest.raises(SourceError, match="a may have lost records that came after 1970-02-10T15:00:00Z") as told:
        plan([shard("a")], old)
    assert told.value.code == "offsets_gone"
    found = plan([shard("a")], old, goes_on=True)
    assert "may have lost" in found.notes[0]
    assert where_of(found.shards[0][1]) == {"ShardIteratorType": "TRIM_HORIZON"}
    assert names(plan([shard("a")], {"a": read(until=NOW - 23 * HOUR)})) == ["a"]


def test_a_parent_that_went_before_its_end_was_read_is_missed() -> None:
    cursors = {"a": read()}
    with pytest.raises(SourceError, match="a may have lost"):
        plan(SPLIT[1:], cursors)
    found = plan(SPLIT[1:], cursors, goes_on=True)
    assert (names(found), len(found.notes)) == (["b", "c"], 1)
    assert not plan(SPLIT[1:], {**cursors, "b": read(), "c": read()}, goes_on=True).notes


def test_a_stream_that_was_made_anew_is_not_taken_for_the_old_one() -> None:
    old = {"a": {**read(), "created": 41}, "z": {**read(), "created": 41}}
    with pytest.raises(SourceError, match="created again"):
        plan([shard("a")], old)
    found = plan([shard("a")], old, Beginning(NOW, open_only=True), goes_on=True)
    assert where_of(found.shards[0][1]) == {"ShardIteratorType": "TRIM_HORIZON"}
    assert names(plan([shard("a")], {"a": read(), "z": old["z"]})) == ["a"]


@pytest.mark.parametrize("wrong", [7, "1", None, {"sequence": 5}, {"sequence": "x"}, {"sequence": "1", "sub": "2"}])
def test_a_cursor_that_is_no_position_says_so(wrong: object) -> None:
    with pytest.raises(SourceError, match="'a' is no position of a shard"):
        checked(wrong, "a")
    assert where_of(checked({"sequence": "12"}, "a"))["StartingSequenceNumber"] == "12"
