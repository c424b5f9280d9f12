"""The published schema of file sources matches what they accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import Dialect
from headrace.connectors.files.formats import FORMATS
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.selection import ORDERINGS, PATTERNS
from headrace.connectors.files.settings import FileOptions, FilePattern, FileSettings

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
        "missingColumns": "null",
        "compression": None,
        "escape": "\\",
        "comment": "#",
        "skipRows": 2,
        "decimal": ",",
        "thousands": ".",
        "headerMatching": "exact",
    },
    "waitPolicy": {"maxRetries": 1},
    "atomicity": {"failureFolder": ".bad"},
    "settleSeconds": 1,
    "hivePartitioning": False,
    "fileNameColumn": "file",
    "rowNumberColumn": "line",
    "onBadFile": "skip",
}
OF_OTHER_FORMATS: dict[str, dict[str, Any]] = {
    "json": {"path": "data"},
    "xml": {"row": "order"},
    "excel": {"sheet": 1, "headerRow": 2},
    "fixed": {"columns": [{"name": "a", "start": 1, "width": 2}]},
}


def wire(model: Any) -> set[str]:
    return {field.alias for field in model.model_fields.values()}


def test_every_setting_that_is_reported_is_taken(tmp_path: Path) -> None:
    assert set(EVERYTHING) == wire(FileSettings)
    others = {name for options in OF_OTHER_FORMATS.values() for name in options}
    assert set(EVERYTHING["options"]) | others == wire(FileOptions)
    for name, options in OF_OTHER_FORMATS.items():
        FileOptions.model_validate(options)
        FORMATS[name](options)
    assert set(EVERYTHING["pattern"]) == wire(FilePattern)
    FileSettings.model_validate(EVERYTHING)
    local_files(EVERYTHING, files_root=tmp_path)
    assert Dialect.from_options(EVERYTHING["options"], delimiter=",").delimiter == "\t"


def test_the_choices_are_those_of_the_source() -> None:
    orderings, formats = (FileSettings.model_fields[name].annotation for name in ("ordering", "format"))
    assert set(get_args(get_args(orderings)[0])) == set(ORDERINGS)
    assert set(get_args(get_args(formats)[0])) == set(FORMATS)
    assert set(get_args(FilePattern.model_fields["type"].annotation)) == set(PATTERNS)


@pytest.mark.parametrize("setting", ["paths", "option", "wait"])
def test_a_setting_that_is_not_reported_is_not_taken(setting: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Unknown setting"):
        local_files({"path": "a.csv", setting: 1}, files_root=tmp_path)
