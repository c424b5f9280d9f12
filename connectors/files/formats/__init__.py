"""The file formats by name. A new format is one module here and one line in FORMATS."""

from __future__ import annotations

from headrace.connectors.files.formats.avro import Avro
from headrace.connectors.files.formats.base import FileFormat
from headrace.connectors.files.formats.csv import Csv, Tsv
from headrace.connectors.files.formats.excel import Excel
from headrace.connectors.files.formats.fixed import Fixed
from headrace.connectors.files.formats.json import Json, JsonLines
from headrace.connectors.files.formats.orc import Orc
from headrace.connectors.files.formats.parquet import Parquet
from headrace.connectors.files.formats.xml import Xml

FORMATS: dict[str, type[FileFormat]] = {
    "csv": Csv,
    "tsv": Tsv,
    "jsonl": JsonLines,
    "json": Json,
    "parquet": Parquet,
    "avro": Avro,
    "orc": Orc,
    "xml": Xml,
    "excel": Excel,
    "fixed": Fixed,
}

SUFFIXES: dict[str, str] = {
    "ndjson": "jsonl",
    "pq": "parquet",
    "xlsx": "excel",
    "xlsm": "excel",
    "xlsb": "excel",
    "xls": "excel",
    "ods": "excel",
}
"""File suffixes of a format, besides its name."""

__all__ = ["FORMATS", "SUFFIXES", "FileFormat"]
