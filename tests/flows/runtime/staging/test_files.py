"""Files between stages, in a folder and in an object store: the same of both."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.exceptions import PolarsError
from polars.testing import assert_frame_equal

from headrace.flows.runtime.staging.files import StagingFiles, probe
from tests.object_store import BUCKET, ObjectStore

FRAME = pl.DataFrame({"id": [3, 1, 2], "note": ["c", None, "ü"]})
EIGHT_DAYS = timedelta(days=8)


@pytest.fixture(params=["folder", "objects"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path | str:
    if request.param == "folder":
        return tmp_path / "staging"
    store: ObjectStore = request.getfixturevalue("object_store")
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    return store.url()


@pytest.fixture
def files(root: Path | str) -> StagingFiles:
    made = StagingFiles(root, "run_1")
    made.begin(afresh=True)
    return made


def test_rows_come_back_in_the_order_of_the_files(files: StagingFiles) -> None:
    sizes = [files.write("a.0/0001", f"p{number}.parquet", FRAME) for number in (2, 1)]
    files.append("a.0/0001", "p3.parquet", (FRAME.slice(row, 1) for row in range(3)))
    files.sink("a.0/0001", "p4.parquet", FRAME.lazy().filter(pl.col("id") > 1))
    names = [file.name for file in files.list("a.0/0001")]
    assert names == ["p1.parquet", "p2.parquet", "p3.parquet", "p4.parquet"]
    assert [file.size for file in files.list("a.0/0001")][:2] == sizes[::-1]
    assert [files.height("a.0/0001", name) for name in names] == [3, 3, 3, 2]
    with files.reading("a.0/0001", names[::-1], FRAME.schema) as rows:
        expected = pl.concat([FRAME.filter(pl.col("id") > 1), FRAME, FRAME, FRAME])
        assert_frame_equal(rows.collect(), expected)
        assert_frame_equal(rows.slice(1, 2).collect(), expected.slice(1, 2))
    with files.reading("a.0/0002", [], FRAME.schema) as rows:
        assert rows.collect().schema == FRAME.schema


def test_rows_as_they_are_in_memory_come_back_beside_parquet(files: StagingFiles) -> None:
    frame = FRAME.with_columns(
        price=pl.Series(["1.10", None, "-0.01"]).cast(pl.Decimal(15, 2)),
        at=pl.Series([0, None, -1]).cast(pl.Datetime("us", "UTC")),
        tags=pl.Series([["a", None], [], None], dtype=pl.List(pl.String)),
        inner=pl.Series([{"x": 1}, {"x": None}, {"x": 3}]),
        nothing=pl.lit(None),
    )
    names = ["p1.parquet", "p2.arrow", "p3.arrow", "p4.parquet"]
    parts = [frame, frame.filter(pl.col("id") > 1), frame.clear(), frame.reverse()]
    for name, part in zip(names, parts, strict=True):
        size = files.write("a.0/0001", name, part)
        assert size == next(file.size for file in files.list("a.0/0001") if file.name == name)
    assert [file.name for file in files.list("a.0/0001")] == names
    with files.reading("a.0/0001", names, frame.schema) as rows:
        assert_frame_equal(rows.collect(), pl.concat(parts))
        assert rows.select(pl.len()).collect().item() == 8
    with files.reading("a.0/0001", names[1:3], frame.schema) as rows:
        assert_frame_equal(rows.collect(), pl.concat(parts[1:3]))


def test_a_folder_lists_the_files_of_all_its_places(files: StagingFiles) -> None:
    sizes = files.write_all({(f"a.0/{number:04}", "p.parquet"): FRAME.head(number) for number in range(1, 13)})
    files.write("a.01/0001", "other.parquet", FRAME)
    listed = list(files.list("a.0"))
    assert [(file.place, file.name) for file in listed] == [
        (f"a.0/{number:04}", "p.parquet") for number in range(1, 13)
    ]
    assert [file.size for file in listed] == sizes
    assert [file.name for file in files.list("a.01/0001")] == ["other.parquet"]
    assert list(files.list("none")) == []
    files.delete("a.0/0001", "p.parquet")
    files.delete("a.0/0001", "p.parquet")
    assert len(list(files.list("a.0"))) == 11


def test_a_file_is_there_as_a_whole_or_not_at_all(files: StagingFiles) -> None:
    failing = pl.LazyFrame({"id": ["1", "x"]}).select(pl.col("id").cast(pl.Int64, strict=True))
    with pytest.raises(PolarsError):
        files.sink("a/0000", "rows.parquet", failing)
    assert list(files.list("a")) == []
    files.write("a/0000", "rows.parquet", FRAME)
    with pytest.raises(PolarsError):
        files.sink("a/0000", "rows.parquet", failing)
    with files.reading("a/0000", ["rows.parquet"], FRAME.schema) as rows:
        files.write("a/0000", "rows.parquet", FRAME.head(1))  # by another worker that evaluates the same bucket
        assert rows.collect().height in (1, 3)
    assert [file.name for file in files.list("a")] == ["rows.parquet"]


def test_an_attempt_finds_what_an_earlier_one_left_unless_it_begins_afresh(
    files: StagingFiles, root: Path | str
) -> None:
    other = StagingFiles(root, "run_2")
    other.begin(afresh=True)
    for each in (files, other):
        each.write("a/0000", "p.parquet", FRAME)
    again = StagingFiles(root, "run_1")
    again.begin(afresh=False)
    assert len(list(again.list("a"))) == 1
    again.begin(afresh=True)
    assert list(files.list("a")) == []
    files.remove()
    assert len(list(other.list("a"))) == 1


def test_what_nobody_touched_for_a_week_goes_with_the_next_run(
    files: StagingFiles, root: Path | str, request: pytest.FixtureRequest
) -> None:
    files.write("a/0000", "p.parquet", FRAME)
    next_run = StagingFiles(root, "run_2")
    next_run.begin(afresh=True)
    assert len(list(files.list("a"))) == 1
    if isinstance(root, Path):
        old = time.time() - EIGHT_DAYS.total_seconds()
        os.utime(next(root.glob("run_1-*")), (old, old))
    else:
        store: ObjectStore = request.getfixturevalue("object_store")
        prefix = f"{root.removeprefix(f's3://{BUCKET}/')}/run_1-"
        aged = {name: item for name, item in store.objects().items() if name.startswith(prefix)}
        (begun,) = [item for name, item in aged.items() if name.endswith("/.begun")]
        begun.last_modified -= EIGHT_DAYS
        next_run.begin(afresh=True)
        assert len(list(files.list("a"))) == 1  # it goes on writing
        for item in aged.values():
            item.last_modified -= EIGHT_DAYS
    next_run.begin(afresh=True)
    assert list(files.list("a")) == []


def test_whether_it_can_be_used_is_found_out_without_a_trace(root: Path | str, request: pytest.FixtureRequest) -> None:
    probe(root)
    if isinstance(root, Path):
        assert not root.exists()
    else:
        assert request.getfixturevalue("object_store").names(root) == []
