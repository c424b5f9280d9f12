"""What editors are told of a source of files is what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from connectors.base import SourceError
from connectors.files.delimited.dialect import Dialect
from connectors.files.formats import FORMATS
from connectors.files.local_fs import LocalFiles
from connectors.files.selection import ORDERINGS, PATTERNS
from connectors.files.settings import DelimitedOptions, FilePattern, FileSettings

EVERYTHING: dict[str, Any] = {
    "path": "in/",
    "pattern": {"type": "date_glob", "value": "*.csv", "timezone": "Europe/Paris"},
    "ordering": "fifo",
    "format": "csv",
    "options": {
        "delimiter": "tab",
        "header": False,
        "encoding": "latin-1",
        "quote": None,
        "nullValues": ["NA"],
        "compression": None,
    },
    "waitPolicy": {"maxRetries": 1},
    "atomicity": {"failureFolder": ".bad"},
    "settleSeconds": 1,
}


def wire(model: Any) -> set[str]:
    return {field.alias for field in model.model_fields.values()}


def test_every_setting_that_is_told_is_taken(tmp_path: Path) -> None:
    assert set(EVERYTHING) == wire(FileSettings)
    assert set(EVERYTHING["options"]) == wire(DelimitedOptions)
    assert set(EVERYTHING["pattern"]) == wire(FilePattern)
    FileSettings.model_validate(EVERYTHING)
    LocalFiles(EVERYTHING, files_root=tmp_path)
    assert Dialect.from_options(EVERYTHING["options"], delimiter=",").delimiter == "\t"


def test_the_choices_are_those_of_the_source() -> None:
    orderings, formats = (FileSettings.model_fields[name].annotation for name in ("ordering", "format"))
    assert set(get_args(get_args(orderings)[0])) == set(ORDERINGS)
    assert set(get_args(get_args(formats)[0])) == set(FORMATS)
    assert set(get_args(FilePattern.model_fields["type"].annotation)) == set(PATTERNS)


@pytest.mark.parametrize("setting", ["paths", "option", "wait"])
def test_a_setting_that_is_not_told_is_not_taken(setting: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Unknown setting"):
        LocalFiles({"path": "a.csv", setting: 1}, files_root=tmp_path)
