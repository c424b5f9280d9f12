"""Which files a local source reads, and that it never leaves its folder."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.files.selection import Selection, StoredFile
from headrace.connectors.registry import source_for
from headrace.connectors.source import ROW
from headrace.ir.schema import Field


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "orders").mkdir(parents=True)
    for number, name in enumerate(["orders_b.csv", "orders_a.csv", "orders_c.csv", "notes.txt"]):
        path = folder / "orders" / name
        path.write_text(f"id,name\n{number},x\n{number + 10},y\n")
        os.utime(path, (1000 + number, 1000 + number))
    (tmp_path / "secret.csv").write_text("a\n1\n")
    return folder


def read(root: Path, partitions: int = 4, **config: Any) -> pl.DataFrame:
    files = local_files(config, files_root=root)
    found = files.discover(max_partitions=partitions)
    assert len(found.partitions) <= partitions
    return pl.concat([batch.frame for part in found.partitions for batch in files.read(part, found.schema)])


@pytest.mark.parametrize(
    ("ordering", "ids"),
    [
        ("latest_by_mtime", [2, 12]),
        ("fifo", [0, 10]),
        ("lexicographic", [1, 11]),
        ("process_all", [1, 11, 0, 10, 2, 12]),
    ],
)
def test_the_ordering_chooses_among_the_matches(root: Path, ordering: str, ids: list[int]) -> None:
    frame = read(root, path="orders/", pattern={"type": "glob", "value": "orders_*.csv"}, ordering=ordering)
    assert frame["id"].to_list() == ids
    assert frame[ROW].to_list() == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("partitions", [1, 2, 3])
def test_several_files_share_the_partitions_and_number_their_rows_through(root: Path, partitions: int) -> None:
    config = {"path": "orders", "pattern": {"type": "regex", "value": r"orders_[abc]\.csv"}, "ordering": "process_all"}
    frame = read(root, partitions, **config)
    assert frame[ROW].to_list() == [1, 2, 3, 4, 5, 6]
    files = local_files(config, files_root=root)
    found = files.discover(max_partitions=partitions)
    for part in found.partitions:
        for done in range(part.rows + 1):
            rest = [number for batch in files.read(part, found.schema, rows_done=done) for number in batch.frame[ROW]]
            assert rest == list(range(part.first_row + done, part.first_row + part.rows))


def test_files_with_other_columns_are_not_mixed(root: Path) -> None:
    (root / "orders" / "orders_d.csv").write_text("id,title\n1,x\n")
    with pytest.raises(SourceError) as caught:
        read(root, path="orders", pattern={"type": "glob", "value": "orders_*"}, ordering="process_all")
    assert caught.value.code == "columns_differ"
    assert "lacks name and has title besides" in str(caught.value)


def test_types_of_several_files_are_widened(root: Path) -> None:
    (root / "orders" / "orders_d.csv").write_text("name,id\nx,1.5\n")
    frame = read(root, path="orders", pattern={"type": "glob", "value": "orders_*"}, ordering="process_all")
    assert frame["id"].to_list() == [1.0, 11.0, 0.0, 10.0, 2.0, 12.0, 1.5]


@pytest.mark.parametrize(
    "path", ["../secret.csv", "/etc/passwd", "orders/../../secret.csv", "link.csv", "linked/secret.csv"]
)
def test_no_path_leaves_the_folder(root: Path, path: str) -> None:
    (root / "link.csv").symlink_to(root.parent / "secret.csv")
    (root / "linked").symlink_to(root.parent)
    with pytest.raises(SourceError) as caught:
        read(root, path=path)
    assert caught.value.code == "path_outside_root"


def test_links_out_of_the_folder_are_not_listed(root: Path) -> None:
    (root / "orders" / "orders_z.csv").symlink_to(root.parent / "secret.csv")
    frame = read(root, path="orders", pattern={"type": "glob", "value": "orders_*"}, ordering="process_all")
    assert frame.height == 6


@pytest.mark.parametrize(
    ("config", "reported"),
    [
        ({"path": "orders/orders_aa.csv"}, "Folder 'orders' holds: notes.txt, orders_a.csv"),
        ({"path": "orders/orders_aa.csv"}, "Did you mean 'orders_a.csv'"),
        ({"path": "order/x.csv"}, "Did you mean 'orders'"),
        ({"path": "orders", "pattern": {"type": "glob", "value": "sales_*.csv"}}, "It holds: notes.txt, orders_a.csv"),
    ],
)
def test_a_missing_file_reports_what_is_there(root: Path, config: dict[str, Any], reported: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(root, **config)
    assert caught.value.code == "file_not_found"
    assert reported in str(caught.value)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"path": "x", "pattern": {"type": "globb", "value": "*"}}, "bad_pattern"),
        ({"path": "x", "pattern": {"type": "regex", "value": "("}}, "bad_pattern"),
        ({"path": "x", "pattern": {"type": "date_glob", "value": "*", "timezone": "Mars"}}, "bad_pattern"),
        ({"path": "x", "ordering": "newest"}, "bad_ordering"),
        ({"path": "orders/notes.txt"}, "unknown_format"),
        ({"path": "orders/orders_a.csv", "format": "cvs"}, "unknown_format"),
        ({"pth": "orders"}, "bad_option"),
    ],
)
def test_settings_that_cannot_be_are_refused(root: Path, config: dict[str, Any], code: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(root, **config)
    assert caught.value.code == code


def test_an_unknown_connector_names_the_nearest() -> None:
    with pytest.raises(SourceError, match="Did you mean 'local_fs'"):
        source_for("local_fss", Context(Connection("conn_1", "local_fs"), Surroundings(FilesRoot(Path()))))


def test_a_date_glob_means_today_in_its_timezone() -> None:
    selection = Selection("date_glob", "orders_{YYYY}-{MM}-{DD}*.csv", "Pacific/Auckland", "process_all")
    files = [StoredFile(f"in/orders_2024-03-0{day}.csv", 1, 0, "0") for day in (1, 2, 3)]
    chosen = selection.choose(files, folder="in", now=datetime(2024, 3, 1, 20, tzinfo=UTC))
    assert [file.name for file in chosen] == ["in/orders_2024-03-02.csv"]


def test_the_connector_record_may_name_a_base_folder(root: Path) -> None:
    files = local_files({"path": "orders_a.csv"}, files_root=root, connection={"basePath": "orders"})
    assert files.discover(max_partitions=1).total_rows == 2
    with pytest.raises(SourceError):
        local_files({"path": "../../secret.csv"}, files_root=root, connection={"basePath": "orders"}).discover(
            max_partitions=1
        )


def test_a_sample_is_the_first_rows(root: Path) -> None:
    files = local_files({"path": "orders/orders_a.csv"}, fields=(Field("id", "bigint"),), files_root=root)
    assert files.sample(1).rows() == [(1, 1)]
    assert files.sample(5).height == 2


def test_tabs_by_suffix(root: Path) -> None:
    (root / "t.tsv").write_text("a\tb\n1\tx,y\n")
    assert read(root, path="t.tsv").rows() == [(1, "x,y", 1)]
