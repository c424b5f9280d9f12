"""Files of many folders as one source: paths as patterns, columns from folders and names, bad files left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.files.config_checks import file_problems
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.source import FileSource
from headrace.connectors.source import ROW, Wanted
from headrace.ir.schema import Field

ALL = {"path": "in", "ordering": "process_all"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(
        [
            "in/a.csv",
            "in/day=2024-01-31/region=eu/b.csv",
            "in/day=2024-01-31/region=n%2Fa/c.csv",
            "in/day=__HIVE_DEFAULT_PARTITION__/region=eu/d.csv",
            "in/.archive/e.csv",
            "in/day=2024-01-31/.tmp/f.csv",
            "in/day=2024-01-31/region=eu/notes.txt",
        ]
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"id\n{number}\n{number + 10}\n")
    return tmp_path


def source(root: Path, fields: tuple[Field, ...] = (), **config: Any) -> FileSource:
    return local_files({**ALL, **config}, files_root=root, fields=fields)


def everything(files: FileSource, partitions: int = 3) -> pl.DataFrame:
    found = files.discover(max_partitions=partitions)
    frame = pl.concat([batch.frame for part in found.partitions for batch in files.read(part, found.schema)])
    assert frame.columns == [*(field.name for field in found.schema), ROW]
    return frame


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("*.csv", [0]),
        ("./*.csv", [0]),
        ("**/*.csv", [0, 1, 2, 3]),
        ("day=2024*/**/*.csv", [1, 2]),
        ("*/region=eu/?.csv", [1, 3]),
        ("**/region=eu/*", [1, 6, 3]),
        ("day=2024-01-31/region=eu/b.csv", [1]),
    ],
)
def test_a_pattern_with_a_slash_is_about_paths(root: Path, pattern: str, ids: list[int]) -> None:
    (root / "in/day=2024-01-31/region=eu/notes.txt").rename(root / "in/day=2024-01-31/region=eu/notes.tsv")
    read = everything(source(root, pattern=pattern))["id"].to_list()
    assert [each for each in read if each < 10] == ids


def test_no_match_below_reports_what_is_there(root: Path) -> None:
    with pytest.raises(SourceError, match=r"It holds: a\.csv, day=") as caught:
        everything(source(root, pattern="**/*.json"))
    assert caught.value.code == "file_not_found"


def test_folders_are_columns_typed_by_all_their_values(root: Path) -> None:
    (root / "in/a.csv").unlink()
    files = source(root, pattern="*.csv", hivePartitioning=True)
    found = files.discover(max_partitions=2)
    assert [(field.name, field.data_type) for field in found.schema] == [
        ("id", "integer"),
        ("day", "date"),
        ("region", "text"),
    ]
    assert {"day", "region"} <= found.sure
    rows = [row[:-1] for row in everything(files).cast({"day": pl.String}).rows()]
    assert rows[::2] == [(1, "2024-01-31", "eu"), (2, "2024-01-31", "n/a"), (3, None, "eu")]


def test_folders_that_name_other_columns_or_values_of_another_type_are_reported(root: Path) -> None:
    with pytest.raises(SourceError, match="name other columns"):
        everything(source(root, pattern="**/*.csv", hivePartitioning=True))
    (root / "in/a.csv").unlink()
    fields = (Field("region", "integer"), Field("id", "integer"))
    with pytest.raises(SourceError, match=r"region=eu, which is not of the type integer"):
        everything(source(root, fields, pattern="**/*.csv", hivePartitioning=True))


def test_the_name_of_the_file_and_the_number_of_the_row_are_columns(root: Path) -> None:
    files = source(root, pattern="**/*.csv", fileNameColumn="file", rowNumberColumn="n")
    frame = everything(files, 2)
    assert frame["n"].to_list() == [1, 2] * 4
    assert frame["file"].to_list()[:4:2] == ["a.csv", "day=2024-01-31/region=eu/b.csv"]
    found = files.discover(max_partitions=1)
    for done in range(9):
        rest = [n for batch in files.read(found.partitions[0], found.schema, rows_done=done) for n in batch.frame["n"]]
        assert rest == ([1, 2] * 4)[done:]
    (batch, *_) = files.read(found.partitions[0], found.schema, wanted=Wanted(frozenset({"n"})))
    assert batch.frame.columns == ["n", ROW]


def test_rows_of_a_file_are_numbered_through_all_its_pieces(tmp_path: Path) -> None:
    pl.DataFrame({"v": range(1000)}).write_parquet(tmp_path / "a.parquet", row_group_size=100)
    files = local_files({"path": "a.parquet", "rowNumberColumn": "n"}, files_root=tmp_path)
    assert everything(files, 5)["n"].to_list() == list(range(1, 1001))


def test_declared_columns_may_be_added_ones_in_any_place_and_type(root: Path) -> None:
    fields = (Field("n", "text"), Field("id", "integer"))
    frame = everything(source(root, fields, rowNumberColumn="n", fileNameColumn="f"))
    assert frame.columns == ["n", "id", "f", ROW]
    assert frame["n"].to_list() == ["1", "2"]


def test_a_column_that_the_file_has_too_is_refused(root: Path) -> None:
    with pytest.raises(SourceError, match="column 'id' itself"):
        everything(source(root, rowNumberColumn="id"))


def test_a_bad_file_is_left_out_when_that_is_asked_for(root: Path) -> None:
    for name, content in [("b.csv", b"\x1f\x8bnot"), ("c.csv", b"other\n1\n"), ("d.csv", b"")]:
        (root / "in" / name).write_bytes(content)
    (root / "in/e.csv").write_text("id\n7\n")
    with pytest.raises(SourceError):
        everything(source(root))
    files = source(root, onBadFile="skip")
    assert everything(files)["id"].to_list() == [0, 10, 7]
    assert files.left_out == ("in/b.csv", "in/d.csv", "in/c.csv")
    notes = files.discover(max_partitions=1).notes
    assert any("in/b.csv was left out" in note for note in notes)
    assert any("in/c.csv was left out" in note and "has other columns" in note for note in notes)


def test_when_all_are_bad_the_first_says_why(root: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (root / "in" / name).write_bytes(b"\x1f\x8bnot")
    with pytest.raises(SourceError, match=r"in/a\.csv"):
        everything(source(root, onBadFile="skip"))


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"pattern": "**/*.csv", "atomicity": {}}, "config.atomicity"),
        ({"onBadFile": "ignore"}, "config.onBadFile"),
        ({"fileNameColumn": "__row"}, "config.fileNameColumn"),
        ({"format": "json", "options": {"delimiter": ","}}, "config.options"),
        ({"path": "a.xml"}, "config.options"),
        ({"path": "a.csv.gz", "options": {"compression": "lz4"}}, "config.options"),
        ({"format": "{{form}}", "options": {"row": "x"}}, None),
        ({"format": "fixed", "options": {"columns": "{{columns}}"}}, None),
    ],
)
def test_what_cannot_be_is_a_problem_when_it_is_saved(config: dict[str, Any], place: str | None) -> None:
    assert [problem.path for problem in file_problems(config)] == ([] if place is None else [place])


def test_files_are_not_taken_out_of_folders_below(root: Path) -> None:
    with pytest.raises(SourceError, match="atomicity"):
        source(root, pattern="**/*.csv", atomicity={})
