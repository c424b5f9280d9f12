"""A folder is tried by looking into it, and never outside of the files folder."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from headrace.connectors.connector import Surroundings
from headrace.connectors.errors import SourceError
from tests.connectors.trying import tried

probe = partial(tried, "local_fs")


def test_it_counts_the_files_and_shows_the_newest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(12):
        file = tmp_path / "in" / f"{number:02}.csv"
        file.write_text("x" * number)
        os.utime(file, (1_000_000 + number, 1_000_000 + number))
    found = probe({"basePath": "in"}, {}, Surroundings(tmp_path))
    assert found.message == "12 files in in"
    assert len(found.sample["files"]) == 10
    assert found.sample["files"][0] == {"name": "11.csv", "size": 11, "modifiedAt": "1970-01-12T13:46:51.000Z"}


def test_an_empty_folder_works(tmp_path: Path) -> None:
    found = probe({}, {}, Surroundings(tmp_path))
    assert (found.message, found.sample) == ("0 files in the files folder", {"files": []})


@pytest.mark.parametrize("path", ["..", "/etc", "in/../../x", "link"])
def test_a_folder_outside_is_refused(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(SourceError) as refused:
        probe({"basePath": path}, {}, Surroundings(root))
    assert refused.value.code == "path_outside_root"


def test_a_files_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="HEADRACE_FILES_ROOT"):
        probe({}, {}, Surroundings(tmp_path / "none"))


@pytest.mark.parametrize("name", ["x" * 300, "a\nb", "%s"])
def test_a_strange_name_is_simply_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError):
        probe({"basePath": name}, {}, Surroundings(tmp_path))


def test_a_missing_folder_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    with pytest.raises(SourceError, match="orders"):
        probe({"basePath": "order"}, {}, Surroundings(tmp_path))
