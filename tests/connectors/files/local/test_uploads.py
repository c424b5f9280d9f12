"""Uploaded files as a source."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.local.uploads import Uploads
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.registry import source_for
from tests.connectors.trying import tried


def test_pipelines_read_it_by_its_name(tmp_path: Path) -> None:
    root = FilesRoot(tmp_path / "files")
    for connector, rows in (("conn_1", 2), ("conn_2", 3)):
        with Uploads(root, connector).receiving("orders.csv") as receiver:
            receiver.take(b"id,amount\n" + b"1,2\n" * rows)
    surroundings = Surroundings(root)
    for connector, rows in (("conn_1", 2), ("conn_2", 3)):
        context = Context(Connection(connector, "csv_upload"), surroundings, {"path": "orders.csv"})
        assert source_for("csv_upload", context).discover(max_partitions=1).total_rows == rows
    outside = Context(Connection("conn_1", "csv_upload"), surroundings, {"path": "../conn_2/orders.csv"})
    with pytest.raises(SourceError) as refused:
        source_for("csv_upload", outside).discover(max_partitions=1)
    assert refused.value.code == "path_outside_root"


def test_a_connection_test_shows_what_is_there(tmp_path: Path) -> None:
    surroundings = Surroundings(FilesRoot(tmp_path))
    assert tried("csv_upload", {}, {}, surroundings).message == "No file was uploaded yet"
    with Uploads(surroundings.files_root, "conn_1").receiving("a.csv") as receiver:
        receiver.take(b"id\n")
    assert tried("csv_upload", {}, {}, surroundings).message.startswith("1 file in ")


def test_what_a_dead_process_left_is_deleted_a_day_later(tmp_path: Path) -> None:
    uploads = Uploads(FilesRoot(tmp_path), "conn_1")
    with pytest.raises(TypeError), uploads.receiving("a.csv") as receiver:
        receiver.take("no bytes")  # type: ignore[arg-type]
    folder = tmp_path / "uploads" / "conn_1"
    assert [*folder.iterdir()] == []
    for name, hours in ((".old.x.headrace-draft.tmp", 25), (".new.x.headrace-draft.tmp", 1)):
        (folder / name).write_bytes(b"id")
        os.utime(folder / name, (0, time.time() - hours * 3600))
    with uploads.receiving("b.csv") as receiver:
        receiver.take(b"id\n")
    assert [upload.name for upload in uploads.all()] == ["b.csv"]
    assert sorted(each.name for each in folder.iterdir() if each.is_file()) == [".new.x.headrace-draft.tmp", "b.csv"]
