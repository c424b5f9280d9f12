"""The file formats by name. A new format is one module here and one line in FORMATS."""

from __future__ import annotations

from connectors.files.formats.base import FileFormat
from connectors.files.formats.csv import Csv, Tsv
from connectors.files.formats.parquet import Parquet

FORMATS: dict[str, type[FileFormat]] = {"csv": Csv, "tsv": Tsv, "parquet": Parquet}

__all__ = ["FORMATS", "FileFormat"]
