"""A bucket is divided into pieces that together have each of its rows once."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.source import ROW
from headrace.flows.compile.shuffle import Shuffle, ShuffleSide
from headrace.flows.runtime.shuffle.pieces import SentRows, divided, pieces_of
from headrace.flows.runtime.shuffle.sizes import Size
from headrace.flows.runtime.staging.files import StagingFiles

SCHEMA = pl.Schema({"key": pl.Int64, "text": pl.String, ROW: pl.Int64})
KEYS = st.lists(st.integers(0, 12) | st.none(), max_size=60)


def files_in(folder: Path) -> StagingFiles:
    files = StagingFiles(folder, "run")
    files.begin(afresh=True)
    return files


def sent(files: StagingFiles, place: str, keys: list[int | None], names: list[str] | None = None) -> SentRows:
    frame = pl.DataFrame(
        {"key": keys, "text": [None if key is None else f"k{key:02}" for key in keys], ROW: range(1, len(keys) + 1)},
        schema=SCHEMA,
    )
    written = []
    for number, part in enumerate(frame.iter_slices(7)):
        files.write(place, f"{number:03}.arrow", part)
        written.append(f"{number:03}.arrow")
    side = ShuffleSide("in", tuple(map(pl.col, names or ["key"])), SCHEMA)
    return SentRows(side, place, written, Size.of(frame))


def shuffle(sides: list[SentRows], order: tuple[str, bool] | None = None) -> Shuffle:
    given_sides = tuple(each.side for each in sides)
    return Shuffle(given_sides, lambda frames: frames[0], {}, keeps_rows=True, order=order)


@given(KEYS, KEYS, st.integers(1, 5), st.integers(1, 6))
def test_rows_with_equal_keys_of_all_sides_are_in_the_same_piece(
    tmp_path_factory: pytest.TempPathFactory,
    left: list[int | None],
    right: list[int | None],
    buckets: int,
    many: int,
) -> None:
    files = files_in(tmp_path_factory.mktemp("pieces"))
    sides = [sent(files, "left", left), sent(files, "right", right)]
    found = [
        [frame.collect() for frame in piece]
        for piece in divided(files, shuffle(sides), sides, buckets, many, "b.pieces/0001")
    ]
    assert len(found) == many
    for number, keys in enumerate((left, right)):
        rows = pl.concat(piece[number] for piece in found)
        assert rows.sort(ROW).get_column("key").to_list() == keys
        assert all(piece[number].get_column(ROW).is_sorted() for piece in found)
    places: dict[int | None, set[int]] = {}
    for index, piece in enumerate(found):
        for frame in piece:
            for key in frame.get_column("key").unique():
                places.setdefault(key, set()).add(index)
    assert all(len(each) == 1 for each in places.values())
    assert not list(files.list("b.pieces"))


@given(KEYS, st.sampled_from(["key", "text"]), st.booleans(), st.integers(2, 6))
def test_ranges_follow_one_another_with_nulls_at_the_end(
    tmp_path_factory: pytest.TempPathFactory, keys: list[int | None], column: str, descending: bool, many: int
) -> None:
    files = files_in(tmp_path_factory.mktemp("ranges"))
    side = sent(files, "all", keys, ["key"])
    if not keys:
        return
    order = (column, descending)
    pieces = divided(files, shuffle([side], order), [side], 1, many, "b.pieces/0001")
    found = pl.concat(
        frame.collect().sort(column, ROW, descending=[descending, False], nulls_last=True) for [frame] in pieces
    )
    frame = pl.DataFrame({"key": keys, ROW: range(1, len(keys) + 1)}, schema={"key": pl.Int64, ROW: pl.Int64})
    wanted = frame.sort("key", ROW, descending=[descending, False], nulls_last=True)
    assert found.get_column(ROW).to_list() == wanted.get_column(ROW).to_list()


def test_only_what_is_large_and_can_be_divided_is_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side = sent(files_in(tmp_path), "all", [*range(50)])
    assert pieces_of(shuffle([side]), [side]) == 1
    monkeypatch.setattr("headrace.flows.runtime.shuffle.pieces.PIECE_BYTES", side.memory // 4)
    assert pieces_of(shuffle([side]), [side]) == 4
    alone = SentRows(ShuffleSide("in", (), SCHEMA), side.place, side.names, side.size)
    assert pieces_of(shuffle([alone]), [alone]) == 1
    assert pieces_of(shuffle([alone], ("key", False)), [alone]) == 4
